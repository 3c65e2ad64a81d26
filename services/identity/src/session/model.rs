//! How long a session lasts, and whom its tokens are for.

use access::{Caller, CaseId, OrganisationId, SessionId, UserId, caller::Hidden};
use proto::identity::Role;
use runtime::problem::{Why, why};
use time::{Duration, OffsetDateTime};

/// A session ends after this long without use.
pub(crate) const IDLE: Duration = Duration::minutes(30);
/// A session ends after this long whatever happens.
pub(crate) const ABSOLUTE: Duration = Duration::hours(12);
/// A lost response to a refresh may be asked for again this long.
pub(crate) const LOST_RESPONSE: Duration = Duration::seconds(30);
/// Wrong codes or passwords in a row within a session after which it ends.
pub(crate) const SESSION_STOP: i32 = 10;

/// Whose session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A person at work.
    Staff { user: UserId, organisation: OrganisationId, role: Role },
    /// The patient of a case.
    Patient(CaseId),
    /// A proxy of the patient.
    Proxy { proxy: UserId, case: CaseId },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub id: SessionId,
    pub subject: UserId,
    pub organisation_id: OrganisationId,
    pub role: Role,
    /// The case of a patient or proxy.
    pub case_id: Option<CaseId>,
    pub created_at: OffsetDateTime,
    pub used_at: OffsetDateTime,
    /// When both factors were last given.
    pub authenticated_at: OffsetDateTime,
}

impl Session {
    pub(crate) fn begun(whose: Whose, now: OffsetDateTime) -> Self {
        let (subject, organisation_id, role, case_id) = match whose {
            Whose::Staff { user, organisation, role } => (user, organisation, role, None),
            Whose::Patient(case) => (case.uuid().into(), OrganisationId::NIL, Role::Patient, Some(case)),
            Whose::Proxy { proxy, case } => (proxy, OrganisationId::NIL, Role::Proxy, Some(case)),
        };
        Self {
            id: SessionId::new(),
            subject,
            organisation_id,
            role,
            case_id,
            created_at: now,
            used_at: now,
            authenticated_at: now,
        }
    }

    /// Whether it ran out, unused or too old.
    pub(crate) fn is_over(&self, now: OffsetDateTime) -> bool {
        now - self.used_at > IDLE || now - self.created_at > ABSOLUTE
    }
}

/// Whom an access token is for, and what it lets do.
pub(crate) struct Holder {
    pub id: UserId,
    pub session_id: SessionId,
    pub organisation_id: OrganisationId,
    pub role: Role,
    pub authenticated_at: OffsetDateTime,
    pub case_id: Option<CaseId>,
    pub hidden: Hidden,
    pub terms_due: bool,
    pub scopes: Option<Vec<String>>,
    pub calls_per_second: u32,
}

/// Patients, proxies and other systems have no authenticator, no password and no recovery codes.
pub(crate) fn must_be_at_work(caller: &Caller) -> Result<(), Why> {
    if caller.is_citizen() || caller.scopes.is_some() {
        return Err(why("STAFF_ONLY", "職員のIDに限ります。", "This is for people at work."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use time::{Duration, macros::datetime};

    use super::{ABSOLUTE, IDLE, Session, Whose};

    #[test]
    fn a_session_ends_unused_or_after_a_day_of_work() {
        let now = datetime!(2020-06-01 00:00 UTC);
        let session = Session::begun(Whose::Patient(CaseId::new()), now);
        assert!(!session.is_over(now + IDLE) && session.is_over(now + IDLE + Duration::SECOND));
        let used = Session { used_at: now + ABSOLUTE, ..session };
        assert!(!used.is_over(now + ABSOLUTE) && used.is_over(now + ABSOLUTE + Duration::SECOND));
    }
}
