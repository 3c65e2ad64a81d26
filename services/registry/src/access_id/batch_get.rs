//! `BatchGetPatientCredentials`: what identity needs to let patients sign in.

use std::collections::HashMap;

use access::CaseId;
use chassis::{Call, Error, Seen, Service};
use proto::registry::{BatchGetPatientCredentialsRequest, BatchGetPatientCredentialsResponse, PatientCredential};

use super::mint;
use crate::{case, person, service::Registry};

pub(crate) async fn batch_get(
    registry: Registry,
    call: Call<BatchGetPatientCredentialsRequest, Service>,
) -> Result<BatchGetPatientCredentialsResponse, Error> {
    let ids: Vec<CaseId> = call.request.case_ids.iter().filter_map(|id| CaseId::parse(id).ok()).collect();
    let vault = &registry.base.vault;
    let mut tx = registry.base.pool.begin().await?;
    let cases = case::find_all(&mut tx, &ids).await?;
    let persons: HashMap<_, _> = person::of_cases(&mut tx, &ids).await?.into_iter().collect();
    call.record(&mut tx, &Seen::records(cases.iter().map(|case| case.id))).await?;
    tx.commit().await?;

    let credentials = cases
        .iter()
        .filter_map(|case| Some((case, persons.get(&case.id)?)))
        .map(|(case, sealed)| {
            let person = person::open(vault, sealed)?;
            Ok(PatientCredential {
                case_id: case.id.to_string(),
                access_id: mint::open(vault, case)?,
                birth_date: person.birth_date,
                phone: person.phone,
                mail: person.mail,
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(BatchGetPatientCredentialsResponse { credentials })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use japan::access_id::AccessId;
    use proto::registry::{BatchGetPatientCredentialsRequest, ReissueAccessIdRequest};
    use testing::Outcome;

    use super::batch_get;
    use crate::{
        access_id::reissue,
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn identity_gets_the_id_of_today_and_where_a_code_goes() -> Outcome {
        let scene = Scene::new().await?;
        let registered = scene.register(&scene.physician).await?;
        let case_id = registered.case_id.clone();
        let ask = async || {
            let case_ids = vec![case_id.clone(), CaseId::new().to_string()];
            let request = BatchGetPatientCredentialsRequest { case_ids };
            scene.world.ask_as_service(&scene.registry, "identity", request, batch_get).await
        };
        let told = ask().await?.credentials;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].birth_date.as_str(), told[0].phone.as_str()), ("1980-01-31", "09010000000"));
        let printed = |id: &str| AccessId::parse(id).map(|id| id.printed());
        assert_eq!(printed(&told[0].access_id).as_ref(), Some(&registered.access_id));

        let lost = ReissueAccessIdRequest { request_id: request_id(), case_id: case_id.clone() };
        let new = scene.ask(&scene.nurse, lost, reissue).await?;
        assert_eq!(printed(&ask().await?.credentials[0].access_id), Some(new.access_id));
        let audited = scene.world.audited("BatchGetPatientCredentials").await?;
        assert_eq!((audited.len(), audited[0].user), (2, None));
        Ok(())
    }
}
