//! Whoever works on a case gives and revokes the person's access: printed codes for people with neither phone nor mail, and an
//! access ID that is barred.

#[cfg(test)]
pub(crate) mod fixture;
mod issue_code;
mod model;
mod relation;
mod revoke;
mod store;

pub(crate) use issue_code::issue_code;
pub(crate) use relation::case_of;
pub(crate) use revoke::revoke;
