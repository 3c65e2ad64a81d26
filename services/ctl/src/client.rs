//! A client of the gateway: connects, signs in, keeps its tokens fresh.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use proto::{
    beds::beds_service_client::BedsServiceClient,
    followup::followup_service_client::FollowupServiceClient,
    identity::{
        AcceptTermsRequest, EnrolRequest, NextStep, RefreshTokensRequest, SignInRequest, StepUpRequest, Tokens,
        VerifyOtpRequest, directory_service_client::DirectoryServiceClient,
        identity_service_client::IdentityServiceClient, issuance_service_client::IssuanceServiceClient,
        patient_access_service_client::PatientAccessServiceClient, session_service_client::SessionServiceClient,
    },
    notification::notification_service_client::NotificationServiceClient,
    operations::{
        audit_service_client::AuditServiceClient, key_service_client::KeyServiceClient,
        operations_service_client::OperationsServiceClient,
    },
    registry::registry_service_client::RegistryServiceClient,
    statistics::statistics_service_client::StatisticsServiceClient,
};
use runtime::{Clock, clock, mesh::Channel, tls};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;
use totp_rs::{Builder, Secret};

/// What a member of staff signs in with.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Credentials {
    /// The log-in.
    pub login: String,
    /// The password.
    pub password: String,
    /// The secret of the authenticator, base32.
    pub otp_secret: String,
}

/// A session's tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// For the `authorization` header.
    pub access_token: String,
    /// For the next one.
    pub refresh_token: String,
    /// When the access token ends, Unix seconds.
    pub expires_at: i64,
    /// The version of the terms of use that must be accepted first; 0 where none is due.
    #[serde(default)]
    pub terms_due: i32,
    /// Shows the next sign-in that this device is known.
    #[serde(default)]
    pub device_token: String,
    /// When both factors were last given, Unix seconds.
    #[serde(default)]
    pub authenticated_at: i64,
}

impl Session {
    /// Whether the access token ends within two minutes.
    pub fn ends_soon(&self) -> bool {
        self.expires_at - Clock.now().unix_timestamp() <= 120
    }
}

/// A client of the gateway.
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
        let address = gateway.strip_prefix("https://").context("the gateway's address begins with https://")?;
        let address = address.trim_end_matches('/');
        let (host, _) = address.rsplit_once(':').context("the gateway's address carries a port")?;
        let config = Arc::new(ArcSwap::from_pointee(tls::client_of(ca)?));
        Ok(Self { channel: Channel::new(address, host, config)?, session: None, language: None })
    }

    /// Asks for answers in a language, as `accept-language` names it.
    #[must_use]
    pub fn speaking(mut self, language: &'static str) -> Self {
        self.language = Some(language);
        self
    }

    /// The session, to be kept.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Goes on with a kept session.
    #[must_use]
    pub fn with_session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    /// A client with an access token from elsewhere.
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

    /// Signs in with both factors.
    ///
    /// # Errors
    /// When a factor is wrong, or the system is away.
    pub async fn sign_in(&mut self, credentials: &Credentials) -> anyhow::Result<()> {
        // A code works once. If this one was used a moment ago the next one is good already (one step of tolerance); if that
        // was used too, the one after it is, as soon as the present step is over.
        let step = time::Duration::seconds(30);
        let now = Clock.now();
        for at in [now, now + step] {
            match self.sign_in_with(credentials, code(&credentials.otp_secret, at)?).await {
                Err(error) if is(&error, Code::Unauthenticated) => {}
                Ok(()) => return self.accept_terms().await,
                Err(error) => return Err(error),
            }
        }
        let left = 30 - now.unix_timestamp().rem_euclid(30);
        tokio::time::sleep(Duration::from_secs(u64::try_from(left + 1)?)).await;
        self.sign_in_with(credentials, code(&credentials.otp_secret, now + step * 2)?).await?;
        self.accept_terms().await
    }

    /// Accepts the terms of use where they are due, for the person who signed in.
    ///
    /// # Errors
    /// When the system is away.
    pub async fn accept_terms(&mut self) -> anyhow::Result<()> {
        let Some(session) = self.session.clone().filter(|session| session.terms_due > 0) else { return Ok(()) };
        let request = AcceptTermsRequest { version: session.terms_due, refresh_token: session.refresh_token };
        let tokens = patiently(|| {
            let (mut sessions, request) = (self.sessions(), self.request(request.clone()));
            async move { sessions.accept_terms(request).await }
        })
        .await?;
        self.keep(tokens);
        Ok(())
    }

    /// Gives a fresh one-time code within the session.
    ///
    /// # Errors
    /// When the code is wrong or was used.
    pub async fn step_up(&mut self, code: String) -> anyhow::Result<()> {
        let tokens = self.sessions().step_up(self.request(StepUpRequest { code })).await?.into_inner();
        self.keep(tokens);
        if let Some(session) = &mut self.session {
            session.authenticated_at = Clock.now().unix_timestamp();
        }
        Ok(())
    }

    /// Signs in with a code that the person typed.
    ///
    /// # Errors
    /// When a factor is wrong, or the system is away.
    pub async fn sign_in_with(&mut self, credentials: &Credentials, code: String) -> anyhow::Result<()> {
        let request = SignInRequest {
            login: credentials.login.clone(),
            password: credentials.password.clone(),
            device_token: self.session.as_ref().map(|session| session.device_token.clone()).unwrap_or_default(),
        };
        let first = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.sign_in(request).await }
        })
        .await?;
        if first.next_step != i32::from(NextStep::Otp) {
            bail!("this ID was never used: enrol it first");
        }
        let request = VerifyOtpRequest { challenge: first.challenge, code };
        let tokens = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.verify_otp(request).await }
        })
        .await?;
        self.keep(tokens);
        self.stamp();
        Ok(())
    }

    fn stamp(&mut self) {
        if let Some(session) = &mut self.session {
            session.authenticated_at = Clock.now().unix_timestamp();
        }
    }

    /// First sign-in with the initial secret: chooses a password, sets up the authenticator, and is signed in.
    ///
    /// # Errors
    /// When the secret was used or has died, or the password is easy to guess.
    pub async fn enrol(
        &mut self,
        login: &str,
        initial_secret: &str,
        new_password: &str,
    ) -> anyhow::Result<Credentials> {
        let request =
            SignInRequest { login: login.to_owned(), password: initial_secret.to_owned(), device_token: String::new() };
        let first = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.sign_in(request).await }
        })
        .await?;
        if first.next_step != i32::from(NextStep::Enrol) {
            bail!("this ID is enrolled already");
        }
        let request = EnrolRequest { challenge: first.challenge.clone(), new_password: new_password.to_owned() };
        let enrolled = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.enrol(request).await }
        })
        .await?;
        let request = VerifyOtpRequest { challenge: first.challenge, code: code(&enrolled.otp_secret, Clock.now())? };
        let tokens = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.verify_otp(request).await }
        })
        .await?;
        self.keep(tokens);
        self.stamp();
        self.accept_terms().await?;
        Ok(Credentials { login: login.to_owned(), password: new_password.to_owned(), otp_secret: enrolled.otp_secret })
    }

    /// Takes up tokens.
    pub fn keep(&mut self, tokens: Tokens) {
        let expires_at =
            tokens.expires_at.as_ref().and_then(clock::from_proto).map_or(0, OffsetDateTime::unix_timestamp);
        let held = self.session.take();
        // Not every answer renews everything: what it leaves out stays as it was.
        let or_held = |new: String, held: Option<String>| if new.is_empty() { held.unwrap_or_default() } else { new };
        self.session = Some(Session {
            access_token: tokens.access_token,
            refresh_token: or_held(tokens.refresh_token, held.as_ref().map(|held| held.refresh_token.clone())),
            expires_at,
            terms_due: tokens.terms_due,
            device_token: or_held(tokens.device_token, held.as_ref().map(|held| held.device_token.clone())),
            authenticated_at: held.map_or(0, |held| held.authenticated_at),
        });
    }

    /// Gets new tokens where the access token is about to end. `true` where the session changed.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn keep_fresh(&mut self) -> anyhow::Result<bool> {
        let Some(session) = &self.session else { return Ok(false) };
        if !session.ends_soon() {
            return Ok(false);
        }
        let request = RefreshTokensRequest { refresh_token: session.refresh_token.clone() };
        let tokens = patiently(|| {
            let (mut identity, request) = (self.identity(), request.clone());
            async move { identity.refresh_tokens(request).await }
        })
        .await?;
        self.keep(tokens);
        Ok(true)
    }

    /// A request that carries the token.
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

    /// A request to the operations of one service.
    pub fn operation<T>(&self, service: &str, message: T) -> Request<T> {
        let mut request = self.request(message);
        if let Ok(value) = MetadataValue::try_from(service) {
            request.metadata_mut().insert("hersys-service", value);
        }
        request
    }

    /// The channel itself.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// identity.
    pub fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel.clone())
    }

    /// identity: sessions and factors.
    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel.clone())
    }

    /// identity: organisations and contracts.
    pub fn directory(&self) -> DirectoryServiceClient<Channel> {
        DirectoryServiceClient::new(self.channel.clone())
    }

    /// identity: IDs of people and other systems.
    pub fn issuance(&self) -> IssuanceServiceClient<Channel> {
        IssuanceServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    /// identity: the access of patients and proxies.
    pub fn patient_access(&self) -> PatientAccessServiceClient<Channel> {
        PatientAccessServiceClient::new(self.channel.clone())
    }

    /// The audit trail of any service.
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20)
    }

    /// The keys of any service.
    pub fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.channel.clone())
    }

    /// registry.
    pub fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel.clone())
    }

    /// notification.
    pub fn notification(&self) -> NotificationServiceClient<Channel> {
        NotificationServiceClient::new(self.channel.clone())
    }

    /// statistics.
    pub fn statistics(&self) -> StatisticsServiceClient<Channel> {
        StatisticsServiceClient::new(self.channel.clone())
    }

    /// followup.
    pub fn followup(&self) -> FollowupServiceClient<Channel> {
        FollowupServiceClient::new(self.channel.clone())
    }

    /// beds.
    pub fn beds(&self) -> BedsServiceClient<Channel> {
        BedsServiceClient::new(self.channel.clone())
    }

    /// The operations of any service.
    pub fn operations(&self) -> OperationsServiceClient<Channel> {
        OperationsServiceClient::new(self.channel.clone())
    }
}

/// Calls again while the system says that it is away or busy, half a minute at most. Only for calls that may be repeated:
/// those that carry a request id, or change nothing.
///
/// # Errors
/// The last answer.
pub async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut wait = Duration::from_millis(100);
    let started = tokio::time::Instant::now();
    loop {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_passing(&status) && started.elapsed() < Duration::from_secs(30) => {
                let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
                tokio::time::sleep(asked.unwrap_or(wait).min(Duration::from_secs(2))).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            Err(status) => return Err(status),
        }
    }
}

/// Whether it is worth asking again.
pub fn is_passing(status: &Status) -> bool {
    // A torn connection reaches us as Unknown or Internal from the HTTP client, not as an answer of the gateway.
    let torn =
        status.metadata().is_empty() && matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
    torn || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
}

/// The one-time code of a moment.
///
/// # Errors
/// When the secret is malformed.
pub fn code(otp_secret: &str, at: OffsetDateTime) -> anyhow::Result<String> {
    let secret =
        Secret::try_from_base32(otp_secret).map_err(|_| anyhow::anyhow!("the one-time secret is malformed"))?;
    let totp = Builder::new()
        .with_secret(secret)
        .with_account_name("hersysctl")
        .build()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(totp.generate(u64::try_from(at.unix_timestamp())?).to_string())
}

fn is(error: &anyhow::Error, code: Code) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == code)
}
