//! How people at work prove who they are: password, authenticator, recovery codes, known devices; and what wrong guesses cost.
//! The trunk of this service.

mod authenticator;
mod code;
mod model;
mod recovery;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use authenticator::{new_authenticator, step_of};
pub(crate) use code::{drawn_code, plain_code, six_digits};
pub(crate) use model::{Account, DEVICE_STOP, HARD_STOP, OF_CITIZENS, OF_STAFF, Rests};
pub(crate) use recovery::{RecoveryCodes, recovery_hash};
pub(crate) use store::{
    COUNT, accept_step, clear_failures, count_attempt, count_device_attempt, find_account, find_login,
    finish_enrolment, forget_device_after, note_stray, remember_device, replace_recovery_codes, set_password,
    use_recovery_code,
};

use chassis::Error;
use vault::Place;

/// The secret of an authenticator.
pub(crate) const TOTP: Place = Place { table: "account", column: "totp_sealed" };

/// Goes on only with a password that may be chosen.
pub(crate) fn refuse_easy(password: &str, login: &str) -> Result<(), Error> {
    if model::password_is_good(password, login) {
        return Ok(());
    }
    Err(Error::invalid(
        "new_password",
        "推測されやすいパスワードです。12文字以上で、よく使われる語を避けてください",
        "must be hard to guess: at least 12 characters beyond the well-known words",
    ))
}
