//! Reading the trail: who touched a record, what an account touched, and the chain with its signatures.

use proto::operations::{AuditCheckpoint, AuditRow, SealedAuditRow};
use runtime::clock::to_proto;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::seal::GENESIS;

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

/// The organisation of an account when it last acted here; `None` where it never did.
///
/// # Errors
/// When the database refuses.
pub async fn organisation_of(conn: &mut PgConnection, user: Uuid) -> sqlx::Result<Option<Uuid>> {
    // A caller acts for an organisation, always: the condition drops nothing.
    sqlx::query_scalar(
        "select organisation_id from audit where user_id = $1 and organisation_id is not null
         order by id desc limit 1",
    )
    .bind(user)
    .fetch_optional(conn)
    .await
}

/// A row of the trail, by its number.
///
/// # Errors
/// When the database refuses.
pub async fn row(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<AuditRow>> {
    let row: Option<Stored> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("select {COLUMNS} from audit a where a.id = $1")))
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(Stored::shown))
}

/// Where a row stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub place: i64,
    /// The seal of the place before.
    pub before: Vec<u8>,
    /// The seal of the row.
    pub seal: Vec<u8>,
}

/// The place of a row; `None` while it is not sealed. Rows are sealed in one order, so the place is found by halving: the chain needs
/// no index by row, which every sealing would pay for.
///
/// # Errors
/// When the database refuses.
pub async fn place_of(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<Place>> {
    let found: Option<(i64, Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "with recursive wanted as (select xid, id from audit where id = $1),
         search (low, high) as (
             select 1::bigint, coalesce((select max(place) from audit_seal), 0)
             union all
             select case when (a.xid, a.id) < (w.xid, w.id) then m.middle + 1 else s.low end,
                    case when (a.xid, a.id) < (w.xid, w.id) then s.high else m.middle end
             from search s
             cross join lateral (select (s.low + s.high) / 2 as middle) m
             join audit_seal p on p.place = m.middle
             join audit a on a.id = p.audit_id
             cross join wanted w
             where s.low < s.high
         )
         select p.place, p.seal, b.seal
         from search s
         join audit_seal p on p.place = s.low and p.audit_id = $1
         left join audit_seal b on b.place = p.place - 1
         where s.low = s.high",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|(place, seal, before)| Place { place, before: before.unwrap_or_else(|| GENESIS.to_vec()), seal }))
}

/// The first signature over the chain at a place or after it.
///
/// # Errors
/// When the database refuses.
pub async fn checkpoint_over(conn: &mut PgConnection, place: i64) -> sqlx::Result<Option<AuditCheckpoint>> {
    let row: Option<(i64, String)> =
        sqlx::query_as("select place, signature from audit_checkpoint where place >= $1 order by place limit 1")
            .bind(place)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(place, signature)| AuditCheckpoint { place, signature }))
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
