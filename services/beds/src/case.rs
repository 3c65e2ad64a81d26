//! The registry's cases, as far as beds knows them: coded facts and who has which relation.

use access::{Caller, CaseId, cases};
use chassis::Error;
use proto::{identity::OrganisationKind as Kind, registry::CaseChanged};
use time::OffsetDateTime;

use crate::service::Beds;

/// A case, asked for once where it was not heard of yet.
///
/// # Errors
/// Where there is none.
pub(crate) async fn find(beds: &Beds, caller: &Caller, id: CaseId, now: OffsetDateTime) -> Result<CaseChanged, Error> {
    let mut conn = beds.base.pool.acquire().await?;
    let held = cases::find(&mut conn, &[id]).await?.remove(&id);
    // Nobody keeps a connection while asking somebody else.
    drop(conn);

    let shows = |case: &CaseChanged| !cases::relations(case, caller, &beds.base.directory, now).is_empty();
    // A facility that was asked has no relation yet: its copy is good as it is.
    let facility = matches!(caller.kind, Kind::Hospital | Kind::LodgingFacility);
    match held {
        Some(case) if facility || shows(&case) => Ok(case),
        _ => cases::ask(&beds.registry, id).await?.ok_or(Error::NotFound("case")),
    }
}
