//! The caller of an RPC, as the token describes it.

use std::sync::Arc;

use proto::{
    identity::{OrganisationKind, Role},
    options::Group,
};
use time::OffsetDateTime;

use crate::ids::{CaseId, OrganisationId, SessionId, UserId};

/// A signed-in person at work, a patient or proxy, or another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user; for a patient, the case; for a proxy, the proxy; for another system, its account.
    pub user_id: UserId,
    /// The organisation; nil for a patient or proxy.
    pub organisation_id: OrganisationId,
    /// The organisation's kind.
    pub kind: OrganisationKind,
    /// The organisation's prefecture, 1 to 47; 0 for national bodies.
    pub prefecture: u8,
    /// The role the person holds in the organisation.
    pub role: Role,
    /// The session the token belongs to.
    pub session_id: SessionId,
    /// The case of a patient or proxy.
    pub case_id: Option<CaseId>,
    /// Field groups this ID does not see.
    pub hidden: Hidden,
    /// Whether the current terms of use have yet to be accepted.
    pub terms_due: bool,
    /// When both factors were last given.
    pub authenticated_at: OffsetDateTime,
    /// The RPCs another system may call; `None` for persons.
    pub scopes: Option<Arc<[String]>>,
    /// Calls per second of another system; 0 for the gateway's own limit.
    pub calls_per_second: u32,
    /// When the token was issued.
    pub issued_at: OffsetDateTime,
    /// When the token expires.
    pub expires_at: OffsetDateTime,
}

impl Caller {
    /// Whether the caller is a patient, a close contact or a proxy: somebody with one case and no organisation.
    pub fn is_citizen(&self) -> bool {
        matches!(self.role, Role::Patient | Role::Proxy)
    }
}

/// Field groups that an ID does not see (閲覧範囲), whatever its relations show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden(u16);

impl Hidden {
    /// The set of these groups.
    pub fn of(groups: impl IntoIterator<Item = Group>) -> Self {
        Self(groups.into_iter().fold(0, |bits, group| bits | bit(group)))
    }

    /// The set as a token carries it, one bit per group.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set that a token carries.
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Hides what either hides.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a group is hidden.
    pub fn hides(self, group: Group) -> bool {
        self.0 & bit(group) != 0
    }
}

fn bit(group: Group) -> u16 {
    1_u16.checked_shl(u32::try_from(i32::from(group)).unwrap_or(u32::MAX)).unwrap_or(0)
}
