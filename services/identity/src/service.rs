//! The state of the service.

mod hashing;

use std::sync::Arc;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use chassis::{Base, Error};
use proto::options::Switch;
use proto::registry::registry_internal_service_client::RegistryInternalServiceClient;
use runtime::mesh::Channel;
use vault::Vault;

pub(crate) use hashing::{Hashing, Turn};

use crate::settings::Post;

/// How the kept form of an initial secret begins.
const INITIAL: &str = "keyed$";

/// The identity service.
#[derive(Clone)]
pub(crate) struct Identity {
    pub base: Base,
    /// Asked how a caller stands to a case.
    pub registry: RegistryInternalServiceClient<Channel>,
    pub hashing: Hashing,
    /// How messages leave, and what slips look like.
    pub post: Arc<Post>,
}

impl Identity {
    pub(crate) fn new(base: &Base, post: Post) -> anyhow::Result<Self> {
        Ok(Self {
            base: base.clone(),
            registry: RegistryInternalServiceClient::new(base.channel("registry")?),
            hashing: Hashing::new()?,
            post: Arc::new(post),
        })
    }

    /// A turn at hashing a password, or the answer to come back later.
    pub(crate) fn admit(&self) -> Result<Turn, Error> {
        let now = self.base.clock.now();
        self.hashing.admit(self.base.surge.is_thrown(Switch::SignInQueue, now))
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.base.vault
    }

    /// A secret of 256 random bits for a person or a client, and the hash that is kept of it.
    pub(crate) fn secret(&self) -> Result<(String, Vec<u8>), Error> {
        let text = draw_secret()?;
        let hash = self.hash_of(&text);
        Ok((text, hash))
    }

    /// What is kept of a secret that carries its own entropy.
    pub(crate) fn hash_of(&self, secret: &str) -> Vec<u8> {
        hash_of(self.vault(), secret)
    }

    /// What is kept of an initial secret.
    pub(crate) fn initial_hash(&self, secret: &str) -> String {
        initial_hash(self.vault(), secret)
    }

    /// Whether a password or an initial secret fits what is kept of it. The work is the same for either, and for none.
    pub(crate) async fn verify(&self, turn: Turn, secret: String, kept: Option<String>) -> Result<bool, Error> {
        let initial = kept.as_deref().filter(|kept| kept.starts_with(INITIAL)).map(str::to_owned);
        let fits_initial = initial.as_ref().is_some_and(|kept| *kept == self.initial_hash(&secret));
        let fits = self.hashing.verify(turn, secret, kept.filter(|_| initial.is_none())).await?;
        Ok(fits || fits_initial)
    }
}

/// 256 random bits, as text.
pub(crate) fn draw_secret() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("draw a secret: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of an initial secret. It carries 256 random bits, so a keyed hash is enough, and a thousand of them take a second.
pub(crate) fn initial_hash(vault: &Vault, secret: &str) -> String {
    format!("{INITIAL}{}", STANDARD_NO_PAD.encode(hash_of(vault, &format!("initial|{secret}"))))
}

fn hash_of(vault: &Vault, secret: &str) -> Vec<u8> {
    vault.keyed_hash("secret", secret.as_bytes())
}
