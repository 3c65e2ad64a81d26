//! Storing an organisation, its jurisdiction, and the event that tells of it.

use chassis::Error;
use data::outbox;
use proto::identity::{Organisation, OrganisationChanged};
use sqlx::PgConnection;

use super::{
    model::{Body, fault},
    store,
};

/// Stores a new organisation and announces it.
pub(crate) async fn add(
    conn: &mut PgConnection,
    organisation: &Organisation,
    body: &Body,
    responsible: Option<&[u8]>,
) -> Result<(), Error> {
    store::insert(conn, organisation, body, responsible).await.map_err(taken)?;
    claim(conn, organisation, body).await?;
    announce(conn, organisation, 1).await
}

/// Claims the municipalities of a centre.
pub(super) async fn claim(conn: &mut PgConnection, organisation: &Organisation, body: &Body) -> Result<(), Error> {
    let mut codes = organisation.jurisdiction.clone();
    if organisation.catch_all {
        codes.push(format!("{:02}*", body.prefecture));
    }
    store::claim_jurisdiction(conn, body.id, &codes).await.map_err(taken)
}

/// Tells every service. The event names no person.
pub(super) async fn announce(conn: &mut PgConnection, organisation: &Organisation, version: i64) -> Result<(), Error> {
    Ok(outbox::add(conn, &changed(organisation, version)).await?)
}

pub(super) fn changed(organisation: &Organisation, version: i64) -> OrganisationChanged {
    let organisation = Organisation { responsible_person: None, ..organisation.clone() };
    OrganisationChanged { organisation: Some(organisation), version }
}

fn taken(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
        Some("organisation_prefecture") => {
            Error::Invalid(fault("prefecture", "この都道府県は登録済みです", "must be one that is not registered yet"))
        }
        Some("jurisdiction_pkey") => Error::Invalid(fault(
            "jurisdiction",
            "他の保健所の管轄区域です",
            "must not belong to another health centre",
        )),
        _ => Error::Database(error),
    }
}
