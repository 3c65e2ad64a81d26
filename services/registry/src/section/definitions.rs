//! The definitions of sections and items as dated data (`rules/items.json`).

use std::sync::LazyLock;

use proto::{
    options::Group,
    registry::{Filler, ItemType},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use time::{Date, macros::format_description};

#[derive(Deserialize)]
struct File {
    disease: String,
    versions: Vec<Version>,
}

/// The sections in force from a day on.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Version {
    #[serde(deserialize_with = "iso_date")]
    pub effective_from: Date,
    pub source: String,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Section {
    pub id: String,
    pub ja: String,
    pub en: String,
    group: String,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Item {
    pub id: String,
    pub ja: String,
    pub en: String,
    fillers: Vec<String>,
    /// ◎: from when on it must be filled in.
    pub required: Option<When>,
    r#type: Option<String>,
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// Where it stands, if not among the answers of its section.
    pub kept_in: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Choice {
    pub code: String,
    pub ja: String,
    pub en: String,
}

/// How far a case must have come for an item to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum When {
    Always,
    /// Once it was notified (発生届).
    Notified,
    /// Once a test has a result.
    Tested,
    /// Once notified as a patient, who has symptoms.
    Symptomatic,
    Severe,
    InHospital,
    /// Once the person left the hospital.
    Discharged,
    /// Once the episode ended well, of those who were in hospital.
    Released,
    Died,
    /// During lodging and home care.
    CaredFor,
}

impl Version {
    pub(super) fn section(&self, id: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.id == id)
    }
}

impl Section {
    /// The field group of its answers.
    pub(super) fn group(&self) -> Group {
        Group::from_str_name(&format!("GROUP_{}", self.group.to_uppercase())).unwrap_or(Group::Unspecified)
    }

    /// The items that are answered here.
    pub(super) fn own(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id && item.kept_in.is_none())
    }
}

impl Item {
    pub(super) fn fillers(&self) -> impl Iterator<Item = Filler> {
        self.fillers.iter().filter_map(|name| Filler::from_str_name(&format!("FILLER_{name}")))
    }

    pub(super) fn r#type(&self) -> ItemType {
        let named = self.r#type.as_ref().and_then(|name| ItemType::from_str_name(&format!("ITEM_TYPE_{name}")));
        named.unwrap_or(ItemType::Unspecified)
    }
}

/// The file is part of the binary: that it can be read and what it says are tested below.
static FILE: LazyLock<File> = LazyLock::new(|| {
    let mut file: File = serde_json::from_str(include_str!("../../rules/items.json"))
        .unwrap_or(File { disease: String::new(), versions: Vec::new() });
    if file.versions.is_empty() {
        let nothing = Version { effective_from: Date::MIN, source: String::new(), sections: Vec::new() };
        file.versions.push(nothing);
    }
    file.versions.sort_by_key(|version| version.effective_from);
    file
});

/// The disease the definitions are for.
pub(super) fn disease() -> &'static str {
    &FILE.disease
}

/// The definitions in force on a day; before the first ones, the first.
#[expect(clippy::indexing_slicing, reason = "there is always a version")]
pub(super) fn in_force(on: Date) -> &'static Version {
    FILE.versions.iter().rev().find(|version| version.effective_from <= on).unwrap_or(&FILE.versions[0])
}

/// The newest definitions.
pub(super) fn latest() -> &'static Version {
    in_force(Date::MAX)
}

fn iso_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]")).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proto::{
        options::Group,
        registry::{Filler, ItemType},
    };

    use super::{disease, latest};

    #[test]
    fn every_item_of_annex_3_is_defined_once_and_whole() {
        let version = latest();
        assert_eq!((disease(), version.sections.len()), ("covid-19", 15));
        let mut seen = BTreeSet::new();
        for section in &version.sections {
            assert_ne!(section.group(), Group::Unspecified, "{}", section.id);
            for item in &section.items {
                assert!(seen.insert(&item.id), "{} is there twice", item.id);
                assert!(!item.ja.is_empty() && !item.en.is_empty());
                assert!(item.fillers().count() > 0, "nobody fills in {}", item.id);
                let choice = matches!(item.r#type(), ItemType::Choice | ItemType::Choices);
                assert_eq!(choice, !item.choices.is_empty(), "{}", item.id);
                assert_eq!(item.kept_in.is_none(), item.r#type() != ItemType::Unspecified, "{}", item.id);
            }
        }
        // 別紙3 has ◎ on 16 lines; a line of several items is several items here.
        let required =
            version.sections.iter().flat_map(|section| &section.items).filter(|item| item.required.is_some());
        assert_eq!((seen.len(), required.count()), (74, 24));
    }

    #[test]
    fn who_fills_it_in_is_who_annex_3_says() {
        let item = |id: &str| latest().sections.iter().flat_map(|section| &section.items).find(|item| item.id == id);
        for (id, fillers) in [
            ("patient_id", vec![Filler::System]),
            ("elderly_in_household", vec![Filler::Centre]),
            ("result_date", vec![Filler::Centre, Filler::Institution]),
            ("observation", vec![Filler::Centre, Filler::Patient]),
            ("onset_date", vec![Filler::Institution]),
        ] {
            assert_eq!(item(id).unwrap().fillers().collect::<Vec<_>>(), fillers, "{id}");
        }
    }
}
