//! Messages: where they may go, and how long anybody waits for them.

use time::Duration;

data::id!(
    /// A message.
    MessageId,
    "message"
);

/// After so many tries nobody waits for it any more.
pub(super) const TRIES: i32 = 10;

/// How long the courier waits after a try, the first of which is 1: seconds at first, an hour at last.
pub(super) fn pause_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(10);
    Duration::seconds(5 << doublings).min(Duration::HOUR)
}

/// Whether a text may be a mail address: the server has the last word.
pub(crate) fn is_mail(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::{TRIES, is_mail, pause_after};

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!(pause_after(1), Duration::seconds(5));
        assert_eq!(pause_after(2), Duration::seconds(10));
        assert_eq!(pause_after(TRIES), Duration::seconds(2_560));
        assert_eq!(pause_after(i32::MAX), Duration::HOUR);
    }

    #[test]
    fn a_mail_address_has_a_place_and_a_name() {
        assert!(is_mail("hanako@example.jp"));
        assert!(!is_mail("hanako") && !is_mail("@example.jp") && !is_mail(""));
    }
}
