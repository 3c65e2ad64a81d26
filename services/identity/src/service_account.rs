//! Other government systems: an account with scopes, proved by a key of its own (RFC 7523, `private_key_jwt`). No shared secret.

mod change;
mod create;
mod disable;
#[cfg(test)]
mod fixture;
mod model;
mod replace_keys;
mod store;

pub(crate) use create::create;
pub(crate) use disable::disable;
pub(crate) use model::Account;
pub(crate) use replace_keys::replace_keys;
pub(crate) use store::{find, lock};
