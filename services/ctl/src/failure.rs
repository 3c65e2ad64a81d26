//! What an exit code means.

use std::process::ExitCode;

use tonic::{Code, Status};

/// Not signed in, or the session has ended.
pub const NOT_SIGNED_IN: u8 = 3;
/// The role does not allow it, or there is no such record.
pub const DENIED: u8 = 4;
/// The input is at fault.
pub const BAD_INPUT: u8 = 5;
/// The system is away or busy: try again.
pub const TRY_AGAIN: u8 = 6;

/// The exit code of a failure; 1 where nothing more can be said.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
    ExitCode::from(match status.map(Status::code) {
        Some(Code::Unauthenticated) => NOT_SIGNED_IN,
        Some(Code::PermissionDenied | Code::NotFound) => DENIED,
        Some(Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted) => BAD_INPUT,
        Some(Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => TRY_AGAIN,
        _ => 1,
    })
}
