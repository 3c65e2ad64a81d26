//! SQL of which notifications belong to which cases.

use access::CaseId;
use const_format::formatcp;
use proto::registry::{DiagnosisClass, Outcome};
use sqlx::PgConnection;

use super::model::NotificationId;

const STILL_OPEN: i16 = Outcome::Unspecified as i16;
const NOT_NOTIFIED: i16 = DiagnosisClass::Unspecified as i16;

/// Open episodes by the blind index of their person: the one already notified before others, then the newest.
pub(super) async fn open_cases(conn: &mut PgConnection, indexes: &[Vec<u8>]) -> sqlx::Result<Vec<(Vec<u8>, CaseId)>> {
    sqlx::query_as(formatcp!(
        "select distinct on (p.match_index) p.match_index, c.case_id
         from person p join cases c using (person_id)
         where p.match_index = any($1) and c.outcome = {STILL_OPEN}
         order by p.match_index, c.diagnosis_class = {NOT_NOTIFIED}, c.created_at desc"
    ))
    .bind(indexes)
    .fetch_all(conn)
    .await
}

pub(super) async fn link(conn: &mut PgConnection, links: &[(NotificationId, CaseId)]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_notification (notification_id, case_id) select * from unnest($1::uuid[], $2::uuid[])",
    )
    .bind(links.iter().map(|(notification, _)| *notification).collect::<Vec<_>>())
    .bind(links.iter().map(|(_, case)| *case).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The notifications of some cases.
pub(crate) async fn of_cases(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, NotificationId)>> {
    sqlx::query_as(
        "select case_id, notification_id from case_notification where case_id = any($1) order by notification_id",
    )
    .bind(cases)
    .fetch_all(conn)
    .await
}

/// The case a notification belongs to.
pub(super) async fn case_of(conn: &mut PgConnection, notification: NotificationId) -> sqlx::Result<Option<CaseId>> {
    sqlx::query_scalar("select case_id from case_notification where notification_id = $1")
        .bind(notification)
        .fetch_optional(conn)
        .await
}
