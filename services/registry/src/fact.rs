//! Facts: what was recorded about a case, by whom and when.
//!
//! Facts are only added. A correction or a withdrawal is one more record about the same thing; of the records about one thing, that of
//! the highest authority counts, and of those the latest. What a case shows is a function of its facts ([`crate::course`]).

mod correct;
mod list;
mod model;
mod recorder;
mod standing;
mod store;
mod view;
mod withdraw;

pub(crate) use correct::{correct, counting, may_replace};
pub(crate) use list::list;
pub(crate) use model::{Answered, Content, Exposure, Fact, FactId, Need, Report, Slot, Source};
pub(crate) use recorder::{Recorder, authority};
pub(crate) use standing::{described, latest, standing};
pub(crate) use store::{REASON, insert, of_cases};
pub(crate) use withdraw::withdraw;
