//! The course of an illness: tests, how ill the person is, where the person is cared for, need of admission, outcome (転帰).
//!
//! Each of them is a fact; the present state follows from all facts by one pure function ([`Course::of`]).

mod derive;
mod judge_admission;
mod model;
mod order;
mod read;
mod record_outcome;
mod record_placement;
mod record_severity;
mod record_test;
mod told;
mod view;

pub(crate) use derive::Course;
pub(crate) use judge_admission::judge_admission;
pub(crate) use model::{ClinicalState, Stay, Test};
pub(crate) use order::check as check_order;
pub(crate) use read::{read_state, read_stay, read_test};
pub(crate) use record_outcome::{looks_after, record_outcome};
pub(crate) use record_placement::record_placement;
pub(crate) use record_severity::record_severity;
pub(crate) use record_test::record_test;
pub(crate) use told::{exposures, facilities, findings, numbered_tests, states, stays};
