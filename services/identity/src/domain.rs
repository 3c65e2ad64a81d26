//! Rules of identity: who may issue what to whom, how long a wrong guess must wait. No I/O.

use proto::identity::{OrganisationClass as Class, OrganisationKind as Kind, Role};
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
/// After how many attempts in a row that did not end signed in a credential rests, and how long, in seconds. The last line
/// is the hard stop: never more than a hundred in a row (NIST SP 800-63B), until the issuer lifts it.
const RESTS: ([i32; 5], [f64; 5]) = ([3, 9, 20, 30, HARD_STOP], [3.0, 10.0, 60.0, 900.0, 3.2e9]);
/// Attempts in a row after which only known devices still get in.
pub const HARD_STOP: i32 = 100;
/// Attempts in a row after which a device is known no longer.
pub const DEVICE_STOP: i32 = 20;

/// Wrong codes or passwords in a row within a session after which it ends.
pub const SESSION_STOP: i32 = 10;

/// The rests of staff and devices, as columns.
pub fn rests() -> (&'static [i32], &'static [f64]) {
    (&RESTS.0, &RESTS.1)
}

/// The rests of patients: without the hard stop, since an access ID of fifty random bits is not guessed, and nobody is there
/// at night to lift one.
pub fn patient_rests() -> (&'static [i32], &'static [f64]) {
    (RESTS.0.get(..4).unwrap_or_default(), RESTS.1.get(..4).unwrap_or_default())
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
        Role::Operator | Role::Auditor | Role::IncidentReceiver => kind == Kind::Ministry,
        Role::Unspecified | Role::Patient | Role::Proxy | Role::System => false,
    }
}

/// Whether a class says something about a kind.
pub fn class_fits(class: Class, kind: Kind) -> bool {
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

/// Who may entrust: a centre, a city or a prefecture.
pub fn may_entrust(kind: Kind) -> bool {
    matches!(kind, Kind::HealthCentre | Kind::City | Kind::Prefecture)
}

/// Who may be entrusted: institutions, associations and facilities, and consultation centres.
pub fn may_be_entrusted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Clinic
            | Kind::Hospital
            | Kind::Laboratory
            | Kind::MedicalAssociation
            | Kind::LodgingFacility
            | Kind::ConsultationCentre
    )
}

/// Whether the last digit of a ten-digit institution code (医療機関コード) is the check digit of the others: weights 2 and 1 in
/// turn, the digits of the products added, up to the next multiple of ten. Saitama, Chiba, Tokyo and Kanagawa compute it over
/// the last seven digits, the others over all ten. Codes outside of both rules exist, so this warns and never refuses.
pub fn institution_code_checks(code: &str) -> bool {
    let digits: Option<Vec<u32>> = code.chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() == 10) else { return false };
    let seven_only = code.get(..2).is_some_and(|prefecture| matches!(prefecture, "11" | "12" | "13" | "14"));
    let (skipped, mut weight) = if seven_only { (3, 1) } else { (0, 2) };
    let mut sum = 0;
    for digit in digits.iter().skip(skipped).take(9 - skipped) {
        let product = digit * weight;
        sum += product / 10 + product % 10;
        weight = 3 - weight;
    }
    digits.last().is_some_and(|last| *last == (10 - sum % 10) % 10)
}

/// Whether a log-in is one: 3 to 64 lower-case letters, digits, dots, hyphens and underscores, the first a letter or digit.
/// The same rule stands in the contract.
pub fn login_is_well_formed(login: &str) -> bool {
    (3..=64).contains(&login.len())
        && login.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
        && login.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
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

    use super::{
        Body, HARD_STOP, institution_code_checks, may_create, password_is_good, patient_rests, rests, role_fits,
        supervises,
    };

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
    fn guessing_gets_slower_and_stops_before_the_hundred_and_first() {
        let (least, seconds) = rests();
        assert!(least.is_sorted() && seconds.is_sorted());
        assert_eq!(least.first(), Some(&3), "two slips cost nothing");
        assert_eq!(least.last(), Some(&HARD_STOP));
        assert!(HARD_STOP <= 100 && seconds.last().is_some_and(|rest| *rest > 1e9));
        assert_eq!(patient_rests().1.last(), Some(&900.0), "a patient waits a quarter of an hour at most");
    }

    #[test]
    fn the_check_digit_of_an_institution_code_follows_its_prefecture() {
        for good in ["0110117785", "0110515913"] {
            assert!(institution_code_checks(good), "{good}");
        }
        for bad in ["0110117784", "011011778", "01101177８5", ""] {
            assert!(!institution_code_checks(bad), "{bad}");
        }
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
