//! Contracts and organisations' further columns.

use proto::identity::Contract;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Stores a new contract and whom it concerns.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    id: Uuid,
    principal: Uuid,
    content: &Contract,
    parties: &[Uuid],
) -> sqlx::Result<()> {
    sqlx::query("insert into contract (contract_id, version, principal, content) values ($1, 1, $2, $3)")
        .bind(id)
        .bind(principal)
        .bind(prost::Message::encode_to_vec(content))
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "insert into contract_party (organisation_id, contract_id) select distinct o, $2 from unnest($1::uuid[]) as p (o)",
    )
    .bind(parties)
    .bind(id)
    .execute(conn)
    .await?;
    Ok(())
}

/// A contract, locked: version, who entrusts, content.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(i64, Uuid, Vec<u8>)>> {
    sqlx::query_as("select version, principal, content from contract where contract_id = $1 for update")
        .bind(id)
        .fetch_optional(conn)
        .await
}

pub(crate) async fn update(conn: &mut PgConnection, id: Uuid, version: i64, content: &Contract) -> sqlx::Result<()> {
    sqlx::query("update contract set version = $2, content = $3 where contract_id = $1")
        .bind(id)
        .bind(version)
        .bind(prost::Message::encode_to_vec(content))
        .execute(conn)
        .await?;
    Ok(())
}

/// Contracts of an organisation, newest first: ids are in the order of time.
pub(crate) async fn page(
    conn: &mut PgConnection,
    organisation: Uuid,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, Vec<u8>)>> {
    sqlx::query_as(
        "select c.contract_id, c.content from contract_party p join contract c using (contract_id)
         where p.organisation_id = $1 and p.contract_id < $2 order by p.contract_id desc limit $3",
    )
    .bind(organisation)
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// An organisation, locked: version, content, the person responsible.
pub(crate) async fn lock_organisation(
    conn: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<(i64, Vec<u8>, Option<Vec<u8>>)>> {
    sqlx::query_as(
        "select version, content, responsible_sealed from organisation where organisation_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn update_organisation(
    conn: &mut PgConnection,
    id: Uuid,
    version: i64,
    content: &[u8],
    responsible: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update organisation set version = $2, content = $3, responsible_sealed = $4 where organisation_id = $1",
    )
    .bind(id)
    .bind(version)
    .bind(content)
    .bind(responsible)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn release_jurisdiction(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("delete from jurisdiction where organisation_id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// An organisation that a list loaded before, by what the list recognises it by.
pub(crate) async fn by_natural_keys(conn: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<(String, Uuid)>> {
    sqlx::query_as("select natural_key, organisation_id from organisation where natural_key = any($1)")
        .bind(keys)
        .fetch_all(conn)
        .await
}

/// Organisations made by a list, in one statement. Returns those that were not there.
pub(crate) async fn insert_many(conn: &mut PgConnection, new: &[NewOrganisation]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "insert into organisation (organisation_id, version, content, kind, prefecture, parent_id, natural_key)
         select id, 1, content, kind, prefecture, parent, key
         from unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::smallint[], $5::uuid[], $6::text[])
              as n (id, content, kind, prefecture, parent, key)
         on conflict do nothing returning organisation_id",
    )
    .bind(new.iter().map(|n| n.id).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.content.clone()).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.kind).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.prefecture).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.parent_id).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.natural_key.clone()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}

/// An organisation of a list.
pub(crate) struct NewOrganisation {
    pub id: Uuid,
    pub content: Vec<u8>,
    pub kind: i16,
    pub prefecture: i16,
    pub parent_id: Option<Uuid>,
    pub natural_key: String,
}

/// Deletes what no living session can meet any more.
pub(crate) async fn forget_old_assertions(conn: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query("delete from used_assertion where expires_at < $1").bind(now).execute(conn).await?;
    Ok(())
}
