//! `BatchGetPersonHeaders`: names and contacts for the services that need them (claim check), audited as the service that asks.

use access::CaseId;
use chassis::{Call, Error, Seen, Service};
use proto::registry::{BatchGetPersonHeadersRequest, BatchGetPersonHeadersResponse, PersonHeader};

use super::{seal::open, store};
use crate::service::Registry;

pub(crate) async fn batch_get(
    registry: Registry,
    call: Call<BatchGetPersonHeadersRequest, Service>,
) -> Result<BatchGetPersonHeadersResponse, Error> {
    let ids: Vec<CaseId> = call.request.case_ids.iter().filter_map(|id| CaseId::parse(id).ok()).collect();
    let mut tx = registry.base.pool.begin().await?;
    let persons = store::of_cases(&mut tx, &ids).await?;
    call.record(&mut tx, &Seen::records(persons.iter().map(|(case, _)| *case))).await?;
    tx.commit().await?;

    let headers = persons
        .iter()
        .map(|(case, sealed)| {
            let person = open(&registry.base.vault, sealed)?;
            Ok(PersonHeader { case_id: case.to_string(), person: Some(person) })
        })
        .collect::<Result<_, Error>>()?;
    Ok(BatchGetPersonHeadersResponse { headers })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::BatchGetPersonHeadersRequest;
    use testing::Outcome;

    use super::batch_get;
    use crate::fixture::Scene;

    #[tokio::test]
    async fn names_are_told_to_services_and_each_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = BatchGetPersonHeadersRequest {
            case_ids: vec![case.to_string(), CaseId::new().to_string(), "x".to_owned()],
        };
        let told = scene.world.ask_as_service(&scene.registry, "followup", request, batch_get).await?;
        assert_eq!(told.headers.len(), 1);
        assert_eq!(told.headers[0].person.as_ref().unwrap().name_kanji, "山田 太郎");
        let audited = scene.world.audited("BatchGetPersonHeaders").await?;
        assert_eq!((audited.len(), audited[0].record, audited[0].user), (1, case.uuid(), None));
        Ok(())
    }
}
