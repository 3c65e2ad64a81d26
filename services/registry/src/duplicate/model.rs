//! An open case of a person, and whom it is known to.

use access::{CaseId, OrganisationId};
use proto::registry::{FilingDoubt, FilingToCheck, Relation};
use runtime::clock::to_proto;
use time::OffsetDateTime;

use crate::{
    case::{Case, Grant},
    filing,
};

data::id!(
    /// That somebody should look at a case.
    CheckId,
    "check"
);

/// An open case of a person.
pub(crate) struct Known {
    pub id: CaseId,
    pub held: Vec<Grant>,
}

impl Known {
    /// Where a centre is asked to look: at the new case if the same centre works on both, else at this one. Nobody learns of the other by
    /// that.
    pub(crate) fn whom_to_ask(&self, new: &Case) -> CaseId {
        let responsible =
            self.held.iter().find(|grant| grant.relation == Relation::ResponsibleCentre && grant.until.is_none());
        let same = responsible.is_some_and(|grant| Some(grant.organisation_id) == new.responsible_centre);
        if same { new.id } else { self.id }
    }

    /// Whether an organisation may go on with it, as it may by naming it in a notification.
    pub(crate) fn is_worked_on_by(&self, organisation: OrganisationId, now: OffsetDateTime) -> bool {
        self.held.iter().any(|grant| filing::may_go_on(grant, organisation, now))
    }
}

/// Tells that somebody should look at a case.
pub(crate) fn to_look_at(case_id: CaseId, doubt: FilingDoubt, now: OffsetDateTime) -> FilingToCheck {
    FilingToCheck {
        check_id: CheckId::new().to_string(),
        case_id: case_id.to_string(),
        notification_id: String::new(),
        doubt: doubt.into(),
        take_time: Some(to_proto(now)),
    }
}
