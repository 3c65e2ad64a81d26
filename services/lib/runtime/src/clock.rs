//! Time as a value, so that rules can be tested at any moment.

use std::sync::{Arc, RwLock};

use time::{Date, Duration, OffsetDateTime, UtcOffset, macros::offset};

/// Japan's time: no daylight saving.
pub const JAPAN: UtcOffset = offset!(+9);

/// The source of time: the system's, or in a test one that is moved by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved: Option<Arc<RwLock<OffsetDateTime>>>,
}

impl Clock {
    /// A clock that follows the system's time.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is moved.
    pub fn standing_at(now: OffsetDateTime) -> Self {
        Self { moved: Some(Arc::new(RwLock::new(now))) }
    }

    /// Moves a standing clock, and every clone of it. The system's time cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(mut now) = self.moved.as_ref().and_then(|moved| moved.write().ok()) {
            *now += by;
        }
    }

    /// Now, in UTC, to the microsecond that PostgreSQL keeps.
    pub fn now(&self) -> OffsetDateTime {
        let now = self.moved.as_ref().and_then(|moved| moved.read().ok()).map_or_else(system_now, |now| *now);
        now.replace_microsecond(now.microsecond()).unwrap_or(now)
    }

    /// Today's date in Japan.
    pub fn today_in_japan(&self) -> Date {
        day_in_japan(self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
fn system_now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// The date in Japan at a moment.
pub fn day_in_japan(at: OffsetDateTime) -> Date {
    at.to_offset(JAPAN).date()
}

/// The beginning of the day in Japan that a moment lies in.
pub fn start_of_day_in_japan(at: OffsetDateTime) -> OffsetDateTime {
    day_in_japan(at).midnight().assume_offset(JAPAN)
}

/// A moment as the protobuf type.
pub fn to_proto(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: i32::try_from(at.nanosecond()).unwrap_or(0) }
}

/// A moment from the protobuf type; `None` if it is out of range.
pub fn from_proto(at: &prost_types::Timestamp) -> Option<OffsetDateTime> {
    let whole = OffsetDateTime::from_unix_timestamp(at.seconds).ok()?;
    whole.replace_nanosecond(u32::try_from(at.nanos).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::Clock;

    #[test]
    fn a_standing_clock_moves_with_all_its_clones_and_only_when_told() {
        let clock = Clock::standing_at(datetime!(2020-06-01 14:59 UTC));
        let clone = clock.clone();
        assert_eq!(clock.today_in_japan().to_string(), "2020-06-01");
        clone.advance(Duration::minutes(1));
        assert_eq!(clock.now(), datetime!(2020-06-01 15:00 UTC));
        assert_eq!(clock.today_in_japan().to_string(), "2020-06-02");
        let system = Clock::system();
        system.advance(Duration::days(-1_000));
        assert!(system.now() > datetime!(2026-01-01 0:00 UTC));
    }
}
