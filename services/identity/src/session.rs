//! A session: tokens of ten minutes, refresh tokens that work once, and what a person does within it until it ends.

mod attempt;
mod change_password;
mod end;
mod list;
mod model;
mod refresh;
mod replace_recovery_codes;
mod sign_out;
mod step_up;
mod store;
mod tokens;

pub(crate) use change_password::change_password;
pub(crate) use end::{end, end_all};
pub(crate) use list::list;
pub(crate) use model::{Holder, Whose};
pub(crate) use refresh::{refresh, renew};
pub(crate) use replace_recovery_codes::replace_recovery_codes;
pub(crate) use sign_out::sign_out;
pub(crate) use step_up::step_up;
pub(crate) use tokens::{begin, signed};
