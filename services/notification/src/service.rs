//! The state of the service.

use chassis::{Base, watch::Arrivals};
use proto::registry::registry_internal_service_client::RegistryInternalServiceClient;
use runtime::mesh::Channel;

/// The notification service.
#[derive(Clone)]
pub(crate) struct Notifications {
    pub base: Base,
    /// Asked for cases that were not heard of yet.
    pub registry: RegistryInternalServiceClient<Channel>,
    /// Filings and forwards of this process wake those who watch their inbox.
    pub arrivals: Arrivals,
}

impl Notifications {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { base: base.clone(), registry, arrivals: Arrivals::default() })
    }
}
