//! Grants: who has which relation to a case, from when to when; and the lists that follow from them.

mod model;
mod store;

pub(crate) use model::{Filter, Grant, State, prefectures};
pub(crate) use store::{Listed, of_cases};
pub(super) use store::{list, refresh_lists, save};

use access::{Caller, Relations, cases};
use chassis::Error;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::Case;
use crate::service::Registry;

/// The caller's relations to a case that are in force. Without one the case does not exist for the caller.
pub(crate) async fn relations(
    registry: &Registry,
    conn: &mut PgConnection,
    case: &Case,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Relations, Error> {
    let grants = of_cases(conn, &[case.id]).await?;
    let grants = grants.into_iter().map(Grant::held);
    let held = cases::held(case.known(), grants, caller, &registry.base.directory, now);
    if held.is_empty() { Err(Error::NotFound("case")) } else { Ok(held) }
}
