//! An opening of a case in an emergency.

use time::{Duration, OffsetDateTime};

data::id!(
    /// An opening of a case in an emergency.
    OpeningId,
    "opening"
);

/// For how long a case stays open.
const LASTS: Duration = Duration::hours(3);

/// When an opening ends by itself.
pub(crate) fn ends(opened_at: OffsetDateTime) -> OffsetDateTime {
    opened_at + LASTS
}
