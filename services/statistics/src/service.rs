//! The state of the service.

use chassis::Base;

/// The statistics service.
#[derive(Clone)]
pub(crate) struct Statistics {
    pub base: Base,
}

impl Statistics {
    pub(crate) fn new(base: &Base) -> Self {
        Self { base: base.clone() }
    }
}
