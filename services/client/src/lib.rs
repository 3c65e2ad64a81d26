//! A client of the gateway: connects, signs in, keeps its tokens fresh, and asks again while the system is busy.

mod calls;
mod services;
mod session;
mod sign_in;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use runtime::{mesh::Channel, tls};
use tonic::{Request, metadata::MetadataValue};

pub use calls::{is_passing, pages, patiently};
pub use session::{Credentials, Enrolled, Session};
pub use sign_in::code;

/// A client of the gateway. Clones share the connection, not the session.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    session: Option<Session>,
    language: Option<&'static str>,
}

impl Client {
    /// Prepares a client of the gateway at `https://host:port`, trusting one authority.
    ///
    /// # Errors
    /// When URL or authority are unusable.
    pub fn new(gateway: &str, ca: &Path) -> anyhow::Result<Self> {
        let address = gateway.strip_prefix("https://").context("the gateway's address must begin with https://")?;
        let address = address.trim_end_matches('/');
        let (host, _) = address.rsplit_once(':').context("the gateway's address must name a port")?;
        let config = Arc::new(ArcSwap::from_pointee(tls::client_of(ca)?));

        Ok(Self::over(Channel::new(address, host, config)?))
    }

    /// A client over a channel of one's own.
    pub fn over(channel: Channel) -> Self {
        Self { channel, session: None, language: None }
    }

    /// Asks for answers in a language, named as in `accept-language`.
    #[must_use]
    pub fn speaking(mut self, language: &'static str) -> Self {
        self.language = Some(language);
        self
    }

    /// The session, to be stored between two runs.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Goes on with a stored session.
    #[must_use]
    pub fn with_session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// Uses an access token obtained elsewhere, which cannot be refreshed.
    #[must_use]
    pub fn with_token(self, access_token: String) -> Self {
        self.with_session(Session {
            access_token,
            refresh_token: String::new(),
            expires_at: i64::MAX,
            terms_due: 0,
            device_token: String::new(),
            authenticated_at: 0,
        })
    }

    /// A request that carries the access token and the language.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(language) = self.language {
            request.metadata_mut().insert("accept-language", MetadataValue::from_static(language));
        }
        if let Some(session) = &self.session
            && let Ok(mut value) = MetadataValue::try_from(format!("Bearer {}", session.access_token))
        {
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// A request to the operations of one service: pipeline, audit trail, keys.
    pub fn operation<T>(&self, service: &str, message: T) -> Request<T> {
        let mut request = self.request(message);
        if let Ok(value) = MetadataValue::try_from(service) {
            request.metadata_mut().insert("hersys-service", value);
        }
        request
    }

    /// The connection, for requests that are not gRPC.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}
