//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::{Reply, watch::Stream};
use proto::registry::{
    AcceptTransferRequest, Case, CorrectFactRequest, DeclineTransferRequest, GetAccessIdRequest, GetAccessIdResponse,
    GetCaseRequest, GetItemDefinitionsRequest, GetItemDefinitionsResponse, JoinCaseRequest, JudgeAdmissionRequest,
    ListCasesRequest, ListCasesResponse, ListContactsRequest, ListContactsResponse, ListEmergencyOpeningsRequest,
    ListEmergencyOpeningsResponse, ListFactsRequest, ListFactsResponse, OfferTransferRequest, OpenInEmergencyRequest,
    RecordExposureRequest, RecordOutcomeRequest, RecordPlacementRequest, RecordSeverityRequest, RecordTestRequest,
    ReferCaseRequest, RegisterCaseRequest, RegisterCaseResponse, ReissueAccessIdRequest, ReissueAccessIdResponse,
    SearchCasesRequest, SearchCasesResponse, UpdatePersonRequest, UpdateSectionRequest, WatchCaseRequest,
    WatchCaseResponse, WithdrawFactRequest, access_id_service_server::AccessIdService,
    case_service_server::CaseService, course_service_server::CourseService, duplicate_service_server::DuplicateService,
    emergency_service_server::EmergencyService, exposure_service_server::ExposureService,
    fact_service_server::FactService, person_service_server::PersonService, referral_service_server::ReferralService,
    search_service_server::SearchService, section_service_server::SectionService,
    transfer_service_server::TransferService,
};
use tonic::Request;

use crate::{
    access_id, case, course, duplicate, emergency, exposure, fact, person, referral, search, section,
    service::Registry, transfer,
};

#[tonic::async_trait]
impl CaseService for Registry {
    async fn register_case(&self, r: Request<RegisterCaseRequest>) -> Reply<RegisterCaseResponse> {
        self.base.answer(self, r, case::register).await
    }

    async fn get_case(&self, r: Request<GetCaseRequest>) -> Reply<Case> {
        self.base.answer(self, r, case::get).await
    }

    async fn list_cases(&self, r: Request<ListCasesRequest>) -> Reply<ListCasesResponse> {
        self.base.answer(self, r, case::list).await
    }

    type WatchCaseStream = Stream<WatchCaseResponse>;

    async fn watch_case(&self, r: Request<WatchCaseRequest>) -> Reply<Self::WatchCaseStream> {
        case::watch(self, r)
    }
}

#[tonic::async_trait]
impl SearchService for Registry {
    async fn search_cases(&self, r: Request<SearchCasesRequest>) -> Reply<SearchCasesResponse> {
        self.base.answer(self, r, search::find).await
    }
}

#[tonic::async_trait]
impl CourseService for Registry {
    async fn record_test(&self, r: Request<RecordTestRequest>) -> Reply<Case> {
        self.base.answer(self, r, course::record_test).await
    }

    async fn record_severity(&self, r: Request<RecordSeverityRequest>) -> Reply<Case> {
        self.base.answer(self, r, course::record_severity).await
    }

    async fn record_placement(&self, r: Request<RecordPlacementRequest>) -> Reply<Case> {
        self.base.answer(self, r, course::record_placement).await
    }

    async fn judge_admission(&self, r: Request<JudgeAdmissionRequest>) -> Reply<Case> {
        self.base.answer(self, r, course::judge_admission).await
    }

    async fn record_outcome(&self, r: Request<RecordOutcomeRequest>) -> Reply<Case> {
        self.base.answer(self, r, course::record_outcome).await
    }
}

#[tonic::async_trait]
impl FactService for Registry {
    async fn list_facts(&self, r: Request<ListFactsRequest>) -> Reply<ListFactsResponse> {
        self.base.answer(self, r, fact::list).await
    }

    async fn correct_fact(&self, r: Request<CorrectFactRequest>) -> Reply<Case> {
        self.base.answer(self, r, fact::correct).await
    }

    async fn withdraw_fact(&self, r: Request<WithdrawFactRequest>) -> Reply<Case> {
        self.base.answer(self, r, fact::withdraw).await
    }
}

#[tonic::async_trait]
impl ExposureService for Registry {
    async fn record_exposure(&self, r: Request<RecordExposureRequest>) -> Reply<Case> {
        self.base.answer(self, r, exposure::record).await
    }

    async fn list_contacts(&self, r: Request<ListContactsRequest>) -> Reply<ListContactsResponse> {
        self.base.answer(self, r, exposure::list_contacts).await
    }
}

#[tonic::async_trait]
impl DuplicateService for Registry {
    async fn join_case(&self, r: Request<JoinCaseRequest>) -> Reply<Case> {
        self.base.answer(self, r, duplicate::join).await
    }
}

#[tonic::async_trait]
impl SectionService for Registry {
    async fn get_item_definitions(&self, r: Request<GetItemDefinitionsRequest>) -> Reply<GetItemDefinitionsResponse> {
        self.base.answer(self, r, section::item_definitions).await
    }

    async fn update_section(&self, r: Request<UpdateSectionRequest>) -> Reply<Case> {
        self.base.answer(self, r, section::update).await
    }
}

#[tonic::async_trait]
impl PersonService for Registry {
    async fn update_person(&self, r: Request<UpdatePersonRequest>) -> Reply<Case> {
        self.base.answer(self, r, person::update).await
    }
}

#[tonic::async_trait]
impl AccessIdService for Registry {
    async fn get_access_id(&self, r: Request<GetAccessIdRequest>) -> Reply<GetAccessIdResponse> {
        self.base.answer(self, r, access_id::get).await
    }

    async fn reissue_access_id(&self, r: Request<ReissueAccessIdRequest>) -> Reply<ReissueAccessIdResponse> {
        self.base.answer(self, r, access_id::reissue).await
    }
}

#[tonic::async_trait]
impl ReferralService for Registry {
    async fn refer_case(&self, r: Request<ReferCaseRequest>) -> Reply<Case> {
        self.base.answer(self, r, referral::refer).await
    }
}

#[tonic::async_trait]
impl TransferService for Registry {
    async fn offer_transfer(&self, r: Request<OfferTransferRequest>) -> Reply<Case> {
        self.base.answer(self, r, transfer::offer).await
    }

    async fn accept_transfer(&self, r: Request<AcceptTransferRequest>) -> Reply<Case> {
        self.base.answer(self, r, transfer::accept).await
    }

    async fn decline_transfer(&self, r: Request<DeclineTransferRequest>) -> Reply<Case> {
        self.base.answer(self, r, transfer::decline).await
    }
}

#[tonic::async_trait]
impl EmergencyService for Registry {
    async fn open_in_emergency(&self, r: Request<OpenInEmergencyRequest>) -> Reply<Case> {
        self.base.answer(self, r, emergency::open).await
    }

    async fn list_emergency_openings(
        &self,
        r: Request<ListEmergencyOpeningsRequest>,
    ) -> Reply<ListEmergencyOpeningsResponse> {
        self.base.answer(self, r, emergency::list).await
    }
}
