//! The care survey (療養状況等及び入院患者受入病床数等に関する調査): how people are cared for, and what room there is.

mod get;
mod model;
mod store;

pub(crate) use get::get;
