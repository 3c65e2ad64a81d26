//! An account as the one who signs in meets it, what wrong guesses cost, and which passwords may be chosen.

use access::{OrganisationId, UserId, caller::Hidden};
use proto::identity::Role;
use time::OffsetDateTime;

/// Attempts in a row after which only known devices still get in, until the issuer lifts the stop.
pub(crate) const HARD_STOP: i32 = 100;
/// Attempts in a row after which a device is no longer known.
pub(crate) const DEVICE_STOP: i32 = 20;

/// After how many attempts in a row that did not end signed in a credential rests, and for how many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rests {
    pub least: &'static [i32],
    pub seconds: &'static [f64],
}

/// The last step is the hard stop, a hundred years: never more than a hundred attempts in a row (NIST SP 800-63B).
const LEAST: &[i32] = &[3, 9, 20, 30, HARD_STOP];
const SECONDS: &[f64] = &[3.0, 10.0, 60.0, 900.0, 3.2e9];

/// The rests of staff and their devices.
pub(crate) const OF_STAFF: Rests = Rests { least: LEAST, seconds: SECONDS };

/// The rests of patients and proxies: without the hard stop, because an access ID of fifty random bits is not guessed, and
/// nobody is there at night to lift one.
pub(crate) const OF_CITIZENS: Rests = Rests { least: LEAST.split_at(4).0, seconds: SECONDS.split_at(4).0 };

/// The account of a person at work.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub user_id: UserId,
    pub login: String,
    pub organisation_id: OrganisationId,
    pub role: Role,
    pub secret_hash: String,
    /// The initial secret has not been used yet.
    pub secret_is_initial: bool,
    pub secret_expires_at: Option<OffsetDateTime>,
    pub totp_sealed: Option<Vec<u8>>,
    pub disabled_at: Option<OffsetDateTime>,
    /// Field groups this ID does not see.
    pub hidden: Hidden,
    /// The version of the terms of use that was accepted; 0 for none.
    pub terms_version: i32,
}

impl Account {
    pub(crate) fn is_in_use(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether its secret opens anything at a moment.
    pub(crate) fn opens_at(&self, now: OffsetDateTime) -> bool {
        self.is_in_use() && self.secret_expires_at.is_none_or(|at| now <= at)
    }
}

/// Whether a password may be chosen: long enough, and not made of the words everybody tries first.
pub(super) fn password_is_good(password: &str, login: &str) -> bool {
    const WORDS: &[&str] = &["hersys", "her-sys", "password", "hokenjo", "corona", "covid", "byouin", "保健所", "病院"];
    let plain = password.to_lowercase();
    let rest = WORDS.iter().fold(plain.replace(login, ""), |rest, word| rest.replace(word, ""));
    let distinct: std::collections::HashSet<char> = rest.chars().collect();
    // What is left after the well-known words must still carry a password.
    (12..=256).contains(&password.chars().count()) && rest.chars().count() >= 8 && distinct.len() >= 5
}

#[cfg(test)]
mod tests {
    use super::{HARD_STOP, OF_CITIZENS, OF_STAFF, password_is_good};

    #[test]
    fn guessing_gets_slower_and_stops_before_the_hundred_and_first() {
        assert!(OF_STAFF.least.is_sorted() && OF_STAFF.seconds.is_sorted());
        assert_eq!(OF_STAFF.least.len(), OF_STAFF.seconds.len());
        assert_eq!(OF_STAFF.least.first(), Some(&3), "two slips cost nothing");
        assert_eq!(OF_STAFF.least.last(), Some(&HARD_STOP));
        assert!(HARD_STOP <= 100 && OF_STAFF.seconds.last().is_some_and(|rest| *rest > 1e9));
        assert_eq!(OF_CITIZENS.seconds.last(), Some(&900.0), "a patient waits a quarter of an hour at most");
        assert_eq!(OF_CITIZENS.least.len(), OF_CITIZENS.seconds.len());
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
