//! A grant: a dated relation of an organisation to a case.

use access::{CaseId, OrganisationId, UserId, cases};
use proto::registry::{Grant as View, Relation};
use runtime::clock::to_proto;
use time::OffsetDateTime;

use crate::case::Case;

/// A relation of an organisation to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub case_id: CaseId,
    pub organisation_id: OrganisationId,
    pub relation: Relation,
    /// The only user who holds it; nil where all of the organisation do.
    pub user_id: UserId,
    pub since: OffsetDateTime,
    /// `None` while it lasts.
    pub until: Option<OffsetDateTime>,
}

impl Grant {
    /// A relation that begins with this version of a case. One that was held before goes on, or opens again.
    pub(crate) fn begun(case: &Case, organisation_id: OrganisationId, relation: Relation) -> Self {
        let since = case.updated_at;
        Self { case_id: case.id, organisation_id, relation, user_id: UserId::NIL, since, until: None }
    }

    /// A relation that ends with this version of a case.
    pub(crate) fn ended(case: &Case, organisation_id: OrganisationId, relation: Relation) -> Self {
        Self { until: Some(case.updated_at), ..Self::begun(case, organisation_id, relation) }
    }
}

impl Grant {
    /// As the caller's relations are told from it.
    pub(crate) fn held(self) -> cases::Held {
        let Self { organisation_id, relation, user_id, until, .. } = self;
        cases::Held { organisation_id, relation, user_id: Some(user_id).filter(|user| *user != UserId::NIL), until }
    }
}

impl From<Grant> for View {
    fn from(grant: Grant) -> Self {
        Self {
            organisation_id: grant.organisation_id.to_string(),
            relation: grant.relation.into(),
            from_time: Some(to_proto(grant.since)),
            until_time: grant.until.map(to_proto),
            user_id: data::text(Some(grant.user_id).filter(|user| *user != UserId::NIL)),
        }
    }
}
