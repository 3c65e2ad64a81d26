//! 代行入力: a centre enters data for an institution that has no right to. Both names are recorded.

use access::OrganisationId;
use proto::identity::{OrganisationKind as Kind, Rights};
use runtime::problem::why;

use crate::{Base, Call, Error};

/// The institution a caller enters for; `None` if it enters for its own organisation.
///
/// # Errors
/// When the caller is not a centre, or when the institution is in another prefecture, may enter data itself, or neither
/// tests nor treats.
pub fn of<M>(base: &Base, call: &Call<M>, institution_id: &str) -> Result<Option<OrganisationId>, Error> {
    if institution_id.is_empty() {
        return Ok(None);
    }
    let caller = &call.caller;
    if !matches!(caller.kind, Kind::HealthCentre | Kind::City) {
        return Err(Error::Denied(why(
            "HEALTH_CENTRE_ONLY",
            "代行入力を行えるのは保健所に限られます。",
            "Only a health centre may enter data on behalf of others.",
        )));
    }
    let today = call.today();
    let fits = |kind| matches!(kind, Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation);
    OrganisationId::parse(institution_id)
        .ok()
        .and_then(|id| base.directory.get(id))
        .filter(|entry| {
            fits(entry.kind)
                && (entry.rights != Rights::Entry || !entry.is_open(today))
                && entry.prefecture == caller.prefecture
        })
        .map(|entry| Some(entry.id))
        .ok_or_else(|| {
            Error::invalid(
                "on_behalf_of_id",
                "同じ都道府県にある、入力権限のない医療機関を指定してください",
                "must be an institution in your prefecture without the right to enter data",
            )
        })
}
