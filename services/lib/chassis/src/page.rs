//! Keyset paging over (time, id): a page costs the same wherever it lies.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::Error;

/// Where a page begins: after this row, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Microseconds since 1970 of the row's sort time.
    pub micros: i64,
    /// The row's id, which orders rows of the same time.
    pub id: Uuid,
}

impl After {
    /// Before the newest row.
    pub const START: Self = Self { micros: i64::MAX / 2_000, id: Uuid::max() };

    /// Reads a `page_token`; an empty one is the first page.
    ///
    /// # Errors
    /// When the token is not one of ours.
    pub fn parse(token: &str) -> Result<Self, Error> {
        if token.is_empty() {
            return Ok(Self::START);
        }
        token
            .split_once('_')
            .and_then(|(micros, id)| Some(Self { micros: micros.parse().ok()?, id: Uuid::try_parse(id).ok()? }))
            .filter(|after| (0..=Self::START.micros).contains(&after.micros))
            .ok_or_else(Error::page_token)
    }

    /// After this row; its time counts to the microsecond, as PostgreSQL keeps it.
    pub fn row(at: OffsetDateTime, id: impl Into<Uuid>) -> Self {
        Self { micros: i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(Self::START.micros), id: id.into() }
    }

    /// The row's sort time.
    pub fn moment(self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::microseconds(self.micros)
    }

    /// As a `page_token`.
    pub fn token(self) -> String {
        format!("{}_{}", self.micros, self.id.simple())
    }
}

/// The page size asked for, at most 200; 50 where none is asked for.
pub fn size(asked: i32) -> i64 {
    if asked > 0 { i64::from(asked.min(200)) } else { 50 }
}

/// The `next_page_token`: after the last row of a full page; empty if there are no more rows.
pub fn next<T>(rows: &[T], size: i64, token: impl FnOnce(&T) -> String) -> String {
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= size);
    rows.last().filter(|_| full).map(token).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::After;

    #[test]
    fn a_token_survives_the_round_trip_and_nonsense_does_not() {
        let after = After { micros: 1_589_328_000_000_000, id: Uuid::now_v7() };
        assert_eq!(After::parse(&after.token()).unwrap(), after);
        assert_eq!(After::parse("").unwrap(), After::START);
        for token in [
            "x",
            "1_",
            "_",
            "-5_01890a5dac96774bbcceb302099a8057",
            "9223372036854775807_01890a5dac96774bbcceb302099a8057",
        ] {
            assert!(After::parse(token).is_err(), "{token}");
        }
    }
}
