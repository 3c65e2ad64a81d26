//! What a failure is told as: an exit code, and one sentence.

use std::{io, process::ExitCode};

use tonic::{Code, Status};

/// The command was used wrongly.
pub const USAGE: u8 = 2;
/// Not signed in, or the session has ended.
pub const NOT_SIGNED_IN: u8 = 3;
/// The role does not allow it, or there is no such record.
pub const DENIED: u8 = 4;
/// The input is at fault.
pub const BAD_INPUT: u8 = 5;
/// The system is away or busy: try again.
pub const TRY_AGAIN: u8 = 6;

/// The command was used wrongly: what it says cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What was to be proved does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unproved(pub String);

/// The exit code of a failure; 1 where nothing more can be said.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(code_of(error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    if is_cut_off(error) {
        return 0;
    }
    if find::<Usage>(error).is_some() {
        return USAGE;
    }
    if find::<Unproved>(error).is_some() {
        return BAD_INPUT;
    }
    match find::<Status>(error).map(Status::code) {
        Some(Code::Unauthenticated) => NOT_SIGNED_IN,
        Some(Code::PermissionDenied | Code::NotFound) => DENIED,
        Some(Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted) => BAD_INPUT,
        Some(Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => TRY_AGAIN,
        _ if is_out_of_reach(error) => TRY_AGAIN,
        None if find::<io::Error>(error).is_some() || find::<serde_json::Error>(error).is_some() => BAD_INPUT,
        _ => 1,
    }
}

/// One sentence a person can act on.
pub fn told(error: &anyhow::Error) -> String {
    if is_out_of_reach(error) {
        return "the gateway cannot be reached; is it up, and is its address right?".to_owned();
    }
    match find::<Status>(error) {
        Some(status) => status.message().to_owned(),
        None => format!("{error:#}"),
    }
}

/// Whether whoever read the output has had enough of it.
pub fn is_cut_off(error: &anyhow::Error) -> bool {
    find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether no connection came about.
fn is_out_of_reach(error: &anyhow::Error) -> bool {
    find::<hyper_util::client::legacy::Error>(error).is_some()
}

fn find<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;
    use tonic::{Code, Status};

    use super::{Usage, code_of, told};

    #[test]
    fn a_failure_has_its_code_and_one_sentence() {
        let of = |status: Status| anyhow::Error::from(status).context("somewhere");
        let read = || io::Result::<()>::Err(io::ErrorKind::NotFound.into()).context("read x.json").unwrap_err();
        for (error, code) in [
            (Usage("x".to_owned()).into(), 2),
            (of(Status::new(Code::Unauthenticated, "x")), 3),
            (of(Status::new(Code::NotFound, "x")), 4),
            (of(Status::new(Code::Aborted, "x")), 5),
            (read(), 5),
            (serde_json::from_str::<u8>("x").unwrap_err().into(), 5),
            (of(Status::new(Code::ResourceExhausted, "x")), 6),
            (of(Status::new(Code::Internal, "x")), 1),
            (io::Error::from(io::ErrorKind::BrokenPipe).into(), 0),
        ] {
            assert_eq!(code_of(&error), code, "{error:#}");
            assert!(!told(&error).contains("code:"), "{}", told(&error));
        }
        assert_eq!(told(&of(Status::not_found("見つかりません。"))), "見つかりません。");
    }
}
