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
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = messages.iter().map(|_| Uuid::now_v7()).collect();
    let payloads: Vec<Vec<u8>> = messages.iter().map(Message::encode_to_vec).collect();
    sqlx::query(
        "insert into outbox (id, type, payload, traceparent)
         select id, $2, payload, $4 from unnest($1::uuid[], $3::bytea[]) with ordinality as e (id, payload, n) order by n",
    )
    .bind(&ids)
    .bind(r#type)
    .bind(&payloads)
    .bind(trace::current().header())
    .execute(conn)
    .await
    .map(|_| ())
}
