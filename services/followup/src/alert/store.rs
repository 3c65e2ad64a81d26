//! SQL of alerts.

use access::{CaseId, OrganisationId, UserId};
use data::Code;
use proto::followup::AlertLevel;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Alert, AlertId, Worry};
use crate::report::ReportId;

#[derive(FromRow)]
struct Row {
    alert_id: AlertId,
    case_id: CaseId,
    version: i64,
    level: Code<AlertLevel>,
    reasons: Vec<Code<Worry>>,
    raised_at: OffsetDateTime,
    owner: Option<OrganisationId>,
    owner_user: Option<UserId>,
    acknowledged_at: Option<OffsetDateTime>,
}

impl From<Row> for Alert {
    fn from(row: Row) -> Self {
        Self {
            id: row.alert_id,
            case_id: row.case_id,
            version: row.version,
            level: row.level.0,
            worries: row.reasons.into_iter().map(|reason| reason.0).collect(),
            raised_at: row.raised_at,
            owner: row.owner,
            taken_by: row.owner_user,
            acknowledged_at: row.acknowledged_at,
        }
    }
}

pub(crate) async fn insert(conn: &mut PgConnection, alert: &Alert, report: ReportId) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alert (alert_id, version, case_id, report_id, level, reasons, raised_at, owner)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(alert.id)
    .bind(alert.version)
    .bind(alert.case_id)
    .bind(report)
    .bind(Code(alert.level))
    .bind(alert.worries.iter().map(|worry| Code(*worry)).collect::<Vec<_>>())
    .bind(alert.raised_at)
    .bind(alert.owner)
    .execute(conn)
    .await?;
    Ok(())
}

/// The latest alerts of a case, newest first.
pub(crate) async fn latest(conn: &mut PgConnection, case: CaseId, limit: i64) -> sqlx::Result<Vec<Alert>> {
    let rows: Vec<Row> = sqlx::query_as("select * from alert where case_id = $1 order by raised_at desc limit $2")
        .bind(case)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Alert::from).collect())
}

/// An alert, locked for a change.
pub(crate) async fn lock(conn: &mut PgConnection, id: AlertId) -> sqlx::Result<Option<Alert>> {
    let row: Option<Row> =
        sqlx::query_as("select * from alert where alert_id = $1 for update").bind(id).fetch_optional(conn).await?;
    Ok(row.map(Alert::from))
}

/// Keeps who took an alert.
pub(crate) async fn take(conn: &mut PgConnection, alert: &Alert) -> sqlx::Result<()> {
    sqlx::query("update alert set version = $2, owner_user = $3, acknowledged_at = $4 where alert_id = $1")
        .bind(alert.id)
        .bind(alert.version)
        .bind(alert.taken_by)
        .bind(alert.acknowledged_at)
        .execute(conn)
        .await?;
    Ok(())
}
