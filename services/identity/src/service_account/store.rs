//! SQL of the accounts of other systems.

use access::{OrganisationId, UserId};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Account, ServiceAccountId};

#[derive(FromRow)]
struct Row {
    service_account_id: ServiceAccountId,
    version: i64,
    organisation_id: OrganisationId,
    name: String,
    scopes: Vec<String>,
    jwks: String,
    #[sqlx(try_from = "i32")]
    calls_per_second: u32,
    issued_by: UserId,
    disabled_at: Option<OffsetDateTime>,
}

impl From<Row> for Account {
    fn from(row: Row) -> Self {
        Self {
            id: row.service_account_id,
            version: row.version,
            organisation_id: row.organisation_id,
            name: row.name,
            scopes: row.scopes,
            jwks: row.jwks,
            calls_per_second: row.calls_per_second,
            issued_by: row.issued_by,
            disabled_at: row.disabled_at,
        }
    }
}

pub(super) async fn insert(conn: &mut PgConnection, account: &Account) -> sqlx::Result<()> {
    let calls_per_second =
        i32::try_from(account.calls_per_second).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "insert into service_account
             (service_account_id, version, organisation_id, name, scopes, jwks, calls_per_second, issued_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(account.id)
    .bind(account.version)
    .bind(account.organisation_id)
    .bind(&account.name)
    .bind(&account.scopes)
    .bind(&account.jwks)
    .bind(calls_per_second)
    .bind(account.issued_by)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn find(conn: &mut PgConnection, id: ServiceAccountId) -> sqlx::Result<Option<Account>> {
    let row: Option<Row> = sqlx::query_as("select * from service_account where service_account_id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Account::from))
}

/// The same, locked against other changes.
pub(crate) async fn lock(conn: &mut PgConnection, id: ServiceAccountId) -> sqlx::Result<Option<Account>> {
    let row: Option<Row> = sqlx::query_as("select * from service_account where service_account_id = $1 for update")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Account::from))
}

pub(super) async fn update(conn: &mut PgConnection, account: &Account) -> sqlx::Result<()> {
    sqlx::query("update service_account set version = $2, jwks = $3, disabled_at = $4 where service_account_id = $1")
        .bind(account.id)
        .bind(account.version)
        .bind(&account.jwks)
        .bind(account.disabled_at)
        .execute(conn)
        .await?;
    Ok(())
}
