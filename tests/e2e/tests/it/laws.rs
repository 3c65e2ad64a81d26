//! The laws of the house, read from its files.

mod chart;
mod dependencies;
mod house;
mod mission;
mod threat_model;
