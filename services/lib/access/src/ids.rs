//! Ids that more than one service speaks of.

data::id!(
    /// An organisation (機関).
    OrganisationId,
    "organisation"
);
data::id!(
    /// A person at work; for a patient the case, for a proxy the proxy, for another system its account.
    UserId,
    "user"
);
data::id!(
    /// A session, from signing in to signing out.
    SessionId,
    "session"
);
data::id!(
    /// An episode of illness of one person.
    CaseId,
    "case"
);
