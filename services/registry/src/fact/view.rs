//! Facts as the contract carries them, and as they are stored.

use access::{CaseId, Directory, OrganisationId};
use chassis::Error;
use japan::date;
use proto::registry::{
    Answer, CourseDay, Description, Ending, Exposure as ExposureView, Fact as View, FactContent, FactSource,
    FactStanding, Findings, Necessity, Report as ReportView, fact_content::Content as Shown,
};
use runtime::clock::to_proto;
use time::Date;
use vault::Vault;

use super::{
    model::{Answered, Content, Exposure, Fact, Need, Report, Source},
    store::REASON,
};
use crate::{
    case::{optional_date, required_date},
    course::{self, ClinicalState, Stay, Test},
};

/// A record as it is shown.
pub(super) fn shown(vault: &Vault, fact: &Fact, standing: FactStanding) -> Result<View, Error> {
    let (source, source_id, source_version) = match fact.source {
        Source::Record => (FactSource::Record, None, 0),
        Source::Notification { id, version, .. } => (FactSource::Notification, Some(id.uuid()), version),
        Source::Admission(id) => (FactSource::Admission, Some(id), 0),
    };
    let reason = fact.reason.as_ref().map(|sealed| {
        let plain = vault.open(REASON, fact.case_id.uuid().as_bytes(), sealed)?;
        String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
    });
    Ok(View {
        fact_id: fact.id.to_string(),
        subject_fact_id: fact.subject.to_string(),
        standing: standing.into(),
        content: fact.content.as_ref().map(content),
        record_time: Some(to_proto(fact.recorded_at)),
        organisation_id: data::text(fact.organisation),
        user_id: data::text(fact.user),
        on_behalf_of_id: data::text(fact.on_behalf_of),
        channel: fact.channel.into(),
        told_time: fact.told_at.map(to_proto),
        authority: fact.authority.into(),
        source: source.into(),
        source_id: data::text(source_id),
        source_version,
        reason: reason.transpose()?.unwrap_or_default(),
    })
}

/// What a fact says, as it is stored and shown.
pub(super) fn content(content: &Content) -> FactContent {
    let shown = match content {
        Content::Report(report) => Shown::Report(ReportView {
            diagnosis_class: report.class.into(),
            report_date: report.on.to_string(),
            receiving_centre_id: report.centre.to_string(),
            prefecture: i32::from(report.prefecture),
        }),
        Content::Day(kind, date) => Shown::Day(CourseDay { kind: (*kind).into(), date: date.to_string() }),
        Content::Test(test) => Shown::Test((*test).into()),
        Content::Stay(stay) => Shown::Stay((*stay).into()),
        Content::State(state) => Shown::State((*state).into()),
        Content::Need(need) => {
            Shown::Necessity(Necessity { necessity: need.necessity.into(), judgement_date: need.on.to_string() })
        }
        Content::Ending(outcome, date) => {
            Shown::Ending(Ending { outcome: (*outcome).into(), outcome_date: data::text(*date) })
        }
        Content::Description(sex, age_band, is_from_birth_date) => Shown::Description(Description {
            sex: (*sex).into(),
            age_band: (*age_band).into(),
            is_from_birth_date: *is_from_birth_date,
        }),
        Content::Findings(answers) => {
            Shown::Findings(Findings { answers: answers.iter().cloned().map(Answer::from).collect() })
        }
        Content::Exposure(exposure) => Shown::Exposure(ExposureView {
            index_case_id: data::text(exposure.index),
            last_contact_date: exposure.on.to_string(),
        }),
    };
    FactContent { content: Some(shown) }
}

/// Reads what was stored. `None` where it cannot be understood.
pub(super) fn stored(message: &FactContent) -> Option<Content> {
    let day = |text: &str| date::parse(text).ok();
    Some(match message.content.as_ref()? {
        Shown::Report(report) => Content::Report(Report {
            class: data::code(report.diagnosis_class),
            on: day(&report.report_date)?,
            centre: OrganisationId::parse(&report.receiving_centre_id).ok()?,
            prefecture: u8::try_from(report.prefecture).ok()?,
        }),
        Shown::Day(CourseDay { kind, date }) => Content::Day(data::code(*kind), day(date)?),
        Shown::Test(test) => Content::Test(Test::stored(test)?),
        Shown::Stay(stay) => Content::Stay(Stay::stored(stay)?),
        Shown::State(state) => Content::State(ClinicalState::stored(state)?),
        Shown::Necessity(need) => {
            Content::Need(Need { necessity: data::code(need.necessity), on: day(&need.judgement_date)? })
        }
        Shown::Ending(Ending { outcome, outcome_date }) => {
            Content::Ending(data::code(*outcome), day(outcome_date).filter(|_| !outcome_date.is_empty()))
        }
        Shown::Description(Description { sex, age_band, is_from_birth_date }) => {
            Content::Description(data::code(*sex), data::code(*age_band), *is_from_birth_date)
        }
        Shown::Findings(Findings { answers }) => {
            let answered = |answer: &Answer| Answered { item: answer.item.clone(), values: answer.values.clone() };
            Content::Findings(answers.iter().map(answered).collect())
        }
        Shown::Exposure(exposure) => Content::Exposure(Exposure {
            index: CaseId::parse(&exposure.index_case_id).ok(),
            on: day(&exposure.last_contact_date)?,
        }),
    })
}

/// Reads what somebody says instead of what was recorded. What follows from the source stays as it was.
pub(super) fn given(
    directory: &Directory,
    message: Option<&FactContent>,
    held: &Content,
    today: Date,
) -> Result<Content, Error> {
    let shown = message
        .and_then(|content| content.content.as_ref())
        .ok_or_else(|| Error::invalid("content", "訂正後の内容を指定してください", "must say what is right"))?;
    let given = match shown {
        Shown::Report(report) => {
            let Content::Report(held) = held else { return Err(another_kind()) };
            let on = required_date("content.report.report_date", &report.report_date, today)?;
            Content::Report(Report { class: data::code(report.diagnosis_class), on, ..*held })
        }
        Shown::Day(CourseDay { kind, date }) => {
            Content::Day(data::code(*kind), required_date("content.day.date", date, today)?)
        }
        Shown::Test(test) => Content::Test(course::read_test(directory, "content.test", test, today)?),
        Shown::Stay(stay) => Content::Stay(course::read_stay(directory, "content.stay", stay, today)?),
        Shown::State(state) => Content::State(course::read_state("content.state", state, today)?),
        Shown::Necessity(need) => Content::Need(Need {
            necessity: data::code(need.necessity),
            on: required_date("content.necessity.judgement_date", &need.judgement_date, today)?,
        }),
        Shown::Ending(Ending { outcome, outcome_date }) => {
            Content::Ending(data::code(*outcome), optional_date("content.ending.outcome_date", outcome_date, today)?)
        }
        Shown::Exposure(exposure) => {
            let Content::Exposure(held) = held else { return Err(another_kind()) };
            let on = required_date("content.exposure.last_contact_date", &exposure.last_contact_date, today)?;
            // Another index case is another exposure: this one is withdrawn, and that one is recorded.
            Content::Exposure(Exposure { on, ..*held })
        }
        Shown::Description(_) | Shown::Findings(_) => {
            return Err(Error::invalid(
                "content",
                "この項目は、人の基本情報または発生届で訂正してください",
                "must be corrected in the basic items or in the notification",
            ));
        }
    };
    if given.is_like(held) { Ok(given) } else { Err(another_kind()) }
}

fn another_kind() -> Error {
    Error::invalid("content", "訂正前と同じ種類の内容を指定してください", "must be of the same kind as the fact")
}

impl From<Answered> for Answer {
    fn from(answered: Answered) -> Self {
        Self { item: answered.item, values: answered.values }
    }
}
