//! SQL that finds the open cases of a person, and joins two.

use std::collections::HashMap;

use access::CaseId;
use const_format::formatcp;
use proto::registry::{DiagnosisClass, Outcome};
use sqlx::PgConnection;

use super::model::Known;
use crate::case::{self, Grant};

const STILL_OPEN: i16 = Outcome::Unspecified as i16;
const NOT_NOTIFIED: i16 = DiagnosisClass::Unspecified as i16;

/// Nobody else opens a case of these persons until this transaction ends. In one order, so that nobody waits in a circle.
pub(crate) async fn lock_persons(conn: &mut PgConnection, indexes: &[Vec<u8>]) -> sqlx::Result<()> {
    sqlx::query(
        "select pg_advisory_xact_lock(key)
         from (select distinct hashtextextended(encode(i, 'hex'), 0) as key from unnest($1::bytea[]) i order by 1) k",
    )
    .bind(indexes)
    .execute(conn)
    .await?;
    Ok(())
}

/// The open cases of a person by the blind index: the one already notified before others, then the oldest. They are read, not locked:
/// whoever does not know them holds nobody up.
pub(crate) async fn open_of(conn: &mut PgConnection, index: Option<&[u8]>) -> sqlx::Result<Vec<Known>> {
    let Some(index) = index else { return Ok(Vec::new()) };
    lock_persons(conn, &[index.to_vec()]).await?;
    let ids: Vec<CaseId> = sqlx::query_scalar(formatcp!(
        "select c.case_id from person p
         cross join lateral (
             select case_id, outcome, diagnosis_class, created_at from cases where person_id = p.person_id offset 0
         ) as c
         where p.match_index = $1 and c.outcome = {STILL_OPEN}
         order by c.diagnosis_class = {NOT_NOTIFIED}, c.created_at limit 20"
    ))
    .bind(index)
    .fetch_all(&mut *conn)
    .await?;
    let mut held: HashMap<CaseId, Vec<Grant>> = HashMap::new();
    for grant in case::grants_of(conn, &ids).await? {
        held.entry(grant.case_id).or_default().push(grant);
    }
    Ok(ids.into_iter().map(|id| Known { held: held.remove(&id).unwrap_or_default(), id }).collect())
}

/// The exposures of a case are listed for another one, too.
pub(super) async fn list_contacts_of(conn: &mut PgConnection, from: CaseId, into: CaseId) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_contact (index_case_id, contact_id, listed_at)
         select index_case_id, $2, listed_at from case_contact where contact_id = $1 and index_case_id <> $2
         on conflict do nothing",
    )
    .bind(from)
    .bind(into)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a case has contacts, or answers of a section.
pub(super) async fn has_more(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from case_contact where index_case_id = $1)
             or exists (select from case_section where case_id = $1)",
    )
    .bind(case)
    .fetch_one(conn)
    .await
}
