//! Reports that become due: opened in one place, so that a person who is observed is always awaited, and nobody after the last day.

use std::collections::HashMap;

use access::CaseId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    model::{Due, next_due},
    store,
};

/// How many answered moments may follow each other: two months of them.
const AHEAD: usize = 64;

/// Opens slots. A moment that was answered or missed before is passed over for the next one; one that was void is open again.
/// Returns when each is due; a case is missing where that would lie after its last day: its observation is over.
pub(crate) async fn open(conn: &mut PgConnection, due: Vec<Due>) -> sqlx::Result<HashMap<CaseId, OffsetDateTime>> {
    let mut opened = HashMap::new();
    let mut waiting = due;
    for _ in 0..AHEAD {
        waiting.retain(|due| !due.is_over());
        if waiting.is_empty() {
            return Ok(opened);
        }
        opened.extend(store::open_slots(conn, &waiting).await?);
        waiting.retain(|due| !opened.contains_key(&due.case_id));
        for due in &mut waiting {
            due.slot.due_at = next_due(due.slot.due_at, &due.times);
        }
    }
    // Nobody reports like that. Better an error than a person nobody awaits.
    if waiting.is_empty() {
        Ok(opened)
    } else {
        Err(sqlx::Error::Protocol("every moment ahead is answered".to_owned()))
    }
}
