//! What an answer must look like.

use access::{Directory, OrganisationId};
use japan::{date, phone, text};
use proto::{
    identity::OrganisationKind as Kind,
    registry::{Answer, ItemType},
};
use runtime::problem::Violation;
use time::Date;

use super::definitions::{Item, Section};

/// The longest text of an answer, in characters.
const LONGEST: usize = 1_000;

/// Checks the answers of a section and brings them to their stored form: dates in ISO, telephones in their normal form. Empty ones
/// are left out.
///
/// # Errors
/// Every answer at fault, by its place.
pub(super) fn check(
    directory: &Directory,
    section: &Section,
    given: &[Answer],
    today: Date,
) -> Result<Vec<Answer>, Vec<Violation>> {
    let (mut answers, mut found): (Vec<Answer>, Vec<Violation>) = (Vec::new(), Vec::new());
    for (place, answer) in given.iter().enumerate() {
        let mut fault = |ja: String, en: String| found.push(Violation::new(format!("answers[{place}]"), ja, en));
        let Some(item) = section.own(&answer.item) else {
            fault("この区分にない項目です".to_owned(), "must be an item of this section".to_owned());
            continue;
        };
        if answers.iter().any(|known| known.item == answer.item) {
            fault(format!("「{}」が二度あります", item.ja), "must be answered once".to_owned());
            continue;
        }
        let values: Vec<&str> =
            answer.values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
        let several = matches!(item.r#type(), ItemType::Choices | ItemType::DatedTexts);
        if values.len() > 1 && !several {
            fault(format!("「{}」の回答は一つです", item.ja), "must have one value".to_owned());
            continue;
        }
        match values.iter().map(|value| read(directory, item, value, today)).collect::<Result<Vec<_>, _>>() {
            Ok(values) if values.is_empty() => {}
            Ok(values) => answers.push(Answer { item: answer.item.clone(), values }),
            Err((ja, en)) => fault(format!("「{}」は{ja}", item.ja), en.to_owned()),
        }
    }
    if found.is_empty() { Ok(answers) } else { Err(found) }
}

fn read(directory: &Directory, item: &Item, value: &str, today: Date) -> Result<String, (&'static str, &'static str)> {
    let day = |text: &str| date::parse(text).ok().filter(|day| *day <= today).map(|day| day.to_string());
    match item.r#type() {
        ItemType::Text => Some(value.to_owned()).filter(|text| text.chars().count() <= LONGEST),
        ItemType::Date => day(value),
        ItemType::Number => text::plain(value).parse::<u32>().ok().map(|number| number.to_string()),
        ItemType::Choice | ItemType::Choices => {
            item.choices.iter().find(|choice| choice.code == value).map(|choice| choice.code.clone())
        }
        ItemType::Phone => phone::normalise(value),
        ItemType::Organisation => centre(directory, value, today),
        ItemType::Institution => institution(directory, value, today),
        ItemType::DatedTexts => value.split_once(char::is_whitespace).and_then(|(date, text)| {
            let text = Some(text.trim()).filter(|text| !text.is_empty() && text.chars().count() <= LONGEST)?;
            Some(format!("{} {text}", day(date)?))
        }),
        ItemType::Unspecified => None,
    }
    .ok_or(match item.r#type() {
        ItemType::Text | ItemType::Unspecified => ("1000文字以内で入力してください", "must be at most 1000 characters"),
        ItemType::Date => ("今日までの日付で入力してください（例: 2020-05-13、R2.5.13）", "must be a date up to today"),
        ItemType::Number => ("数字で入力してください", "must be a whole number"),
        ItemType::Choice | ItemType::Choices => ("選択肢から選んでください", "must be one of the choices"),
        ItemType::Phone => ("電話番号で入力してください", "must be a telephone number"),
        ItemType::Institution => (
            "利用中の医療機関または1000文字以内の名称で入力してください",
            "must be an institution of the directory that is open, or a name of at most 1000 characters",
        ),
        ItemType::Organisation => {
            ("登録されている保健所を指定してください", "must be a health centre of the directory")
        }
        ItemType::DatedTexts => (
            "日付と内容で入力してください（例: 2020-05-13 酸素投与開始）",
            "must be a date up to today and a text, such as `2020-05-13 oxygen`",
        ),
    })
}

fn centre(directory: &Directory, id: &str, today: Date) -> Option<String> {
    let fits = |kind| matches!(kind, Kind::HealthCentre | Kind::City);
    directory.addressee(id, fits, today).map(|entry| entry.id.to_string())
}

/// By its id, or by its name where the directory does not have it.
fn institution(directory: &Directory, value: &str, today: Date) -> Option<String> {
    if OrganisationId::parse(value).is_err() {
        return Some(value.to_owned()).filter(|name| name.chars().count() <= LONGEST);
    }
    let fits = |kind| matches!(kind, Kind::Clinic | Kind::Hospital);
    directory.addressee(value, fits, today).map(|entry| entry.id.to_string())
}

/// The organisation that an answer names.
pub(super) fn organisation(answers: &[Answer], item: &str) -> Option<OrganisationId> {
    let answer = answers.iter().find(|answer| answer.item == item)?;
    OrganisationId::parse(answer.values.first()?).ok()
}
