//! Local government codes (全国地方公共団体コード, JIS X 0401 and 0402 with check digit). The list is data.

use std::{collections::HashMap, sync::LazyLock};

const MUNICIPALITIES: &str = include_str!("../data/municipalities.csv");
const PREFECTURES: &str = include_str!("../data/prefectures.csv");

static BY_CODE: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| rows(MUNICIPALITIES).collect());
static PREFECTURE_NAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| rows(PREFECTURES).collect());

fn rows(csv: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    csv.lines().skip(1).filter_map(|line| line.split_once(','))
}

/// A six-digit local government code with a valid check digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Municipality([u8; 6]);

/// Why a text is not a local government code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACode {
    /// Not six digits.
    #[error("must be six digits")]
    Format,
    /// The sixth digit is not the check digit of the first five.
    #[error("must have a valid check digit")]
    CheckDigit,
    /// Not one of the 47 prefectures.
    #[error("must begin with the number of a prefecture, 01 to 47")]
    Prefecture,
}

impl Municipality {
    /// Reads a code. Codes outside of the list are accepted: municipalities merge and split.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, NotACode> {
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_| NotACode::Format)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotACode::Format);
        }
        let code = Self(digits);
        if code.check_digit() != digits[5] - b'0' {
            return Err(NotACode::CheckDigit);
        }
        if !(1..=47).contains(&code.prefecture()) {
            return Err(NotACode::Prefecture);
        }
        Ok(code)
    }

    /// The prefecture, 1 to 47.
    pub fn prefecture(&self) -> u8 {
        (self.0[0] - b'0') * 10 + (self.0[1] - b'0')
    }

    /// The six digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name of the municipality; `None` if the list does not have it.
    pub fn name(&self) -> Option<&'static str> {
        BY_CODE.get(self.as_str()).copied()
    }

    fn check_digit(self) -> u8 {
        let sum: u8 = self.0.iter().zip([6, 5, 4, 3, 2]).map(|(digit, weight)| (digit - b'0') * weight).sum();
        if sum >= 11 { (11 - sum % 11) % 10 } else { (11 - sum) % 10 }
    }
}

/// The code of a municipality by its name inside a prefecture.
pub fn find(prefecture: u8, name: &str) -> Option<Municipality> {
    let prefix = format!("{prefecture:02}");
    let (code, _) = rows(MUNICIPALITIES).find(|(code, listed)| code.starts_with(&prefix) && *listed == name)?;
    Municipality::parse(code).ok()
}

/// Every code of a prefecture.
pub fn of_prefecture(prefecture: u8) -> Vec<&'static str> {
    let prefix = format!("{prefecture:02}");
    rows(MUNICIPALITIES).map(|(code, _)| code).filter(|code| code.starts_with(&prefix)).collect()
}

/// The name of a prefecture.
pub fn prefecture_name(prefecture: u8) -> Option<&'static str> {
    PREFECTURE_NAMES.get(format!("{prefecture:02}").as_str()).copied()
}

#[cfg(test)]
mod tests {
    use super::{MUNICIPALITIES, Municipality, NotACode, find, prefecture_name, rows};

    #[test]
    fn every_code_of_the_list_has_a_right_check_digit() {
        for (code, name) in rows(MUNICIPALITIES) {
            assert!(Municipality::parse(code).is_ok(), "{code} {name}");
        }
    }

    #[test]
    fn a_wrong_code_is_told_from_a_malformed_one() {
        assert_eq!(Municipality::parse("271005"), Err(NotACode::CheckDigit));
        assert_eq!(Municipality::parse("27100"), Err(NotACode::Format));
        assert_eq!(Municipality::parse("大阪"), Err(NotACode::Format));
        assert_eq!(Municipality::parse("990001"), Err(NotACode::Prefecture));
    }

    #[test]
    fn names_are_found_inside_their_prefecture() {
        assert_eq!(find(27, "大阪市").map(|m| m.as_str().to_owned()), Some("271004".to_owned()));
        assert_eq!(find(13, "大阪市"), None);
        assert_eq!(prefecture_name(27), Some("大阪府"));
    }
}
