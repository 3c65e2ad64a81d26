//! The words of open-data files. Every municipality has its own; what is not one of them is nobody's guess.

use japan::text;
use proto::registry::{AgeBand, Sex};

/// An age as a file gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// A decade, by its first year; 0 is 10歳未満.
    Decade(u16),
    /// A word that is no decade.
    Band(AgeBand),
    /// 調査中, 不明, or nothing.
    Unknown,
}

impl Age {
    /// Reads an age. `None` where nobody can say what it means.
    pub fn read(given: &str) -> Option<Self> {
        let word = text::plain(given);
        Some(match word.as_str() {
            "" | "調査中" | "不明" | "非公表" | "非公開" | "-" | "確認中" => Self::Unknown,
            "未就学児" | "乳幼児" => Self::Band(AgeBand::Preschool),
            "就学児" => Self::Band(AgeBand::SchoolAge),
            "10歳未満" | "10代未満" | "0-9歳" | "0歳" | "0代" => Self::Decade(0),
            other => {
                let digits: String = other.chars().take_while(char::is_ascii_digit).collect();
                let rest = other.strip_prefix(digits.as_str())?;
                let decade: u16 = digits.parse().ok()?;
                let whole = matches!(rest, "" | "代" | "歳代" | "歳以上" | "代以上" | "歳" | "以上");
                (whole && decade <= 120).then_some(Self::Decade(decade / 10 * 10))?
            }
        })
    }
}

/// Reads a sex. `None` where nobody can say what it means.
pub(super) fn sex(given: &str) -> Option<Sex> {
    match text::plain(given).as_str() {
        "男" | "男性" | "M" => Some(Sex::Male),
        "女" | "女性" | "F" => Some(Sex::Female),
        "" | "不明" | "調査中" | "非公表" | "非公開" | "-" | "その他" | "確認中" => Some(Sex::Unknown),
        _ => None,
    }
}

/// Whether a box is marked. Circles look alike and are many.
pub(super) fn marked(given: &str) -> Option<bool> {
    match text::plain(given).as_str() {
        "○" | "◯" | "〇" | "⚪" | "o" | "O" | "1" | "済" | "退院" | "解除" => Some(true),
        "" | "-" | "×" | "0" | "未" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proto::registry::{AgeBand, Sex};

    use super::{Age, marked, sex};

    #[test]
    fn ages_as_files_write_them() {
        for (given, age) in [
            ("40", Age::Decade(40)),
            ("１０代", Age::Decade(10)),
            ("90歳以上", Age::Decade(90)),
            ("100代", Age::Decade(100)),
            ("100歳以上", Age::Decade(100)),
            ("10歳未満", Age::Decade(0)),
            ("０", Age::Decade(0)),
            ("80 代", Age::Decade(80)),
            ("30歳代", Age::Decade(30)),
            ("未就学児", Age::Band(AgeBand::Preschool)),
            ("就学児", Age::Band(AgeBand::SchoolAge)),
            ("調査中", Age::Unknown),
            ("―", Age::Unknown),
            ("", Age::Unknown),
        ] {
            assert_eq!(Age::read(given), Some(age), "{given}");
        }
        for given in ["百代", "20代か30代", "若い", "999", "40-50"] {
            assert_eq!(Age::read(given), None, "{given}");
        }
    }

    #[test]
    fn sexes_and_circles() {
        for (given, known) in [
            ("男", Sex::Male),
            ("女", Sex::Female),
            ("男性\u{a0}", Sex::Male),
            ("女性", Sex::Female),
            ("", Sex::Unknown),
        ] {
            assert_eq!(sex(given), Some(known), "{given}");
        }
        assert_eq!(sex("娘"), None);
        for circle in ["○", "◯", "〇", "o", "Ｏ"] {
            assert_eq!(marked(circle), Some(true), "{circle}");
        }
        assert_eq!((marked(""), marked("？")), (Some(false), None));
    }
}
