//! The state of the service.

use chassis::Base;
use proto::registry::registry_internal_service_client::RegistryInternalServiceClient;
use runtime::mesh::Channel;

/// The beds service.
#[derive(Clone)]
pub(crate) struct Beds {
    pub base: Base,
    /// Asked for cases that were not heard of yet.
    pub registry: RegistryInternalServiceClient<Channel>,
}

impl Beds {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { base: base.clone(), registry })
    }
}
