//! Rules of identity: who may issue what to whom, how long a wrong guess must wait. No I/O.

use proto::identity::{OrganisationKind as Kind, Role};
use time::Duration;
use uuid::Uuid;

/// How long an initial secret lives.
pub const INITIAL_SECRET: Duration = Duration::hours(72);
/// How long the second factor may take.
pub const CHALLENGE: Duration = Duration::minutes(5);
/// How long a patient may take to type the code that was sent.
pub const PATIENT_CHALLENGE: Duration = Duration::minutes(10);
/// Wrong codes per challenge.
pub const CODE_TRIES: i32 = 5;
/// A session ends after this long without use.
pub const IDLE: Duration = Duration::minutes(30);
/// A session ends after this long whatever happens.
pub const ABSOLUTE: Duration = Duration::hours(12);
/// A lost response to a refresh may be asked for again this long.
pub const LOST_RESPONSE: Duration = Duration::seconds(30);
/// How long a credential rests after so many attempts in a row that did not end signed in. Slows an attacker to under a
/// hundred guesses a day and never locks a victim out for longer than a quarter of an hour.
pub fn rest_after(failures: i32) -> Duration {
    match failures {
        ..3 => Duration::ZERO,
        3..9 => Duration::seconds(3),
        9..20 => Duration::seconds(10),
        20..30 => Duration::minutes(1),
        _ => Duration::minutes(15),
    }
}

/// An organisation as a rule looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// The organisation.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// Its prefecture, 0 for national bodies.
    pub prefecture: u8,
    /// The body that supervises it.
    pub parent_id: Option<Uuid>,
}

/// Whether an administrator's organisation supervises another: ministry → prefecture, city → centre → institutions.
pub fn supervises(above: &Body, below: &Body) -> bool {
    if above.id == below.id {
        return true;
    }
    match above.kind {
        Kind::Ministry => true,
        Kind::Prefecture => {
            below.prefecture == above.prefecture && !matches!(below.kind, Kind::Ministry | Kind::Prefecture)
        }
        // A city keeps centres and institutions of its own prefecture; a centre the institutions it works with.
        Kind::City | Kind::HealthCentre => {
            let beneath = match below.kind {
                Kind::HealthCentre => above.kind == Kind::City,
                Kind::Ministry | Kind::Prefecture | Kind::City | Kind::InformationCentre | Kind::Unspecified => false,
                _ => true,
            };
            beneath && below.prefecture == above.prefecture && below.parent_id == Some(above.id)
        }
        _ => false,
    }
}

/// Whether a body of this kind may be created under another.
pub fn may_create(above: &Body, below: &Body) -> bool {
    above.id != below.id && supervises(above, below) && below.kind != Kind::Ministry
}

/// Whether a role exists in a kind of organisation: nobody becomes a coordinator at a clinic.
pub fn role_fits(role: Role, kind: Kind) -> bool {
    match role {
        Role::Administrator => true,
        Role::Physician | Role::Nurse | Role::Clerk | Role::MigrationAssistant => !matches!(kind, Kind::Ministry),
        Role::Coordinator => kind == Kind::Prefecture,
        Role::LodgingOfficer => matches!(kind, Kind::Prefecture | Kind::LodgingFacility),
        Role::ConsultationOperator => kind == Kind::ConsultationCentre,
        Role::Analyst => !matches!(kind, Kind::Clinic | Kind::LodgingFacility),
        Role::Operator | Role::Auditor => kind == Kind::Ministry,
        Role::Unspecified | Role::Patient => false,
    }
}

/// Whether a password may be chosen: long enough, and not made of the words everybody tries first.
pub fn password_is_good(password: &str, login: &str) -> bool {
    const WORDS: &[&str] = &["hersys", "her-sys", "password", "hokenjo", "corona", "covid", "byouin", "保健所", "病院"];
    let plain = password.to_lowercase();
    let rest = WORDS.iter().fold(plain.replace(login, ""), |rest, word| rest.replace(word, ""));
    let distinct: std::collections::HashSet<char> = rest.chars().collect();
    // What is left after the well-known words must still carry a password.
    (12..=256).contains(&password.chars().count()) && rest.chars().count() >= 8 && distinct.len() >= 5
}

#[cfg(test)]
mod tests {
    use proto::identity::{OrganisationKind as Kind, Role};
    use uuid::Uuid;

    use super::{Body, may_create, password_is_good, rest_after, role_fits, supervises};

    fn body(kind: Kind, prefecture: u8, parent_id: Option<Uuid>) -> Body {
        Body { id: Uuid::now_v7(), kind, prefecture, parent_id }
    }

    #[test]
    fn supervision_follows_the_law_and_never_goes_up() {
        let ministry = body(Kind::Ministry, 0, None);
        let osaka = body(Kind::Prefecture, 27, Some(ministry.id));
        let tokyo = body(Kind::Prefecture, 13, Some(ministry.id));
        let centre = body(Kind::HealthCentre, 27, Some(osaka.id));
        let clinic = body(Kind::Clinic, 27, Some(centre.id));
        for (above, below) in [(ministry, osaka), (osaka, centre), (osaka, clinic), (centre, clinic), (clinic, clinic)]
        {
            assert!(supervises(&above, &below));
            assert!(above.id == below.id || !supervises(&below, &above));
        }
        assert!(!supervises(&tokyo, &centre));
        assert!(!supervises(&osaka, &tokyo));
        assert!(!supervises(&clinic, &body(Kind::Clinic, 27, Some(clinic.id))));
        let city = body(Kind::City, 27, Some(osaka.id));
        for (kind, prefecture) in
            [(Kind::Prefecture, 13), (Kind::Prefecture, 27), (Kind::City, 27), (Kind::HealthCentre, 13)]
        {
            assert!(!may_create(&city, &body(kind, prefecture, Some(city.id))), "{kind:?} {prefecture}");
        }
        assert!(may_create(&city, &body(Kind::HealthCentre, 27, Some(city.id))));
        assert!(!may_create(&centre, &body(Kind::HealthCentre, 27, Some(centre.id))));
        assert!(!may_create(&osaka, &body(Kind::Prefecture, 27, None)));
        assert!(!may_create(&ministry, &body(Kind::Ministry, 0, None)));
    }

    #[test]
    fn a_role_belongs_to_its_kind_of_organisation() {
        assert!(!role_fits(Role::Coordinator, Kind::Clinic));
        assert!(!role_fits(Role::Physician, Kind::Ministry));
        assert!(!role_fits(Role::Patient, Kind::Hospital));
        assert!(role_fits(Role::Operator, Kind::Ministry));
    }

    #[test]
    fn guessing_gets_slower_and_the_victim_waits_a_quarter_of_an_hour_at_most() {
        let rests: Vec<_> = (0..=100).map(rest_after).collect();
        assert!(rests.is_sorted());
        assert!(rests[0].is_zero() && rests[2].is_zero());
        assert_eq!(rests[100], time::Duration::minutes(15));
    }

    #[test]
    fn passwords_of_well_known_words_are_refused() {
        for bad in ["short", "password1234", "hersys-hokenjo", "aaaaaaaaaaaaaaaa", "dr.suzuki-dr.suzuki-1"] {
            assert!(!password_is_good(bad, "dr.suzuki"), "{bad}");
        }
        for good in ["correct horse battery", "雨にも負けず風にも負けず雪にも"] {
            assert!(password_is_good(good, "dr.suzuki"), "{good}");
        }
    }
}
