//! Where a request enters a service: checked against the contract, with its caller.

use prost::{Message, Name};
use runtime::{
    problem::{self, Unproved},
    server::Peer,
};
use tonic::{Request, Status};

use crate::{
    Caller,
    validate::{self, Checked},
};

/// A request that keeps every rule of the contract.
pub struct Entered<M, By> {
    /// A [`Caller`], a service's name, or `()` where none is needed.
    pub caller: By,
    /// The request itself.
    pub message: M,
    /// Its `request_id`, empty if the RPC has none.
    pub request_id: String,
    /// Its `etag`, empty if none was given.
    pub etag: String,
}

impl<M, By> Entered<M, By> {
    /// The same request with another type of caller.
    pub fn of<Other>(self, tell: impl FnOnce(By) -> Other) -> Entered<M, Other> {
        let Self { caller, message, request_id, etag } = self;
        Entered { caller: tell(caller), message, request_id, etag }
    }
}

/// Checks a request of a caller with a token.
///
/// # Errors
/// `INVALID_ARGUMENT` with every field at fault; UNAUTHENTICATED if the guard found no caller.
pub fn enter<M: Message + Name>(request: Request<M>) -> Result<Entered<M, Caller>, Status> {
    let caller = request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| problem::unauthenticated(Unproved::SignInRequired))?;
    entered(request, caller)
}

/// Checks a request that needs no token.
///
/// # Errors
/// `INVALID_ARGUMENT` with every field at fault.
pub fn enter_public<M: Message + Name>(request: Request<M>) -> Result<Entered<M, ()>, Status> {
    entered(request, ())
}

/// Checks a request of another service; its caller is the service's name.
///
/// # Errors
/// `INVALID_ARGUMENT` with every field at fault; UNAUTHENTICATED without a peer.
pub fn enter_internal<M: Message + Name>(request: Request<M>) -> Result<Entered<M, String>, Status> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.service.clone());
    let peer = peer.ok_or_else(|| problem::unauthenticated(Unproved::SignInRequired))?.to_string();
    entered(request, peer)
}

fn entered<M: Message + Name, By>(request: Request<M>, caller: By) -> Result<Entered<M, By>, Status> {
    let message = request.into_inner();
    let Checked { violations, request_id, etag } = validate::check(&message);
    if violations.is_empty() {
        Ok(Entered { caller, message, request_id, etag })
    } else {
        Err(problem::invalid(&violations))
    }
}
