//! The audit trail from outside: searched in every service, verified without trusting any, and turned into the report that
//! the privacy commission asks for (個人情報保護委員会, 速報 within 3 to 5 days).

mod chain;
mod incident;
mod search;
mod verify;

pub use chain::{Broken, Chain, Verified};
pub use incident::incident;
pub use search::{Question, line, search};
pub use verify::{Seen, load, proved, verify};
