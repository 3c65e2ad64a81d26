//! How a caller stands to a case.

use access::{Caller, CaseId, Relations, cases};
use chassis::Error;
use runtime::problem::why;
use time::OffsetDateTime;

use super::model::manages;
use crate::service::Identity;

/// The case, where the caller works on it or is the patient. Another one does not exist for the caller.
///
/// The registry is asked before any transaction begins: nobody keeps a connection while asking somebody else.
pub(crate) async fn case_of(
    identity: &Identity,
    caller: &Caller,
    case_id: &str,
    now: OffsetDateTime,
) -> Result<(CaseId, Relations), Error> {
    let id = CaseId::parse(case_id)?;
    let case = cases::ask(&identity.registry, id).await?.ok_or(Error::NotFound("case"))?;
    let relations = cases::relations(&case, caller, &identity.base.directory, now);
    if relations.is_empty() {
        return Err(Error::NotFound("case"));
    }
    if relations.iter().copied().any(manages) {
        return Ok((id, relations));
    }
    Err(Error::Denied(why(
        "RELATION_DOES_NOT_ALLOW",
        "この方の利用者IDを管理する権限がありません。",
        "Your relation to this person does not allow this.",
    )))
}
