//! REST: routes from the contract's annotations, requests and answers transcoded between JSON and protobuf.

mod call;
mod fault;
mod request;
pub(crate) mod routes;
mod stream;

pub(crate) use call::answer;
