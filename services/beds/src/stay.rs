//! A bed taken for a while: the facility that was asked answers, takes the patient in and lets the patient go.

mod accept;
mod arrive;
mod decline;
mod leave;
mod store;

pub(crate) use accept::accept;
pub(crate) use arrive::arrive;
pub(crate) use decline::decline;
pub(crate) use leave::leave;
pub(crate) use store::{end, hold};

use chassis::{
    Call, Error,
    behalf::{self, Told},
};
use proto::{identity::OrganisationKind as Kind, registry::Entry};
use runtime::problem::why;

use crate::service::Beds;

/// Who enters what a facility answers: the facility, or a centre or prefecture that names it.
fn told<M>(beds: &Beds, call: &Call<M>, entry: Option<&Entry>) -> Result<Told, Error> {
    let told = behalf::told_while_coordinating(&beds.base, call, entry)?;
    if told.by.is_none() && !matches!(call.caller.kind, Kind::Hospital | Kind::LodgingFacility) {
        return Err(Error::Denied(why(
            "FACILITY_ONLY",
            "受入機関から連絡を受けた内容は、その機関名を付けて代行入力してください。",
            "Only the facility answers. What it told you is entered with its name.",
        )));
    }
    Ok(told)
}

/// The constraint says that somebody else has the bed.
pub(crate) fn taken(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("stay_no_overlap") {
        Error::Precondition(why(
            "BED_TAKEN",
            "その病床・居室は先に確保されました。",
            "Somebody else has taken that bed.",
        ))
    } else {
        Error::Database(error)
    }
}
