//! Announcing: an event leaves in the transaction of the fact it tells.

use std::sync::Arc;

use prost::Message;
use runtime::trace;
use sqlx::PgConnection;
use tokio::sync::Notify;
use uuid::Uuid;

/// Wakes the relay of this process after a commit; other processes' relays look every tenth of a second.
#[derive(Clone, Debug, Default)]
pub struct Wake(pub(crate) Arc<Notify>);

impl Wake {
    /// Something was committed.
    pub fn relay(&self) {
        self.0.notify_one();
    }
}

/// Adds an event to the log, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn add(conn: &mut PgConnection, r#type: &str, message: &impl Message) -> sqlx::Result<()> {
    add_all(conn, r#type, std::slice::from_ref(message)).await
}

/// Adds several events of one type to the log, in order, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn add_all<M: Message>(conn: &mut PgConnection, r#type: &str, messages: &[M]) -> sqlx::Result<()> {
    let here = trace::current().header();
    let traced: Vec<(&str, &M)> = messages.iter().map(|message| (here.as_str(), message)).collect();
    add_traced(conn, r#type, &traced).await
}

/// The same, each event under a trace of its own: a batch carries on the traces of what it answers.
///
/// # Errors
/// When the database refuses.
pub async fn add_traced<M: Message>(
    conn: &mut PgConnection,
    r#type: &str,
    messages: &[(&str, &M)],
) -> sqlx::Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = messages.iter().map(|_| Uuid::now_v7()).collect();
    let payloads: Vec<Vec<u8>> = messages.iter().map(|(_, message)| message.encode_to_vec()).collect();
    let traces: Vec<&str> = messages.iter().map(|(trace, _)| *trace).collect();
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
