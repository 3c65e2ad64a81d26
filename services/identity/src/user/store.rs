//! SQL of IDs, as administrators see and change them. Every change is a new version.

use access::{OrganisationId, UserId, caller::Hidden};
use const_format::formatcp;
use data::Code;
use proto::identity::Role;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::User;

/// Nothing that opens the ID is read.
const COLUMNS: &str =
    "user_id, version, login, organisation_id, role, hidden, holder_sealed, secret_is_initial, failures,
                       disabled_at, issued_by, issued_at, last_sign_in_at, terms_version";

#[derive(FromRow)]
struct Row {
    user_id: UserId,
    version: i64,
    login: String,
    organisation_id: OrganisationId,
    role: Code<Role>,
    #[sqlx(try_from = "i32")]
    hidden: u16,
    holder_sealed: Option<Vec<u8>>,
    secret_is_initial: bool,
    failures: i32,
    disabled_at: Option<OffsetDateTime>,
    issued_by: Option<UserId>,
    issued_at: OffsetDateTime,
    last_sign_in_at: Option<OffsetDateTime>,
    terms_version: i32,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.user_id,
            version: row.version,
            login: row.login,
            organisation_id: row.organisation_id,
            role: row.role.0,
            hidden: Hidden::from_bits(row.hidden),
            holder: row.holder_sealed,
            secret_is_initial: row.secret_is_initial,
            failures: row.failures,
            disabled_at: row.disabled_at,
            issued_by: row.issued_by,
            issued_at: row.issued_at,
            last_sign_in_at: row.last_sign_in_at,
            terms_version: row.terms_version,
        }
    }
}

/// An ID as it begins.
#[derive(Clone, Debug)]
pub(super) struct NewAccount<'a> {
    pub user_id: UserId,
    pub login: &'a str,
    pub organisation_id: OrganisationId,
    pub role: Role,
    pub hidden: Hidden,
    pub holder_sealed: Option<Vec<u8>>,
    pub mail_sealed: Option<Vec<u8>>,
    pub secret_hash: String,
    pub secret_expires_at: OffsetDateTime,
    pub issued_by: Option<UserId>,
    pub issued_at: OffsetDateTime,
}

pub(super) async fn insert(conn: &mut PgConnection, new: &NewAccount<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into account (user_id, login, organisation_id, role, hidden, holder_sealed, mail_sealed, secret_hash,
                              secret_expires_at, issued_by, issued_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.user_id)
    .bind(new.login)
    .bind(new.organisation_id)
    .bind(Code(new.role))
    .bind(i32::from(new.hidden.bits()))
    .bind(&new.holder_sealed)
    .bind(&new.mail_sealed)
    .bind(&new.secret_hash)
    .bind(new.secret_expires_at)
    .bind(new.issued_by)
    .bind(new.issued_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets one process at a time ask whether there is an account, and make the first one.
pub(super) async fn lock_first(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(11)").execute(conn).await?;
    Ok(())
}

pub(super) async fn is_any(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from account)").fetch_one(conn).await
}

/// The only account there is, if nobody has enrolled with it yet, and its version.
pub(super) async fn only_one_not_enrolled(conn: &mut PgConnection) -> sqlx::Result<Option<(UserId, i64)>> {
    sqlx::query_as(
        "select user_id, version from account
         where secret_is_initial and not exists (select from account other where other.user_id <> account.user_id)
         for update",
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn lock(conn: &mut PgConnection, id: UserId) -> sqlx::Result<Option<User>> {
    let row: Option<Row> = sqlx::query_as(formatcp!("select {COLUMNS} from account where user_id = $1 for update"))
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(User::from))
}

/// Where some IDs are at work.
pub(super) async fn organisations_of(conn: &mut PgConnection, ids: &[UserId]) -> sqlx::Result<Vec<OrganisationId>> {
    sqlx::query_scalar("select distinct organisation_id from account where user_id = any($1)")
        .bind(ids)
        .fetch_all(conn)
        .await
}

/// What some IDs do not see.
pub(super) async fn hidden_of(conn: &mut PgConnection, ids: &[UserId]) -> sqlx::Result<Vec<Hidden>> {
    let bits: Vec<i32> =
        sqlx::query_scalar("select hidden from account where user_id = any($1)").bind(ids).fetch_all(conn).await?;
    let hidden =
        |bits: i32| u16::try_from(bits).map(Hidden::from_bits).map_err(|error| sqlx::Error::Decode(error.into()));
    bits.into_iter().map(hidden).collect()
}

/// The IDs of an organisation in the order of their issue.
pub(super) async fn page(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    after: UserId,
    limit: i64,
) -> sqlx::Result<Vec<User>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!(
        "select {COLUMNS} from account where organisation_id = $1 and user_id > $2 order by user_id limit $3"
    ))
    .bind(organisation)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// Stores what an administrator changed.
pub(super) async fn update(conn: &mut PgConnection, user: &User) -> sqlx::Result<()> {
    sqlx::query("update account set version = $2, role = $3, hidden = $4, disabled_at = $5 where user_id = $1")
        .bind(user.id)
        .bind(user.version)
        .bind(Code(user.role))
        .bind(i32::from(user.hidden.bits()))
        .bind(user.disabled_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Lifts rest and hard stop.
pub(super) async fn unlock(conn: &mut PgConnection, id: UserId, version: i64) -> sqlx::Result<()> {
    sqlx::query("update account set version = $2, failures = 0, next_try_at = '-infinity' where user_id = $1")
        .bind(id)
        .bind(version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Starts over: a new initial secret, no factor, no device, no recovery code.
pub(super) async fn reset(
    conn: &mut PgConnection,
    id: UserId,
    version: i64,
    secret_hash: &str,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "update account set version = $2, secret_hash = $3, secret_is_initial = true, secret_expires_at = $4,
                totp_sealed = null,
                -- Another authenticator counts its own steps.
                totp_last_step = 0, failures = 0, next_try_at = '-infinity'
         where user_id = $1",
    )
    .bind(id)
    .bind(version)
    .bind(secret_hash)
    .bind(expires_at)
    .execute(&mut *conn)
    .await?;
    sqlx::query("delete from challenge where subject = $1").bind(id).execute(&mut *conn).await?;
    sqlx::query("delete from device where user_id = $1").bind(id).execute(&mut *conn).await?;
    sqlx::query("delete from recovery_code where user_id = $1").bind(id).execute(conn).await?;
    Ok(())
}
