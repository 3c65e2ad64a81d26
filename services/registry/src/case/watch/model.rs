//! A case in marks: one per part of it, which is another one once the part has changed. They say nothing about the part.

use std::{collections::BTreeMap, fmt};

use access::{Relations, policy};
use chassis::Error;
use proto::{options::Group, registry::CasePart};

/// A case as it was at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub version: i64,
    /// Of the ciphertext. It changes with the key, too: a part more is named then.
    pub person: String,
    /// How many facts there are: they are only added.
    pub facts: i64,
    /// The number and state of the latest hand-over.
    pub transfer: i64,
    pub grants: String,
    pub notifications: i64,
    /// The revision of each section.
    pub sections: BTreeMap<String, i64>,
}

/// What a watcher knows of a case: a version, and its marks where an earlier watch told them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    Version(i64),
    Marks(Marks),
}

/// What changed, as far as it may be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub parts: Vec<CasePart>,
    pub sections: Vec<String>,
}

impl Marks {
    /// What is another than it was, as far as the relations show it. `group` says to which field group a section belongs.
    pub(super) fn since(
        &self,
        known: &Cursor,
        relations: &Relations,
        group: impl Fn(&str) -> Option<Group>,
    ) -> Changed {
        let known = match known {
            Cursor::Version(_) => None,
            Cursor::Marks(known) => Some(known),
        };
        let sees = |group: Group| {
            !relations.hidden().hides(group)
                && relations.iter().any(|relation| policy::sight(*relation, group) != policy::Sight::Hidden)
        };
        let other = |same: fn(&Self, &Self) -> bool| known.is_none_or(|known| !same(self, known));
        let parts = [
            (CasePart::Person, other(|a, b| a.person == b.person), sees(Group::Identity) || sees(Group::Contact)),
            (CasePart::Course, other(|a, b| a.facts == b.facts), sees(Group::Clinical) || sees(Group::Administrative)),
            (CasePart::Transfer, other(|a, b| a.transfer == b.transfer), sees(Group::Administrative)),
            (CasePart::Grants, other(|a, b| a.grants == b.grants), sees(Group::Administrative)),
            (CasePart::Notifications, other(|a, b| a.notifications == b.notifications), sees(Group::Administrative)),
        ];
        let was = |section: &String| known.and_then(|known| known.sections.get(section)).copied();
        let sections = self.sections.iter().filter(|(section, revision)| was(section) != Some(**revision));
        Changed {
            parts: parts.into_iter().filter(|(_, changed, seen)| *changed && *seen).map(|(part, ..)| part).collect(),
            sections: sections
                .filter(|(section, _)| group(section).is_some_and(sees))
                .map(|(id, _)| id.clone())
                .collect(),
        }
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, person, facts, transfer, grants, notifications, sections } = self;
        write!(f, "{version}.{person}.{facts}.{transfer}.{grants}.{notifications}")?;
        sections.iter().try_for_each(|(section, revision)| write!(f, ".{section}.{revision}"))
    }
}

impl Cursor {
    pub(super) fn version(&self) -> i64 {
        match self {
            Self::Version(version) | Self::Marks(Marks { version, .. }) => *version,
        }
    }

    /// Reads a cursor, or the etag of a case. `None` where there is none.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let version = text.parse().ok().map(Self::Version);
        version.or_else(|| marks(text).map(Self::Marks)).map(Some).ok_or_else(|| {
            Error::invalid(
                "cursor",
                "前回の watch の cursor を指定してください",
                "must be the cursor of an earlier watch",
            )
        })
    }
}

fn marks(text: &str) -> Option<Marks> {
    let mut words = text.split('.');
    let (version, person) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let (facts, transfer) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (grants, notifications) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let mut sections = BTreeMap::new();
    while let Some(section) = words.next() {
        sections.insert(section.to_owned(), words.next()?.parse().ok()?);
    }
    Some(Marks { version, person, facts, transfer, grants, notifications, sections })
}

#[cfg(test)]
mod tests {
    use access::Relations;
    use proto::{
        options::Group,
        registry::{CasePart, Relation},
    };

    use super::{Cursor, Marks};

    fn marks() -> Marks {
        Marks {
            version: 7,
            person: "0a1b2c3d".to_owned(),
            facts: 3,
            transfer: 0,
            grants: "9f8e7d6c".to_owned(),
            notifications: 1,
            sections: [("source".to_owned(), 2), ("medical_history".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn a_cursor_survives_the_round_trip_and_nonsense_does_not() {
        for marks in [marks(), Marks { sections: [].into(), ..marks() }] {
            assert_eq!(Cursor::parse(&marks.to_string()).unwrap(), Some(Cursor::Marks(marks)));
        }
        assert_eq!(Cursor::parse("7").unwrap(), Some(Cursor::Version(7)), "an etag");
        assert_eq!(Cursor::parse("").unwrap(), None);
        for text in ["x", "7.", "7.a.3.0.b", "7.a.3.0.b.x", "7.a.3.0.b.1.source", "7.a.3.0.b.1.source.x", "7 "] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_changed_is_named_and_nothing_that_the_relation_does_not_show() {
        let group = |section: &str| match section {
            "source" => Some(Group::Epidemiology),
            "medical_history" => Some(Group::Clinical),
            _ => None,
        };
        let now = Marks {
            version: 9,
            facts: 4,
            grants: "00000000".to_owned(),
            sections: [("source".to_owned(), 3), ("medical_history".to_owned(), 1), ("gone".to_owned(), 1)].into(),
            ..marks()
        };
        let since = |known: &Cursor, relation| {
            let changed = now.since(known, &Relations::from(vec![relation]), group);
            (changed.parts, changed.sections)
        };
        let known = Cursor::Marks(marks());
        let source = vec!["source".to_owned()];
        assert_eq!(since(&known, Relation::ResponsibleCentre), (vec![CasePart::Course, CasePart::Grants], source));
        assert_eq!(since(&known, Relation::TreatingInstitution).1, Vec::<String>::new());
        assert_eq!(since(&known, Relation::Patient), (vec![CasePart::Course], vec![]));
        // Of a version alone, nobody knows what it was.
        let (parts, sections) = since(&Cursor::Version(7), Relation::ResponsibleCentre);
        assert_eq!((parts.len(), sections.len()), (5, 2));
        assert_eq!(now.since(&Cursor::Marks(now.clone()), &vec![Relation::Reporter].into(), group).parts, []);
    }
}
