//! What the tests of this service begin with: a nation, a prefecture with a centre and a hospital, and what they are told.

use access::{Caller, CaseId};
use proto::{
    beds::{Capability, CapacityReported},
    identity::{OrganisationKind as Kind, Role},
    registry::{CaseChanged, DiagnosisClass, Placement},
    statistics::{CareStatus, GetCareStatusRequest, GetSummaryRequest, Summary},
};
use runtime::clock::to_proto;
use testing::{Body, World};
use time::OffsetDateTime;
use tonic::Status;

use crate::{
    MIGRATIONS, care,
    fact::{BEDS, HearsBeds, HearsCases, REGISTRY},
    service::Statistics,
    summary,
};

pub(crate) const TOKYO: u8 = 13;
pub(crate) const OSAKA: u8 = 27;

pub(crate) struct Scene {
    pub world: World,
    pub statistics: Statistics,
    pub cases: HearsCases,
    pub centre: Body,
    pub hospital: Body,
    /// An analyst of the ministry.
    pub ministry: Caller,
    /// A coordinator of Osaka.
    pub prefecture: Caller,
    /// A nurse of the centre in Osaka.
    pub nurse: Caller,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let world = World::new("statistics", MIGRATIONS).await?;
        let statistics = Statistics::new(&world.base);
        let cases = HearsCases::new(world.base.directory.clone());
        let centre = world.body(Kind::HealthCentre, OSAKA).await?;
        let hospital = world.body(Kind::Hospital, OSAKA).await?;
        let ministry = world.body(Kind::Ministry, 0).await?.staff(Role::Analyst);
        let prefecture = world.body(Kind::Prefecture, OSAKA).await?.staff(Role::Coordinator);
        let nurse = centre.staff(Role::Nurse);
        Ok(Self { world, statistics, cases, centre, hospital, ministry, prefecture, nurse })
    }

    /// A new case of the centre: confirmed, reported on 13 May, at home.
    pub(crate) fn case(&self) -> CaseChanged {
        CaseChanged {
            case_id: CaseId::new().to_string(),
            version: 1,
            prefecture: OSAKA.into(),
            centre_id: self.centre.id.to_string(),
            responsible_centre_id: self.centre.id.to_string(),
            diagnosis_class: DiagnosisClass::Confirmed.into(),
            report_date: "2020-05-13".to_owned(),
            placement: Placement::Home.into(),
            ..CaseChanged::default()
        }
    }

    /// What the hospital declares first of a kind of bed.
    pub(crate) fn capacity(&self, capability: Capability, secured: i32, ready: i32) -> CapacityReported {
        CapacityReported {
            facility_id: self.hospital.id.to_string(),
            prefecture: OSAKA.into(),
            capability: capability.into(),
            secured,
            ready,
            version: 1,
        }
    }

    /// The registry tells of some cases, and that this is all there is up to now.
    pub(crate) async fn tell(&self, cases: &[CaseChanged]) -> anyhow::Result<()> {
        let events = cases.iter().map(|case| self.world.event(case)).collect::<anyhow::Result<Vec<_>>>()?;
        self.world.hear_all(&self.cases, &events).await?;
        self.heard(REGISTRY).await?;
        self.heard(BEDS).await
    }

    /// Beds tells of some declarations, and that this is all there is up to now.
    pub(crate) async fn declare(&self, capacities: &[CapacityReported]) -> anyhow::Result<()> {
        let events = capacities.iter().map(|one| self.world.event(one)).collect::<anyhow::Result<Vec<_>>>()?;
        self.world.hear_all(&HearsBeds, &events).await?;
        self.heard(BEDS).await
    }

    /// Everything a service recorded up to now has been heard: what the consumer notes when it meets the head of the log.
    pub(crate) async fn heard(&self, source: &str) -> anyhow::Result<()> {
        sqlx::query(
            "insert into cursor (source, watermark) values ($1, $2)
             on conflict (source) do update set watermark = excluded.watermark",
        )
        .bind(source)
        .bind(self.world.clock.now())
        .execute(&self.world.base.pool)
        .await?;
        Ok(())
    }

    pub(crate) async fn summary(&self, caller: &Caller, at: Option<OffsetDateTime>) -> Result<Summary, Status> {
        let request = GetSummaryRequest { as_of_time: at.map(to_proto) };
        self.world.ask(&self.statistics, caller, request, summary::get).await
    }

    pub(crate) async fn care(&self, caller: &Caller, at: Option<OffsetDateTime>) -> Result<CareStatus, Status> {
        let request = GetCareStatusRequest { as_of_time: at.map(to_proto) };
        self.world.ask(&self.statistics, caller, request, care::get).await
    }
}
