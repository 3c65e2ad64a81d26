//! Reading the trail: who touched a record, what an account touched, and the chain with its signatures.

use proto::operations::{AuditCheckpoint, AuditRow, SealedAuditRow};
use runtime::clock::to_proto;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of the trail as stored.
#[derive(FromRow)]
pub struct Stored {
    /// Its number in this service's trail.
    pub id: i64,
    at: OffsetDateTime,
    user_id: Option<Uuid>,
    organisation_id: Option<Uuid>,
    service: Option<String>,
    on_behalf_of: Option<Uuid>,
    rpc: String,
    record: Uuid,
    field_groups: Vec<i16>,
    request_id: Option<Uuid>,
    trace_id: String,
}

/// The columns of [`Stored`], from the audit table under the alias `a`.
pub const COLUMNS: &str = "a.id, a.at, a.user_id, a.organisation_id, a.service, a.on_behalf_of, a.rpc, a.record,
                                  a.field_groups, a.request_id, a.trace_id";

impl Stored {
    /// The row as it is sealed and shown.
    pub fn shown(self) -> AuditRow {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        AuditRow {
            id: self.id,
            call_time: Some(to_proto(self.at)),
            user_id: id(self.user_id),
            organisation_id: id(self.organisation_id),
            service: self.service.unwrap_or_default(),
            on_behalf_of_id: id(self.on_behalf_of),
            rpc: self.rpc,
            record_id: self.record.to_string(),
            field_groups: self.field_groups.into_iter().map(i32::from).collect(),
            request_id: id(self.request_id),
            trace_id: self.trace_id,
        }
    }
}

/// A search of the trail. A filter that is `None` matches every row.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Only rows about this record.
    pub record: Option<Uuid>,
    /// Only rows of this account.
    pub user: Option<Uuid>,
    /// Only rows at or after this moment.
    pub from: Option<OffsetDateTime>,
    /// Only rows before this moment.
    pub until: Option<OffsetDateTime>,
    /// Only rows with a lower id, for paging.
    pub before: i64,
    /// The most rows to return.
    pub limit: i64,
}

/// Rows of the trail, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn search(conn: &mut PgConnection, search: Search) -> sqlx::Result<Vec<AuditRow>> {
    // One statement per index: for an `or`, the planner may use neither index.
    let by = match search.record {
        Some(_) => "a.record = $1 and ($2::uuid is null or a.user_id = $2)",
        None => "a.user_id = $2 and $1::uuid is null",
    };
    let rows: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS} from audit a
         where {by} and a.id < $3 and ($4::timestamptz is null or a.at >= $4)
           and ($5::timestamptz is null or a.at < $5)
         order by a.id desc limit $6"
    )))
    .bind(search.record)
    .bind(search.user)
    .bind(search.before)
    .bind(search.from)
    .bind(search.until)
    .bind(search.limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Stored::shown).collect())
}

/// Sealed rows after a place in the chain, in order.
///
/// # Errors
/// When the database refuses.
pub async fn sealed(conn: &mut PgConnection, after_place: i64, limit: i64) -> sqlx::Result<Vec<SealedAuditRow>> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select s.place, s.seal, a.id is not null as present, {COLUMNS}
         from audit_seal s left join audit a on a.id = s.audit_id where s.place > $1 order by s.place limit $2"
    )))
    .bind(after_place)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let present: bool = row.try_get("present")?;
            let stored = if present { Some(Stored::from_row(row)?.shown()) } else { None };
            Ok(SealedAuditRow { place: row.try_get("place")?, row: stored, seal: row.try_get("seal")? })
        })
        .collect()
}

/// How many rows lack a seal they should have. Up to the sealer's cursor, rows in excess of seals were inserted later.
/// Beyond it, a row older than a minute means that the sealer is not working.
///
/// # Errors
/// When the database refuses.
pub async fn unsealed(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select greatest(0, (select count(*) from audit a, audit_sealed s
                             where (a.xid, a.id) <= (s.xid, s.audit_id))
                            - (select coalesce(max(place), 0) from audit_seal))
              + (select count(*) from audit a, audit_sealed s
                 where (a.xid, a.id) > (s.xid, s.audit_id) and a.at < now() - interval '1 minute')",
    )
    .fetch_one(conn)
    .await
}

/// Signed checkpoints after a place in the chain, in order.
///
/// # Errors
/// When the database refuses.
pub async fn checkpoints(conn: &mut PgConnection, after_place: i64, limit: i64) -> sqlx::Result<Vec<AuditCheckpoint>> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("select place, signature from audit_checkpoint where place > $1 order by place limit $2")
            .bind(after_place)
            .bind(limit)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(place, signature)| AuditCheckpoint { place, signature }).collect())
}
