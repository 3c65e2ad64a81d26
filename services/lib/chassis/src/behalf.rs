//! 代行入力: a centre enters for an institution that has no right to, with both names on record.

use access::{Caller, Directory};
use proto::identity::{OrganisationKind as Kind, Rights};
use runtime::problem::text;
use uuid::Uuid;

use crate::Error;

/// The institution a caller enters for; `None` where it enters for itself.
///
/// # Errors
/// Where the caller is no centre, or the institution is elsewhere, may enter itself, or neither tests nor treats.
pub fn of(directory: &Directory, caller: &Caller, institution_id: &str) -> Result<Option<Uuid>, Error> {
    if institution_id.is_empty() {
        return Ok(None);
    }
    if !matches!(caller.kind, Kind::HealthCentre | Kind::City) {
        return Err(Error::Denied(text("代行入力は保健所が行います。", "Only a centre enters on behalf of others.")));
    }
    let today = runtime::Clock.today_in_japan();
    let fits = |kind| matches!(kind, Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation);
    Uuid::try_parse(institution_id)
        .ok()
        .and_then(|id| directory.get(id))
        .filter(|entry| {
            fits(entry.kind)
                && (entry.rights != Rights::Entry || !entry.is_open(today))
                && entry.prefecture == caller.prefecture
        })
        .map(|entry| Some(entry.id))
        .ok_or_else(|| {
            Error::invalid(
                "on_behalf_of_id",
                "代行入力できるのは、同じ都道府県の入力権限のない医療機関に限ります",
                "must be an institution of the own prefecture that has no right to enter itself",
            )
        })
}
