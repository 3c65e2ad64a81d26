//! Rules for the particulars of a person, wherever they are entered.

use time::Date;

use crate::{
    age, date,
    municipality::{Municipality, NotACode},
    name, phone,
};

/// The highest age that is accepted, in years.
const OLDEST: u8 = 125;

/// Particulars as a person typed them; empty where nothing was typed.
#[derive(Clone, Copy, Default)]
pub struct Typed<'a> {
    /// Name in kanji, or the passport name.
    pub name_kanji: &'a str,
    /// Name in katakana (フリガナ).
    pub name_kana: &'a str,
    /// Birth date, ISO or by era.
    pub birth_date: &'a str,
    /// Telephone number in any usual notation.
    pub phone: &'a str,
    /// Mail address.
    pub mail: &'a str,
    /// Local government code of the whereabouts.
    pub municipality_code: &'a str,
    /// Whether an age band was stated instead of a birth date.
    pub has_age_band: bool,
}

/// Particulars that passed the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The birth date; `None` if an age band was stated instead.
    pub birth_date: Option<Date>,
    /// The telephone number in its normal form, or empty.
    pub phone: String,
    /// The municipality of the whereabouts; `None` if it was left empty.
    pub municipality: Option<Municipality>,
}

/// A field and the rule it breaks, in Japanese and English.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field of [`Typed`].
    pub field: &'static str,
    /// The rule in Japanese.
    pub ja: String,
    /// The rule in English.
    pub en: String,
}

/// Checks particulars as of a day. Nobody can be born after it.
///
/// # Errors
/// Every field at fault.
pub fn check(typed: &Typed<'_>, on: Date) -> Result<Checked, Vec<Finding>> {
    let mut found = Vec::new();
    let mut fault = |field, ja: &str, en: &str| found.push(Finding { field, ja: ja.to_owned(), en: en.to_owned() });

    if typed.name_kanji.trim().is_empty() {
        fault("name_kanji", "氏名は必須です", "is required");
    } else if name::forbidden(typed.name_kanji).is_some() {
        fault("name_kanji", "外字や制御文字は使用できません", "must not contain private-use or control characters");
    }
    let needs_kana = !name::is_latin(typed.name_kanji);
    if typed.name_kana.trim().is_empty() {
        if needs_kana && !typed.name_kanji.trim().is_empty() {
            fault("name_kana", "フリガナは必須です", "is required");
        }
    } else if !name::is_katakana(typed.name_kana) && !name::is_latin(typed.name_kana) {
        fault("name_kana", "カタカナで入力してください", "must be written in katakana");
    }

    let birth_date = match date::parse(typed.birth_date) {
        _ if typed.birth_date.trim().is_empty() => {
            if !typed.has_age_band {
                fault(
                    "birth_date",
                    "生年月日は必須です（不明な場合は年代を選択）",
                    "is required unless an age band is given",
                );
            }
            None
        }
        Err(why) => {
            fault("birth_date", "日付が正しくありません（例: 1980-01-31、S55.1.31）", &why.to_string());
            None
        }
        Ok(born) if born > on => {
            fault("birth_date", "未来の日付です", "must not be in the future");
            None
        }
        Ok(born) if age::on(on, born).is_none_or(|years| years > OLDEST) => {
            fault(
                "birth_date",
                "生年月日を確認してください（125歳を超えています）",
                "must not make the person older than 125",
            );
            None
        }
        Ok(born) => Some(born),
    };

    let phone = if typed.phone.trim().is_empty() {
        String::new()
    } else {
        phone::normalise(typed.phone).unwrap_or_else(|| {
            fault("phone", "電話番号が正しくありません", "must be a telephone number");
            String::new()
        })
    };
    if !typed.mail.is_empty() && !is_mail(typed.mail) {
        fault("mail", "メールアドレスが正しくありません", "must be a mail address");
    }
    let municipality = match Municipality::parse(typed.municipality_code) {
        _ if typed.municipality_code.is_empty() => None,
        Ok(municipality) => Some(municipality),
        Err(why) => {
            let ja = match why {
                NotACode::Format => "市区町村コードは6桁の数字で入力してください",
                NotACode::CheckDigit => "市区町村コードの検査数字が正しくありません",
                NotACode::Prefecture => "市区町村コードの都道府県番号が正しくありません",
            };
            fault("municipality_code", ja, &why.to_string());
            None
        }
    };
    if found.is_empty() { Ok(Checked { birth_date, phone, municipality }) } else { Err(found) }
}

fn is_mail(text: &str) -> bool {
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    plain
        && text
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && host.contains('.') && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::{Typed, check};

    const TODAY: time::Date = date!(2020 - 06 - 01);

    fn good() -> Typed<'static> {
        Typed {
            name_kanji: "髙﨑 𠮷男",
            name_kana: "ﾀｶｻｷ ﾖｼｵ",
            birth_date: "S55.1.31",
            phone: "090-1234-5678",
            mail: "y@example.jp",
            municipality_code: "271004",
            has_age_band: false,
        }
    }

    fn fields(typed: &Typed<'_>) -> Vec<&'static str> {
        check(typed, TODAY).err().unwrap_or_default().iter().map(|finding| finding.field).collect()
    }

    #[test]
    fn what_people_write_is_taken() {
        let checked = check(&good(), TODAY).unwrap();
        assert_eq!(checked.birth_date, Some(date!(1980 - 01 - 31)));
        assert_eq!(checked.phone, "09012345678");
        assert!(check(&Typed { name_kanji: "SMITH JOHN", name_kana: "", ..good() }, TODAY).is_ok());
        assert!(check(&Typed { birth_date: "", has_age_band: true, ..good() }, TODAY).is_ok());
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(fields(&Typed { name_kanji: "　", ..good() }), ["name_kanji"]);
        assert_eq!(fields(&Typed { name_kana: "", ..good() }), ["name_kana"]);
        assert_eq!(fields(&Typed { name_kana: "たかさき", ..good() }), ["name_kana"]);
        assert_eq!(fields(&Typed { birth_date: "", ..good() }), ["birth_date"]);
        assert_eq!(fields(&Typed { birth_date: "2021-02-29", ..good() }), ["birth_date"]);
        assert_eq!(fields(&Typed { birth_date: "2020-06-02", ..good() }), ["birth_date"]);
        assert_eq!(fields(&Typed { birth_date: "M6.1.1", ..good() }), ["birth_date"]);
        assert_eq!(fields(&Typed { phone: "call me", mail: "nobody", ..good() }), ["phone", "mail"]);
        assert_eq!(fields(&Typed { municipality_code: "271005", ..good() }), ["municipality_code"]);
        assert_eq!(fields(&Typed { name_kanji: "\u{e001}", ..good() }), ["name_kanji"]);
    }
}
