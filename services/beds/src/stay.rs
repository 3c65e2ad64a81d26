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

use chassis::Error;
use runtime::problem::why;

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
