//! The state of the service.

use chassis::{Base, watch::Arrivals};

/// The notification service.
#[derive(Clone)]
pub(crate) struct Notifications {
    pub base: Base,
    /// Filings and forwards of this process wake those who watch their inbox.
    pub arrivals: Arrivals,
}

impl Notifications {
    pub(crate) fn new(base: &Base) -> Self {
        Self { base: base.clone(), arrivals: Arrivals::default() }
    }
}
