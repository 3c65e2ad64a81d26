//! An opening of a case in an emergency.

use time::{Duration, OffsetDateTime};

data::id!(
    /// An opening of a case in an emergency.
    OpeningId,
    "opening"
);

/// For how long a case stays open.
const LASTS: Duration = Duration::hours(3);

/// How many cases one person opens in 24 hours where it is work: an emergency ward on its worst night. Not a limit: nobody is turned
/// away from a patient. Beyond it the centre, and whoever watches the figures of the service, look into it.
pub(super) const WORK_OF_A_DAY: i64 = 20;

/// When an opening ends by itself.
pub(crate) fn ends(opened_at: OffsetDateTime) -> OffsetDateTime {
    opened_at + LASTS
}
