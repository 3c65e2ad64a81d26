//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::{Reply, watch::Stream};
use proto::followup::{
    AcknowledgeAlertRequest, AdjustPlanRequest, Alert, AssignTaskRequest, CompleteTaskRequest, EvaluateReleaseRequest,
    Followup as View, GetFollowupRequest, GetReportFormRequest, ListWorklistRequest, ListWorklistResponse, Plan,
    RecordCareVisitRequest, RecordCareVisitResponse, RecordContactAttemptRequest, RecordContactAttemptResponse,
    ReleaseEvaluation, ReportForm, SubmitReportRequest, SubmitReportResponse, Task, WatchAlertsRequest,
    WatchAlertsResponse, WatchWorklistRequest, WatchWorklistResponse, alert_service_server::AlertService,
    contact_service_server::ContactService, followup_service_server::FollowupService, plan_service_server::PlanService,
    release_service_server::ReleaseService, report_service_server::ReportService,
    worklist_service_server::WorklistService,
};
use tonic::Request;

use crate::{alert, contact, overview, plan, release, report, service::Followup, worklist};

#[tonic::async_trait]
impl FollowupService for Followup {
    async fn get_followup(&self, r: Request<GetFollowupRequest>) -> Reply<View> {
        self.base.answer(self, r, overview::get).await
    }
}

#[tonic::async_trait]
impl PlanService for Followup {
    async fn adjust_plan(&self, r: Request<AdjustPlanRequest>) -> Reply<Plan> {
        self.base.answer(self, r, plan::adjust).await
    }
}

#[tonic::async_trait]
impl ReportService for Followup {
    async fn get_report_form(&self, r: Request<GetReportFormRequest>) -> Reply<ReportForm> {
        self.base.answer(self, r, report::form).await
    }

    async fn submit_report(&self, r: Request<SubmitReportRequest>) -> Reply<SubmitReportResponse> {
        self.base.answer(self, r, report::submit).await
    }
}

#[tonic::async_trait]
impl AlertService for Followup {
    type WatchAlertsStream = Stream<WatchAlertsResponse>;

    async fn acknowledge_alert(&self, r: Request<AcknowledgeAlertRequest>) -> Reply<Alert> {
        self.base.answer(self, r, alert::acknowledge).await
    }

    async fn watch_alerts(&self, r: Request<WatchAlertsRequest>) -> Reply<Self::WatchAlertsStream> {
        alert::watch(self, r)
    }
}

#[tonic::async_trait]
impl WorklistService for Followup {
    type WatchWorklistStream = Stream<WatchWorklistResponse>;

    async fn list_worklist(&self, r: Request<ListWorklistRequest>) -> Reply<ListWorklistResponse> {
        self.base.answer(self, r, worklist::list).await
    }

    async fn watch_worklist(&self, r: Request<WatchWorklistRequest>) -> Reply<Self::WatchWorklistStream> {
        worklist::watch(self, r)
    }

    async fn assign_task(&self, r: Request<AssignTaskRequest>) -> Reply<Task> {
        self.base.answer(self, r, worklist::assign).await
    }

    async fn complete_task(&self, r: Request<CompleteTaskRequest>) -> Reply<Task> {
        self.base.answer(self, r, worklist::complete).await
    }
}

#[tonic::async_trait]
impl ContactService for Followup {
    async fn record_contact_attempt(
        &self,
        r: Request<RecordContactAttemptRequest>,
    ) -> Reply<RecordContactAttemptResponse> {
        self.base.answer(self, r, contact::attempt).await
    }

    async fn record_care_visit(&self, r: Request<RecordCareVisitRequest>) -> Reply<RecordCareVisitResponse> {
        self.base.answer(self, r, contact::visit).await
    }
}

#[tonic::async_trait]
impl ReleaseService for Followup {
    async fn evaluate_release(&self, r: Request<EvaluateReleaseRequest>) -> Reply<ReleaseEvaluation> {
        self.base.answer(self, r, release::evaluate).await
    }
}
