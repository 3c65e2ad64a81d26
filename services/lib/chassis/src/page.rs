//! Keyset paging over (time, id): a page costs the same wherever it lies.

use uuid::Uuid;

use crate::Error;

/// Where a page begins: after this row, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Microseconds since 1970 of the row's sort time.
    pub micros: i64,
    /// The row.
    pub id: Uuid,
}

impl After {
    /// Before the newest row.
    pub const START: Self = Self { micros: i64::MAX / 2_000, id: Uuid::max() };

    /// Reads a `page_token`; empty is the first page.
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
            .ok_or_else(|| Error::invalid("page_token", "不正なページトークンです", "is no page token"))
    }

    /// As a `page_token`.
    pub fn token(self) -> String {
        format!("{}_{}", self.micros, self.id.simple())
    }
}

/// The page size asked for, or the usual one.
pub fn size(asked: i32) -> i64 {
    if asked > 0 { i64::from(asked.min(200)) } else { 50 }
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
