//! What a test reads of a world besides answers: its trail, and what a transaction has cost.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::World;

impl World {
    /// How many rows of each table this transaction has read so far, whatever for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rows_read(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<String, i64>> {
        let read = "select relname::text, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables";
        let rows: Vec<(String, i64)> = sqlx::query_as(read).fetch_all(conn).await?;
        Ok(rows.into_iter().filter(|(_, read)| *read > 0).collect())
    }

    /// What the audit trail says of an RPC or an event: user, record and field groups of each row.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audited(&self, rpc: &str) -> anyhow::Result<Vec<Audited>> {
        let rows =
            sqlx::query_as("select user_id, record, field_groups, on_behalf_of from audit where rpc = $1 order by id")
                .bind(rpc)
                .fetch_all(&self.base.pool)
                .await?;
        Ok(rows)
    }
}

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Audited {
    /// The account that acted; `None` for a service.
    #[sqlx(rename = "user_id")]
    pub user: Option<Uuid>,
    /// The record that was shown or written.
    pub record: Uuid,
    /// The field groups shown or written.
    #[sqlx(rename = "field_groups")]
    pub groups: Vec<i16>,
    /// 代行入力.
    pub on_behalf_of: Option<Uuid>,
}
