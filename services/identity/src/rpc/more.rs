//! The RPCs of identity beyond signing in: the door, then the room that knows.

use access::Door;
use proto::identity::{
    AcceptTermsRequest, ChangePasswordRequest, ChangePasswordResponse, Contract, CreateContractRequest,
    CreateServiceAccountRequest, DisableServiceAccountRequest, DismissProxyRequest, DismissProxyResponse,
    EndContractRequest, EndSessionRequest, EndSessionResponse, ExchangeAssertionRequest, GetOrganisationRequest,
    GetOrganisationResponse, GetTermsRequest, ImportOrganisationsRequest, ImportOrganisationsResponse,
    ImportUsersRequest, ImportUsersResponse, IssuePatientCodeRequest, IssuePatientCodeResponse, IssueUserResponse,
    ListContractsRequest, ListContractsResponse, ListProxiesRequest, ListProxiesResponse, ListSessionsRequest,
    ListSessionsResponse, ListUsersRequest, ListUsersResponse, NameProxyRequest, NameProxyResponse, Organisation,
    ReplaceRecoveryCodesRequest, ReplaceRecoveryCodesResponse, ReplaceServiceKeysRequest, ResetUserRequest,
    RevokePatientAccessRequest, RevokePatientAccessResponse, ServiceAccount, StepUpRequest, Terms, Tokens,
    UnlockUserRequest, UpdateOrganisationRequest, UpdateUserRequest, User, VerifyRecoveryCodeRequest,
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    identity_service_server::IdentityServiceServer,
    issuance_service_server::{IssuanceService, IssuanceServiceServer},
    patient_access_service_server::{PatientAccessService, PatientAccessServiceServer},
    session_service_server::{SessionService, SessionServiceServer},
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{bulk, contracts, import, organisations, patients, rpc::Identity, services, sessions, terms, users};

/// Adds every service of identity to a server.
pub(crate) fn routes(routes: Routes, identity: Identity) -> Routes {
    routes
        .add_service(IdentityServiceServer::new(identity.clone()))
        .add_service(DirectoryServiceServer::new(identity.clone()))
        .add_service(IssuanceServiceServer::new(identity.clone()).max_encoding_message_size(64 << 20))
        .add_service(SessionServiceServer::new(identity.clone()))
        .add_service(PatientAccessServiceServer::new(identity))
}

#[tonic::async_trait]
impl DirectoryService for Identity {
    async fn get_organisation(
        &self,
        request: Request<GetOrganisationRequest>,
    ) -> Result<Response<GetOrganisationResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { organisations::get(&this, &caller, &request).await }).await
    }

    async fn update_organisation(
        &self,
        request: Request<UpdateOrganisationRequest>,
    ) -> Result<Response<Organisation>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { organisations::update(&this, &caller, request).await }).await
    }

    async fn import_organisations(
        &self,
        request: Request<ImportOrganisationsRequest>,
    ) -> Result<Response<ImportOrganisationsResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { import::organisations(&this, &caller, request).await }).await
    }

    async fn create_contract(&self, request: Request<CreateContractRequest>) -> Result<Response<Contract>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { contracts::create(&this, &caller, request).await }).await
    }

    async fn end_contract(&self, request: Request<EndContractRequest>) -> Result<Response<Contract>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { contracts::end(&this, &caller, request).await }).await
    }

    async fn list_contracts(
        &self,
        request: Request<ListContractsRequest>,
    ) -> Result<Response<ListContractsResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { contracts::list(&this, &caller, &request).await }).await
    }
}

#[tonic::async_trait]
impl IssuanceService for Identity {
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::list(&this, &caller, &request).await }).await
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::update(&this, &caller, request).await }).await
    }

    async fn unlock_user(&self, request: Request<UnlockUserRequest>) -> Result<Response<User>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::unlock(&this, &caller, request).await }).await
    }

    async fn reset_user(&self, request: Request<ResetUserRequest>) -> Result<Response<IssueUserResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { users::reset(&this, &caller, request).await }).await
    }

    async fn import_users(
        &self,
        request: Request<ImportUsersRequest>,
    ) -> Result<Response<ImportUsersResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { bulk::users(&this, &caller, request).await }).await
    }

    async fn create_service_account(
        &self,
        request: Request<CreateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { services::create(&this, &caller, request).await }).await
    }

    async fn replace_service_keys(
        &self,
        request: Request<ReplaceServiceKeysRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { services::replace_keys(&this, &caller, request).await }).await
    }

    async fn disable_service_account(
        &self,
        request: Request<DisableServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { services::disable(&this, &caller, request).await }).await
    }
}

#[tonic::async_trait]
impl SessionService for Identity {
    async fn verify_recovery_code(
        &self,
        request: Request<VerifyRecoveryCodeRequest>,
    ) -> Result<Response<Tokens>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { sessions::verify_recovery(&this, &request).await }).await
    }

    async fn exchange_assertion(&self, request: Request<ExchangeAssertionRequest>) -> Result<Response<Tokens>, Status> {
        let request = Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { services::exchange(&this, &request).await }).await
    }

    async fn step_up(&self, request: Request<StepUpRequest>) -> Result<Response<Tokens>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::step_up(&this, &caller, &request).await }).await
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let (caller, _) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::list(&this, &caller).await }).await
    }

    async fn end_session(&self, request: Request<EndSessionRequest>) -> Result<Response<EndSessionResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::end_one(&this, &caller, &request).await }).await
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::change_password(&this, &caller, request).await }).await
    }

    async fn replace_recovery_codes(
        &self,
        request: Request<ReplaceRecoveryCodesRequest>,
    ) -> Result<Response<ReplaceRecoveryCodesResponse>, Status> {
        let (caller, _) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { sessions::replace_recovery_codes(&this, &caller).await }).await
    }

    async fn get_terms(&self, request: Request<GetTermsRequest>) -> Result<Response<Terms>, Status> {
        Door::enter_public(request)?;
        let this = self.clone();
        self.write(async move { terms::get(&this) }).await
    }

    async fn accept_terms(&self, request: Request<AcceptTermsRequest>) -> Result<Response<Tokens>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { terms::accept(&this, &caller, request).await }).await
    }
}

#[tonic::async_trait]
impl PatientAccessService for Identity {
    async fn issue_patient_code(
        &self,
        request: Request<IssuePatientCodeRequest>,
    ) -> Result<Response<IssuePatientCodeResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { patients::issue_code(&this, &caller, request).await }).await
    }

    async fn revoke_patient_access(
        &self,
        request: Request<RevokePatientAccessRequest>,
    ) -> Result<Response<RevokePatientAccessResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { patients::revoke(&this, &caller, request).await }).await
    }

    async fn name_proxy(&self, request: Request<NameProxyRequest>) -> Result<Response<NameProxyResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { patients::name_proxy(&this, &caller, request).await }).await
    }

    async fn list_proxies(
        &self,
        request: Request<ListProxiesRequest>,
    ) -> Result<Response<ListProxiesResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { patients::list_proxies(&this, &caller, &request).await }).await
    }

    async fn dismiss_proxy(
        &self,
        request: Request<DismissProxyRequest>,
    ) -> Result<Response<DismissProxyResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        self.write(async move { patients::dismiss_proxy(&this, &caller, request).await }).await
    }
}
