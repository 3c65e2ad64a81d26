//! Stays in hospital and lodging, as beds tells of them: a facility that accepted sees who comes; whoever arrived or left is cared
//! for somewhere else.

#[cfg(test)]
pub(crate) mod fixture;
mod model;
mod on_admission_changed;

pub(crate) use on_admission_changed::Hears;
