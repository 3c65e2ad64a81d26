//! The RPCs that every service answers about itself: its audit trail and keys, its event log and consumers.

mod pipeline;
mod trail;

pub(crate) use pipeline::Operations;
pub(crate) use trail::Trail;
