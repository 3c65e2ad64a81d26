//! The API described from the contract itself: `/openapi.json` and `/docs`.

pub(crate) mod docs;
pub(crate) mod openapi;
mod schema;
