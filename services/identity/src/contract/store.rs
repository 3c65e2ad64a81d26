//! SQL of contracts.

use access::OrganisationId;
use prost::Message as _;
use proto::identity::Contract;
use sqlx::{FromRow, PgConnection};

use super::model::ContractId;

/// A contract as it is kept.
pub(super) struct Stored {
    pub id: ContractId,
    pub version: i64,
    pub contract: Contract,
}

#[derive(FromRow)]
struct Row {
    contract_id: ContractId,
    version: i64,
    content: Vec<u8>,
}

impl TryFrom<Row> for Stored {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let contract = Contract::decode(row.content.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let contract = Contract { etag: row.version.to_string(), ..contract };
        Ok(Self { id: row.contract_id, version: row.version, contract })
    }
}

/// Stores a new contract and whom it concerns.
pub(super) async fn insert(
    conn: &mut PgConnection,
    id: ContractId,
    principal: OrganisationId,
    content: &Contract,
    contractors: &[OrganisationId],
) -> sqlx::Result<()> {
    sqlx::query("insert into contract (contract_id, version, principal, content) values ($1, 1, $2, $3)")
        .bind(id)
        .bind(principal)
        .bind(content.encode_to_vec())
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "insert into contract_party (organisation_id, contract_id)
         select distinct o, $2 from unnest($1::uuid[] || $3) as p (o)",
    )
    .bind(contractors)
    .bind(id)
    .bind(principal)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn lock(conn: &mut PgConnection, id: ContractId) -> sqlx::Result<Option<Stored>> {
    let row: Option<Row> =
        sqlx::query_as("select contract_id, version, content from contract where contract_id = $1 for update")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    row.map(Stored::try_from).transpose()
}

pub(super) async fn principal_of(conn: &mut PgConnection, id: ContractId) -> sqlx::Result<Option<OrganisationId>> {
    sqlx::query_scalar("select principal from contract where contract_id = $1").bind(id).fetch_optional(conn).await
}

pub(super) async fn update(conn: &mut PgConnection, stored: &Stored) -> sqlx::Result<()> {
    sqlx::query("update contract set version = $2, content = $3 where contract_id = $1")
        .bind(stored.id)
        .bind(stored.version)
        .bind(stored.contract.encode_to_vec())
        .execute(conn)
        .await?;
    Ok(())
}

/// Contracts of an organisation, newest first: ids are in the order of time.
pub(super) async fn page(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    before: ContractId,
    limit: i64,
) -> sqlx::Result<Vec<Stored>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select c.contract_id, c.version, c.content from contract_party p join contract c using (contract_id)
         where p.organisation_id = $1 and p.contract_id < $2 order by p.contract_id desc limit $3",
    )
    .bind(organisation)
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Stored::try_from).collect()
}
