//! The course of an illness: tests, how ill the person is, where the person is cared for, need of admission, outcome (転帰).

mod judge_admission;
mod model;
mod record_outcome;
mod record_placement;
mod record_severity;
mod record_test;
mod store;
mod view;

pub(crate) use judge_admission::judge_admission;
pub(crate) use model::{ClinicalState, Stay, Test};
pub(crate) use record_outcome::record_outcome;
pub(crate) use record_placement::record_placement;
pub(crate) use record_severity::record_severity;
pub(crate) use record_test::record_test;
pub(crate) use store::{add_stay, insert_tests, states_of, stays_of, tests_of};
