//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::Reply;
use proto::identity::{
    AcceptTermsRequest, ChangePasswordRequest, ChangePasswordResponse, ConfirmProxyRequest, ConfirmProxyResponse,
    Contract, CreateContractRequest, CreateOrganisationRequest, CreateServiceAccountRequest,
    DisableServiceAccountRequest, DisableUserRequest, DismissProxyRequest, DismissProxyResponse, EndContractRequest,
    EndSessionRequest, EndSessionResponse, EnrolRequest, EnrolResponse, ExchangeAssertionRequest, GetJwksRequest,
    GetOrganisationRequest, GetTermsRequest, ImportOrganisationsRequest, ImportOrganisationsResponse,
    ImportUsersRequest, ImportUsersResponse, IssuePatientCodeRequest, IssuePatientCodeResponse, IssueUserRequest,
    IssueUserResponse, Jwks, ListContractsRequest, ListContractsResponse, ListMessagesRequest, ListMessagesResponse,
    ListOrganisationsRequest, ListOrganisationsResponse, ListProxiesRequest, ListProxiesResponse, ListSessionsRequest,
    ListSessionsResponse, ListUsersRequest, ListUsersResponse, NameProxyRequest, NameProxyResponse, Organisation,
    RefreshTokensRequest, ReplaceRecoveryCodesRequest, ReplaceRecoveryCodesResponse, ReplaceServiceKeysRequest,
    ResetUserRequest, RevokePatientAccessRequest, RevokePatientAccessResponse, ServiceAccount, SignInPatientRequest,
    SignInPatientResponse, SignInRequest, SignInResponse, SignOutRequest, SignOutResponse, StepUpRequest, Terms,
    Tokens, UnlockUserRequest, UpdateOrganisationRequest, UpdateUserRequest, User, VerifyOtpRequest,
    VerifyPatientCodeRequest, VerifyRecoveryCodeRequest, contract_service_server::ContractService,
    message_service_server::MessageService, organisation_service_server::OrganisationService,
    patient_access_service_server::PatientAccessService, proxy_service_server::ProxyService,
    service_account_service_server::ServiceAccountService, session_service_server::SessionService,
    sign_in_service_server::SignInService, terms_service_server::TermsService, user_service_server::UserService,
};
use tonic::Request;

use crate::{
    contract, message, organisation, patient_access, proxy, service::Identity, service_account, session, sign_in,
    terms, user,
};

#[tonic::async_trait]
impl OrganisationService for Identity {
    async fn create_organisation(&self, r: Request<CreateOrganisationRequest>) -> Reply<Organisation> {
        self.base.answer(self, r, organisation::create).await
    }

    async fn get_organisation(&self, r: Request<GetOrganisationRequest>) -> Reply<Organisation> {
        self.base.answer(self, r, organisation::get).await
    }

    async fn update_organisation(&self, r: Request<UpdateOrganisationRequest>) -> Reply<Organisation> {
        self.base.answer(self, r, organisation::update).await
    }

    async fn list_organisations(&self, r: Request<ListOrganisationsRequest>) -> Reply<ListOrganisationsResponse> {
        self.base.answer(self, r, organisation::list).await
    }

    async fn import_organisations(&self, r: Request<ImportOrganisationsRequest>) -> Reply<ImportOrganisationsResponse> {
        self.base.answer(self, r, organisation::import).await
    }
}

#[tonic::async_trait]
impl ContractService for Identity {
    async fn create_contract(&self, r: Request<CreateContractRequest>) -> Reply<Contract> {
        self.base.answer(self, r, contract::create).await
    }

    async fn end_contract(&self, r: Request<EndContractRequest>) -> Reply<Contract> {
        self.base.answer(self, r, contract::end).await
    }

    async fn list_contracts(&self, r: Request<ListContractsRequest>) -> Reply<ListContractsResponse> {
        self.base.answer(self, r, contract::list).await
    }
}

#[tonic::async_trait]
impl UserService for Identity {
    async fn issue_user(&self, r: Request<IssueUserRequest>) -> Reply<IssueUserResponse> {
        self.base.answer(self, r, user::issue).await
    }

    async fn list_users(&self, r: Request<ListUsersRequest>) -> Reply<ListUsersResponse> {
        self.base.answer(self, r, user::list).await
    }

    async fn update_user(&self, r: Request<UpdateUserRequest>) -> Reply<User> {
        self.base.answer(self, r, user::update).await
    }

    async fn unlock_user(&self, r: Request<UnlockUserRequest>) -> Reply<User> {
        self.base.answer(self, r, user::unlock).await
    }

    async fn reset_user(&self, r: Request<ResetUserRequest>) -> Reply<IssueUserResponse> {
        self.base.answer(self, r, user::reset).await
    }

    async fn disable_user(&self, r: Request<DisableUserRequest>) -> Reply<User> {
        self.base.answer(self, r, user::disable).await
    }

    async fn import_users(&self, r: Request<ImportUsersRequest>) -> Reply<ImportUsersResponse> {
        self.base.answer(self, r, user::import).await
    }
}

#[tonic::async_trait]
impl SignInService for Identity {
    async fn sign_in(&self, r: Request<SignInRequest>) -> Reply<SignInResponse> {
        self.base.answer_public(self, r, sign_in::start).await
    }

    async fn enrol(&self, r: Request<EnrolRequest>) -> Reply<EnrolResponse> {
        self.base.answer_public(self, r, sign_in::enrol).await
    }

    async fn verify_otp(&self, r: Request<VerifyOtpRequest>) -> Reply<Tokens> {
        self.base.answer_public(self, r, sign_in::verify_otp).await
    }

    async fn verify_recovery_code(&self, r: Request<VerifyRecoveryCodeRequest>) -> Reply<Tokens> {
        self.base.answer_public(self, r, sign_in::verify_recovery_code).await
    }

    async fn sign_in_patient(&self, r: Request<SignInPatientRequest>) -> Reply<SignInPatientResponse> {
        self.base.answer_public(self, r, sign_in::start_patient).await
    }

    async fn verify_patient_code(&self, r: Request<VerifyPatientCodeRequest>) -> Reply<Tokens> {
        self.base.answer_public(self, r, sign_in::verify_patient_code).await
    }

    async fn exchange_assertion(&self, r: Request<ExchangeAssertionRequest>) -> Reply<Tokens> {
        self.base.answer_public(self, r, sign_in::exchange_assertion).await
    }

    async fn get_jwks(&self, r: Request<GetJwksRequest>) -> Reply<Jwks> {
        self.base.answer_public(self, r, sign_in::get_jwks).await
    }
}

#[tonic::async_trait]
impl SessionService for Identity {
    async fn refresh_tokens(&self, r: Request<RefreshTokensRequest>) -> Reply<Tokens> {
        self.base.answer_public(self, r, session::refresh).await
    }

    async fn step_up(&self, r: Request<StepUpRequest>) -> Reply<Tokens> {
        self.base.answer(self, r, session::step_up).await
    }

    async fn sign_out(&self, r: Request<SignOutRequest>) -> Reply<SignOutResponse> {
        self.base.answer(self, r, session::sign_out).await
    }

    async fn list_sessions(&self, r: Request<ListSessionsRequest>) -> Reply<ListSessionsResponse> {
        self.base.answer(self, r, session::list).await
    }

    async fn end_session(&self, r: Request<EndSessionRequest>) -> Reply<EndSessionResponse> {
        self.base.answer(self, r, session::end).await
    }

    async fn change_password(&self, r: Request<ChangePasswordRequest>) -> Reply<ChangePasswordResponse> {
        self.base.answer(self, r, session::change_password).await
    }

    async fn replace_recovery_codes(
        &self,
        r: Request<ReplaceRecoveryCodesRequest>,
    ) -> Reply<ReplaceRecoveryCodesResponse> {
        self.base.answer(self, r, session::replace_recovery_codes).await
    }
}

#[tonic::async_trait]
impl TermsService for Identity {
    async fn get_terms(&self, r: Request<GetTermsRequest>) -> Reply<Terms> {
        self.base.answer_public(self, r, terms::get).await
    }

    async fn accept_terms(&self, r: Request<AcceptTermsRequest>) -> Reply<Tokens> {
        self.base.answer(self, r, terms::accept).await
    }
}

#[tonic::async_trait]
impl PatientAccessService for Identity {
    async fn issue_patient_code(&self, r: Request<IssuePatientCodeRequest>) -> Reply<IssuePatientCodeResponse> {
        self.base.answer(self, r, patient_access::issue_code).await
    }

    async fn revoke_patient_access(
        &self,
        r: Request<RevokePatientAccessRequest>,
    ) -> Reply<RevokePatientAccessResponse> {
        self.base.answer(self, r, patient_access::revoke).await
    }
}

#[tonic::async_trait]
impl ProxyService for Identity {
    async fn name_proxy(&self, r: Request<NameProxyRequest>) -> Reply<NameProxyResponse> {
        self.base.answer(self, r, proxy::name).await
    }

    async fn list_proxies(&self, r: Request<ListProxiesRequest>) -> Reply<ListProxiesResponse> {
        self.base.answer(self, r, proxy::list).await
    }

    async fn confirm_proxy(&self, r: Request<ConfirmProxyRequest>) -> Reply<ConfirmProxyResponse> {
        self.base.answer(self, r, proxy::confirm).await
    }

    async fn dismiss_proxy(&self, r: Request<DismissProxyRequest>) -> Reply<DismissProxyResponse> {
        self.base.answer(self, r, proxy::dismiss).await
    }
}

#[tonic::async_trait]
impl ServiceAccountService for Identity {
    async fn create_service_account(&self, r: Request<CreateServiceAccountRequest>) -> Reply<ServiceAccount> {
        self.base.answer(self, r, service_account::create).await
    }

    async fn replace_service_keys(&self, r: Request<ReplaceServiceKeysRequest>) -> Reply<ServiceAccount> {
        self.base.answer(self, r, service_account::replace_keys).await
    }

    async fn disable_service_account(&self, r: Request<DisableServiceAccountRequest>) -> Reply<ServiceAccount> {
        self.base.answer(self, r, service_account::disable).await
    }
}

#[tonic::async_trait]
impl MessageService for Identity {
    async fn list_messages(&self, r: Request<ListMessagesRequest>) -> Reply<ListMessagesResponse> {
        self.base.answer(self, r, message::list).await
    }
}
