//! A draft as its organisation sees it, with what it still lacks.

use access::{Caller, Relations, classes};
use anyhow::Context as _;
use chassis::{Base, Error};
use prost::Message as _;
use proto::{
    notification::{Draft as View, DraftFault, Form},
    registry::Relation,
};
use runtime::{clock::to_proto, problem::Violation};
use time::Date;

use super::{
    model::{Draft, KEPT},
    store::FORM,
};
use crate::form::{self, Filer};

/// Whoever may file sees the drafts of their organisation as a reporter sees what it files.
pub(super) fn relations(caller: &Caller) -> Relations {
    Relations::new(vec![Relation::Reporter], caller)
}

/// A draft, checked as if the caller filed it today.
pub(super) fn shown(base: &Base, draft: &Draft, caller: &Caller, today: Date) -> Result<View, Error> {
    let plain = base.vault.open(FORM, draft.id.uuid().as_bytes(), &draft.form)?;
    let form = Form::decode(plain.as_slice()).context("read a stored draft").map_err(Error::Internal)?;
    let review = form::review(form.clone(), Filer { today, prefecture: caller.prefecture });
    let fault = |fault: Violation| DraftFault { field: fault.field, ja: fault.rule.ja, en: fault.rule.en };
    let view = View {
        draft_id: draft.id.to_string(),
        form: Some(form),
        case_id: data::text(draft.case_id),
        faults: review.faults.into_iter().map(fault).collect(),
        missing_items: review.missing,
        create_time: Some(to_proto(draft.created_at)),
        update_time: Some(to_proto(draft.updated_at)),
        expire_time: Some(to_proto(draft.updated_at + KEPT)),
        etag: draft.revision.to_string(),
        user_id: draft.user.to_string(),
    };
    classes::mask(&view, &relations(caller)).map_err(Error::Internal)
}
