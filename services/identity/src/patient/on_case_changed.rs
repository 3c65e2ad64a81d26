//! On `case.changed` and `person.corrected`: a patient's credential is fetched from the registry by claim check.

use access::CaseId;
use async_trait::async_trait;
use audit::{Act, Actor};
use data::{Event, Failure, Projection};
use japan::{access_id::AccessId, phone};
use prost::Name as _;
use proto::{
    options::Group,
    registry::{BatchGetPatientCredentialsRequest, CaseChanged, PatientCredential, PersonCorrected},
};
use sqlx::PgConnection;

use super::{
    model::{CONTACT, access_hash, birth_hash},
    store::{self, NewCredential},
};
use crate::{service::Identity, session};

/// Hears the registry.
pub(crate) struct Hears(Identity);

impl Hears {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self(identity.clone())
    }

    async fn keep(&self, conn: &mut PgConnection, credential: &PatientCredential) -> Result<CaseId, Failure> {
        let malformed = || Failure::Dead("the registry sent a malformed credential".to_owned());
        let case_id = CaseId::parse(&credential.case_id).map_err(|_| malformed())?;
        let access_id = AccessId::parse(&credential.access_id).ok_or_else(malformed)?;
        // A code goes where it can be read: no landline takes a text message.
        let contact = if phone::takes_messages(&credential.phone) { &credential.phone } else { &credential.mail };
        let vault = self.0.vault();
        let sealed = vault
            .seal(CONTACT, case_id.uuid().as_bytes(), contact.as_bytes())
            .map_err(|_| Failure::Retry("the vault refused".to_owned()))?;
        let new = NewCredential {
            case_id,
            access_hash: &access_hash(vault, &access_id),
            birth_hash: &birth_hash(vault, case_id, &credential.birth_date),
            contact: &sealed,
        };
        if store::upsert(conn, &new).await? {
            // Whoever holds the old ID is out.
            session::end_all(&self.0, conn, case_id.uuid().into()).await?;
        }
        Ok(case_id)
    }
}

/// The cases whose credential is new or may have changed.
fn asked_for(events: &[Event]) -> Result<Vec<String>, Failure> {
    let mut case_ids = Vec::new();
    for event in events {
        // The ID is minted with the first version; later ones change nothing about it.
        let registered = event.read::<CaseChanged>()?.filter(|changed| changed.version == 1);
        case_ids.extend(registered.map(|changed| changed.case_id));
        case_ids.extend(event.read::<PersonCorrected>()?.map(|corrected| corrected.case_id));
    }
    Ok(case_ids)
}

#[async_trait]
impl Projection for Hears {
    type Fetched = Vec<PatientCredential>;

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure> {
        let case_ids = asked_for(events)?;
        if case_ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = BatchGetPatientCredentialsRequest { case_ids };
        Ok(self.0.registry.clone().batch_get_patient_credentials(request).await?.into_inner().credentials)
    }

    async fn apply(&self, tx: &mut PgConnection, _: &[Event], fetched: &Self::Fetched) -> Result<(), Failure> {
        let mut cases = Vec::with_capacity(fetched.len());
        for credential in fetched {
            cases.push(self.keep(tx, credential).await?.uuid());
        }
        let act = Act {
            actor: Actor::Service("registry"),
            rpc: proto::event(&CaseChanged::full_name()).unwrap_or_default(),
            groups: &[Group::Identity as i16, Group::Contact as i16],
            request_id: None,
            on_behalf_of: None,
        };
        Ok(audit::record(tx, &act, &cases).await?)
    }

    /// Credentials are fetched again one by one as the log is replayed; nothing has to be forgotten first.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use data::{Failure, Projection as _};
    use japan::access_id::AccessId;
    use proto::{
        identity::{VerifyPatientCodeRequest, access_revoked::Subject},
        registry::{CaseChanged, PatientCredential, PersonCorrected},
    };
    use testing::Outcome;

    use super::{Hears, asked_for};
    use crate::{
        fixture::{ACCESS_ID, BIRTH_DATE, Scene, credential},
        patient_access::fixture::Cases,
        sign_in,
    };

    /// Whether ID and birth date let a code be sent.
    async fn opens(scene: &Scene, access_id: &str, birth_date: &str) -> anyhow::Result<bool> {
        let before = scene.messages().await?.len();
        scene.sign_in_patient(access_id, birth_date).await?;
        Ok(scene.messages().await?.len() > before)
    }

    #[tokio::test]
    async fn a_registered_patient_can_sign_in_and_the_trail_says_what_was_fetched() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.patient().await?;
        assert!(opens(&scene, ACCESS_ID, BIRTH_DATE).await?);
        let rows = scene.world.audited("case.changed").await?;
        assert_eq!((rows.len(), rows[0].user, rows[0].record), (1, None, case.uuid()));
        assert_eq!(scene.revoked().await?, []);
        Ok(())
    }

    #[tokio::test]
    async fn a_new_access_id_takes_the_place_of_the_old_one_and_its_holder_is_out() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.patient().await?;
        let challenge = scene.sign_in_patient(ACCESS_ID, BIRTH_DATE).await?.challenge;
        let request = VerifyPatientCodeRequest { challenge, code: scene.sent_code().await? };
        let tokens = scene.world.ask_public(&scene.identity, request, sign_in::verify_patient_code).await?;

        let reissued = AccessId::from_random([9; 10]).printed();
        scene.registered(&PatientCredential { access_id: reissued.clone(), ..credential(case) }).await?;
        assert_eq!(scene.revoked().await?, [Subject::UserId(case.to_string())]);
        assert!(scene.refresh(&tokens).await.is_err());
        assert!(!opens(&scene, ACCESS_ID, BIRTH_DATE).await? && opens(&scene, &reissued, BIRTH_DATE).await?);
        Ok(())
    }

    #[tokio::test]
    async fn a_corrected_person_is_found_by_the_corrected_birth_date() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.patient().await?;
        let corrected = PatientCredential { birth_date: "1981-03-01".to_owned(), ..credential(case) };
        let event = scene.world.event(&PersonCorrected { case_id: case.to_string() })?;
        scene.world.hear_with(&Hears::new(&scene.identity), &[event], &vec![corrected]).await?;
        assert!(!opens(&scene, ACCESS_ID, BIRTH_DATE).await? && opens(&scene, ACCESS_ID, "1981-03-01").await?);
        assert_eq!(scene.revoked().await?, [], "the ID is the same");
        Ok(())
    }

    #[tokio::test]
    async fn a_malformed_credential_is_set_aside() -> Outcome {
        let scene = Scene::new().await?;
        let good = || credential(CaseId::new());
        for bad in [
            PatientCredential { case_id: "no id".to_owned(), ..good() },
            PatientCredential { access_id: "00000-00000-1".to_owned(), ..good() },
        ] {
            let event = scene.world.event(&CaseChanged { version: 1, ..CaseChanged::default() })?;
            let failed = scene.world.hear_with(&Hears::new(&scene.identity), &[event], &vec![bad]).await;
            assert!(matches!(failed, Err(Failure::Dead(_))));
        }
        Ok(())
    }

    #[tokio::test]
    async fn only_new_cases_and_corrected_persons_are_asked_for() -> Outcome {
        let cases = Cases::new().await?;
        let world = &cases.scene.world;
        let changed = |id: &str, version| CaseChanged { case_id: id.to_owned(), version, ..CaseChanged::default() };
        let events = [
            world.event(&changed("new", 1))?,
            world.event(&changed("changed", 2))?,
            world.event(&PersonCorrected { case_id: "corrected".to_owned() })?,
        ];
        assert_eq!(asked_for(&events)?, ["new", "corrected"]);
        let hears = Hears::new(&cases.scene.identity);
        assert!(hears.fetch(&events[1..2]).await?.is_empty(), "nobody is asked");
        assert!(matches!(hears.fetch(&events).await, Err(Failure::Retry(_))), "this registry does not tell");
        assert!(hears.reset(&mut *world.base.pool.acquire().await?).await?);
        Ok(())
    }
}
