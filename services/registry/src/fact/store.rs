//! SQL of facts. They are added, never changed.

use access::{CaseId, OrganisationId, UserId};
use data::Code;
use prost::Message as _;
use proto::registry::{Authority, Channel, FactContent, FactSource};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;
use vault::Place;

use super::{
    model::{Content, Fact, FactId, Slot, Source},
    view,
};

/// Why a fact was corrected or withdrawn: free text, which may name people.
pub(crate) const REASON: Place = Place { table: "fact", column: "reason" };

#[derive(FromRow)]
struct Row {
    fact_id: FactId,
    case_id: CaseId,
    subject_id: FactId,
    content: Option<Vec<u8>>,
    authority: Code<Authority>,
    recorded_at: OffsetDateTime,
    organisation_id: Option<OrganisationId>,
    user_id: Option<UserId>,
    on_behalf_of: Option<OrganisationId>,
    channel: Code<Channel>,
    told_at: Option<OffsetDateTime>,
    source: Code<FactSource>,
    source_id: Option<Uuid>,
    source_version: i32,
    slot: i16,
    reason: Option<Vec<u8>>,
}

impl Row {
    fn read(self) -> sqlx::Result<Fact> {
        let content = self.content.map(|bytes| content(&bytes)).transpose()?;
        let source = match (self.source.0, self.source_id) {
            (FactSource::Notification, Some(id)) => {
                Source::Notification { id: id.into(), version: self.source_version, slot: Slot(self.slot) }
            }
            (FactSource::Admission, Some(id)) => Source::Admission(id),
            _ => Source::Record,
        };
        Ok(Fact {
            id: self.fact_id,
            case_id: self.case_id,
            subject: self.subject_id,
            content,
            authority: self.authority.0,
            recorded_at: self.recorded_at,
            organisation: self.organisation_id,
            user: self.user_id,
            on_behalf_of: self.on_behalf_of,
            channel: self.channel.0,
            told_at: self.told_at,
            source,
            reason: self.reason,
        })
    }
}

fn content(bytes: &[u8]) -> sqlx::Result<Content> {
    let message = FactContent::decode(bytes).map_err(|error| sqlx::Error::Decode(error.into()))?;
    view::stored(&message).ok_or_else(|| sqlx::Error::Decode("a fact says nothing that this version knows".into()))
}

/// Every fact of some cases, in the order of their ids.
pub(crate) async fn of_cases(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Fact>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select fact_id, case_id, subject_id, content, authority, recorded_at, organisation_id, user_id, on_behalf_of,
                channel, told_at, source, source_id, source_version, slot, reason
         from fact where case_id = any($1) order by case_id, fact_id",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Adds facts, all in one statement.
pub(crate) async fn insert(conn: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let source = |fact: &Fact| match fact.source {
        Source::Record => (FactSource::Record, None, 0, 0),
        Source::Notification { id, version, slot } => (FactSource::Notification, Some(id.uuid()), version, slot.0),
        Source::Admission(id) => (FactSource::Admission, Some(id), 0, 0),
    };
    sqlx::query(
        "insert into fact
             (fact_id, case_id, subject_id, content, authority, recorded_at, organisation_id, user_id, on_behalf_of,
              channel, told_at, source, source_id, source_version, slot, reason)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[], $5::smallint[], $6::timestamptz[],
              $7::uuid[], $8::uuid[], $9::uuid[], $10::smallint[], $11::timestamptz[], $12::smallint[], $13::uuid[],
              $14::int[], $15::smallint[], $16::bytea[])",
    )
    .bind(column(facts, |fact| fact.id))
    .bind(column(facts, |fact| fact.case_id))
    .bind(column(facts, |fact| fact.subject))
    .bind(column(facts, |fact| fact.content.as_ref().map(|content| view::content(content).encode_to_vec())))
    .bind(column(facts, |fact| Code(fact.authority)))
    .bind(column(facts, |fact| fact.recorded_at))
    .bind(column(facts, |fact| fact.organisation))
    .bind(column(facts, |fact| fact.user))
    .bind(column(facts, |fact| fact.on_behalf_of))
    .bind(column(facts, |fact| Code(fact.channel)))
    .bind(column(facts, |fact| fact.told_at))
    .bind(column(facts, |fact| Code(source(fact).0)))
    .bind(column(facts, |fact| source(fact).1))
    .bind(column(facts, |fact| source(fact).2))
    .bind(column(facts, |fact| source(fact).3))
    .bind(column(facts, |fact| fact.reason.clone()))
    .execute(conn)
    .await?;
    Ok(())
}

fn column<T>(facts: &[Fact], read: impl Fn(&Fact) -> T) -> Vec<T> {
    facts.iter().map(read).collect()
}
