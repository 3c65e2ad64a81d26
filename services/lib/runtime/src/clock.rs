//! Time as a value, so that rules can be asked about any moment.

use time::{Date, OffsetDateTime, UtcOffset};

/// The only place that reads the system's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Now, in UTC, to the microsecond PostgreSQL keeps.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    pub fn now(self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        now.replace_microsecond(now.microsecond()).unwrap_or(now)
    }

    /// The calendar day in Japan.
    pub fn today_in_japan(self) -> Date {
        day_in_japan(self.now())
    }
}

/// The calendar day in Japan (UTC+9, no daylight saving) at a moment.
pub fn day_in_japan(at: OffsetDateTime) -> Date {
    UtcOffset::from_hms(9, 0, 0).map_or(at, |japan| at.to_offset(japan)).date()
}

/// A moment as the protobuf type.
pub fn to_proto(at: OffsetDateTime) -> proto::Timestamp {
    proto::Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) }
}

/// A moment from the protobuf type; `None` where it is out of range.
pub fn from_proto(at: &proto::Timestamp) -> Option<OffsetDateTime> {
    let whole = OffsetDateTime::from_unix_timestamp(at.seconds).ok()?;
    whole.replace_nanosecond(u32::try_from(at.nanos).ok()?).ok()
}
