//! A hand-over and what it does to the relations.

use access::{CaseId, OrganisationId};
use proto::registry::{Relation, TransferState};
use time::OffsetDateTime;

use crate::case::{Case, Grant};

/// A hand-over. Its reasons are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub case_id: CaseId,
    /// From 1 within the case.
    pub number: i32,
    pub from_centre: OrganisationId,
    pub to_centre: OrganisationId,
    pub state: TransferState,
    pub reason: Vec<u8>,
    pub offered_at: OffsetDateTime,
    pub answered_at: Option<OffsetDateTime>,
    pub answer_reason: Option<Vec<u8>>,
}

impl Transfer {
    /// A new offer with this version of a case.
    pub(crate) fn offered(
        case: &Case,
        number: i32,
        (from, to): (OrganisationId, OrganisationId),
        reason: Vec<u8>,
    ) -> Self {
        Self {
            case_id: case.id,
            number,
            from_centre: from,
            to_centre: to,
            state: TransferState::Offered,
            reason,
            offered_at: case.updated_at,
            answered_at: None,
            answer_reason: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == TransferState::Offered
    }

    /// The offer is answered with this version of a case.
    pub(crate) fn answer(&mut self, case: &Case, state: TransferState, reason: Option<Vec<u8>>) {
        self.state = state;
        self.answered_at = Some(case.updated_at);
        self.answer_reason = reason;
    }
}

/// The relations of a centre at work: one that registered the case or took it over, or one that received its notification (発生届).
/// Which of them is responsible, the case says.
pub(super) fn works_on_it(relation: Relation) -> bool {
    matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre)
}

/// What accepting does to the relations: the new centre is responsible, and its prefecture sees the case.
///
/// Counted where it was received; worked on by nobody but the new centre. Whoever worked on it until now, be it as the centre
/// that registered it, reads on as a former one.
pub(crate) fn handed_over(
    case: &Case,
    held: &[Grant],
    to: OrganisationId,
    prefecture: Option<OrganisationId>,
) -> Vec<Grant> {
    let until_now =
        held.iter().filter(|grant| works_on_it(grant.relation) && grant.until.is_none() && grant.organisation_id != to);

    let mut grants = vec![Grant::ended(case, to, Relation::IncomingCentre)];
    for grant in until_now {
        grants.push(Grant::ended(case, grant.organisation_id, grant.relation));
        grants.push(Grant::begun(case, grant.organisation_id, Relation::FormerCentre));
    }
    // The prefecture the person left sees no more of the case than what it wrote itself.
    let left = held.iter().filter(|grant| {
        grant.relation == Relation::Prefecture && grant.until.is_none() && Some(grant.organisation_id) != prefecture
    });
    if prefecture.is_some() {
        grants.extend(left.map(|grant| Grant::ended(case, grant.organisation_id, Relation::Prefecture)));
    }
    grants.push(Grant::begun(case, to, Relation::ResponsibleCentre));
    grants.extend(prefecture.map(|prefecture| Grant::begun(case, prefecture, Relation::Prefecture)));
    grants
}

#[cfg(test)]
mod tests {
    use access::{CaseId, OrganisationId};
    use proto::registry::Relation;
    use time::OffsetDateTime;

    use super::handed_over;
    use crate::{
        access_id::Access,
        case::{Case, Grant},
        person::PersonId,
    };

    #[test]
    fn nobody_but_the_new_centre_works_on_the_case() {
        let access = Access { sealed: Vec::new(), hash: Vec::new() };
        let case = Case::opened(CaseId::new(), PersonId::new(), access, OffsetDateTime::UNIX_EPOCH);
        let [old, to, clinic, left] = [(); 4].map(|()| OrganisationId::new());
        let held = [
            Grant::begun(&case, old, Relation::ReceivingCentre),
            Grant::begun(&case, old, Relation::ResponsibleCentre),
            Grant::begun(&case, clinic, Relation::Reporter),
            Grant::begun(&case, to, Relation::IncomingCentre),
            Grant::ended(&case, left, Relation::ResponsibleCentre),
        ];
        assert_eq!(
            handed_over(&case, &held, to, None),
            [
                Grant::ended(&case, to, Relation::IncomingCentre),
                Grant::ended(&case, old, Relation::ReceivingCentre),
                Grant::begun(&case, old, Relation::FormerCentre),
                Grant::ended(&case, old, Relation::ResponsibleCentre),
                Grant::begun(&case, old, Relation::FormerCentre),
                Grant::begun(&case, to, Relation::ResponsibleCentre),
            ]
        );
    }
}
