//! What the tests of this service begin with: a hospital with beds, a centre that looks for one, and a case.

use access::{Caller, CaseId};
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission, Capability, Capacity, ConfirmArrivalRequest, OfferBedRequest,
        ReportCapacityRequest, RequestAdmissionRequest,
    },
    identity::{OrganisationKind as Kind, Role},
    registry::{CaseChanged, Channel, Entry, Grant, Placement, Relation, Severity},
};
use runtime::clock::to_proto;
use testing::{Body, World};
use time::{Duration, OffsetDateTime};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{MIGRATIONS, capacity, coordination, service::Beds, stay};

/// Osaka.
pub(crate) const PREFECTURE: u8 = 27;

/// A prefecture with a centre, a hospital and lodging.
pub(crate) struct Scene {
    pub world: World,
    pub beds: Beds,
    pub centre: Body,
    pub hospital: Body,
    pub lodging: Body,
    /// A public-health nurse of the centre.
    pub nurse: Caller,
    /// A nurse of the hospital.
    pub ward: Caller,
    /// The officer of the lodging.
    pub officer: Caller,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let world = World::new("beds", MIGRATIONS).await?;
        let beds = Beds::new(&world.base)?;
        let centre = world.body(Kind::HealthCentre, PREFECTURE).await?;
        let hospital = world.body(Kind::Hospital, PREFECTURE).await?;
        let lodging = world.body(Kind::LodgingFacility, PREFECTURE).await?;
        let (nurse, ward) = (centre.staff(Role::Nurse), hospital.staff(Role::Nurse));
        let officer = lodging.staff(Role::LodgingOfficer);
        Ok(Self { world, beds, centre, hospital, lodging, nurse, ward, officer })
    }

    /// A case that the centre is responsible for.
    pub(crate) async fn case(&self) -> anyhow::Result<CaseId> {
        self.case_of(&[(self.centre, Relation::ResponsibleCentre)]).await
    }

    /// A case with these relations.
    pub(crate) async fn case_of(&self, related: &[(Body, Relation)]) -> anyhow::Result<CaseId> {
        let id = CaseId::new();
        let grant = |(body, relation): &(Body, Relation)| Grant {
            organisation_id: body.id.to_string(),
            relation: (*relation).into(),
            ..Grant::default()
        };
        let changed = CaseChanged {
            case_id: id.to_string(),
            version: 1,
            prefecture: PREFECTURE.into(),
            responsible_centre_id: self.centre.id.to_string(),
            severity: Severity::ModerateIi.into(),
            placement: Placement::Home.into(),
            grants: related.iter().map(grant).collect(),
            ..CaseChanged::default()
        };
        self.world.hear(&coordination::Hears { clock: self.world.clock.clone() }, &changed).await?;
        Ok(id)
    }

    /// A facility declares beds.
    pub(crate) async fn declare(
        &self,
        caller: &Caller,
        capability: Capability,
        ready: i32,
    ) -> Result<Capacity, Status> {
        let request = ReportCapacityRequest {
            request_id: request_id(),
            facility_id: caller.organisation_id.to_string(),
            capability: capability.into(),
            secured: ready,
            ready,
            ..ReportCapacityRequest::default()
        };
        self.world.ask(&self.beds, caller, request, capacity::report).await
    }

    /// The centre asks for a bed.
    pub(crate) async fn request(&self, case: CaseId, capability: Capability) -> Result<Admission, Status> {
        let request = RequestAdmissionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            capability: capability.into(),
        };
        self.world.ask(&self.beds, &self.nurse, request, coordination::request).await
    }

    /// The centre offers a bed of a facility.
    pub(crate) async fn offer(&self, admission: &Admission, facility: Body) -> Result<Admission, Status> {
        let request = OfferBedRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            facility_id: facility.id.to_string(),
            ..OfferBedRequest::default()
        };
        self.world.ask(&self.beds, &self.nurse, request, coordination::offer).await
    }

    /// A case with a general bed of the hospital on offer.
    pub(crate) async fn offered(&self) -> anyhow::Result<Admission> {
        self.declare(&self.ward, Capability::General, 1).await?;
        let admission = self.request(self.case().await?, Capability::General).await?;
        Ok(self.offer(&admission, self.hospital).await?)
    }

    /// The hospital accepts.
    pub(crate) async fn accept(&self, admission: &Admission) -> Result<Admission, Status> {
        let request = AcceptAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            ..AcceptAdmissionRequest::default()
        };
        self.world.ask(&self.beds, &self.ward, request, stay::accept).await
    }

    /// The patient is in the hospital.
    pub(crate) async fn arrive(&self, admission: &Admission) -> Result<Admission, Status> {
        let request = ConfirmArrivalRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            ..ConfirmArrivalRequest::default()
        };
        self.world.ask(&self.beds, &self.ward, request, stay::arrive).await
    }
}

/// A facility told it by telephone at a moment.
pub(crate) fn by_telephone(facility: Body, at: OffsetDateTime) -> Entry {
    Entry {
        on_behalf_of_id: facility.id.to_string(),
        channel: Channel::Telephone.into(),
        told_time: Some(to_proto(at)),
    }
}

/// What is wrong with an entry, who makes it, the entry, and the code and field of the refusal.
pub(crate) type Wrong = (&'static str, Caller, Option<Entry>, Code, &'static str);

/// Entries that nobody may make for the hospital.
pub(crate) async fn wrong_entries(scene: &Scene) -> anyhow::Result<Vec<Wrong>> {
    let now = scene.world.clock.now();
    let far = scene.world.body(Kind::Hospital, 13).await?;
    let other = scene.world.body(Kind::Hospital, PREFECTURE).await?;
    let by = |facility| by_telephone(facility, now);
    let later = by_telephone(scene.hospital, now + Duration::hours(2));
    let mute = Entry { channel: 0, ..by(scene.hospital) };
    let garbled = Entry { on_behalf_of_id: "x".to_owned(), ..by(scene.hospital) };
    let nobody = Entry { on_behalf_of_id: String::new(), ..by(scene.hospital) };
    let nurse = || scene.nurse.clone();
    let (denied, invalid) = (Code::PermissionDenied, Code::InvalidArgument);
    Ok(vec![
        ("the centre says nothing of who told it", nurse(), None, denied, ""),
        ("nor by saying only how it was told", nurse(), Some(nobody), denied, ""),
        ("another hospital enters", other.staff(Role::Nurse), Some(by(scene.hospital)), denied, ""),
        ("lodging enters", scene.officer.clone(), Some(by(scene.hospital)), denied, ""),
        ("it could enter it itself, so how did it tell", nurse(), Some(mute), invalid, "entry.channel"),
        ("it is told in the future", nurse(), Some(later), invalid, "entry.told_time"),
        ("it is in another prefecture", nurse(), Some(by(far)), invalid, "entry.on_behalf_of_id"),
        ("it is another hospital", nurse(), Some(by(other)), invalid, "entry.on_behalf_of_id"),
        ("it is no institution", nurse(), Some(by(scene.centre)), invalid, "entry.on_behalf_of_id"),
        ("it is nobody", nurse(), Some(garbled), invalid, "entry.on_behalf_of_id"),
    ])
}

/// Centres and prefectures without a relation to the case, which enter nothing about it.
pub(crate) async fn strangers(scene: &Scene) -> anyhow::Result<[Caller; 2]> {
    let neighbour = scene.world.body(Kind::HealthCentre, PREFECTURE).await?;
    let prefecture = scene.world.body(Kind::Prefecture, PREFECTURE).await?;
    Ok([neighbour.staff(Role::Nurse), prefecture.staff(Role::Coordinator)])
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}
