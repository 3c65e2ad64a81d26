//! Who is calling, as the token says.

use proto::identity::{OrganisationKind, Role};
use time::OffsetDateTime;
use uuid::Uuid;

/// A signed-in person at work, or a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user; for a patient, the case.
    pub user_id: Uuid,
    /// The organisation; nil for a patient.
    pub organisation_id: Uuid,
    /// What the organisation is.
    pub kind: OrganisationKind,
    /// Its prefecture, 0 for national bodies.
    pub prefecture: u8,
    /// What the person does there.
    pub role: Role,
    /// The session.
    pub session_id: Uuid,
    /// The case of a patient.
    pub case_id: Option<Uuid>,
    /// When the token was issued.
    pub issued_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}
