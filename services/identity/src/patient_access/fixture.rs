//! A registry that knows the cases of a test, behind the same certificates as the real one.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use access::CaseId;
use proto::registry::{
    BatchGetCasesRequest, BatchGetCasesResponse, BatchGetPatientCredentialsRequest, BatchGetPatientCredentialsResponse,
    BatchGetPersonHeadersRequest, BatchGetPersonHeadersResponse, CaseChanged, Grant, Relation,
    registry_internal_service_client::RegistryInternalServiceClient,
    registry_internal_service_server::{RegistryInternalService, RegistryInternalServiceServer},
};
use runtime::{config::TlsFiles, layers::Standard, mesh::Channel, server, tls::Tls};
use testing::Body;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};

use crate::fixture::Scene;

/// The usual scene, and cases.
pub(crate) struct Cases {
    pub scene: Scene,
    registry: Registry,
}

impl Cases {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let mut scene = Scene::new().await?;
        let registry = Registry::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (own, shutdown) = (registry.clone(), scene.world.base.shutdown.clone());
        scene.world.base.shutdown.spawn("registry", async move {
            let routes = Routes::new(RegistryInternalServiceServer::new(own));
            server::serve(listener, &tls("registry").unwrap(), Standard, routes, &shutdown).await.unwrap();
        });
        let channel = Channel::new(&address, "registry.hersys.internal", tls("identity")?.client)?;
        scene.identity.registry = RegistryInternalServiceClient::new(channel);
        Ok(Self { scene, registry })
    }

    /// A patient with a credential, and a case with these relations.
    pub(crate) async fn patient(&self, related: &[(Body, Relation)]) -> anyhow::Result<CaseId> {
        let case = self.scene.patient().await?;
        self.relate(case, related);
        Ok(case)
    }

    /// A case with these relations, whose patient identity has not heard of yet.
    pub(crate) fn patient_of(&self, related: &[(Body, Relation)]) -> CaseId {
        let case = CaseId::new();
        self.relate(case, related);
        case
    }

    /// Whether somebody born on 1950-01-01 gets in by an access ID.
    pub(crate) async fn signs_in(&self, access_id: &str) -> anyhow::Result<bool> {
        let before = self.scene.messages().await?.len();
        self.scene.sign_in_patient(access_id, "1950-01-01").await?;
        Ok(self.scene.messages().await?.len() > before)
    }

    /// From now on these are the relations to a case.
    pub(crate) fn relate(&self, case: CaseId, related: &[(Body, Relation)]) {
        let grant = |(body, relation): &(Body, Relation)| Grant {
            organisation_id: body.id.to_string(),
            relation: (*relation).into(),
            ..Grant::default()
        };
        let case_id = case.to_string();
        let changed = CaseChanged {
            case_id: case_id.clone(),
            grants: related.iter().map(grant).collect(),
            ..CaseChanged::default()
        };
        self.registry.0.lock().unwrap().insert(case_id, changed);
    }
}

#[derive(Clone, Default)]
struct Registry(Arc<Mutex<HashMap<String, CaseChanged>>>);

#[tonic::async_trait]
impl RegistryInternalService for Registry {
    async fn batch_get_cases(
        &self,
        request: Request<BatchGetCasesRequest>,
    ) -> Result<Response<BatchGetCasesResponse>, Status> {
        let known = self.0.lock().unwrap();
        let cases = request.into_inner().case_ids.iter().filter_map(|id| known.get(id).cloned()).collect();
        Ok(Response::new(BatchGetCasesResponse { cases }))
    }

    async fn batch_get_person_headers(
        &self,
        _: Request<BatchGetPersonHeadersRequest>,
    ) -> Result<Response<BatchGetPersonHeadersResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn batch_get_patient_credentials(
        &self,
        _: Request<BatchGetPatientCredentialsRequest>,
    ) -> Result<Response<BatchGetPatientCredentialsResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}

#[expect(clippy::disallowed_methods, reason = "how `hersys-devstack exec` tells a test where the stack is")]
fn tls(service: &str) -> anyhow::Result<Tls> {
    let certs = PathBuf::from(std::env::var("HERSYS_TEST_RUN")?).join("certs");
    let file = |name: String| certs.join(name);
    Tls::load(&TlsFiles::new(file("ca.pem".to_owned()), file(format!("{service}.pem")), file(format!("{service}.key"))))
}
