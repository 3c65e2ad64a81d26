//! What holds across services whatever is asked: who sees what, what takes effect once, what is on record.

mod access;
mod factors;
mod issuing;
mod matrix;
mod privacy;
mod repeats;
mod storage;
mod swap;
mod trail;
