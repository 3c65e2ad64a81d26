//! SQL of which notifications belong to which cases.

use access::CaseId;
use const_format::formatcp;
use proto::registry::{DiagnosisClass, Outcome};
use sqlx::PgConnection;

use super::model::NotificationId;
use crate::search::FormKeys;

const STILL_OPEN: i16 = Outcome::Unspecified as i16;
const NOT_NOTIFIED: i16 = DiagnosisClass::Unspecified as i16;
const JOINED: i16 = Outcome::EnteredInError as i16;

/// Open episodes by the blind index of their person, a few of each: those already notified before others, then the oldest.
pub(super) async fn open_cases(conn: &mut PgConnection, indexes: &[Vec<u8>]) -> sqlx::Result<Vec<(Vec<u8>, CaseId)>> {
    // One index after the other for each of them, whatever the planner knows of the tables: neither a join of all persons nor of all
    // open cases.
    sqlx::query_as(formatcp!(
        "select w.match_index, open.case_id
         from unnest($1::bytea[]) as w (match_index)
         cross join lateral (
             select c.case_id, c.diagnosis_class, c.created_at from person p
             cross join lateral (
                 select case_id, outcome, diagnosis_class, created_at from cases where person_id = p.person_id offset 0
             ) as c
             where p.match_index = w.match_index and c.outcome = {STILL_OPEN}
             order by c.diagnosis_class = {NOT_NOTIFIED}, c.created_at limit 5
         ) as open
         order by open.diagnosis_class = {NOT_NOTIFIED}, open.created_at"
    ))
    .bind(indexes)
    .fetch_all(conn)
    .await
}

/// Where cases that were joined go on.
pub(super) async fn joined_into(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, CaseId)>> {
    sqlx::query_as(formatcp!(
        "select case_id, same_person_case_id from cases
         where case_id = any($1) and outcome = {JOINED} and same_person_case_id is not null"
    ))
    .bind(cases)
    .fetch_all(conn)
    .await
}

pub(super) async fn link(conn: &mut PgConnection, links: &[(NotificationId, CaseId, FormKeys)]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_notification (notification_id, case_id, receipt_index, patient_number_index)
         select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[])",
    )
    .bind(links.iter().map(|(notification, ..)| *notification).collect::<Vec<_>>())
    .bind(links.iter().map(|(_, case, _)| *case).collect::<Vec<_>>())
    .bind(links.iter().map(|(.., keys)| keys.receipt.as_deref()).collect::<Vec<_>>())
    .bind(links.iter().map(|(.., keys)| keys.patient_number.as_deref()).collect::<Vec<_>>())
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
