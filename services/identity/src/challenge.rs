//! What stands between the first and the second factor. The client holds the challenge itself; here is its hash.

mod store;

pub(crate) use store::{Challenge, NewChallenge, Step, attempt, drop_all, finish, insert, prepare_enrolment};
