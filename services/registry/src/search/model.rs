//! What a case is looked for by, and the one form into which the ways of typing it are brought.

use access::{OrganisationId, Relations, policy};
use chassis::Error;
use japan::{access_id::AccessId, date, name, phone, text};
use proto::{
    options::Group,
    registry::{Person, SearchCasesRequest, search_cases_request::Key as Typed},
};
use time::Date;

/// The characters of a receipt number, without its dashes.
const RECEIPT: usize = 16;

/// A key, in its normal form.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    AccessId(AccessId),
    Receipt(String),
    PatientNumber(String),
    Phone(String),
    Name(String),
}

impl Key {
    /// Reads what was typed. Of a patient number without an institution, the institution is `own`.
    pub(super) fn read(request: &SearchCasesRequest, own: OrganisationId) -> Result<Self, Error> {
        match request.key.as_ref() {
            Some(Typed::AccessId(typed)) => AccessId::parse(typed).map(Self::AccessId).ok_or_else(|| {
                Error::invalid(
                    "access_id",
                    "IDを確認してください",
                    "must be an access ID: its check character is wrong",
                )
            }),
            Some(Typed::ReceiptNumber(typed)) => receipt(typed).map(Self::Receipt).ok_or_else(|| {
                Error::invalid(
                    "receipt_number",
                    "受付番号が正しくありません（例: 27-200601-0A1B2C3D）",
                    "must be a receipt number such as 27-200601-0A1B2C3D",
                )
            }),
            Some(Typed::PatientNumber(typed)) => {
                let of = OrganisationId::optional(&typed.organisation_id)?.unwrap_or(own);
                patient_number(of, &typed.number)
                    .map(Self::PatientNumber)
                    .ok_or_else(|| Error::invalid("patient_number.number", "必須です", "is required"))
            }
            Some(Typed::Phone(typed)) => telephone(typed)
                .map(Self::Phone)
                .ok_or_else(|| Error::invalid("phone", "電話番号が正しくありません", "must be a telephone number")),
            Some(Typed::Name(typed)) => {
                let kana = reading(&typed.kana);
                if !name::is_katakana(&kana) && !name::is_latin(&typed.kana) {
                    return Err(Error::invalid(
                        "name.kana",
                        "カナで入力してください（パスポートの氏名も可）",
                        "must be a name in kana, or a passport name",
                    ));
                }
                let born = date::parse(&typed.birth_date).map_err(|_| {
                    Error::invalid(
                        "name.birth_date",
                        "日付が正しくありません（例: 1980-01-31、S55.1.31）",
                        "must be a date such as 1980-01-31 or S55.1.31",
                    )
                })?;
                Ok(Self::Name(name_and_birth_date(&kana, born)))
            }
            None => Err(Error::invalid("key", "検索する項目を一つ指定してください", "must name what to look for")),
        }
    }

    /// Whether these relations show what was looked for. A case is found by nothing that its finder may not see: the answer would tell it.
    pub(super) fn is_shown_to(&self, relations: &Relations) -> bool {
        let (group, least) = match self {
            Self::AccessId(_) | Self::Phone(_) => (Group::Contact, policy::Sight::Full),
            Self::Receipt(_) => (Group::Administrative, policy::Sight::Coded),
            Self::PatientNumber(_) => (Group::Administrative, policy::Sight::Full),
            Self::Name(_) => (Group::Identity, policy::Sight::Full),
        };
        !relations.hidden().hides(group) && relations.iter().any(|relation| policy::sight(*relation, group) >= least)
    }
}

/// A receipt number as one reads it out: dashes fall away, O is 0, I and L are 1.
pub(super) fn receipt(typed: &str) -> Option<String> {
    let number: String = text::plain(typed)
        .chars()
        .filter(|c| *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect();
    (number.len() == RECEIPT && number.chars().all(|c| c.is_ascii_alphanumeric())).then_some(number)
}

/// A patient number of an institution. Another institution's same number is another one.
pub(super) fn patient_number(of: OrganisationId, typed: &str) -> Option<String> {
    let number = text::plain(typed).to_uppercase();
    (!number.is_empty()).then(|| format!("{of}|{number}"))
}

/// The telephone of a person, where it is one.
pub(super) fn phone_of(person: &Person) -> Option<String> {
    telephone(&person.phone)
}

/// In vertical writing, zero is a circle.
fn telephone(typed: &str) -> Option<String> {
    phone::normalise(&typed.replace('〇', "0"))
}

/// The name of a person as it is read, with the birth date, where both are known.
pub(super) fn name_of(person: &Person) -> Option<String> {
    let born = date::parse(&person.birth_date).ok()?;
    let read = if person.name_kana.trim().is_empty() { &person.name_kanji } else { &person.name_kana };
    let kana = reading(read);
    (!kana.is_empty()).then(|| name_and_birth_date(&kana, born))
}

fn name_and_birth_date(kana: &str, born: Date) -> String {
    format!("{kana}|{born}")
}

/// A name in kana or Latin letters as it is compared. Between kana, every dash is a long vowel.
fn reading(name: &str) -> String {
    let one_dash: String = name.chars().map(|c| if text::is_dash(c) { 'ー' } else { c }).collect();
    name::search_key(&one_dash)
}

#[cfg(test)]
mod tests {
    use access::{OrganisationId, Relations};
    use proto::registry::{
        NameAndBirthDate, PatientNumber, Person, Relation, SearchCasesRequest, search_cases_request::Key as Typed,
    };

    use super::{Key, name_of, phone_of};

    fn read(typed: Typed) -> Option<Key> {
        let request = SearchCasesRequest { key: Some(typed), ..SearchCasesRequest::default() };
        Key::read(&request, OrganisationId::NIL).ok()
    }

    fn name(kana: &str, birth_date: &str) -> Typed {
        Typed::Name(NameAndBirthDate { kana: kana.to_owned(), birth_date: birth_date.to_owned() })
    }

    fn text(key: Option<Key>) -> Option<String> {
        key.map(|key| match key {
            Key::AccessId(id) => id.as_str().to_owned(),
            Key::Receipt(text) | Key::PatientNumber(text) | Key::Phone(text) | Key::Name(text) => text,
        })
    }

    #[test]
    fn however_a_telephone_is_typed_it_is_the_persons() {
        let person = Person { phone: "09010000000".to_owned(), ..Person::default() };
        for typed in [
            "090-1000-0000",
            "０９０（１０００）００００",
            "〇90−1〇〇〇−〇〇〇〇",
            "090−1000−0000",
            "０９０ー１０００ー００００",
            "+81 90 1000 0000",
            "0081-90-1000-0000",
        ] {
            assert_eq!(text(read(Typed::Phone(typed.to_owned()))), phone_of(&person), "{typed}");
        }
        assert!(read(Typed::Phone("1234".to_owned())).is_none());
        assert_eq!(phone_of(&Person { phone: "内線 3".to_owned(), ..Person::default() }), None);
    }

    #[test]
    fn however_a_name_and_a_birth_date_are_typed_they_are_the_persons() {
        let person = Person {
            name_kanji: "山田 優子".to_owned(),
            name_kana: "ヤマダ ユーコ".to_owned(),
            birth_date: "1980-01-31".to_owned(),
            ..Person::default()
        };
        let known = name_of(&person);
        for (kana, born) in [
            ("ヤマダ　ユーコ", "1980/1/31"),
            ("ﾔﾏﾀﾞ ﾕｰｺ", "S55.1.31"),
            ("やまだゆーこ", "昭和５５年１月３１日"),
            ("ヤマダユ−コ", "1980-01-31"),
            ("ヤマダユ―コ", "1980-01-31"),
        ] {
            assert_eq!(text(read(name(kana, born))), known, "{kana} {born}");
        }
        assert_ne!(text(read(name("ヤマダユーコ", "1980-01-30"))), known);
        let foreign = Person { name_kanji: "Smith-Jones John".to_owned(), name_kana: String::new(), ..person.clone() };
        assert_eq!(text(read(name("ＳＭＩＴＨ‐ＪＯＮＥＳ ＪＯＨＮ", "S55.1.31"))), name_of(&foreign));
        assert_eq!(name_of(&Person { birth_date: String::new(), ..person }), None);
        for (kana, born) in [("山田優子", "1980-01-31"), ("　", "1980-01-31"), ("ヤマダ", "x"), ("ヤマダ", "")]
        {
            assert!(read(name(kana, born)).is_none(), "{kana} {born}");
        }
    }

    #[test]
    fn numbers_are_read_out_as_they_are_printed() {
        let receipt = |typed: &str| text(read(Typed::ReceiptNumber(typed.to_owned())));
        for typed in ["27-200601-0A1B2C3D", "２７－２００６０１－Ｏａｌｂ２ｃ３ｄ", "27200601oaib2c3d"]
        {
            assert_eq!(receipt(typed).as_deref(), Some("272006010A1B2C3D"), "{typed}");
        }
        for typed in ["", "27-200601", "27-200601-0A1B2C3É", "27-200601-0A1B2C3DE"] {
            assert_eq!(receipt(typed), None, "{typed}");
        }

        let other = OrganisationId::new();
        let number = |of: &str, number: &str| {
            text(read(Typed::PatientNumber(PatientNumber {
                number: number.to_owned(),
                organisation_id: of.to_owned(),
            })))
        };
        assert_eq!(number("", "ａ−００１２"), number("", "A-0012"));
        assert_ne!(number("", "0012"), number("", "12"), "zeros belong to it");
        assert_ne!(number("", "0012"), number(&other.to_string(), "0012"), "another institution's number");
        assert_eq!(number(&OrganisationId::NIL.to_string(), "0012"), number("", "0012"));
        assert!(number("", "　").is_none() && number("x", "1").is_none());
        assert!(read(Typed::AccessId("ABCDE-FGHJK-A".to_owned())).is_none(), "a wrong check character");
    }

    #[test]
    fn nobody_finds_by_what_the_relation_does_not_show() {
        let by = |relation: Relation| Relations::from(vec![relation]);
        let (phone, number) = (Key::Phone(String::new()), Key::PatientNumber(String::new()));
        assert!(phone.is_shown_to(&by(Relation::Contractor)) && !number.is_shown_to(&by(Relation::Contractor)));
        assert!(number.is_shown_to(&by(Relation::Reporter)));
        assert!(!phone.is_shown_to(&Relations::default()));
    }
}
