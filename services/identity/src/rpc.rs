//! The RPCs of identity: the door, then the room that knows.

use access::Door;
use chassis::{Base, Error};
use proto::identity::{
    CreateOrganisationRequest, DisableUserRequest, DisableUserResponse, EnrolRequest, EnrolResponse, GetJwksRequest,
    GetJwksResponse, IssueUserRequest, IssueUserResponse, ListMessagesRequest, ListMessagesResponse,
    ListOrganisationsRequest, ListOrganisationsResponse, Organisation, RefreshTokensRequest, SignInPatientRequest,
    SignInPatientResponse, SignInRequest, SignInResponse, SignOutRequest, SignOutResponse, Tokens, VerifyOtpRequest,
    VerifyPatientCodeRequest, identity_service_server::IdentityService,
};
use proto::registry::registry_internal_service_client::RegistryInternalServiceClient;
use runtime::{Clock, mesh::Channel};
use tonic::{Request, Response, Status};
use vault::{Place, Vault};

use crate::{
    hashing::{Hashing, Turn},
    messages, organisations, patients, sessions, users,
};

/// The secret of an authenticator.
pub(crate) const TOTP: Place = Place { table: "account", column: "totp_sealed" };

/// How what is kept of an initial secret begins.
const INITIAL: &str = "keyed$";

/// The identity service.
#[derive(Clone)]
pub(crate) struct Identity {
    pub base: Base,
    /// Asked how a caller stands to a case.
    pub registry: RegistryInternalServiceClient<Channel>,
    pub hashing: Hashing,
    pub clock: Clock,
}

impl Identity {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        Ok(Self {
            base: base.clone(),
            registry: RegistryInternalServiceClient::new(base.channel("registry")?),
            hashing: Hashing::new()?,
            clock: Clock,
        })
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.base.vault
    }

    /// A secret drawn for a person or a client, 256 bits, and the hash that is kept of it.
    pub(crate) fn secret(&self) -> Result<(String, Vec<u8>), Error> {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw a secret: {error}")))?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let hash = self.hash_of(&text);
        Ok((text, hash))
    }

    /// What is kept of a secret that carries its own entropy.
    pub(crate) fn hash_of(&self, secret: &str) -> Vec<u8> {
        self.vault().keyed_hash("secret", secret.as_bytes())
    }

    /// What is kept of an initial secret: it carries 256 random bits, so a keyed hash is enough, and a thousand of them are
    /// made in a second.
    pub(crate) fn initial_hash(&self, secret: &str) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

        format!("{INITIAL}{}", STANDARD_NO_PAD.encode(self.hash_of(&format!("initial|{secret}"))))
    }

    /// Whether a password, or an initial secret, fits what is kept of it. The same work is done for either, and for none.
    pub(crate) async fn verify(&self, turn: Turn, secret: String, kept: Option<String>) -> Result<bool, Error> {
        let initial = kept.as_deref().filter(|kept| kept.starts_with(INITIAL)).map(str::to_owned);
        let fits_initial = initial.as_ref().is_some_and(|kept| *kept == self.initial_hash(&secret));
        let fits = self.hashing.verify(turn, secret, kept.filter(|_| initial.is_none())).await?;
        Ok(fits || fits_initial)
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        Ok(Response::new(self.base.write(work).await?))
    }
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { sessions::sign_in(&this, request).await }).await
    }

    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { sessions::enrol(&this, request).await }).await
    }

    async fn verify_otp(&self, request: Request<VerifyOtpRequest>) -> Result<Response<Tokens>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { sessions::verify_otp(&this, &request).await }).await
    }

    async fn sign_in_patient(
        &self,
        request: Request<SignInPatientRequest>,
    ) -> Result<Response<SignInPatientResponse>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { patients::sign_in(&this, &request).await }).await
    }

    async fn verify_patient_code(
        &self,
        request: Request<VerifyPatientCodeRequest>,
    ) -> Result<Response<Tokens>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { patients::verify_code(&this, &request).await }).await
    }

    async fn refresh_tokens(&self, request: Request<RefreshTokensRequest>) -> Result<Response<Tokens>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { sessions::refresh(&this, &request).await }).await
    }

    async fn sign_out(&self, request: Request<SignOutRequest>) -> Result<Response<SignOutResponse>, Status> {
        let (caller, _) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::sign_out(&this, &caller).await }).await
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Result<Response<GetJwksResponse>, Status> {
        Ok(Response::new(GetJwksResponse { jwks_json: self.base.signer.live_jwks() }))
    }

    async fn create_organisation(
        &self,
        request: Request<CreateOrganisationRequest>,
    ) -> Result<Response<Organisation>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { organisations::create(&this, &caller, request).await }).await
    }

    async fn list_organisations(
        &self,
        request: Request<ListOrganisationsRequest>,
    ) -> Result<Response<ListOrganisationsResponse>, Status> {
        let (_, request) = Door::enter(request)?;
        Ok(Response::new(organisations::list(self, &request).await?))
    }

    async fn issue_user(&self, request: Request<IssueUserRequest>) -> Result<Response<IssueUserResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::issue(&this, &caller, request).await }).await
    }

    async fn disable_user(
        &self,
        request: Request<DisableUserRequest>,
    ) -> Result<Response<DisableUserResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::disable(&this, &caller, request).await }).await
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(messages::list(self, &caller, &request).await?))
    }
}

mod more;

pub(crate) use more::routes;
