//! Rules as dated data: which version is in force on a day.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use time::{Date, macros::format_description};

/// The version in force on a day; before the first one, the first. Versions are in order.
pub(crate) fn in_force<T>(versions: &[T], on: Date, from: impl Fn(&T) -> Date) -> Option<&T> {
    versions.iter().rev().find(|version| from(version) <= on).or_else(|| versions.first())
}

/// Reads `YYYY-MM-DD`.
pub(crate) fn iso_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]")).map_err(D::Error::custom)
}
