//! The state of the service.

use chassis::{Base, watch::Arrivals};
use proto::registry::registry_internal_service_client::RegistryInternalServiceClient;
use runtime::mesh::Channel;

/// The follow-up service.
#[derive(Clone)]
pub(crate) struct Followup {
    pub base: Base,
    /// Asked for cases that were not heard of yet, and for names.
    pub registry: RegistryInternalServiceClient<Channel>,
    /// Wakes those who watch a worklist or alerts.
    pub arrivals: Arrivals,
}

impl Followup {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { base: base.clone(), registry, arrivals: Arrivals::default() })
    }
}
