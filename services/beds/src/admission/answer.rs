//! What a facility answered, and who entered it: the facility, or a centre or prefecture that it told (代行入力).

mod store;

pub(crate) use store::insert_refusal;
pub(super) use store::{Answer, Answers, RefusalRow, insert_answer, of};
