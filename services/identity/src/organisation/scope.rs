//! Which organisations an administrator acts on. What is out of scope does not exist for the caller.

use access::{Caller, OrganisationId};
use chassis::Error;
use runtime::problem::text;
use sqlx::PgConnection;

use super::{
    model::{self, Body, fault},
    store,
};

/// The caller's own organisation.
pub(super) async fn own(conn: &mut PgConnection, caller: &Caller) -> Result<Body, Error> {
    store::find_body(conn, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))
}

/// An organisation that the caller's supervises.
pub(crate) async fn in_scope(conn: &mut PgConnection, caller: &Caller, target: OrganisationId) -> Result<Body, Error> {
    let mut bodies = store::bodies(conn, &[caller.organisation_id, target]).await?;
    let above = bodies.get(&caller.organisation_id).copied();
    let below = bodies.remove(&target);
    match (above, below) {
        (Some(above), Some(below)) if model::supervises(&above, &below) => Ok(below),
        _ => Err(Error::NotFound("organisation")),
    }
}

/// Those of some organisations that the caller's supervises.
pub(crate) async fn all_in_scope(
    conn: &mut PgConnection,
    caller: &Caller,
    targets: &[OrganisationId],
) -> Result<Vec<Body>, Error> {
    let above = own(conn, caller).await?;
    let found = store::bodies(conn, targets).await?;
    Ok(found.into_values().filter(|below| model::supervises(&above, below)).collect())
}

/// Whether the caller may create an organisation, and under the body it names.
pub(super) async fn must_create(conn: &mut PgConnection, caller: &Caller, new: &Body) -> Result<(), Error> {
    let above = own(conn, caller).await?;
    if !model::may_create(&above, new) {
        return Err(Error::Denied(text(
            "この機関は、あなたの機関の管轄外です。",
            "That organisation is outside your organisation's scope.",
        )));
    }
    let Some(parent) = new.parent_id.filter(|id| *id != caller.organisation_id) else { return Ok(()) };
    in_scope(conn, caller, parent).await.map(|_| ()).map_err(|error| match error {
        Error::NotFound(_) => {
            Error::Invalid(fault("parent_id", "上位機関が見つかりません", "must be an organisation of your scope"))
        }
        other => other,
    })
}
