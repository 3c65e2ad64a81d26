//! A grant: a dated relation of an organisation to a case.

use access::{CaseId, Directory, OrganisationId, UserId, cases};
use proto::registry::{Grant as View, Placement, Relation, Severity};
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

/// Which part of an organisation's list is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    /// Unspecified: any.
    pub relation: Relation,
    pub state: State,
    /// Not before this moment.
    pub since: Option<OffsetDateTime>,
}

/// Open cases are looked at where they are and how ill the person is; what has ended lies nowhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Any,
    Ended,
    /// Unspecified: wherever, however ill.
    Open(Placement, Severity),
}

/// What the prefectures of a case get: the one that counts it and the one of the responsible centre see it. One that the person left by
/// a hand-over does not come back by a filing.
pub(crate) fn prefectures(case: &Case, held: &[Grant], directory: &Directory) -> Vec<Grant> {
    let responsible = case.responsible_centre.and_then(|id| directory.get(id)).map(|entry| entry.prefecture);
    let relation = |organisation: OrganisationId| {
        held.iter().find(|grant| grant.organisation_id == organisation && grant.relation == Relation::Prefecture)
    };
    let mut begun: Vec<Grant> = Vec::new();
    for number in [Some(case.prefecture), responsible].into_iter().flatten() {
        let Some(prefecture) = directory.prefecture(number) else { continue };
        let (sees, left) = match relation(prefecture) {
            Some(grant) => (grant.until.is_none(), grant.until.is_some() && responsible.is_some_and(|id| id != number)),
            None => (false, false),
        };
        if !sees && !left && begun.iter().all(|grant| grant.organisation_id != prefecture) {
            begun.push(Grant::begun(case, prefecture, Relation::Prefecture));
        }
    }
    begun
}
