//! The state of the service.

use chassis::Base;

/// The registry.
#[derive(Clone)]
pub(crate) struct Registry {
    pub base: Base,
}

impl Registry {
    pub(crate) fn new(base: &Base) -> Self {
        Self { base: base.clone() }
    }
}
