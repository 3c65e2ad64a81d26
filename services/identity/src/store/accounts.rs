//! Accounts beyond signing in: lists, changes, devices, recovery codes, other systems.

use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

/// An account as administrators see it.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct UserRow {
    pub user_id: Uuid,
    pub login: String,
    pub organisation_id: Uuid,
    pub role: i16,
    pub holder_sealed: Option<Vec<u8>>,
    pub secret_is_initial: bool,
    pub failures: i32,
    pub disabled_at: Option<OffsetDateTime>,
    pub issued_by: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub last_sign_in_at: Option<OffsetDateTime>,
    pub hidden: i32,
    pub terms_version: i32,
}

/// The IDs of an organisation in the order of their issue.
pub(crate) async fn page(
    conn: &mut PgConnection,
    organisation: Uuid,
    after: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<UserRow>> {
    sqlx::query_as(
        "select user_id, login, organisation_id, role, holder_sealed, secret_is_initial, failures, disabled_at,
                issued_by, created_at, last_sign_in_at, hidden, terms_version
         from account where organisation_id = $1 and user_id > $2 order by user_id limit $3",
    )
    .bind(organisation)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// One ID, locked.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<UserRow>> {
    sqlx::query_as(
        "select user_id, login, organisation_id, role, holder_sealed, secret_is_initial, failures, disabled_at,
                issued_by, created_at, last_sign_in_at, hidden, terms_version
         from account where user_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn change(conn: &mut PgConnection, id: Uuid, role: i16, hidden: i32) -> sqlx::Result<()> {
    sqlx::query("update account set role = $2, hidden = $3 where user_id = $1")
        .bind(id)
        .bind(role)
        .bind(hidden)
        .execute(conn)
        .await?;
    Ok(())
}

/// Starts over: a new initial secret, no factor, no device, no recovery code.
pub(crate) async fn reset(
    conn: &mut PgConnection,
    id: Uuid,
    secret_hash: &str,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "update account set secret_hash = $2, secret_is_initial = true, secret_expires_at = $3, totp_sealed = null,
                -- Another authenticator counts its own steps.
                totp_last_step = 0, failures = 0, next_try_at = '-infinity'
         where user_id = $1",
    )
    .bind(id)
    .bind(secret_hash)
    .bind(expires_at)
    .execute(&mut *conn)
    .await?;
    sqlx::query("delete from challenge where subject = $1").bind(id).execute(&mut *conn).await?;
    sqlx::query("delete from device where user_id = $1").bind(id).execute(&mut *conn).await?;
    sqlx::query("delete from recovery_code where user_id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// Ends every session of a subject, except for one.
pub(crate) async fn end_sessions(conn: &mut PgConnection, subject: Uuid, but: Option<Uuid>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "update session set ended_at = now()
         where subject = $1 and ended_at is null and ($2::uuid is null or session_id <> $2) returning session_id",
    )
    .bind(subject)
    .bind(but)
    .fetch_all(conn)
    .await
}

/// Counts an attempt to step up, or at the password, on the session. `false` where there were too many.
pub(crate) async fn count_on_session(conn: &mut PgConnection, id: Uuid, most: i32) -> sqlx::Result<bool> {
    sqlx::query_scalar("update session set failures = failures + 1 where session_id = $1 returning failures <= $2")
        .bind(id)
        .bind(most)
        .fetch_one(conn)
        .await
}

/// Sessions of a subject that have not ended: id, beginning, last use.
pub(crate) async fn sessions(
    conn: &mut PgConnection,
    subject: Uuid,
) -> sqlx::Result<Vec<(Uuid, OffsetDateTime, OffsetDateTime)>> {
    sqlx::query_as(
        "select session_id, created_at, used_at from session
         where subject = $1 and ended_at is null and created_at > now() - interval '12 hours'
         order by created_at desc limit 100",
    )
    .bind(subject)
    .fetch_all(conn)
    .await
}

pub(crate) async fn set_password(conn: &mut PgConnection, id: Uuid, secret_hash: &str) -> sqlx::Result<()> {
    sqlx::query("update account set secret_hash = $2 where user_id = $1")
        .bind(id)
        .bind(secret_hash)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn accept_terms(conn: &mut PgConnection, id: Uuid, version: i32) -> sqlx::Result<()> {
    sqlx::query(
        "update account set terms_version = $2, terms_accepted_at = now() where user_id = $1 and terms_version < $2",
    )
    .bind(id)
    .bind(version)
    .execute(conn)
    .await?;
    Ok(())
}

/// A device somebody signed in on with both factors.
pub(crate) async fn remember_device(conn: &mut PgConnection, hash: &[u8], user: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "insert into device (device_hash, user_id) values ($1, $2)
         on conflict (device_hash) do update set used_at = now(), failures = 0, next_try_at = '-infinity'",
    )
    .bind(hash)
    .bind(user)
    .execute(&mut *conn)
    .await?;
    // The ten used last are enough for one person.
    sqlx::query(
        "delete from device where user_id = $1 and device_hash not in
             (select device_hash from device where user_id = $1 order by used_at desc limit 10)",
    )
    .bind(user)
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts an attempt on a known device before it is checked. Returns when it may try again, if that is still to come.
/// `None` where the device is not known for this log-in.
pub(crate) async fn count_device_attempt(
    conn: &mut PgConnection,
    hash: &[u8],
    login: &str,
    rests: (&[i32], &[f64]),
) -> sqlx::Result<Option<Option<OffsetDateTime>>> {
    sqlx::query_scalar(
        "update device d
         set failures = d.failures + case when d.next_try_at <= now() then 1 else 0 end,
             next_try_at = case when d.next_try_at > now() then d.next_try_at else now() + make_interval(secs =>
                 (select coalesce(max(secs), 0) from unnest($3::int[], $4::float8[]) r (least, secs)
                  where least <= d.failures + 1)) end
         from account a where a.user_id = d.user_id and d.device_hash = $1 and a.login = $2
         returning nullif(old.next_try_at, '-infinity')",
    )
    .bind(hash)
    .bind(login)
    .bind(rests.0)
    .bind(rests.1)
    .fetch_optional(conn)
    .await
}

/// A device that guessed too often is known no longer.
pub(crate) async fn forget_device_after(conn: &mut PgConnection, hash: &[u8], failures: i32) -> sqlx::Result<()> {
    sqlx::query("delete from device where device_hash = $1 and failures >= $2")
        .bind(hash)
        .bind(failures)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn replace_recovery_codes(
    conn: &mut PgConnection,
    user: Uuid,
    hashes: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query("delete from recovery_code where user_id = $1").bind(user).execute(&mut *conn).await?;
    sqlx::query("insert into recovery_code (user_id, code_hash) select $1, h from unnest($2::bytea[]) as c (h)")
        .bind(user)
        .bind(hashes)
        .execute(conn)
        .await?;
    Ok(())
}

/// Uses a recovery code up. `false` where there is none, or a twin was faster.
pub(crate) async fn use_recovery_code(conn: &mut PgConnection, user: Uuid, hash: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update recovery_code set used_at = now() where user_id = $1 and code_hash = $2 and used_at is null",
    )
    .bind(user)
    .bind(hash)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Another system's account.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct ServiceRow {
    pub service_account_id: Uuid,
    pub organisation_id: Uuid,
    pub name: String,
    pub scopes: Vec<String>,
    pub jwks: String,
    pub calls_per_second: i32,
    pub issued_by: Uuid,
    pub disabled_at: Option<OffsetDateTime>,
}

pub(crate) async fn insert_service(conn: &mut PgConnection, row: &ServiceRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into service_account
             (service_account_id, organisation_id, name, scopes, jwks, calls_per_second, issued_by)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.service_account_id)
    .bind(row.organisation_id)
    .bind(&row.name)
    .bind(&row.scopes)
    .bind(&row.jwks)
    .bind(row.calls_per_second)
    .bind(row.issued_by)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn find_service(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<ServiceRow>> {
    sqlx::query_as(
        "select service_account_id, organisation_id, name, scopes, jwks, calls_per_second, issued_by, disabled_at
         from service_account where service_account_id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// The same, locked against other changes.
pub(crate) async fn lock_service(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<ServiceRow>> {
    sqlx::query_as(
        "select service_account_id, organisation_id, name, scopes, jwks, calls_per_second, issued_by, disabled_at
         from service_account where service_account_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn change_service(conn: &mut PgConnection, id: Uuid, jwks: &str, disabled: bool) -> sqlx::Result<()> {
    sqlx::query(
        "update service_account set jwks = $2, disabled_at = case when $3 then coalesce(disabled_at, now()) end
         where service_account_id = $1",
    )
    .bind(id)
    .bind(jwks)
    .bind(disabled)
    .execute(conn)
    .await?;
    Ok(())
}

/// Uses an assertion up. `false` where it was used before.
pub(crate) async fn use_assertion(
    conn: &mut PgConnection,
    jti: &[u8],
    expires_at: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into used_assertion (jti_hash, expires_at) values ($1, $2) on conflict (jti_hash) do nothing",
    )
    .bind(jti)
    .bind(expires_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An attempt with a log-in nobody has. Old ones are forgotten.
pub(crate) async fn note_stray(conn: &mut PgConnection, login_hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "with old as (delete from stray_attempt where at < now() - interval '1 day')
         insert into stray_attempt (login_hash) values ($1)",
    )
    .bind(login_hash)
    .execute(conn)
    .await?;
    Ok(())
}
