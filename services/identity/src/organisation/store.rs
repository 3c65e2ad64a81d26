//! SQL of organisations.

use std::collections::HashMap;

use access::OrganisationId;
use data::Code;
use prost::Message as _;
use proto::identity::{Organisation, OrganisationKind as Kind};
use sqlx::{FromRow, PgConnection};

use super::model::Body;

#[derive(FromRow)]
struct BodyRow {
    organisation_id: OrganisationId,
    kind: Code<Kind>,
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    parent_id: Option<OrganisationId>,
}

impl From<BodyRow> for Body {
    fn from(row: BodyRow) -> Self {
        Self { id: row.organisation_id, kind: row.kind.0, prefecture: row.prefecture, parent_id: row.parent_id }
    }
}

/// An organisation as it is kept.
pub(super) struct Stored {
    pub version: i64,
    pub organisation: Organisation,
    /// The person responsible, sealed.
    pub responsible: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct Row {
    version: i64,
    content: Vec<u8>,
    responsible_sealed: Option<Vec<u8>>,
}

impl TryFrom<Row> for Stored {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let organisation = decoded(&row.content, row.version)?;
        Ok(Self { version: row.version, organisation, responsible: row.responsible_sealed })
    }
}

fn decoded(content: &[u8], version: i64) -> sqlx::Result<Organisation> {
    let organisation = Organisation::decode(content).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Organisation { etag: version.to_string(), ..organisation })
}

pub(super) async fn insert(
    conn: &mut PgConnection,
    content: &Organisation,
    body: &Body,
    responsible: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into organisation (organisation_id, version, content, kind, prefecture, parent_id, responsible_sealed)
         values ($1, 1, $2, $3, $4, $5, $6)",
    )
    .bind(body.id)
    .bind(content.encode_to_vec())
    .bind(Code(body.kind))
    .bind(i16::from(body.prefecture))
    .bind(body.parent_id)
    .bind(responsible)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn update(conn: &mut PgConnection, id: OrganisationId, stored: &Stored) -> sqlx::Result<()> {
    sqlx::query(
        "update organisation set version = $2, content = $3, responsible_sealed = $4 where organisation_id = $1",
    )
    .bind(id)
    .bind(stored.version)
    .bind(stored.organisation.encode_to_vec())
    .bind(&stored.responsible)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn find(conn: &mut PgConnection, id: OrganisationId) -> sqlx::Result<Option<Stored>> {
    let row: Option<Row> =
        sqlx::query_as("select version, content, responsible_sealed from organisation where organisation_id = $1")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    row.map(Stored::try_from).transpose()
}

pub(super) async fn lock(conn: &mut PgConnection, id: OrganisationId) -> sqlx::Result<Option<Stored>> {
    let row: Option<Row> = sqlx::query_as(
        "select version, content, responsible_sealed from organisation where organisation_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    row.map(Stored::try_from).transpose()
}

/// What the rules look at.
pub(crate) async fn find_body(conn: &mut PgConnection, id: OrganisationId) -> sqlx::Result<Option<Body>> {
    Ok(bodies(conn, &[id]).await?.remove(&id))
}

/// The same of several.
pub(super) async fn bodies(
    conn: &mut PgConnection,
    ids: &[OrganisationId],
) -> sqlx::Result<HashMap<OrganisationId, Body>> {
    let rows: Vec<BodyRow> = sqlx::query_as(
        "select organisation_id, kind, prefecture, parent_id from organisation where organisation_id = any($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organisation_id, Body::from(row))).collect())
}

/// The records of some organisations, and whether somebody answers for each.
pub(super) async fn contents(
    conn: &mut PgConnection,
    ids: &[OrganisationId],
) -> sqlx::Result<Vec<(OrganisationId, Organisation, bool)>> {
    let rows: Vec<(OrganisationId, Vec<u8>, bool)> = sqlx::query_as(
        "select organisation_id, content, responsible_sealed is not null from organisation
         where organisation_id = any($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(id, content, answered_for)| {
            let content =
                Organisation::decode(content.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((id, content, answered_for))
        })
        .collect()
}

/// A page by id; of every kind where none is named.
pub(super) async fn list(
    conn: &mut PgConnection,
    kind: Kind,
    after: OrganisationId,
    limit: i64,
) -> sqlx::Result<Vec<Organisation>> {
    // One statement each, because each has an index of its own.
    let sql = if kind == Kind::Unspecified {
        "select version, content, null::bytea as responsible_sealed from organisation
         where $1 = 0::smallint and organisation_id > $2 order by organisation_id limit $3"
    } else {
        "select version, content, null::bytea as responsible_sealed from organisation
         where kind = $1 and organisation_id > $2 order by organisation_id limit $3"
    };
    let rows: Vec<Row> = sqlx::query_as(sql).bind(Code(kind)).bind(after).bind(limit).fetch_all(conn).await?;
    rows.iter().map(|row| decoded(&row.content, row.version)).collect()
}

/// Claims municipalities for a centre; `NN*` stands for the rest of a prefecture.
pub(super) async fn claim_jurisdiction(
    conn: &mut PgConnection,
    id: OrganisationId,
    codes: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into jurisdiction (code, organisation_id) select distinct code, $2 from unnest($1::text[]) as c (code)",
    )
    .bind(codes)
    .bind(id)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn release_jurisdiction(conn: &mut PgConnection, id: OrganisationId) -> sqlx::Result<()> {
    sqlx::query("delete from jurisdiction where organisation_id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// Organisations that a list loaded before, by what the list recognises them by.
pub(super) async fn by_natural_keys(
    conn: &mut PgConnection,
    keys: &[String],
) -> sqlx::Result<HashMap<String, OrganisationId>> {
    let rows: Vec<(String, OrganisationId)> =
        sqlx::query_as("select natural_key, organisation_id from organisation where natural_key = any($1)")
            .bind(keys)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().collect())
}

/// An organisation of a list.
pub(super) struct Listed {
    pub body: Body,
    pub organisation: Organisation,
    pub natural_key: String,
}

/// Stores the organisations of a list, in one statement. Returns those that were not there.
pub(super) async fn insert_many(conn: &mut PgConnection, new: &[Listed]) -> sqlx::Result<Vec<OrganisationId>> {
    sqlx::query_scalar(
        "insert into organisation (organisation_id, version, content, kind, prefecture, parent_id, natural_key)
         select id, 1, content, kind, prefecture, parent, key
         from unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::smallint[], $5::uuid[], $6::text[])
              as n (id, content, kind, prefecture, parent, key)
         on conflict do nothing returning organisation_id",
    )
    .bind(new.iter().map(|n| n.body.id).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.organisation.encode_to_vec()).collect::<Vec<_>>())
    .bind(new.iter().map(|n| Code(n.body.kind)).collect::<Vec<_>>())
    .bind(new.iter().map(|n| i16::from(n.body.prefecture)).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.body.parent_id).collect::<Vec<_>>())
    .bind(new.iter().map(|n| n.natural_key.clone()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}
