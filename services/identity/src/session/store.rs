//! SQL of sessions and refresh tokens.

use access::{CaseId, OrganisationId, SessionId, UserId};
use chassis::page;
use const_format::formatcp;
use data::Code;
use proto::identity::Role;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{ABSOLUTE, IDLE, Session};

const COLUMNS: &str = "session_id, subject, organisation_id, role, case_id, created_at, used_at, authenticated_at";

#[derive(FromRow)]
struct SessionRow {
    session_id: SessionId,
    subject: UserId,
    organisation_id: OrganisationId,
    role: Code<Role>,
    case_id: Option<CaseId>,
    created_at: OffsetDateTime,
    used_at: OffsetDateTime,
    authenticated_at: OffsetDateTime,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.session_id,
            subject: row.subject,
            organisation_id: row.organisation_id,
            role: row.role.0,
            case_id: row.case_id,
            created_at: row.created_at,
            used_at: row.used_at,
            authenticated_at: row.authenticated_at,
        }
    }
}

pub(crate) async fn insert(conn: &mut PgConnection, session: &Session) -> sqlx::Result<()> {
    sqlx::query(formatcp!("insert into session ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)"))
        .bind(session.id)
        .bind(session.subject)
        .bind(session.organisation_id)
        .bind(Code(session.role))
        .bind(session.case_id)
        .bind(session.created_at)
        .bind(session.used_at)
        .bind(session.authenticated_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// A session that has not ended, locked against its twin.
pub(crate) async fn lock(conn: &mut PgConnection, id: SessionId) -> sqlx::Result<Option<Session>> {
    let row: Option<SessionRow> = sqlx::query_as(formatcp!(
        "select {COLUMNS} from session where session_id = $1 and ended_at is null for update"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Session::from))
}

/// A page of a subject's sessions that have not ended by themselves or otherwise, newest first.
pub(crate) async fn page(
    conn: &mut PgConnection,
    subject: UserId,
    now: OffsetDateTime,
    after: page::After,
    limit: i64,
) -> sqlx::Result<Vec<Session>> {
    let rows: Vec<SessionRow> = sqlx::query_as(formatcp!(
        "select {COLUMNS} from session
         where subject = $1 and ended_at is null and used_at >= $2 and created_at >= $3
           and (created_at, session_id) < (timestamptz 'epoch' + $4 * interval '1 microsecond', $5)
         order by created_at desc, session_id desc limit $6"
    ))
    .bind(subject)
    .bind(now - IDLE)
    .bind(now - ABSOLUTE)
    .bind(after.micros)
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Session::from).collect())
}

/// Its tokens were renewed.
pub(crate) async fn touch(conn: &mut PgConnection, id: SessionId, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query("update session set used_at = $2 where session_id = $1").bind(id).bind(now).execute(conn).await?;
    Ok(())
}

/// Both factors were given again within the session. `None` where it has ended.
pub(crate) async fn step_up(
    conn: &mut PgConnection,
    id: SessionId,
    now: OffsetDateTime,
) -> sqlx::Result<Option<Session>> {
    let row: Option<SessionRow> = sqlx::query_as(formatcp!(
        "update session set authenticated_at = $2, used_at = $2, failures = 0
         where session_id = $1 and ended_at is null returning {COLUMNS}"
    ))
    .bind(id)
    .bind(now)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Session::from))
}

/// Counts an attempt to step up, or at the password, on the session. `false` where there were too many.
pub(crate) async fn count_attempt(conn: &mut PgConnection, id: SessionId, most: i32) -> sqlx::Result<bool> {
    sqlx::query_scalar("update session set failures = failures + 1 where session_id = $1 returning failures <= $2")
        .bind(id)
        .bind(most)
        .fetch_one(conn)
        .await
}

pub(crate) async fn end(conn: &mut PgConnection, id: SessionId, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query("update session set ended_at = $2 where session_id = $1 and ended_at is null")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends every session of a subject, except for one. Returns those that ended.
pub(crate) async fn end_all(
    conn: &mut PgConnection,
    subject: UserId,
    but: Option<SessionId>,
    now: OffsetDateTime,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar(
        "update session set ended_at = $3
         where subject = $1 and ended_at is null and ($2::uuid is null or session_id <> $2) returning session_id",
    )
    .bind(subject)
    .bind(but)
    .bind(now)
    .fetch_all(conn)
    .await
}

#[derive(Clone, Debug, FromRow)]
pub(crate) struct RefreshToken {
    pub session_id: SessionId,
    pub used_at: Option<OffsetDateTime>,
    /// Sealed.
    pub successor: Option<Vec<u8>>,
}

pub(crate) async fn insert_refresh(
    conn: &mut PgConnection,
    hash: &[u8],
    session: SessionId,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query("insert into refresh_token (token_hash, session_id, created_at) values ($1, $2, $3)")
        .bind(hash)
        .bind(session)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn lock_refresh(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<RefreshToken>> {
    sqlx::query_as("select session_id, used_at, successor from refresh_token where token_hash = $1 for update")
        .bind(hash)
        .fetch_optional(conn)
        .await
}

pub(crate) async fn use_refresh(
    conn: &mut PgConnection,
    hash: &[u8],
    successor: &[u8],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query("update refresh_token set used_at = $3, successor = $2 where token_hash = $1")
        .bind(hash)
        .bind(successor)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether a refresh token has been used.
pub(crate) async fn is_used(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from refresh_token where token_hash = $1 and used_at is not null)")
        .bind(hash)
        .fetch_one(conn)
        .await
}
