//! Cases of one person that were registered twice: found when somebody registers, looked at and joined by the centre.

mod join;
mod model;
mod store;

pub(crate) use join::join;
pub(crate) use model::{Known, to_look_at};
pub(crate) use store::{lock_persons, open_of};
