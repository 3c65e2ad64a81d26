//! `GetCareStatus`: the care survey of the caller's area.

use chassis::{Call, Error};
use proto::statistics::{CareStatus, GetCareStatusRequest};
use runtime::clock::to_proto;

use super::{model, store};
use crate::{
    fact::{self, Area},
    service::Statistics,
};

pub(crate) async fn get(statistics: Statistics, call: Call<GetCareStatusRequest>) -> Result<CareStatus, Error> {
    let area = Area::of(&call.caller).map_err(Error::Denied)?;
    let asked = fact::as_of(call.request.as_of_time.as_ref()).map_err(|at_fault| Error::Invalid(vec![at_fault]))?;

    let mut conn = statistics.base.pool.acquire().await?;
    let moment = fact::moment(&mut conn, &[fact::REGISTRY, fact::BEDS], asked).await?;
    let patients = store::patients(&mut conn, area, moment.as_of).await?;
    let room = store::room(&mut conn, area, moment.as_of).await?;

    let prefectures = model::survey(patients.into_iter().chain(room));
    Ok(CareStatus {
        total: Some(model::total(&prefectures)),
        prefectures,
        as_of_time: Some(to_proto(moment.as_of)),
        watermark_time: Some(to_proto(moment.watermark)),
    })
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::{
        Timestamp,
        beds::{Capability, CapacityReported},
        identity::{OrganisationKind as Kind, Role},
        registry::{AdmissionNecessity, CaseChanged, DiagnosisClass, Outcome, Placement},
        statistics::{CareRow, GetCareStatusRequest},
    };
    use testing::{Outcome as Tested, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        care,
        fact::{BEDS, REGISTRY},
        fixture::{Scene, TOKYO},
    };

    fn placed(scene: &Scene, placement: Placement) -> CaseChanged {
        CaseChanged { placement: placement.into(), ..scene.case() }
    }

    /// A patient for every column of the survey, and four who are in none.
    fn patients(scene: &Scene) -> Vec<CaseChanged> {
        let ill = || placed(scene, Placement::Hospital);
        let needs = AdmissionNecessity::Needed.into();
        vec![
            ill(),
            CaseChanged { icu: true, ventilator: true, ..ill() },
            CaseChanged { ecmo: true, ..ill() },
            placed(scene, Placement::Lodging),
            placed(scene, Placement::Home),
            placed(scene, Placement::Waiting),
            CaseChanged { admission_necessity: needs, ..placed(scene, Placement::Waiting) },
            CaseChanged { admission_necessity: needs, ..placed(scene, Placement::Unspecified) },
            placed(scene, Placement::WelfareFacility),
            placed(scene, Placement::TemporaryFacility),
            placed(scene, Placement::Discharged),
            CaseChanged { outcome: Outcome::Released.into(), ..ill() },
            CaseChanged { outcome: Outcome::Died.into(), ..ill() },
            CaseChanged { diagnosis_class: DiagnosisClass::Suspected.into(), ..ill() },
        ]
    }

    fn room(scene: &Scene) -> Vec<CapacityReported> {
        [
            (Capability::General, 5, 4),
            (Capability::Icu, 1, 1),
            (Capability::Ventilator, 1, 0),
            (Capability::Ecmo, 1, 1),
            (Capability::LodgingRoom, 9, 8),
        ]
        .map(|(capability, secured, ready)| scene.capacity(capability, secured, ready))
        .to_vec()
    }

    /// What the two above make of Osaka.
    fn osaka() -> CareRow {
        CareRow {
            prefecture: 27,
            under_care: 10,
            inpatients: 3,
            severe: 2,
            icu: 1,
            ventilator: 1,
            ecmo: 1,
            lodging: 1,
            home: 1,
            waiting: 3,
            waiting_for_hospital: 2,
            welfare_facility: 1,
            temporary_facility: 1,
            secured_beds: 8,
            ready_beds: 6,
            secured_severe_beds: 3,
            secured_rooms: 9,
            ready_rooms: 8,
            bed_use_percent: Some(37.5),
            hospitalised_percent: Some(30.0),
        }
    }

    /// A row that can be printed.
    fn told(row: &CareRow) -> (Vec<i64>, [Option<f64>; 2]) {
        let people = [row.under_care, row.inpatients, row.severe, row.icu, row.ventilator, row.ecmo];
        let places = [
            row.lodging,
            row.home,
            row.waiting,
            row.waiting_for_hospital,
            row.welfare_facility,
            row.temporary_facility,
        ];
        let room = [row.secured_beds, row.ready_beds, row.secured_severe_beds, row.secured_rooms, row.ready_rooms];
        let numbers = [&[i64::from(row.prefecture)][..], &people, &places, &room].concat();
        (numbers, [row.bed_use_percent, row.hospitalised_percent])
    }

    fn all_told<'a>(rows: impl IntoIterator<Item = &'a CareRow>) -> Vec<(Vec<i64>, [Option<f64>; 2])> {
        rows.into_iter().map(told).collect()
    }

    #[tokio::test]
    async fn the_survey_counts_people_beds_and_rooms_and_what_part_is_used() -> Tested {
        let scene = Scene::new().await?;
        let tokyo = scene.world.body(Kind::HealthCentre, TOKYO).await?;
        let elsewhere =
            CaseChanged { responsible_centre_id: tokyo.id.to_string(), ..placed(&scene, Placement::Hospital) };
        scene.tell(&[patients(&scene), vec![elsewhere]].concat()).await?;
        scene.declare(&room(&scene)).await?;

        let answer = scene.care(&scene.ministry, None).await?;
        let tokyo = CareRow {
            prefecture: 13,
            under_care: 1,
            inpatients: 1,
            hospitalised_percent: Some(100.0),
            ..CareRow::default()
        };
        let total = CareRow {
            prefecture: 0,
            under_care: 11,
            inpatients: 4,
            bed_use_percent: Some(50.0),
            hospitalised_percent: Some(36.4),
            ..osaka()
        };
        assert_eq!(all_told(&answer.prefectures), all_told(&[tokyo, osaka()]));
        assert_eq!(all_told(&answer.total), all_told(&[total]));
        Ok(())
    }

    #[tokio::test]
    async fn everybody_sees_the_own_area_and_a_centre_no_beds() -> Tested {
        let scene = Scene::new().await?;
        let other = CaseChanged { responsible_centre_id: OrganisationId::new().to_string(), ..scene.case() };
        let tokyo = scene.world.body(Kind::HealthCentre, TOKYO).await?;
        let far = CaseChanged { responsible_centre_id: tokyo.id.to_string(), ..scene.case() };
        scene.tell(&[scene.case(), other, far]).await?;
        let beds = scene.capacity(Capability::General, 3, 2);
        let far = OrganisationId::new().to_string();
        scene.declare(&[beds.clone(), CapacityReported { facility_id: far, prefecture: TOKYO.into(), ..beds }]).await?;

        for (caller, under_care, secured) in [(&scene.ministry, 3, 6), (&scene.prefecture, 2, 3), (&scene.nurse, 1, 0)]
        {
            let total = scene.care(caller, None).await?.total.unwrap_or_default();
            assert_eq!((total.under_care, total.secured_beds), (under_care, secured), "{:?}", caller.kind);
            assert_eq!(total.bed_use_percent.is_some(), secured > 0, "no beds, no ratio");
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_was_known_then_is_answered_later_too() -> Tested {
        let scene = Scene::new().await?;
        let cases = patients(&scene);
        scene.tell(&cases).await?;
        scene.declare(&room(&scene)).await?;
        let then = scene.world.clock.now();
        scene.world.clock.advance(Duration::days(1));
        let died = |case: CaseChanged| CaseChanged { version: 2, outcome: Outcome::Died.into(), ..case };
        scene.tell(&cases.into_iter().map(died).collect::<Vec<_>>()).await?;

        assert_eq!(all_told(&scene.care(&scene.ministry, Some(then)).await?.prefectures), all_told(&[osaka()]));
        let now = scene.care(&scene.ministry, None).await?.total.unwrap_or_default();
        assert_eq!((now.under_care, now.secured_beds, now.hospitalised_percent), (0, 8, None));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Tested {
        let scene = Scene::new().await?;
        scene.heard(REGISTRY).await?;
        let status = scene.care(&scene.ministry, None).await.refused();
        assert_eq!(status.code(), Code::FailedPrecondition, "beds was not heard yet");
        scene.heard(BEDS).await?;

        let nowhere = scene.world.body(Kind::QuarantineStation, 0).await?.staff(Role::Analyst);
        let ward = scene.hospital.staff(Role::Nurse);
        let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        for (caller, as_of_time, code, field) in [
            (&ward, None, Code::PermissionDenied, ""),
            (&nowhere, None, Code::PermissionDenied, ""),
            (&scene.ministry, never, Code::InvalidArgument, "as_of_time"),
        ] {
            let request = GetCareStatusRequest { as_of_time };
            let status = scene.world.ask(&scene.statistics, caller, request, care::get).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{status:?}");
        }
        Ok(())
    }
}
