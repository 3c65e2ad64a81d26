//! What other services ask for: names and contacts by claim check, audited as the service that asks.

use std::collections::HashMap;

use access::{
    Door,
    audit::{self, Act, Actor},
};
use chassis::Error;
use proto::{
    options::Group,
    registry::{
        BatchGetCasesRequest, BatchGetCasesResponse, BatchGetPatientCredentialsRequest,
        BatchGetPatientCredentialsResponse, BatchGetPersonHeadersRequest, BatchGetPersonHeadersResponse, Grant,
        PatientCredential, PersonHeader, registry_internal_service_server::RegistryInternalService,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::CaseId,
    rpc::{Registry, group},
    store, write,
};

#[tonic::async_trait]
impl RegistryInternalService for Registry {
    async fn batch_get_person_headers(
        &self,
        request: Request<BatchGetPersonHeadersRequest>,
    ) -> Result<Response<BatchGetPersonHeadersResponse>, Status> {
        let (peer, request) = Door::enter_internal(request)?;
        let headers = self.headers(&peer, "BatchGetPersonHeaders", &request.case_ids).await?;
        Ok(Response::new(BatchGetPersonHeadersResponse { headers }))
    }

    async fn batch_get_cases(
        &self,
        request: Request<BatchGetCasesRequest>,
    ) -> Result<Response<BatchGetCasesResponse>, Status> {
        let (_, request) = Door::enter_internal(request)?;
        let ids = ids(&request.case_ids);
        let mut conn = self.base.pool.acquire().await.map_err(Error::from)?;
        let cases = store::find_cases(&mut conn, &ids).await.map_err(Error::from)?;
        let mut grants: HashMap<CaseId, Vec<Grant>> = HashMap::new();
        for grant in store::grants_of(&mut conn, &ids).await.map_err(Error::from)? {
            grants.entry(grant.case_id).or_default().push(grant.into());
        }
        let cases = cases.iter().map(|case| case.changed(grants.remove(&case.id).unwrap_or_default())).collect();
        Ok(Response::new(BatchGetCasesResponse { cases }))
    }

    async fn batch_get_patient_credentials(
        &self,
        request: Request<BatchGetPatientCredentialsRequest>,
    ) -> Result<Response<BatchGetPatientCredentialsResponse>, Status> {
        let (peer, request) = Door::enter_internal(request)?;
        let headers = self.headers(&peer, "BatchGetPatientCredentials", &request.case_ids).await?;
        let mut conn = self.base.pool.acquire().await.map_err(Error::from)?;
        let cases = store::find_cases(&mut conn, &ids(&request.case_ids)).await.map_err(Error::from)?;
        let credentials = cases
            .iter()
            .map(|case| {
                let id = case.id.to_string();
                let person =
                    headers.iter().find(|h| h.case_id == id).and_then(|h| h.person.clone()).unwrap_or_default();
                Ok(PatientCredential {
                    case_id: id,
                    access_id: write::open_access_id(&self.base.vault, case)?,
                    birth_date: person.birth_date,
                    phone: person.phone,
                    mail: person.mail,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Response::new(BatchGetPatientCredentialsResponse { credentials }))
    }
}

impl Registry {
    async fn headers(&self, peer: &str, rpc: &'static str, case_ids: &[String]) -> Result<Vec<PersonHeader>, Error> {
        let ids = ids(case_ids);
        let mut tx = self.base.pool.begin().await?;
        let rows = store::persons_of(&mut tx, &ids).await?;
        let act = Act {
            actor: Actor::Service(peer),
            rpc,
            groups: &[group(Group::Identity), group(Group::Contact)],
            request_id: None,
            on_behalf_of: None,
        };
        let found: Vec<Uuid> = rows.iter().map(|(case, ..)| *case).collect();
        audit::record(&mut tx, &act, &found).await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|(case, person_id, sealed)| {
                let person = write::open_person(&self.base.vault, person_id, &sealed)?;
                Ok(PersonHeader { case_id: case.to_string(), person: Some(person) })
            })
            .collect()
    }
}

fn ids(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect()
}
