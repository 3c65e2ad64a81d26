//! Announcing: an event is written in the transaction of the fact it reports.

use std::sync::Arc;

use prost::{Message, Name};
use runtime::trace::{self, TraceContext};
use sqlx::PgConnection;
use tokio::sync::Notify;
use uuid::Uuid;

/// Wakes the relay of this process after a commit; other processes' relays look every tenth of a second.
#[derive(Clone, Debug, Default)]
pub struct Wake(pub(crate) Arc<Notify>);

impl Wake {
    /// Wakes the relay. Call it after the commit.
    pub fn relay(&self) {
        self.0.notify_one();
    }
}

/// Adds an event to the log, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn add(conn: &mut PgConnection, message: &impl Name) -> sqlx::Result<()> {
    add_all(conn, std::slice::from_ref(message)).await
}

/// Adds several events of one type to the log, in order, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn add_all<M: Message + Name>(conn: &mut PgConnection, messages: &[M]) -> sqlx::Result<()> {
    let here = trace::current().header();
    let traced: Vec<(&str, &M)> = messages.iter().map(|message| (here.as_str(), message)).collect();
    add_traced(conn, &traced).await
}

/// Adds several events, each with the `traceparent` it continues: a batch answers events of several traces.
///
/// # Errors
/// When the database refuses.
pub async fn add_traced<M: Message + Name>(conn: &mut PgConnection, messages: &[(&str, &M)]) -> sqlx::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let r#type = proto::event(&M::full_name())
        .ok_or_else(|| sqlx::Error::Encode(format!("{} is not an event", M::full_name()).into()))?;
    let ids: Vec<Uuid> = messages.iter().map(|_| Uuid::now_v7()).collect();
    let payloads: Vec<Vec<u8>> = messages.iter().map(|(_, message)| message.encode_to_vec()).collect();
    let here = trace::current().header();
    let sound = |given: &'_ str| TraceContext::parse(given).is_some();
    let traces: Vec<&str> =
        messages.iter().map(|(given, _)| if sound(given) { *given } else { here.as_str() }).collect();
    sqlx::query(
        "insert into outbox (id, type, payload, traceparent)
         select id, $2, payload, trace
         from unnest($1::uuid[], $3::bytea[], $4::text[]) with ordinality as e (id, payload, trace, n) order by n",
    )
    .bind(&ids)
    .bind(r#type)
    .bind(&payloads)
    .bind(&traces)
    .execute(conn)
    .await
    .map(|_| ())
}
