//! SQL of the factors: accounts as the one who signs in meets them, known devices, recovery codes.

use access::{OrganisationId, UserId, caller::Hidden};
use const_format::formatcp;
use data::Code;
use proto::identity::Role;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Account, Rests};

/// Counts an attempt on the row `t` before it is checked, and sets the rest it will cost in the same statement: parallel guesses
/// all count, and none slips through between counting and resting. While it rests, nothing counts.
///
/// `$1` is the moment, `$2` and `$3` are the [`Rests`]. `old.next_try_at > $1` then says whether the row rested already.
pub(crate) const COUNT: &str = "failures = t.failures + case when t.next_try_at <= $1::timestamptz then 1 else 0 end,
     next_try_at = case when t.next_try_at > $1 then t.next_try_at else $1 + make_interval(secs =>
         (select coalesce(max(secs), 0) from unnest($2::int[], $3::float8[]) r (least, secs)
          where least <= t.failures + 1)) end";

const COLUMNS: &str = "t.user_id, t.login, t.organisation_id, t.role, t.secret_hash, t.secret_is_initial,
                       t.secret_expires_at, t.totp_sealed, t.disabled_at, t.hidden, t.terms_version";

#[derive(FromRow)]
struct AccountRow {
    user_id: UserId,
    login: String,
    organisation_id: OrganisationId,
    role: Code<Role>,
    secret_hash: String,
    secret_is_initial: bool,
    secret_expires_at: Option<OffsetDateTime>,
    totp_sealed: Option<Vec<u8>>,
    disabled_at: Option<OffsetDateTime>,
    #[sqlx(try_from = "i32")]
    hidden: u16,
    terms_version: i32,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            user_id: row.user_id,
            login: row.login,
            organisation_id: row.organisation_id,
            role: row.role.0,
            secret_hash: row.secret_hash,
            secret_is_initial: row.secret_is_initial,
            secret_expires_at: row.secret_expires_at,
            totp_sealed: row.totp_sealed,
            disabled_at: row.disabled_at,
            hidden: Hidden::from_bits(row.hidden),
            terms_version: row.terms_version,
        }
    }
}

#[derive(FromRow)]
struct AttemptRow {
    #[sqlx(flatten)]
    account: AccountRow,
    resting: bool,
}

/// Counts an attempt with a log-in. Returns the account, and whether it rests. `None` where there is no such log-in.
pub(crate) async fn count_attempt(
    conn: &mut PgConnection,
    login: &str,
    rests: Rests,
    now: OffsetDateTime,
) -> sqlx::Result<Option<(Account, bool)>> {
    let row: Option<AttemptRow> = sqlx::query_as(formatcp!(
        "update account t set {COUNT} where login = $4 returning {COLUMNS}, old.next_try_at > $1 as resting"
    ))
    .bind(now)
    .bind(rests.least)
    .bind(rests.seconds)
    .bind(login)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.account.into(), row.resting)))
}

/// An account by its log-in, without counting: for an attempt on a known device, which is counted there.
pub(crate) async fn find_login(conn: &mut PgConnection, login: &str) -> sqlx::Result<Option<Account>> {
    let row: Option<AccountRow> = sqlx::query_as(formatcp!("select {COLUMNS} from account t where login = $1"))
        .bind(login)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Account::from))
}

pub(crate) async fn find_account(conn: &mut PgConnection, id: UserId) -> sqlx::Result<Option<Account>> {
    let row: Option<AccountRow> = sqlx::query_as(formatcp!("select {COLUMNS} from account t where user_id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Account::from))
}

/// Both factors were right.
pub(crate) async fn clear_failures(conn: &mut PgConnection, id: UserId, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query("update account set failures = 0, next_try_at = '-infinity', last_sign_in_at = $2 where user_id = $1")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Accepts a time step of a one-time code. `false` where it, or a later one, was accepted before.
pub(crate) async fn accept_step(conn: &mut PgConnection, id: UserId, step: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("update account set totp_last_step = $2 where user_id = $1 and totp_last_step < $2")
        .bind(id)
        .bind(step)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The person has chosen a password and proved an authenticator. `false` where a twin was faster.
pub(crate) async fn finish_enrolment(
    conn: &mut PgConnection,
    id: UserId,
    secret_hash: &str,
    totp_sealed: &[u8],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update account set secret_hash = $2, totp_sealed = $3, secret_is_initial = false, secret_expires_at = null
         where user_id = $1 and secret_is_initial",
    )
    .bind(id)
    .bind(secret_hash)
    .bind(totp_sealed)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn set_password(conn: &mut PgConnection, id: UserId, secret_hash: &str) -> sqlx::Result<()> {
    sqlx::query("update account set secret_hash = $2 where user_id = $1")
        .bind(id)
        .bind(secret_hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// A device somebody signed in on with both factors.
pub(crate) async fn remember_device(
    conn: &mut PgConnection,
    hash: &[u8],
    user: UserId,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into device (device_hash, user_id, used_at) values ($1, $2, $3)
         on conflict (device_hash) do update set used_at = excluded.used_at, failures = 0, next_try_at = '-infinity'",
    )
    .bind(hash)
    .bind(user)
    .bind(now)
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

/// Counts an attempt on a known device. Returns whether it rests. `None` where the device is not known for this log-in.
pub(crate) async fn count_device_attempt(
    conn: &mut PgConnection,
    hash: &[u8],
    login: &str,
    rests: Rests,
    now: OffsetDateTime,
) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(formatcp!(
        "update device t set {COUNT} from account a
         where a.user_id = t.user_id and t.device_hash = $4 and a.login = $5 returning old.next_try_at > $1"
    ))
    .bind(now)
    .bind(rests.least)
    .bind(rests.seconds)
    .bind(hash)
    .bind(login)
    .fetch_optional(conn)
    .await
}

/// A device that guessed too often is no longer known.
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
    user: UserId,
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
pub(crate) async fn use_recovery_code(
    conn: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("update recovery_code set used_at = $3 where user_id = $1 and code_hash = $2 and used_at is null")
            .bind(user)
            .bind(hash)
            .bind(now)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// An attempt with a log-in or an access ID nobody has. Those of more than a day ago are forgotten.
pub(crate) async fn note_stray(conn: &mut PgConnection, hash: &[u8], now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(
        "with old as (delete from stray_attempt where at < $2 - interval '1 day')
         insert into stray_attempt (login_hash, at) values ($1, $2)",
    )
    .bind(hash)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
