//! Which organisations an administrator acts on. What is out of scope does not exist for the caller.

use access::{Caller, OrganisationId};
use chassis::Error;
use proto::identity::OrganisationKind;
use runtime::problem::why;
use sqlx::PgConnection;
use time::Date;

use super::{
    model::{self, Body, fault},
    standing::standing,
    store,
};

/// The caller's own organisation.
pub(super) async fn own(conn: &mut PgConnection, caller: &Caller) -> Result<Body, Error> {
    store::find_body(conn, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))
}

/// Who makes or changes an organisation.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub kind: OrganisationKind,
    /// 全国地方公共団体コード, of a city.
    pub code: String,
}

/// The caller's organisation as the maker of others.
pub(super) async fn maker(conn: &mut PgConnection, caller: &Caller) -> Result<Maker, Error> {
    let own = store::contents(conn, &[caller.organisation_id]).await?.pop().ok_or(Error::NotFound("organisation"))?;
    Ok(Maker { kind: caller.kind, code: own.1.local_government_code })
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
pub(super) async fn must_create(
    conn: &mut PgConnection,
    caller: &Caller,
    new: &Body,
    today: Date,
) -> Result<(), Error> {
    let above = own(conn, caller).await?;
    if !model::may_create(&above, new) {
        return Err(Error::Denied(why(
            "OUT_OF_SCOPE",
            "この機関は、あなたの機関の管轄外です。",
            "That organisation is outside your organisation's scope.",
        )));
    }
    let Some(parent) = new.parent_id.filter(|id| *id != caller.organisation_id) else { return Ok(()) };
    in_scope(conn, caller, parent).await.map_err(|error| match error {
        Error::NotFound(_) => {
            Error::Invalid(fault("parent_id", "上位機関が見つかりません", "must be an organisation of your scope"))
        }
        other => other,
    })?;
    if standing(conn, parent).await?.is_over(today) {
        return Err(Error::Invalid(fault(
            "parent_id",
            "利用が終了又は停止された機関です",
            "must be an organisation that is not closed",
        )));
    }
    Ok(())
}
