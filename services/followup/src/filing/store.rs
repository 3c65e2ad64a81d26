//! SQL of notifications.

use std::collections::HashMap;

use access::{CaseId, OrganisationId};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::Filing;
use crate::worklist::NotificationId;

#[derive(FromRow)]
struct Row {
    notification_id: NotificationId,
    seq: i64,
    reporter: Option<OrganisationId>,
    centre: Option<OrganisationId>,
    case_id: Option<CaseId>,
    responsible: Option<OrganisationId>,
    missing: Vec<String>,
    lacks_since: Option<OffsetDateTime>,
    returned_at: Option<OffsetDateTime>,
    withdrawn: bool,
}

impl From<Row> for Filing {
    fn from(row: Row) -> Self {
        Self {
            id: row.notification_id,
            seq: row.seq,
            reporter: row.reporter,
            centre: row.centre,
            case_id: row.case_id,
            responsible: row.responsible,
            missing: row.missing,
            lacks_since: row.lacks_since,
            returned_at: row.returned_at,
            withdrawn: row.withdrawn,
        }
    }
}

/// Some notifications, locked in the order of their ids. Those that were not heard of are not among them.
pub(super) async fn lock(
    conn: &mut PgConnection,
    ids: &[NotificationId],
) -> sqlx::Result<HashMap<NotificationId, Filing>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select * from filing where notification_id = any($1) order by notification_id for no key update",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.notification_id, row.into())).collect())
}

/// Keeps what was heard of notifications, and reads back to which cases they belong: the registry may have said so meanwhile.
pub(super) async fn save(conn: &mut PgConnection, filings: &mut [Filing]) -> sqlx::Result<()> {
    if filings.is_empty() {
        return Ok(());
    }
    let cases: Vec<(NotificationId, Option<CaseId>, Option<OrganisationId>)> = sqlx::query_as(
        "insert into filing as f
             (notification_id, seq, reporter, centre, missing, lacks_since, returned_at, withdrawn)
         select n, seq, reporter, centre, coalesce(string_to_array(nullif(missing, ''), ','), '{}'), lacks_since,
                returned_at, withdrawn
         from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                     $8::boolean[])
              as w (n, seq, reporter, centre, missing, lacks_since, returned_at, withdrawn)
         on conflict (notification_id) do update
         set seq = excluded.seq, reporter = excluded.reporter, centre = excluded.centre, missing = excluded.missing,
             lacks_since = excluded.lacks_since, returned_at = excluded.returned_at, withdrawn = excluded.withdrawn
         returning notification_id, case_id, responsible",
    )
    .bind(filings.iter().map(|filing| filing.id).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.seq).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.reporter).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.centre).collect::<Vec<_>>())
    // Arrays of arrays are rectangles in PostgreSQL. An item is a number, such as `12.method`, and holds no comma.
    .bind(filings.iter().map(|filing| filing.missing.join(",")).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.lacks_since).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.returned_at).collect::<Vec<_>>())
    .bind(filings.iter().map(|filing| filing.withdrawn).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let cases: HashMap<NotificationId, _> =
        cases.into_iter().map(|(id, case, responsible)| (id, (case, responsible))).collect();
    for filing in filings {
        (filing.case_id, filing.responsible) = cases.get(&filing.id).copied().unwrap_or_default();
    }
    Ok(())
}

/// That a case says a notification is its own, and which centre is responsible for the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub(super) struct Claim {
    pub notification_id: NotificationId,
    pub case_id: CaseId,
    pub responsible: Option<OrganisationId>,
}

/// What some cases said of their notifications before. Nobody else changes that while versions of these cases are being taken.
pub(super) async fn claims(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Claim>> {
    sqlx::query_as("select notification_id, case_id, responsible from filing_case where case_id = any($1)")
        .bind(cases)
        .fetch_all(conn)
        .await
}

/// Locks some notifications, in the order of their ids, also those that were not heard of.
pub(super) async fn hold(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into filing as f (notification_id) select n from unnest($1::uuid[]) n order by n
         on conflict (notification_id) do update set seq = f.seq",
    )
    .bind(ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// Cases say no more that these notifications are theirs.
pub(super) async fn disclaim(conn: &mut PgConnection, claims: &[Claim]) -> sqlx::Result<()> {
    if claims.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from filing_case c using unnest($1::uuid[], $2::uuid[]) as w (notification_id, case_id)
         where c.notification_id = any($1) and c.notification_id = w.notification_id and c.case_id = w.case_id",
    )
    .bind(claims.iter().map(|claim| claim.notification_id).collect::<Vec<_>>())
    .bind(claims.iter().map(|claim| claim.case_id).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Cases say that these notifications are theirs.
pub(super) async fn claim(conn: &mut PgConnection, claims: &[Claim]) -> sqlx::Result<()> {
    if claims.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into filing_case (notification_id, case_id, responsible)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[])
         on conflict (notification_id, case_id) do update set responsible = excluded.responsible",
    )
    .bind(claims.iter().map(|claim| claim.notification_id).collect::<Vec<_>>())
    .bind(claims.iter().map(|claim| claim.case_id).collect::<Vec<_>>())
    .bind(claims.iter().map(|claim| claim.responsible).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets some notifications belong to a case that says they are its own. The one they belong to goes before others: it may have given
/// them up already, and then its next version says so. Without any they stay where they are. Returns what changed.
pub(super) async fn belong(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<Vec<Filing>> {
    let rows: Vec<Row> = sqlx::query_as(
        "with said as materialized (
             select distinct on (c.notification_id) c.notification_id, c.case_id, c.responsible
             from filing_case c join filing f using (notification_id)
             where c.notification_id = any($1)
             order by c.notification_id, coalesce(c.case_id = f.case_id, false) desc, c.case_id
         )
         update filing f set case_id = s.case_id, responsible = s.responsible
         from said s
         where f.notification_id = any($1) and f.notification_id = s.notification_id
           and (f.case_id is distinct from s.case_id or f.responsible is distinct from s.responsible)
         returning f.*",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Filing::from).collect())
}
