//! Whether a person can be released (退院基準・療養解除基準), and why.

mod evaluate;
mod model;
mod rules;

pub(crate) use evaluate::evaluate;
