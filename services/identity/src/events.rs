//! What identity hears: a case was registered, so its patient gets a credential.

use access::audit::{self, Act, Actor};
use async_trait::async_trait;
use chassis::Base;
use data::{Event, Failure, Projection, outbox};
use japan::access_id::AccessId;
use proto::identity::AccessRevoked;
use proto::registry::{
    BatchGetPatientCredentialsRequest, CaseChanged, PatientCredential, PersonCorrected,
    registry_internal_service_client::RegistryInternalServiceClient,
};
use runtime::{Clock, clock, mesh::Channel};
use sqlx::PgConnection;
use uuid::Uuid;
use vault::Vault;

use crate::{patients, store};

/// Hears the registry.
pub(crate) struct Hears {
    vault: Vault,
    registry: RegistryInternalServiceClient<Channel>,
}

impl Hears {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { vault: base.vault.clone(), registry })
    }
}

#[async_trait]
impl Projection for Hears {
    type Fetched = Vec<PatientCredential>;

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure> {
        let mut case_ids = Vec::new();
        for event in events {
            match event.r#type.as_str() {
                "case.changed" => {
                    let changed: CaseChanged = event.decode()?;
                    // The ID is minted with the first version; later ones change nothing about it.
                    if changed.version == 1 {
                        case_ids.push(changed.case_id);
                    }
                }
                "person.corrected" => case_ids.push(event.decode::<PersonCorrected>()?.case_id),
                _ => {}
            }
        }
        if case_ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = BatchGetPatientCredentialsRequest { case_ids };
        Ok(self.registry.clone().batch_get_patient_credentials(request).await?.into_inner().credentials)
    }

    async fn apply(&self, tx: &mut PgConnection, _: &[Event], fetched: &Self::Fetched) -> Result<(), Failure> {
        let secret = |_| Failure::Retry("the vault refused".to_owned());
        for credential in fetched {
            let malformed = || Failure::Dead("the registry sent a malformed credential".to_owned());
            let case_id = Uuid::try_parse(&credential.case_id).map_err(|_| malformed())?;
            let access_id = AccessId::parse(&credential.access_id).ok_or_else(malformed)?;
            let contact = if credential.phone.is_empty() { &credential.mail } else { &credential.phone };
            let sealed = self.vault.seal(patients::CONTACT, case_id.as_bytes(), contact.as_bytes()).map_err(secret)?;
            let renewed = store::upsert_patient(
                tx,
                case_id,
                &patients::access_hash(&self.vault, &access_id),
                &patients::birth_hash(&self.vault, case_id, &credential.birth_date),
                &sealed,
            )
            .await?;
            if renewed {
                // Whoever holds the old ID is out.
                store::accounts::end_sessions(tx, case_id, None).await?;
                let revoked = AccessRevoked {
                    session_id: String::new(),
                    user_id: case_id.to_string(),
                    at: Some(clock::to_proto(Clock.now())),
                };
                outbox::add(tx, "access.revoked", &revoked).await?;
            }
        }
        let cases: Vec<Uuid> =
            fetched.iter().filter_map(|credential| Uuid::try_parse(&credential.case_id).ok()).collect();
        let actor = Actor::Service("registry");
        let act = Act { actor, rpc: "case.changed", groups: &[3], request_id: None, on_behalf_of: None };
        Ok(audit::record(tx, &act, &cases).await?)
    }

    /// Credentials are fetched again one by one as the log is replayed; nothing has to be forgotten first.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(true)
    }
}
