//! Calls, visits and consultations.

use access::{CaseId, OrganisationId};
use proto::followup::ContactChannel;
use time::OffsetDateTime;

data::id!(
    /// A call or visit to a person.
    AttemptId,
    "attempt"
);
data::id!(
    /// A consultation (受診) during care at home or in lodging.
    VisitId,
    "visit"
);

/// A call or visit to a person.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub id: AttemptId,
    pub case_id: CaseId,
    pub at: OffsetDateTime,
    pub channel: ContactChannel,
    /// The person answered.
    pub reached: bool,
    /// What was said, sealed.
    pub note: Option<Vec<u8>>,
    pub by_organisation: OrganisationId,
}

/// A consultation (受診).
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub id: VisitId,
    pub case_id: CaseId,
    /// When it was recorded.
    pub at: OffsetDateTime,
    /// A `CareVisit`, sealed: institution and notes are free text.
    pub sealed: Vec<u8>,
}
