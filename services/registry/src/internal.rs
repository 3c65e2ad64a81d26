//! The doors for other services of the mesh, in the order of the contract.

use chassis::Reply;
use proto::registry::{
    BatchGetCasesRequest, BatchGetCasesResponse, BatchGetPatientCredentialsRequest, BatchGetPatientCredentialsResponse,
    BatchGetPersonHeadersRequest, BatchGetPersonHeadersResponse,
    registry_internal_service_server::RegistryInternalService,
};
use tonic::Request;

use crate::{access_id, case, person, service::Registry};

#[tonic::async_trait]
impl RegistryInternalService for Registry {
    async fn batch_get_person_headers(
        &self,
        r: Request<BatchGetPersonHeadersRequest>,
    ) -> Reply<BatchGetPersonHeadersResponse> {
        self.base.answer_internal(self, r, person::batch_get).await
    }

    async fn batch_get_cases(&self, r: Request<BatchGetCasesRequest>) -> Reply<BatchGetCasesResponse> {
        self.base.answer_internal(self, r, case::batch_get).await
    }

    async fn batch_get_patient_credentials(
        &self,
        r: Request<BatchGetPatientCredentialsRequest>,
    ) -> Reply<BatchGetPatientCredentialsResponse> {
        self.base.answer_internal(self, r, access_id::batch_get).await
    }
}
