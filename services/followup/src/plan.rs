//! When a person reports, and what happens when a due report does not come.
//!
//! Exactly one report is awaited of everybody who is observed (`slot_open`, a partial unique index). Whoever changes slots or tasks
//! of a case holds the lock of its plan.

mod adjust;
mod follow;
mod model;
mod overdue;
mod rules;
mod slots;
mod store;

pub(crate) use adjust::adjust;
pub(crate) use follow::follow;
pub(crate) use model::{Due, Plan, SlotState, counts};
#[cfg(test)]
pub(crate) use overdue::pass;
pub(crate) use overdue::start;
pub(crate) use slots::open;
pub(crate) use store::{close, find, lock, lock_with_case};

use proto::followup::Plan as View;
use runtime::clock::to_proto;

/// A plan as the API shows it.
pub(crate) fn shown(plan: &Plan) -> View {
    View {
        case_id: plan.case_id.to_string(),
        state: plan.state.into(),
        reason: plan.reason.text().shown().to_owned(),
        next_due_time: plan.awaited.map(|slot| to_proto(slot.due_at)),
        last_date: data::text(plan.last_day),
        times_of_day: plan.times.clone(),
        owner_organisation_id: data::text(plan.owner),
        etag: plan.version.to_string(),
    }
}
