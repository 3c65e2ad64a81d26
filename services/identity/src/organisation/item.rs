//! The fields of an organisation that can be changed, and what must hold for them.

use japan::{date, municipality::Municipality};
use proto::identity::{Organisation, OrganisationClass as Class, OrganisationKind as Kind, Rights};
use runtime::problem::Violation;

use super::{
    model::{fault, is_ten_digits},
    scope::Maker,
};

/// A field that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Name,
    Rights,
    Class,
    Jurisdiction,
    CatchAll,
    InstitutionCode,
    LocalGovernmentCode,
    ValidFrom,
    ValidUntil,
    Opening,
    Suspended,
    ResponsiblePerson,
}

impl Item {
    pub(super) const ALL: [Self; 12] = [
        Self::Name,
        Self::Rights,
        Self::ValidFrom,
        Self::Opening,
        Self::ValidUntil,
        Self::Class,
        Self::InstitutionCode,
        Self::LocalGovernmentCode,
        Self::CatchAll,
        Self::Jurisdiction,
        Self::Suspended,
        Self::ResponsiblePerson,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rights => "rights",
            Self::Class => "class",
            Self::Jurisdiction => "jurisdiction",
            Self::CatchAll => "catch_all",
            Self::InstitutionCode => "institution_code",
            Self::LocalGovernmentCode => "local_government_code",
            Self::ValidFrom => "valid_from_date",
            Self::ValidUntil => "valid_until_date",
            Self::Opening => "opening_date",
            Self::Suspended => "suspended",
            Self::ResponsiblePerson => "responsible_person",
        }
    }

    /// The fields that a mask names: at least one, and none that is not there or never changes.
    pub(super) fn of_mask(paths: &[String]) -> Result<Vec<Self>, Vec<Violation>> {
        if paths.is_empty() {
            let why = ("更新する項目を指定してください", "must name at least one field");
            return Err(vec![Violation::new("update_mask", why.0, why.1)]);
        }
        let named = |path: &String| Self::ALL.into_iter().find(|item| item.path() == path);
        let items: Option<Vec<Self>> = paths.iter().map(named).collect();
        items.ok_or_else(|| {
            vec![Violation::new("update_mask", "変更できない項目です", "must name only fields that can be changed")]
        })
    }

    /// What an organisation does not change about itself.
    pub(super) fn is_for_the_supervisor(self) -> bool {
        matches!(
            self,
            Self::Rights
                | Self::Class
                | Self::Jurisdiction
                | Self::CatchAll
                | Self::ValidFrom
                | Self::ValidUntil
                | Self::Opening
                | Self::Suspended
                // A city claims municipalities by its own code.
                | Self::LocalGovernmentCode
        )
    }

    /// Takes the field's new value. The person responsible is kept elsewhere, encrypted.
    pub(super) fn replace(self, held: &mut Organisation, given: &Organisation) {
        match self {
            Self::Name => held.name.clone_from(&given.name),
            Self::Rights => held.rights = given.rights,
            Self::Class => held.class = given.class,
            Self::Jurisdiction => held.jurisdiction.clone_from(&given.jurisdiction),
            Self::CatchAll => held.catch_all = given.catch_all,
            Self::InstitutionCode => held.institution_code.clone_from(&given.institution_code),
            Self::LocalGovernmentCode => held.local_government_code.clone_from(&given.local_government_code),
            Self::ValidFrom => held.valid_from_date.clone_from(&given.valid_from_date),
            Self::ValidUntil => held.valid_until_date.clone_from(&given.valid_until_date),
            Self::Opening => held.opening_date.clone_from(&given.opening_date),
            Self::Suspended => held.suspended = given.suspended,
            Self::ResponsiblePerson => {}
        }
    }

    fn is_date(self) -> bool {
        matches!(self, Self::ValidFrom | Self::Opening | Self::ValidUntil)
    }

    fn check(self, organisation: &Organisation, maker: &Maker) -> Result<(), Vec<Violation>> {
        let kind: Kind = data::code(organisation.kind);
        match self {
            Self::Name if organisation.name.is_empty() => Err(fault("name", "必須です", "is required")),
            Self::Rights if data::code::<Rights>(organisation.rights) == Rights::Unspecified => {
                Err(fault("rights", "必須です", "is required"))
            }
            Self::Class if !class_fits(data::code(organisation.class), kind) => {
                Err(fault("class", "この種別にはない区分です", "must be a class of this kind of organisation"))
            }
            Self::Jurisdiction => check_jurisdiction(organisation, kind, maker),
            Self::CatchAll if organisation.catch_all => check_catch_all(kind, maker.kind),
            Self::InstitutionCode if !is_empty_or_ten_digits(&organisation.institution_code) => {
                Err(fault("institution_code", "10桁の数字です", "must be ten digits"))
            }
            Self::LocalGovernmentCode if !organisation.local_government_code.is_empty() => {
                Municipality::parse(&organisation.local_government_code)
                    .map(|_| ())
                    .map_err(|why| fault("local_government_code", "団体コードが正しくありません", why))
            }
            _ => Ok(()),
        }
    }
}

/// What must hold for some fields of an organisation, as it would be with them. The others are not looked at, except that dates
/// must be in order.
pub(super) fn check(organisation: &Organisation, items: &[Item], maker: &Maker) -> Result<(), Vec<Violation>> {
    for item in items {
        item.check(organisation, maker)?;
    }
    if items.iter().any(|item| item.is_date()) { check_dates(organisation) } else { Ok(()) }
}

fn check_dates(organisation: &Organisation) -> Result<(), Vec<Violation>> {
    let mut days = Vec::new();
    for (item, value) in [
        (Item::ValidFrom, &organisation.valid_from_date),
        (Item::Opening, &organisation.opening_date),
        (Item::ValidUntil, &organisation.valid_until_date),
    ] {
        if !value.is_empty() {
            let day = date::parse(value).map_err(|why| fault(item.path(), "日付が正しくありません", why))?;
            days.push((item, day));
        }
    }
    match days.windows(2).find(|pair| matches!(pair, [(_, first), (_, second)] if first > second)) {
        Some([(before, _), (item, _)]) => {
            Err(fault(item.path(), "日付の前後関係が正しくありません", format!("must not be before {}", before.path())))
        }
        _ => Ok(()),
    }
}

fn check_catch_all(kind: Kind, maker: Kind) -> Result<(), Vec<Violation>> {
    if kind != Kind::HealthCentre {
        return Err(fault(
            "catch_all",
            "管轄区域は保健所だけに設定できます",
            "must be false for other than health centres",
        ));
    }
    if !matches!(maker, Kind::Ministry | Kind::Prefecture) {
        return Err(fault("catch_all", "都道府県が指定します", "must be set by the prefecture"));
    }
    Ok(())
}

fn check_jurisdiction(organisation: &Organisation, kind: Kind, maker: &Maker) -> Result<(), Vec<Violation>> {
    if kind != Kind::HealthCentre && !organisation.jurisdiction.is_empty() {
        return Err(fault(
            "jurisdiction",
            "管轄区域は保健所だけに設定できます",
            "must be empty for other than health centres",
        ));
    }
    for (index, code) in organisation.jurisdiction.iter().enumerate() {
        let field = format!("jurisdiction[{index}]");
        let code = Municipality::parse(code).map_err(|why| fault(&field, "市区町村コードが正しくありません", why))?;
        if i32::from(code.prefecture()) != organisation.prefecture {
            return Err(fault(&field, "他の都道府県の市区町村です", "must be in the centre's own prefecture"));
        }
        if maker.kind == Kind::City && !is_part_of(code.as_str(), &maker.code) {
            return Err(fault(
                &field,
                "自らの市区町村だけに設定できます",
                "must be the city itself or one of its wards",
            ));
        }
    }
    Ok(())
}

/// Whether a municipality is a city itself or one of its wards, whose names begin with the city's (大阪市都島区).
fn is_part_of(code: &str, city: &str) -> bool {
    let name = |code: &str| Municipality::parse(code).ok().map(|municipality| municipality.name());
    code == city || name(city).flatten().zip(name(code).flatten()).is_some_and(|(city, part)| part.starts_with(city))
}

/// What only a prefecture or the ministry changes about the centre that takes the rest of a prefecture: whoever did away with it
/// would leave notifications without a centre.
pub(super) fn may_touch(was_catch_all: bool, items: &[Item], maker: &Maker) -> Result<(), Vec<Violation>> {
    let guarded = [Item::CatchAll, Item::Suspended, Item::ValidFrom, Item::ValidUntil, Item::Opening];
    match items.iter().find(|item| guarded.contains(item)) {
        Some(item) if was_catch_all && !matches!(maker.kind, Kind::Ministry | Kind::Prefecture) => {
            Err(fault(item.path(), "都道府県が変更します", "must be changed by the prefecture"))
        }
        _ => Ok(()),
    }
}

fn is_empty_or_ten_digits(code: &str) -> bool {
    code.is_empty() || is_ten_digits(code)
}

/// Whether a class says something about a kind.
fn class_fits(class: Class, kind: Kind) -> bool {
    match class {
        Class::Unspecified => true,
        Class::OutpatientTestSite => kind == Kind::Clinic,
        Class::CentralInformationCentre | Class::CoreInformationCentre | Class::LocalInformationCentre => {
            kind == Kind::InformationCentre
        }
        Class::PrefecturalAssociation | Class::LocalAssociation => kind == Kind::MedicalAssociation,
        Class::SpecialWard => kind == Kind::City,
    }
}

#[cfg(test)]
mod tests {
    use proto::identity::{Organisation, OrganisationKind as Kind, Rights};

    use super::{super::scope::Maker, Item, check, may_touch};

    fn maker(kind: Kind) -> Maker {
        Maker { kind, code: "271004".to_owned() }
    }

    #[test]
    fn every_fault_of_a_field_is_found_where_it_is_looked_at_and_nowhere_else() {
        let good = Organisation {
            kind: Kind::HealthCentre.into(),
            name: "保健所".to_owned(),
            prefecture: 27,
            rights: Rights::Entry.into(),
            jurisdiction: vec!["271004".to_owned()],
            ..Organisation::default()
        };
        check(&good, &Item::ALL, &maker(Kind::Prefecture)).unwrap();
        let clinic = Organisation { kind: Kind::Clinic.into(), jurisdiction: Vec::new(), ..good.clone() };
        let dates = |from: &str, opening: &str, until: &str| Organisation {
            valid_from_date: from.to_owned(),
            opening_date: opening.to_owned(),
            valid_until_date: until.to_owned(),
            ..good.clone()
        };
        for (field, bad, maker) in [
            ("name", Organisation { name: String::new(), ..good.clone() }, Kind::Prefecture),
            ("rights", Organisation { rights: 0, ..good.clone() }, Kind::Prefecture),
            ("class", Organisation { class: 7, ..good.clone() }, Kind::Prefecture),
            ("institution_code", Organisation { institution_code: "12".to_owned(), ..good.clone() }, Kind::Prefecture),
            (
                "local_government_code",
                Organisation { local_government_code: "999999".to_owned(), ..good.clone() },
                Kind::Prefecture,
            ),
            ("catch_all", Organisation { catch_all: true, ..good.clone() }, Kind::City),
            ("catch_all", Organisation { catch_all: true, ..clinic.clone() }, Kind::Prefecture),
            (
                "jurisdiction",
                Organisation { jurisdiction: vec!["271004".to_owned()], ..clinic.clone() },
                Kind::Prefecture,
            ),
            (
                "jurisdiction[0]",
                Organisation { jurisdiction: vec!["000000".to_owned()], ..good.clone() },
                Kind::Prefecture,
            ),
            (
                "jurisdiction[0]",
                Organisation { jurisdiction: vec!["131016".to_owned()], ..good.clone() },
                Kind::Prefecture,
            ),
            ("valid_from_date", dates("nonsense", "", ""), Kind::Prefecture),
            ("opening_date", dates("2020-06-01", "2020-05-01", ""), Kind::Prefecture),
            ("valid_until_date", dates("", "2020-06-01", "2020-05-01"), Kind::Prefecture),
        ] {
            let maker = self::maker(maker);
            let found = check(&bad, &Item::ALL, &maker).unwrap_err();
            assert_eq!(found[0].field, format!("organisation.{field}"));
            let elsewhere: Vec<Item> = Item::ALL.into_iter().filter(|item| !field.starts_with(item.path())).collect();
            let elsewhere: Vec<Item> =
                elsewhere.into_iter().filter(|item| !(field.ends_with("_date") && item.is_date())).collect();
            check(&bad, &elsewhere, &maker).unwrap();
        }
    }

    #[test]
    fn a_mask_names_fields_that_can_be_changed() {
        let mask = |paths: &[&str]| Item::of_mask(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(mask(&["name", "opening_date"]).unwrap(), [Item::Name, Item::Opening]);
        for bad in [&[][..], &["kind"], &["name", "prefecture"], &["etag"]] {
            assert_eq!(mask(bad).unwrap_err()[0].field, "update_mask", "{bad:?}");
        }
    }

    #[test]
    fn a_city_claims_itself_and_its_wards_and_does_not_touch_who_takes_the_rest() {
        let centre = |code: &str| Organisation {
            kind: Kind::HealthCentre.into(),
            prefecture: 27,
            jurisdiction: vec![code.to_owned()],
            ..Organisation::default()
        };
        let osaka = Maker { kind: Kind::City, code: "271004".to_owned() };
        for (code, claimed) in [("271004", true), ("271021", true), ("271403", false)] {
            assert_eq!(check(&centre(code), &[Item::Jurisdiction], &osaka).is_ok(), claimed, "{code}");
        }
        let nameless = Maker { kind: Kind::City, code: String::new() };
        assert!(check(&centre("271004"), &[Item::Jurisdiction], &nameless).is_err());
        check(&centre("271403"), &[Item::Jurisdiction], &maker(Kind::Prefecture)).unwrap();

        for item in [Item::CatchAll, Item::Suspended, Item::ValidUntil, Item::Opening] {
            assert!(may_touch(true, &[Item::Name, item], &osaka).is_err(), "{item:?}");
            may_touch(false, &[item], &osaka).unwrap();
            may_touch(true, &[item], &maker(Kind::Prefecture)).unwrap();
        }
    }
}
