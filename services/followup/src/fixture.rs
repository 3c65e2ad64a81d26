//! What the tests of this service begin with: a centre, lodging, a clinic, and people under observation.

use std::sync::atomic::AtomicI64;

use access::{Caller, CaseId};
use proto::{
    followup::{
        Followup as View, GetFollowupRequest, HealthReport, ListWorklistRequest, Plan, SubmitReportRequest,
        SubmitReportResponse, Task, WarningSign,
    },
    identity::{OrganisationKind as Kind, Role},
    notification::{NotificationAmended, NotificationFiled, NotificationReturned},
    registry::{CaseChanged, CaseOpenedInEmergency, Grant, Relation},
};
use runtime::clock::to_proto;
use testing::{Body, Refused as _, World};
use time::{Duration, OffsetDateTime};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::{MIGRATIONS, case, filing, overview, plan, report, service::Followup, worklist};

/// Osaka.
pub(crate) const PREFECTURE: u8 = 27;

/// A prefecture with two centres, lodging, a clinic and a hospital.
pub(crate) struct Scene {
    pub world: World,
    pub followup: Followup,
    pub centre: Body,
    pub other_centre: Body,
    pub lodging: Body,
    pub clinic: Body,
    pub hospital: Body,
    /// A public-health nurse of the centre, and a colleague.
    pub nurse: Caller,
    pub colleague: Caller,
    /// A nurse of the other centre.
    pub stranger: Caller,
    /// The officer of the lodging.
    pub officer: Caller,
    /// A physician of the clinic.
    pub physician: Caller,
    /// A nurse of the hospital.
    pub ward: Caller,
    version: AtomicI64,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let world = World::new("followup", MIGRATIONS).await?;
        let followup = Followup::new(&world.base)?;
        let centre = world.body(Kind::HealthCentre, PREFECTURE).await?;
        let other_centre = world.body(Kind::HealthCentre, PREFECTURE).await?;
        let lodging = world.body(Kind::LodgingFacility, PREFECTURE).await?;
        let clinic = world.body(Kind::Clinic, PREFECTURE).await?;
        let hospital = world.body(Kind::Hospital, PREFECTURE).await?;
        Ok(Self {
            world,
            followup,
            centre,
            other_centre,
            lodging,
            clinic,
            hospital,
            nurse: centre.staff(Role::Nurse),
            colleague: centre.staff(Role::Nurse),
            stranger: other_centre.staff(Role::Nurse),
            officer: lodging.staff(Role::LodgingOfficer),
            physician: clinic.staff(Role::Physician),
            ward: hospital.staff(Role::Nurse),
            version: AtomicI64::new(1),
        })
    }

    /// Nobody's illness yet: a case of the centre's, reported by the clinic.
    pub(crate) fn known(&self) -> CaseChanged {
        CaseChanged {
            case_id: CaseId::new().to_string(),
            responsible_centre_id: self.centre.id.to_string(),
            grants: vec![grant(self.centre, Relation::ResponsibleCentre), grant(self.clinic, Relation::Reporter)],
            ..CaseChanged::default()
        }
    }

    /// The registry announces a new version of a case.
    pub(crate) async fn hear(&self, case: &CaseChanged) -> anyhow::Result<CaseId> {
        let version = self.version.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.world.hear(&self.hears(), &CaseChanged { version, ..case.clone() }).await?;
        Ok(CaseId::parse(&case.case_id)?)
    }

    pub(crate) fn hears(&self) -> case::Hears {
        case::Hears { clock: self.world.clock.clone() }
    }

    /// What notification tells.
    pub(crate) async fn hear_of_filing<M: prost::Message + prost::Name>(&self, event: &M) -> anyhow::Result<()> {
        let hears = filing::Hears { clock: self.world.clock.clone() };
        Ok(self.world.hear(&hears, event).await?)
    }

    /// Somebody whom the centre observes.
    pub(crate) async fn case(&self) -> anyhow::Result<CaseId> {
        self.hear(&self.known()).await
    }

    /// A case that the centre has handed over to the other one.
    pub(crate) async fn hand_over(&self, case: CaseId) -> anyhow::Result<()> {
        let handed_over = CaseChanged {
            case_id: case.to_string(),
            responsible_centre_id: self.other_centre.id.to_string(),
            grants: vec![grant(self.other_centre, Relation::ResponsibleCentre)],
            ..CaseChanged::default()
        };
        self.hear(&handed_over).await?;
        Ok(())
    }

    /// Somebody without a relation opened the case. Returns the opening.
    pub(crate) async fn open_in_emergency(&self, case: CaseId) -> anyhow::Result<String> {
        let opening_id = Uuid::now_v7().to_string();
        let opening = CaseOpenedInEmergency {
            case_id: case.to_string(),
            opening_id: opening_id.clone(),
            open_time: Some(to_proto(self.world.clock.now())),
            among_many: false,
        };
        self.world.hear(&self.hears(), &opening).await?;
        Ok(opening_id)
    }

    /// The clock moves past the due moment of everybody's first report, and nobody reported.
    pub(crate) async fn miss(&self) -> anyhow::Result<usize> {
        self.world.clock.advance(Duration::hours(19));
        Ok(plan::pass(&self.followup).await?)
    }

    pub(crate) async fn overview(&self, who: &Caller, case: CaseId) -> Result<View, Status> {
        let request = GetFollowupRequest { case_id: case.to_string() };
        self.world.ask(&self.followup, who, request, overview::get).await
    }

    /// The plan as the centre sees it.
    pub(crate) async fn plan(&self, case: CaseId) -> Result<Plan, Status> {
        Ok(self.overview(&self.nurse, case).await?.plan.unwrap_or_default())
    }

    pub(crate) async fn submit(
        &self,
        who: &Caller,
        request: SubmitReportRequest,
    ) -> Result<SubmitReportResponse, Status> {
        self.world.ask(&self.followup, who, request, report::submit).await
    }

    /// The nurse enters a report that raises an urgent alert.
    pub(crate) async fn alarm(&self, case: CaseId) -> Result<SubmitReportResponse, Status> {
        self.submit(&self.nurse, reporting(case, purple_lips())).await
    }

    /// What an organisation has to do.
    pub(crate) async fn tasks(&self, who: &Caller) -> Result<Vec<Task>, Status> {
        let request = ListWorklistRequest::default();
        Ok(self.world.ask(&self.followup, who, request, worklist::list).await?.tasks)
    }
}

/// A request as the door hands it to a watch.
pub(crate) fn from<M>(who: &Caller, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(who.clone());
    request
}

pub(crate) fn grant(body: Body, relation: Relation) -> Grant {
    Grant { organisation_id: body.id.to_string(), relation: relation.into(), ..Grant::default() }
}

/// A relation that began at a moment.
pub(crate) fn since(body: Body, relation: Relation, moment: OffsetDateTime) -> Grant {
    Grant { from_time: Some(to_proto(moment)), ..grant(body, relation) }
}

/// The same relation, ended.
pub(crate) fn until(grant: Grant, moment: OffsetDateTime) -> Grant {
    Grant { until_time: Some(to_proto(moment)), ..grant }
}

pub(crate) fn reporting(case: CaseId, report: HealthReport) -> SubmitReportRequest {
    SubmitReportRequest {
        request_id: request_id(),
        case_id: case.to_string(),
        report: Some(report),
        form_version: String::new(),
    }
}

/// Somebody without fever.
pub(crate) fn well() -> HealthReport {
    HealthReport { temperature_decicelsius: Some(364), ..HealthReport::default() }
}

/// Somebody in danger.
pub(crate) fn purple_lips() -> HealthReport {
    HealthReport { warning_signs: vec![WarningSign::PurpleLips.into()], ..well() }
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// A call was refused like this, and a field at fault by its name.
#[track_caller]
pub(crate) fn assert_refused<T>(answer: Result<T, Status>, code: Code, field: &str) {
    let status = answer.refused();
    assert_eq!(status.code(), code, "{field:?}: {}", status.message());
    assert!(status.message().contains(field), "{field:?}: {}", status.message());
}

/// A notification of the clinic's, in the inbox of the centre.
pub(crate) fn filed(scene: &Scene, missing: &[&str]) -> NotificationFiled {
    NotificationFiled {
        notification_id: Uuid::now_v7().to_string(),
        reporter_id: scene.clinic.id.to_string(),
        receiving_centre_id: scene.centre.id.to_string(),
        missing_items: missing.iter().map(|item| (*item).to_owned()).collect(),
        ..NotificationFiled::default()
    }
}

/// A later version of it.
pub(crate) fn amended(filed: &NotificationFiled, version: i32, missing: &[&str]) -> NotificationAmended {
    NotificationAmended {
        notification_id: filed.notification_id.clone(),
        version,
        reporter_id: filed.reporter_id.clone(),
        centre_id: filed.receiving_centre_id.clone(),
        missing_items: missing.iter().map(|item| (*item).to_owned()).collect(),
    }
}

/// It was returned (返戻).
pub(crate) fn returned(filed: &NotificationFiled) -> NotificationReturned {
    NotificationReturned {
        notification_id: filed.notification_id.clone(),
        centre_id: filed.receiving_centre_id.clone(),
        reporter_id: filed.reporter_id.clone(),
    }
}
