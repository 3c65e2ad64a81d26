//! A hand-over as the contract carries it.

use chassis::Error;
use proto::registry::Transfer as View;
use runtime::clock::to_proto;
use vault::Vault;

use super::{
    model::Transfer,
    store::{ANSWER_REASON, REASON},
};

pub(crate) fn shown(vault: &Vault, transfer: &Transfer) -> Result<View, Error> {
    let case = transfer.case_id.uuid();
    let text = |plain: Vec<u8>| String::from_utf8_lossy(&plain).into_owned();
    let reason = vault.open(REASON, case.as_bytes(), &transfer.reason)?;
    let answer_reason = match &transfer.answer_reason {
        Some(sealed) => vault.open(ANSWER_REASON, case.as_bytes(), sealed)?,
        None => Vec::new(),
    };
    Ok(View {
        from_centre_id: transfer.from_centre.to_string(),
        to_centre_id: transfer.to_centre.to_string(),
        state: transfer.state.into(),
        offer_time: Some(to_proto(transfer.offered_at)),
        answer_time: transfer.answered_at.map(to_proto),
        reason: text(reason),
        answer_reason: text(answer_reason),
    })
}
