//! A person as known in one episode: the basic items (基本情報), sealed, with blind indexes to find the person again.

mod batch_get;
mod model;
mod seal;
mod store;
mod supply;
mod update;

pub(crate) use batch_get::batch_get;
pub(crate) use model::{PersonId, agrees, check, described, differs, supplied};
pub(crate) use seal::{match_index, open, seal as seal_again, seal_new};
pub(crate) use store::{PARTICULARS, SealedPerson, insert, of_cases, replace};
pub(crate) use supply::supply;
pub(crate) use update::update;
