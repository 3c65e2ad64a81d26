//! What the items of the form are called, where they stand and what there is to choose, as data (`rules/form-items.json`).

use std::{collections::HashMap, sync::LazyLock};

use proto::{notification::FormItemType, registry::Filler};
use serde::Deserialize;
use time::Date;

use super::versions::Day;

#[derive(Deserialize)]
struct File {
    disease: String,
    items: Vec<Item>,
    /// By the enum of the contract whose codes they are.
    choices: HashMap<String, Vec<Choice>>,
}

/// An item of the form, as it is printed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Item {
    pub number: String,
    pub ja: String,
    pub en: String,
    r#type: String,
    /// Where it stands in the message. Errors name the first.
    pub fields: Vec<String>,
    /// Which choices it has.
    choices: Option<String>,
    fillers: Vec<String>,
    /// The version that added it.
    since: Option<Day>,
    /// The version that dropped it.
    until: Option<Day>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Choice {
    pub code: String,
    pub ja: String,
    pub en: String,
}

impl Item {
    /// The field to look at where the item is missing.
    pub(super) fn field(&self) -> &str {
        self.fields.first().map(String::as_str).unwrap_or_default()
    }

    pub(super) fn r#type(&self) -> FormItemType {
        FormItemType::from_str_name(&format!("FORM_ITEM_TYPE_{}", self.r#type)).unwrap_or_default()
    }

    pub(super) fn fillers(&self) -> impl Iterator<Item = Filler> {
        self.fillers.iter().filter_map(|name| Filler::from_str_name(&format!("FILLER_{name}")))
    }

    pub(super) fn choices(&self) -> &'static [Choice] {
        let named = self.choices.as_ref().and_then(|name| FILE.choices.get(name));
        named.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the version of this name has it.
    pub(super) fn is_on(&self, version: Date) -> bool {
        self.has_begun(version) && self.until.is_none_or(|until| version < until.0)
    }

    /// Whether the version of this name has it, or one before had.
    pub(super) fn has_begun(&self, version: Date) -> bool {
        self.since.is_none_or(|since| since.0 <= version)
    }
}

/// The file is part of the binary: that it can be read and what it says are tested below.
static FILE: LazyLock<File> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../rules/form-items.json")).unwrap_or(File {
        disease: String::new(),
        items: Vec::new(),
        choices: HashMap::new(),
    })
});

static BY_NUMBER: LazyLock<HashMap<&'static str, &'static Item>> =
    LazyLock::new(|| FILE.items.iter().map(|item| (item.number.as_str(), item)).collect());

/// The disease that the form is for.
pub(super) fn disease() -> &'static str {
    &FILE.disease
}

/// Every item that a version ever had, in the order of the form.
pub(super) fn all() -> &'static [Item] {
    &FILE.items
}

/// The item of this number.
pub(super) fn find(number: &str) -> Option<&'static Item> {
    BY_NUMBER.get(number).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost::Name as _;
    use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
    use proto::notification::{Form, FormItemType as Type};
    use time::macros::date;

    use super::{BY_NUMBER, FILE, Item, all, disease};

    /// What no item of the form is: which form, what for, and what is asked locally.
    const NO_ITEMS: [&str; 4] =
        ["form.form_version", "form.purpose", "form.local_answers.item_id", "form.local_answers.values"];

    /// Every field of the form that is no message, by path.
    fn leaves(message: &MessageDescriptor, path: &str, found: &mut BTreeMap<String, FieldDescriptor>) {
        for field in message.fields() {
            let path = format!("{path}.{}", field.name());
            match field.kind() {
                Kind::Message(inner) => leaves(&inner, &path, found),
                _ => {
                    found.insert(path, field);
                }
            }
        }
    }

    fn form() -> BTreeMap<String, FieldDescriptor> {
        let mut found = BTreeMap::new();
        leaves(&proto::pool().get_message_by_name(&Form::full_name()).unwrap(), "form", &mut found);
        found
    }

    fn choices(field: &FieldDescriptor) -> Option<EnumDescriptor> {
        match field.kind() {
            Kind::Enum(codes) => Some(codes),
            _ => None,
        }
    }

    #[test]
    fn every_field_of_the_form_is_an_item_and_every_item_is_in_the_form() {
        let form = form();
        let has = |field: &String| form.keys().any(|path| path == field || path.starts_with(&format!("{field}.")));
        let mut named: BTreeSet<&str> = NO_ITEMS.into_iter().collect();
        for item in all() {
            assert!(item.fields.iter().all(has), "{}: {:?}", item.number, item.fields);
            if !matches!(item.r#type(), Type::Group | Type::Derived) {
                assert_eq!(item.fields.len(), 1, "{}", item.number);
                assert!(named.insert(item.field()), "{} is two items", item.field());
            }
        }
        let unnamed: Vec<&String> = form.keys().filter(|path| !named.contains(path.as_str())).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
        assert_eq!((BY_NUMBER.len(), disease()), (all().len(), "covid-19"), "each number is there once");
    }

    #[test]
    fn an_item_looks_as_its_field_does_and_has_a_label_in_both_languages() {
        let form = form();
        let fits = |item: &Item| match item.r#type() {
            Type::Unspecified => false,
            Type::Group | Type::Derived => true,
            other => form.get(item.field()).is_some_and(|field| match (field.kind(), other) {
                (Kind::Enum(_), Type::Choice) => !field.is_list(),
                (Kind::Enum(_), Type::Choices) => field.is_list(),
                (Kind::Bool, Type::Flag) | (Kind::Int32, Type::Number) => true,
                (Kind::String, Type::Date) => field.name().ends_with("_date"),
                (Kind::String, Type::Phone) => field.name().ends_with("phone"),
                (Kind::String, Type::Text) => !field.name().ends_with("_date") && !field.name().ends_with("phone"),
                _ => false,
            }),
        };
        for item in all() {
            assert!(fits(item), "{} is no {:?}", item.number, item.r#type());
            assert!(!item.ja.is_empty() && !item.en.is_empty(), "{}", item.number);
            assert_eq!(item.fillers().count(), item.fillers.len(), "{}", item.number);
            assert!(item.fillers().count() > 0, "nobody fills in {}", item.number);
        }
        // The form prints 1 to 19, and the items of a group stand under its number.
        for number in 1..=19 {
            assert!(BY_NUMBER.contains_key(number.to_string().as_str()), "there is no item {number}");
        }
        for (parent, _) in all().iter().filter_map(|item| item.number.split_once('.')) {
            assert!(BY_NUMBER.contains_key(parent), "there is no item {parent}");
        }
    }

    #[test]
    fn every_code_of_the_contract_is_a_choice_with_a_label_in_both_languages() {
        for (path, codes) in form().iter().filter_map(|(path, field)| Some((path, choices(field)?))) {
            if NO_ITEMS.contains(&path.as_str()) {
                continue;
            }
            let item = all().iter().find(|item| item.field() == path && item.r#type() != Type::Derived).unwrap();
            assert_eq!(item.choices.as_deref(), Some(codes.full_name()), "{path}");
            let of_contract: BTreeSet<String> =
                codes.values().filter(|code| code.number() != 0).map(|code| code.name().to_owned()).collect();
            let offered: BTreeSet<String> = item.choices().iter().map(|choice| choice.code.clone()).collect();
            assert_eq!((offered, item.choices().len()), (of_contract.clone(), of_contract.len()), "{path}");
        }
        for choice in FILE.choices.values().flatten() {
            assert!(!choice.ja.is_empty() && !choice.en.is_empty(), "{}", choice.code);
        }
    }

    #[test]
    fn an_item_is_on_the_versions_between_the_one_that_added_it_and_the_one_that_dropped_it() {
        let spo2 = BY_NUMBER["11.spo2"];
        assert!(!spo2.is_on(date!(2020 - 10 - 02)) && spo2.is_on(date!(2021 - 02 - 10)));
        assert!(!spo2.is_on(date!(2022 - 06 - 30)), "施行規則 dropped the symptoms");
        assert!(BY_NUMBER["1"].is_on(date!(2020 - 02 - 01)) && BY_NUMBER["1"].is_on(date!(2022 - 09 - 26)));
    }
}
