//! Reports that become due: opened in one place, so that a person who is observed is always awaited, and nobody after the
//! last day.

use std::collections::HashMap;

use runtime::clock::day_in_japan;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::domain;

/// A report that is to become due.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub case_id: Uuid,
    /// When the one before was due.
    pub opens_at: OffsetDateTime,
    pub due_at: OffsetDateTime,
    /// The agreed times, for the next moment should this one have been answered already.
    pub times: Vec<String>,
    /// No report is due after this day.
    pub last_day: Option<Date>,
}

impl Wanted {
    /// Whether it would lie after the last day.
    pub(crate) fn is_over(&self) -> bool {
        self.last_day.is_some_and(|last| day_in_japan(self.due_at) > last)
    }
}

/// How many answered moments may follow each other.
const AHEAD: usize = 64;

/// Opens slots. A moment that was answered or missed before is passed over for the next one; one that was void is open
/// again. Returns when each is due; a case is missing where that would lie after its last day: its observation is over.
pub(crate) async fn open(conn: &mut PgConnection, wanted: Vec<Wanted>) -> sqlx::Result<HashMap<Uuid, OffsetDateTime>> {
    let mut opened = HashMap::new();
    let mut waiting = wanted;
    for _ in 0..AHEAD {
        waiting.retain(|slot| !slot.is_over());
        if waiting.is_empty() {
            return Ok(opened);
        }
        for (case, due_at) in insert(conn, &waiting).await? {
            opened.insert(case, due_at);
        }
        waiting.retain(|slot| !opened.contains_key(&slot.case_id));
        for slot in &mut waiting {
            slot.due_at = domain::next_due(slot.due_at, &slot.times);
        }
    }
    // Two months of answered moments ahead: nobody reports like that. Better an error than a person nobody awaits.
    if waiting.is_empty() { Ok(opened) } else { Err(sqlx::Error::RowNotFound) }
}

async fn insert(conn: &mut PgConnection, slots: &[Wanted]) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    sqlx::query_as(
        "insert into slot (case_id, opens_at, due_at, state)
         select *, 1 from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
         on conflict (case_id, due_at) do update set state = 1, opens_at = excluded.opens_at where slot.state = 4
         returning case_id, due_at",
    )
    .bind(slots.iter().map(|s| s.case_id).collect::<Vec<_>>())
    .bind(slots.iter().map(|s| s.opens_at).collect::<Vec<_>>())
    .bind(slots.iter().map(|s| s.due_at).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}
