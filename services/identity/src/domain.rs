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
/// No more guesses than this, ever, until the issuer resets the ID.
pub const HARD_STOP: i32 = 100;

/// How long a credential rests after so many wrong guesses in a row. Slows an attacker, does not lock a victim out.
pub fn rest_after(failures: i32) -> Duration {
    match failures {
        ..3 => Duration::ZERO,
        3..9 => Duration::seconds(3),
        9..20 => Duration::seconds(10),
        20..50 => Duration::minutes(1),
        50..HARD_STOP => Duration::minutes(15),
        _ => Duration::days(36_500),
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
        Kind::City | Kind::HealthCentre => below.parent_id == Some(above.id),
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
    fn guessing_gets_slower_and_then_ends() {
        let rests: Vec<_> = (0..=100).map(rest_after).collect();
        assert!(rests.is_sorted());
        assert!(rests[0].is_zero() && rests[2].is_zero());
        assert!(rests[100] > time::Duration::days(3650));
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
