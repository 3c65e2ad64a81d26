//! A local item as it is from a day on, and what an answer to it must look like.

use access::OrganisationId;
use japan::{date, text};
use proto::{
    notification::{LocalChoice, LocalItem as View},
    registry::ItemType,
};
use runtime::problem::Violation;
use time::Date;

data::id!(
    /// A local item.
    LocalItemId,
    "local item"
);

/// The longest text of an answer, in characters.
const LONGEST: usize = 200;

/// A local item from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalItem {
    pub id: LocalItemId,
    /// Whose it is.
    pub organisation: OrganisationId,
    pub from: Date,
    /// The last day.
    pub until: Option<Date>,
    pub revision: i64,
    pub r#type: ItemType,
    pub ja: String,
    pub en: String,
    pub choices: Vec<Choice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub code: String,
    pub ja: String,
    pub en: String,
}

impl LocalItem {
    /// Reads a definition that is to hold from today or later.
    pub(super) fn read(view: &View, organisation: OrganisationId, today: Date) -> Result<Self, Vec<Violation>> {
        let mut found = Vec::new();
        let mut day = |field: &str, text: &str| {
            let parsed = Some(text).filter(|text| !text.is_empty()).map(date::parse);
            if matches!(parsed, Some(Err(_))) {
                let ja = "日付が正しくありません（例: 2020-05-13）";
                found.push(Violation::new(format!("item.{field}"), ja, "must be a date such as 2020-05-13"));
            }
            parsed.and_then(Result::ok)
        };
        let from = day("from_date", &view.from_date).unwrap_or(today);
        let until = day("until_date", &view.until_date);
        let mut fault = |field: &str, ja: &str, en: &str| found.push(Violation::new(format!("item.{field}"), ja, en));
        if from < today {
            fault("from_date", "今日以降の日付を指定してください", "must not be before today");
        }
        if until.is_some_and(|until| until < from) {
            fault("until_date", "開始日以降の日付を指定してください", "must not be before from_date");
        }
        let has_choices = matches!(view.r#type(), ItemType::Choice | ItemType::Choices);
        if has_choices == view.choices.is_empty() {
            fault(
                "choices",
                "選択式の項目にだけ、選択肢が必要です",
                "must be given for a choice, and for nothing else",
            );
        }
        let is_twice = |(place, choice): (usize, &LocalChoice)| {
            view.choices.iter().take(place).any(|other| other.code == choice.code)
        };
        if view.choices.iter().enumerate().any(is_twice) {
            fault("choices", "選択肢のコードが重複しています", "must not have the same code twice");
        }
        if !found.is_empty() {
            return Err(found);
        }
        let choice =
            |choice: &LocalChoice| Choice { code: choice.code.clone(), ja: choice.ja.clone(), en: choice.en.clone() };
        Ok(Self {
            id: LocalItemId::new(),
            organisation,
            from,
            until,
            revision: 1,
            r#type: view.r#type(),
            ja: view.ja.clone(),
            en: view.en.clone(),
            choices: view.choices.iter().map(choice).collect(),
        })
    }

    pub(crate) fn view(&self) -> View {
        let choice =
            |choice: &Choice| LocalChoice { code: choice.code.clone(), ja: choice.ja.clone(), en: choice.en.clone() };
        View {
            item_id: self.id.to_string(),
            organisation_id: self.organisation.to_string(),
            ja: self.ja.clone(),
            en: self.en.clone(),
            r#type: self.r#type.into(),
            choices: self.choices.iter().map(choice).collect(),
            from_date: self.from.to_string(),
            until_date: self.until.map(|day| day.to_string()).unwrap_or_default(),
            etag: self.revision.to_string(),
        }
    }

    /// An answer in its stored form: days in ISO, numbers in plain digits.
    ///
    /// # Errors
    /// The rule it breaks, in Japanese and English.
    pub(super) fn answer(&self, values: &[String]) -> Result<Vec<String>, (&'static str, &'static str)> {
        let given: Vec<&str> = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
        if given.is_empty() {
            return Err(("空です。回答しない項目は送信しないでください", "must be left out where it is not answered"));
        }
        if given.len() > 1 && self.r#type != ItemType::Choices {
            return Err(("回答は一つです", "must have one value"));
        }
        given.into_iter().map(|value| self.value(value)).collect()
    }

    fn value(&self, value: &str) -> Result<String, (&'static str, &'static str)> {
        let is_choice = |code: &&str| self.choices.iter().any(|choice| choice.code == **code);
        match self.r#type {
            ItemType::Date => date::parse(value)
                .map(|day| day.to_string())
                .map_err(|_| ("日付で入力してください（例: 2020-05-13、R2.5.13）", "must be a date")),
            ItemType::Number => text::plain(value)
                .parse::<u32>()
                .map(|number| number.to_string())
                .map_err(|_| ("数字で入力してください", "must be a whole number")),
            ItemType::Choice | ItemType::Choices => Some(value)
                .filter(is_choice)
                .map(str::to_owned)
                .ok_or(("選択肢から選んでください", "must be one of the choices")),
            _ => Some(value)
                .filter(|text| text.chars().count() <= LONGEST)
                .map(str::to_owned)
                .ok_or(("200文字以内で入力してください", "must be at most 200 characters")),
        }
    }
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::{
        notification::{LocalChoice, LocalItem as View},
        registry::ItemType,
    };
    use time::{Date, macros::date};

    use super::LocalItem;

    const TODAY: Date = date!(2020 - 06 - 01);

    fn choice(code: &str) -> LocalChoice {
        LocalChoice { code: code.to_owned(), ja: code.to_owned(), en: String::new() }
    }

    fn of(r#type: ItemType) -> View {
        let choices = matches!(r#type, ItemType::Choice | ItemType::Choices);
        View {
            ja: "同居家族の人数".to_owned(),
            r#type: r#type.into(),
            choices: Some(["a", "b"].map(choice).to_vec()).filter(|_| choices).unwrap_or_default(),
            ..View::default()
        }
    }

    fn read(view: &View) -> Result<LocalItem, Vec<String>> {
        let fields = |found: Vec<runtime::problem::Violation>| found.into_iter().map(|fault| fault.field).collect();
        LocalItem::read(view, OrganisationId::NIL, TODAY).map_err(fields)
    }

    /// S0 記2-1: 任意入力項目, whatever the municipality wants to ask.
    #[test]
    fn an_answer_is_read_as_its_type_says() {
        for (r#type, values, stored) in [
            (ItemType::Text, vec![" 看護師 "], Some(vec!["看護師"])),
            (ItemType::Date, vec!["R2.5.13"], Some(vec!["2020-05-13"])),
            (ItemType::Date, vec!["昨日"], None),
            (ItemType::Number, vec!["４"], Some(vec!["4"])),
            (ItemType::Number, vec!["四"], None),
            (ItemType::Choice, vec!["a"], Some(vec!["a"])),
            (ItemType::Choice, vec!["c"], None),
            (ItemType::Choice, vec!["a", "b"], None),
            (ItemType::Choices, vec!["a", "b"], Some(vec!["a", "b"])),
            (ItemType::Text, vec![" "], None),
            (ItemType::Text, vec!["a", "b"], None),
        ] {
            let item = read(&of(r#type)).unwrap();
            let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
            let stored = stored.map(|stored| stored.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(item.answer(&values).ok(), stored, "{:?} {values:?}", item.r#type);
        }
        assert!(read(&of(ItemType::Text)).unwrap().answer(&["x".repeat(201)]).is_err());
    }

    #[test]
    fn a_definition_that_cannot_be_is_named() {
        let good = || of(ItemType::Choice);
        assert!(read(&good()).is_ok_and(|item| item.from == TODAY && item.until.is_none()));
        for (view, field) in [
            (View { choices: Vec::new(), ..good() }, "item.choices"),
            (View { choices: ["a", "a"].map(choice).to_vec(), ..good() }, "item.choices"),
            (View { choices: vec![choice("a")], ..of(ItemType::Text) }, "item.choices"),
            (View { from_date: "2020-05-31".to_owned(), ..good() }, "item.from_date"),
            (View { from_date: "x".to_owned(), ..good() }, "item.from_date"),
            (View { until_date: "2020-05-31".to_owned(), ..good() }, "item.until_date"),
        ] {
            assert_eq!(read(&view).unwrap_err(), [field]);
        }
    }
}
