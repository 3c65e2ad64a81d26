//! Who you are and how you prove it.
//!
//! - [`organisation`]: public bodies and institutions, and who supervises whom
//! - [`contract`]: who entrusts whom with what (委託)
//! - [`user`]: IDs of people at work, as administrators issue and change them
//! - [`factor`]: the trunk, how people prove who they are and what wrong guesses cost
//! - [`challenge`]: what stands between the two factors
//! - [`sign_in`]: how a session begins, for staff, patients, proxies and other systems
//! - [`session`]: tokens, and what happens within a session until it ends
//! - [`terms`]: the terms of use, accepted once per version
//! - [`patient`]: what opens the door for patients and proxies, as the registry tells it
//! - [`patient_access`]: printed codes, and access that is revoked
//! - [`proxy`]: 代理人 of patients
//! - [`service_account`]: other government systems
//! - [`message`]: what is sent to people

mod challenge;
mod contract;
mod factor;
#[cfg(test)]
mod fixture;
mod grpc;
mod message;
mod organisation;
mod patient;
mod patient_access;
mod proxy;
mod retention;
mod service;
mod service_account;
mod session;
mod settings;
mod sign_in;
mod terms;
mod user;

use chassis::{MigrationSet, Mount};
use proto::identity::{
    contract_service_server::ContractServiceServer, message_service_server::MessageServiceServer,
    organisation_service_server::OrganisationServiceServer, patient_access_service_server::PatientAccessServiceServer,
    proxy_service_server::ProxyServiceServer, service_account_service_server::ServiceAccountServiceServer,
    session_service_server::SessionServiceServer, sign_in_service_server::SignInServiceServer,
    terms_service_server::TermsServiceServer, user_service_server::UserServiceServer,
};
use runtime::Clock;
use vault::{Key, Sealed};

pub use settings::{IdentitySettings, Post};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[("0001_identity.sql", include_str!("../migrations/0001_identity.sql"))];

/// The encrypted columns that a rotation re-encrypts. What lives for hours at most, such as the successor of a refresh token,
/// stays under the key that sealed it.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: factor::TOTP, key: Key::Uuid("user_id") },
    Sealed { place: user::HOLDER, key: Key::Uuid("user_id") },
    Sealed { place: user::MAIL, key: Key::Uuid("user_id") },
    Sealed { place: organisation::RESPONSIBLE, key: Key::Uuid("organisation_id") },
    Sealed { place: patient::CONTACT, key: Key::Uuid("case_id") },
    Sealed { place: proxy::CONTACT, key: Key::Uuid("proxy_id") },
    Sealed { place: message::MESSAGE, key: Key::Uuid("message_id") },
];

/// Slips of a thousand IDs, a page each, in one answer.
const SLIPS: usize = 64 << 20;

/// For `identity bootstrap`: a new secret of the first administrator, where the first one is lost and nobody has enrolled.
///
/// # Errors
/// When the database does not answer.
pub async fn bootstrap_again(clock: &Clock) -> anyhow::Result<Option<(&'static str, String)>> {
    let (pool, vault) = chassis::beside::<IdentitySettings>("identity").await?;
    user::bootstrap_again(&pool, &vault, clock.now()).await
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut mount: Mount<IdentitySettings>) -> anyhow::Result<()> {
    mount.seals(SEALED);
    mount.sweeps(retention::RULES);
    let identity = service::Identity::new(&mount.base, mount.own.post.clone())?;
    if let Some(file) = &mount.own.bootstrap_file {
        data::pool::patiently(&mount.base.shutdown, || user::bootstrap(&identity, file)).await?;
    }
    mount.listen(patient::Hears::new(&identity))?;
    message::start_courier(&identity)?;
    mount
        .serve(|routes| {
            routes
                .add_service(OrganisationServiceServer::new(identity.clone()))
                .add_service(ContractServiceServer::new(identity.clone()))
                .add_service(UserServiceServer::new(identity.clone()).max_encoding_message_size(SLIPS))
                .add_service(SignInServiceServer::new(identity.clone()))
                .add_service(SessionServiceServer::new(identity.clone()))
                .add_service(TermsServiceServer::new(identity.clone()))
                .add_service(PatientAccessServiceServer::new(identity.clone()))
                .add_service(ProxyServiceServer::new(identity.clone()))
                .add_service(ServiceAccountServiceServer::new(identity.clone()))
                .add_service(MessageServiceServer::new(identity))
        })
        .await
}
