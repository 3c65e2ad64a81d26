//! Every handler's first line: the request checked against the contract, and who sent it.

use prost::{Message, Name};
use runtime::{problem, server::Peer};
use tonic::{Request, Status};

use crate::{Caller, validate};

/// What a handler gets to work with.
pub struct Door;

impl Door {
    /// The request, checked, and its caller.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with every field at fault; UNAUTHENTICATED where the guard let nobody in.
    pub fn enter<M: Message + Name>(request: Request<M>) -> Result<(Caller, M), Status> {
        let caller = request.extensions().get::<Caller>().cloned().ok_or_else(problem::unauthenticated)?;
        Ok((caller, Self::checked(request.into_inner())?))
    }

    /// A request of an anonymous caller, checked.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with every field at fault.
    pub fn enter_public<M: Message + Name>(request: Request<M>) -> Result<M, Status> {
        Self::checked(request.into_inner())
    }

    /// A request of another service, checked, and its name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with every field at fault; UNAUTHENTICATED without a peer.
    pub fn enter_internal<M: Message + Name>(request: Request<M>) -> Result<(String, M), Status> {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.service.clone());
        let peer = peer.ok_or_else(problem::unauthenticated)?.to_string();
        Ok((peer, Self::checked(request.into_inner())?))
    }

    fn checked<M: Message + Name>(message: M) -> Result<M, Status> {
        let violations = validate::check(&message, &M::full_name());
        if violations.is_empty() { Ok(message) } else { Err(problem::invalid(&violations)) }
    }
}
