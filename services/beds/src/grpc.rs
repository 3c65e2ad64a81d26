//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::Reply;
use proto::beds::{
    AcceptAdmissionRequest, Admission, CancelAdmissionRequest, Capacity, ConfirmArrivalRequest,
    DeclineAdmissionRequest, GetAdmissionRequest, ListAdmissionsRequest, ListAdmissionsResponse,
    ListAvailabilityRequest, ListAvailabilityResponse, OfferBedRequest, RecordLeaveRequest, ReportCapacityRequest,
    RequestAdmissionRequest, admission_service_server::AdmissionService, capacity_service_server::CapacityService,
};
use tonic::Request;

use crate::{admission, capacity, coordination, service::Beds, stay};

#[tonic::async_trait]
impl CapacityService for Beds {
    async fn report_capacity(&self, r: Request<ReportCapacityRequest>) -> Reply<Capacity> {
        self.base.answer(self, r, capacity::report).await
    }

    async fn list_availability(&self, r: Request<ListAvailabilityRequest>) -> Reply<ListAvailabilityResponse> {
        self.base.answer(self, r, capacity::rank).await
    }
}

#[tonic::async_trait]
impl AdmissionService for Beds {
    async fn request_admission(&self, r: Request<RequestAdmissionRequest>) -> Reply<Admission> {
        self.base.answer(self, r, coordination::request).await
    }

    async fn get_admission(&self, r: Request<GetAdmissionRequest>) -> Reply<Admission> {
        self.base.answer(self, r, admission::get).await
    }

    async fn list_admissions(&self, r: Request<ListAdmissionsRequest>) -> Reply<ListAdmissionsResponse> {
        self.base.answer(self, r, admission::list).await
    }

    async fn offer_bed(&self, r: Request<OfferBedRequest>) -> Reply<Admission> {
        self.base.answer(self, r, coordination::offer).await
    }

    async fn cancel_admission(&self, r: Request<CancelAdmissionRequest>) -> Reply<Admission> {
        self.base.answer(self, r, coordination::cancel).await
    }

    async fn accept_admission(&self, r: Request<AcceptAdmissionRequest>) -> Reply<Admission> {
        self.base.answer(self, r, stay::accept).await
    }

    async fn decline_admission(&self, r: Request<DeclineAdmissionRequest>) -> Reply<Admission> {
        self.base.answer(self, r, stay::decline).await
    }

    async fn confirm_arrival(&self, r: Request<ConfirmArrivalRequest>) -> Reply<Admission> {
        self.base.answer(self, r, stay::arrive).await
    }

    async fn record_leave(&self, r: Request<RecordLeaveRequest>) -> Reply<Admission> {
        self.base.answer(self, r, stay::leave).await
    }
}
