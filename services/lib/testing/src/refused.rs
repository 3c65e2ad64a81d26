//! Calls that should have been refused.

use tonic::Status;

/// The status of a refused call. Answers have no `Debug`, because they contain personal data.
pub trait Refused {
    /// The status that the call was refused with.
    ///
    /// # Panics
    /// When the call was answered.
    fn refused(self) -> Status;
}

impl<T> Refused for Result<T, Status> {
    #[expect(clippy::panic, reason = "an assertion of tests")]
    fn refused(self) -> Status {
        match self {
            Ok(_) => panic!("the call was answered, and should have been refused"),
            Err(status) => status,
        }
    }
}
