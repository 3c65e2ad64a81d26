//! Hand-overs between health centres (移管).
//!
//! The responsible centre offers a case to another one; while the offer is open both see it, and the old one is responsible. The
//! other one accepts, and is responsible from that commit on, and nobody else; or it declines, or the old one withdraws, and
//! everything is as before. A case has at most one open offer.
//!
//! Relations: the offer begins `INCOMING_CENTRE`. Accepting ends it, begins `RESPONSIBLE_CENTRE`, and makes every other centre that
//! works on the case a `FORMER_CENTRE`. Each step is one version of the case and one `case.changed`.

mod accept;
mod decline;
mod model;
mod offer;
mod store;
mod take_over;
mod view;

pub(crate) use accept::accept;
pub(crate) use decline::decline;
pub(crate) use model::Transfer;
pub(crate) use offer::offer;
pub(crate) use store::{ANSWER_REASON, REASON, latest_of};
pub(crate) use take_over::start_taking_over;
pub(crate) use view::shown;

use access::CaseId;
use chassis::Error;
use proto::registry::TransferState;
use runtime::problem::why;
use sqlx::PgConnection;

/// Whether a case was handed over: others look after the person than those who once reported it.
pub(crate) async fn was_handed_over(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<bool> {
    let last = latest_of(conn, &[case]).await?.pop();
    Ok(last.is_some_and(|transfer| transfer.state == TransferState::Accepted))
}

/// The offer that waits for its answer.
async fn open(conn: &mut PgConnection, case: CaseId) -> Result<Transfer, Error> {
    let last = latest_of(conn, &[case]).await?.pop();
    last.filter(Transfer::is_open).ok_or_else(|| {
        Error::Precondition(why(
            "NO_TRANSFER_PENDING",
            "回答待ちの移管はありません。",
            "No hand-over of this case is waiting for an answer.",
        ))
    })
}
