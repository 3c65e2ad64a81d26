//! IDs: which role exists where, what an ID sees, and in which state it is.

use access::{OrganisationId, UserId, caller::Hidden};
use proto::{
    identity::{OrganisationKind as Kind, Role, UserState},
    options::Group,
};
use runtime::problem::Violation;
use time::{Duration, OffsetDateTime};

use crate::factor::HARD_STOP;

/// How long an initial secret lives.
pub(super) const INITIAL_SECRET: Duration = Duration::hours(72);

/// An ID as administrators see it.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub id: UserId,
    /// From 1; every change of an administrator adds one.
    pub version: i64,
    pub login: String,
    pub organisation_id: OrganisationId,
    pub role: Role,
    pub hidden: Hidden,
    /// The holder's name, sealed.
    pub holder: Option<Vec<u8>>,
    pub secret_is_initial: bool,
    /// Wrong guesses in a row.
    pub failures: i32,
    pub disabled_at: Option<OffsetDateTime>,
    pub issued_by: Option<UserId>,
    pub issued_at: OffsetDateTime,
    pub last_sign_in_at: Option<OffsetDateTime>,
    pub terms_version: i32,
}

impl User {
    pub(super) fn state(&self) -> UserState {
        if self.disabled_at.is_some() {
            UserState::Disabled
        } else if self.failures >= HARD_STOP {
            UserState::Locked
        } else if self.secret_is_initial {
            UserState::Initial
        } else {
            UserState::Active
        }
    }
}

/// An ID to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewUser<'a> {
    pub organisation_id: OrganisationId,
    pub login: &'a str,
    pub role: Role,
    pub holder_name: &'a str,
    /// Where the initial secret goes; empty where it is handed over on paper.
    pub mail: &'a str,
    pub hidden: Hidden,
}

/// An ID that has a fresh initial secret.
#[derive(Clone)]
pub(super) struct Made {
    pub user_id: UserId,
    pub initial_secret: String,
    pub expires_at: OffsetDateTime,
}

/// Whether a role exists in a kind of organisation: nobody becomes a coordinator at a clinic.
fn role_fits(role: Role, kind: Kind) -> bool {
    match role {
        Role::Administrator => true,
        Role::Physician | Role::Nurse | Role::Clerk | Role::MigrationAssistant => !matches!(kind, Kind::Ministry),
        Role::Coordinator => kind == Kind::Prefecture,
        Role::LodgingOfficer => matches!(kind, Kind::Prefecture | Kind::LodgingFacility),
        Role::ConsultationOperator => kind == Kind::ConsultationCentre,
        Role::Analyst => !matches!(kind, Kind::Clinic | Kind::LodgingFacility),
        Role::Operator | Role::Auditor | Role::IncidentReceiver => kind == Kind::Ministry,
        Role::Unspecified | Role::Patient | Role::Proxy | Role::System => false,
    }
}

pub(super) fn check_role(field: &str, role: Role, kind: Kind) -> Result<(), Vec<Violation>> {
    if role_fits(role, kind) {
        return Ok(());
    }
    let why = ("この機関の種別では使えない役割です", "must be a role of this kind of organisation");
    Err(vec![Violation::new(field, why.0, why.1)])
}

/// What an issuer does not see, nobody the issuer makes or lets in sees.
pub(super) fn check_hidden(field: &str, issuer: Hidden, asked: Hidden) -> Result<(), Vec<Violation>> {
    if asked.bits() & issuer.bits() == issuer.bits() {
        return Ok(());
    }
    let why = ("発行者自身の閲覧範囲を超える ID は発行できません", "must hide at least what the issuer does not see");
    Err(vec![Violation::new(field, why.0, why.1)])
}

pub(super) fn check_login(login: &str) -> Result<(), Vec<Violation>> {
    if login_is_well_formed(login) {
        return Ok(());
    }
    let why = (
        "英小文字、数字、. - _ の3〜64文字です",
        "must have 3 to 64 lower-case letters, digits, dots, hyphens or underscores",
    );
    Err(vec![Violation::new("login", why.0, why.1)])
}

/// Whether a log-in is one: 3 to 64 lower-case letters, digits, dots, hyphens and underscores, the first a letter or digit.
/// The same rule stands in the contract.
fn login_is_well_formed(login: &str) -> bool {
    (3..=64).contains(&login.len())
        && login.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
        && login.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The field groups of a request.
pub(super) fn hidden_of(groups: &[i32]) -> Hidden {
    Hidden::of(groups.iter().filter_map(|number| Group::try_from(*number).ok()))
}

/// The field groups as an answer carries them.
pub(super) fn groups_of(hidden: Hidden) -> Vec<i32> {
    let personal =
        [Group::Identity, Group::Contact, Group::Clinical, Group::Epidemiology, Group::Followup, Group::Administrative];
    personal.into_iter().filter(|group| hidden.hides(*group)).map(i32::from).collect()
}

/// A field of an ID that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Role,
    HiddenGroups,
}

impl Item {
    /// The fields that a mask names: at least one, and none that is not there or never changes.
    pub(super) fn of_mask(paths: &[String]) -> Result<Vec<Self>, Vec<Violation>> {
        if paths.is_empty() {
            let why = ("更新する項目を指定してください", "must name at least one field");
            return Err(vec![Violation::new("update_mask", why.0, why.1)]);
        }
        let named = |path: &String| match path.as_str() {
            "role" => Some(Self::Role),
            "hidden_groups" => Some(Self::HiddenGroups),
            _ => None,
        };
        let items: Option<Vec<Self>> = paths.iter().map(named).collect();
        items.ok_or_else(|| {
            vec![Violation::new("update_mask", "変更できない項目です", "must name only fields that can be changed")]
        })
    }
}

#[cfg(test)]
mod tests {
    use access::{OrganisationId, UserId, caller::Hidden};
    use proto::{
        identity::{OrganisationKind as Kind, Role, UserState},
        options::Group,
    };
    use testing::NOW;

    use super::{Item, User, check_hidden, check_login, check_role, groups_of, hidden_of};
    use crate::factor::HARD_STOP;

    #[test]
    fn a_role_belongs_to_its_kind_of_organisation() {
        let fits = |role, kind| check_role("role", role, kind).is_ok();
        assert!(!fits(Role::Coordinator, Kind::Clinic));
        assert!(!fits(Role::Physician, Kind::Ministry));
        assert!(!fits(Role::Patient, Kind::Hospital));
        assert!(!fits(Role::Unspecified, Kind::Hospital));
        assert!(fits(Role::Operator, Kind::Ministry));
    }

    #[test]
    fn nobody_makes_an_id_that_sees_more() {
        let issuer = Hidden::of([Group::Clinical]);
        let asked = |groups: &[Group]| check_hidden("hidden_groups", issuer, Hidden::of(groups.iter().copied()));
        assert!(asked(&[Group::Clinical]).is_ok() && asked(&[Group::Clinical, Group::Contact]).is_ok());
        assert!(asked(&[]).is_err() && asked(&[Group::Contact]).is_err());
    }

    #[test]
    fn hidden_groups_survive_the_round_trip() {
        assert_eq!(groups_of(hidden_of(&[7, 2, 4])), [2, 4, 7]);
        assert!(groups_of(Hidden::default()).is_empty());
    }

    #[test]
    fn a_log_in_is_short_plain_and_lower_case() {
        for good in ["abc", "dr.suzuki-1", "0_0"] {
            check_login(good).unwrap();
        }
        for bad in ["ab", "Abc", "a b", ".abc", "髙崎さん", &"a".repeat(65)] {
            assert!(check_login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mask_names_fields_that_can_be_changed() {
        let mask = |paths: &[&str]| Item::of_mask(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(mask(&["hidden_groups", "role"]).unwrap(), [Item::HiddenGroups, Item::Role]);
        assert!(mask(&[]).is_err() && mask(&["role", "login"]).is_err());
    }

    #[test]
    fn the_last_word_on_a_state_is_that_it_is_disabled() {
        let new = User {
            id: UserId::new(),
            version: 1,
            login: "nurse".to_owned(),
            organisation_id: OrganisationId::new(),
            role: Role::Nurse,
            hidden: Hidden::default(),
            holder: None,
            secret_is_initial: true,
            failures: 0,
            disabled_at: None,
            issued_by: None,
            issued_at: NOW,
            last_sign_in_at: None,
            terms_version: 0,
        };
        assert_eq!(new.state(), UserState::Initial);
        let active = User { secret_is_initial: false, failures: HARD_STOP - 1, ..new.clone() };
        assert_eq!(active.state(), UserState::Active);
        let locked = User { failures: HARD_STOP, ..new };
        assert_eq!(locked.state(), UserState::Locked);
        assert_eq!(User { disabled_at: Some(NOW), ..locked }.state(), UserState::Disabled);
    }
}
