//! SQL of the credentials of patients and proxies.

use access::{CaseId, UserId};
use const_format::formatcp;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::factor::{COUNT, Rests};

pub(super) struct NewCredential<'a> {
    pub case_id: CaseId,
    pub access_hash: &'a [u8],
    pub birth_hash: &'a [u8],
    /// Sealed.
    pub contact: &'a [u8],
}

/// Keeps a patient's credential. `true` where another access ID took the place of an old one.
pub(super) async fn upsert(conn: &mut PgConnection, new: &NewCredential<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "insert into patient as p (case_id, access_hash, birth_hash, contact) values ($1, $2, $3, $4)
         on conflict (case_id) do update
         set access_hash = excluded.access_hash, birth_hash = excluded.birth_hash, contact = excluded.contact,
             -- A new ID opens again what was revoked with the old one.
             revoked_at = case when p.access_hash = excluded.access_hash then p.revoked_at end,
             code_hash = case when p.access_hash = excluded.access_hash then p.code_hash end
         returning old.access_hash is not null and old.access_hash <> new.access_hash",
    )
    .bind(new.case_id)
    .bind(new.access_hash)
    .bind(new.birth_hash)
    .bind(new.contact)
    .fetch_one(conn)
    .await
}

/// The credential of a patient or a proxy.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Credential {
    /// The case of a patient; the proxy.
    pub subject: UserId,
    pub is_proxy: bool,
    pub birth_hash: Vec<u8>,
    /// Sealed.
    pub contact: Vec<u8>,
    /// As it was before this attempt.
    pub resting: bool,
    /// Revoked or dismissed.
    pub barred: bool,
}

/// Counts an attempt with an access ID before it is checked, with the rest it will cost. `None` where nobody has the ID.
pub(crate) async fn count_attempt(
    conn: &mut PgConnection,
    access_hash: &[u8],
    rests: Rests,
    now: OffsetDateTime,
) -> sqlx::Result<Option<Credential>> {
    let patient = sqlx::query_as(formatcp!(
        "update patient t set {COUNT} where access_hash = $4
         returning t.case_id as subject, false as is_proxy, t.birth_hash, t.contact,
                   old.next_try_at > $1 as resting, t.revoked_at is not null as barred"
    ))
    .bind(now)
    .bind(rests.least)
    .bind(rests.seconds)
    .bind(access_hash)
    .fetch_optional(&mut *conn)
    .await?;
    if patient.is_some() {
        return Ok(patient);
    }
    sqlx::query_as(formatcp!(
        "update proxy t set {COUNT} where access_hash = $4
         returning t.proxy_id as subject, true as is_proxy, t.birth_hash, t.contact,
                   old.next_try_at > $1 as resting,
                   t.dismissed_at is not null or t.confirmed_at is null as barred"
    ))
    .bind(now)
    .bind(rests.least)
    .bind(rests.seconds)
    .bind(access_hash)
    .fetch_optional(conn)
    .await
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Let {
    /// The patient.
    Patient,
    /// A proxy, to this case.
    Proxy(CaseId),
}

/// Both factors were right. `None` where access was barred meanwhile.
pub(crate) async fn let_in(conn: &mut PgConnection, subject: UserId) -> sqlx::Result<Option<Let>> {
    let patient = sqlx::query(
        "update patient set failures = 0, next_try_at = '-infinity' where case_id = $1 and revoked_at is null",
    )
    .bind(subject)
    .execute(&mut *conn)
    .await?;
    if patient.rows_affected() == 1 {
        return Ok(Some(Let::Patient));
    }
    let case: Option<CaseId> = sqlx::query_scalar(
        "update proxy set failures = 0, next_try_at = '-infinity' where proxy_id = $1 and dismissed_at is null and confirmed_at is not null
         returning case_id",
    )
    .bind(subject)
    .fetch_optional(conn)
    .await?;
    Ok(case.map(Let::Proxy))
}

/// The hash of a patient's printed code.
pub(crate) async fn printed_code(conn: &mut PgConnection, subject: UserId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select code_hash from patient where case_id = $1 and code_hash is not null")
        .bind(subject)
        .fetch_optional(conn)
        .await
}
