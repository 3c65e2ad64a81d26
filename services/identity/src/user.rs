//! IDs of people at work: issued, changed, unlocked, reset and disabled by administrators of their scope, and the first one of a
//! new system.

mod bootstrap;
mod disable;
mod import;
mod issue;
mod list;
mod locked;
mod make;
mod model;
mod reset;
mod slip;
mod store;
mod unlock;
mod update;
mod view;

pub(crate) use bootstrap::{bootstrap, bootstrap_again};
pub(crate) use disable::disable;
pub(crate) use import::import;
pub(crate) use issue::issue;
pub(crate) use list::list;
pub(crate) use reset::reset;
pub(crate) use unlock::unlock;
pub(crate) use update::update;

use vault::Place;

/// Where the holder's name lies.
pub(crate) const HOLDER: Place = Place { table: "account", column: "holder_sealed" };
/// Where the holder's mail lies.
pub(crate) const MAIL: Place = Place { table: "account", column: "mail_sealed" };
