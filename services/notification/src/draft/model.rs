//! A draft, and how long it is kept.

use access::{CaseId, OrganisationId, UserId};
use chassis::Error;
use runtime::problem::why;
use time::{Duration, OffsetDateTime};

data::id!(
    /// A draft of a notification.
    DraftId,
    "draft"
);

/// For how long a draft is kept that nobody saves again.
pub(crate) const KEPT: Duration = Duration::days(30);

pub(super) struct Draft {
    pub id: DraftId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Who saved it last.
    pub user: UserId,
    /// The form as it was typed, sealed.
    pub form: Vec<u8>,
    /// The case registered at the test.
    pub case_id: Option<CaseId>,
    pub revision: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A draft that is to be filed is not there any more: filing what it was would notify the person twice.
pub(super) fn gone() -> Error {
    Error::Precondition(why(
        "DRAFT_GONE",
        "この下書きは、すでに届け出られたか、破棄されています。",
        "This draft was filed already, or thrown away.",
    ))
}
