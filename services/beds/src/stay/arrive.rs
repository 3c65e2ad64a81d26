//! `ConfirmArrival`: the patient is there. The bed the patient came from is free.

use chassis::{Call, Error};
use proto::beds::{Admission, ConfirmArrivalRequest};

use super::told;
use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn arrive(beds: Beds, call: Call<ConfirmArrivalRequest>) -> Result<Admission, Error> {
    let told = told(&beds, &call, call.request.entry.as_ref())?;
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility(told), async |change| {
        change.held.must_go_on()?;
        let (case_id, capability) = (change.held.admission.case_id, change.held.admission.capability);
        let at = change.held.at;
        admission::leave_origin(&mut change.tx, case_id, capability, (at, change.now)).await?;
        change.held.admission.arrive(at).map_err(Error::Precondition)
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionChanged, AdmissionState, Capability, ConfirmArrivalRequest};
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::arrive;
    use crate::{
        fixture::{Scene, by_telephone, request_id, wrong_entries},
        stay,
    };

    #[tokio::test]
    async fn whoever_moves_to_another_bed_leaves_the_first_one_free() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.declare(&scene.ward, Capability::General, 1).await?;
        let first = scene.request(case, Capability::General).await?;
        scene.offer(&first, scene.hospital).await?;
        scene.accept(&first).await?;
        scene.arrive(&first).await?;

        scene.declare(&scene.officer, Capability::LodgingRoom, 1).await?;
        let second = scene.request(case, Capability::LodgingRoom).await?;
        scene.offer(&second, scene.lodging).await?;
        let accept = proto::beds::AcceptAdmissionRequest {
            request_id: request_id(),
            admission_id: second.admission_id.clone(),
            etag: String::new(),
            entry: None,
        };
        scene.world.ask(&scene.beds, &scene.officer, accept, stay::accept).await?;
        let request = ConfirmArrivalRequest {
            request_id: request_id(),
            admission_id: second.admission_id.clone(),
            etag: String::new(),
            entry: None,
        };
        let there = scene.world.ask(&scene.beds, &scene.officer, request, arrive).await?;
        assert_eq!(there.state, i32::from(AdmissionState::Arrived));

        let told: Vec<AdmissionChanged> = scene.world.announced().await?;
        let left = told.iter().find(|event| event.state == i32::from(AdmissionState::Left));
        assert!(left.is_some_and(|event| event.moved_on && event.admission_id == first.admission_id));
        let next = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&next, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn an_arrival_that_was_told_counts_from_then_and_frees_the_first_bed_from_then() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.declare(&scene.officer, Capability::LodgingRoom, 1).await?;
        scene.declare(&scene.ward, Capability::General, 1).await?;
        let request = |admission: &proto::beds::Admission, facility, said| ConfirmArrivalRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            etag: String::new(),
            entry: Some(by_telephone(facility, said)),
        };
        let first = scene.request(case, Capability::LodgingRoom).await?;
        scene.offer(&first, scene.lodging).await?;
        let accept = proto::beds::AcceptAdmissionRequest {
            request_id: request_id(),
            admission_id: first.admission_id.clone(),
            etag: String::new(),
            entry: Some(by_telephone(scene.lodging, NOW)),
        };
        scene.world.ask(&scene.beds, &scene.nurse, accept, stay::accept).await?;
        let there = request(&first, scene.lodging, NOW);
        scene.world.ask(&scene.beds, &scene.nurse, there, arrive).await?;

        let second = scene.request(case, Capability::General).await?;
        scene.offer(&second, scene.hospital).await?;
        scene.accept(&second).await?;
        scene.world.clock.advance(Duration::hours(3));
        let said = NOW + Duration::hours(1);
        let early = request(&second, scene.hospital, NOW - Duration::minutes(1));
        let early = scene.world.ask(&scene.beds, &scene.nurse, early, arrive).await.refused();
        assert!(early.code() == Code::InvalidArgument && early.message().starts_with("entry.told_time"));
        let told = request(&second, scene.hospital, said);
        let told = scene.world.ask(&scene.beds, &scene.nurse, told, arrive).await?;
        assert_eq!((told.state(), told.arrival_time), (AdmissionState::Arrived, Some(to_proto(said))));
        assert_eq!(told.answers.len(), 2, "the hospital's own answer and what it told");
        let moved: Vec<_> = scene
            .world
            .announced::<AdmissionChanged>()
            .await?
            .into_iter()
            .rev()
            .take(2)
            .map(|event| event.change_time)
            .collect();
        assert_eq!(moved, [Some(to_proto(said)); 2]);
        scene.offer(&scene.request(scene.case().await?, Capability::LodgingRoom).await?, scene.lodging).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        for (what, caller, etag, code) in [
            ("the centre does not take patients in", &scene.nurse, "", Code::PermissionDenied),
            ("another facility was asked", &scene.officer, "", Code::NotFound),
            ("nobody accepted", &scene.ward, "", Code::FailedPrecondition),
            ("somebody changed it first", &scene.ward, "1", Code::Aborted),
        ] {
            let request = ConfirmArrivalRequest {
                request_id: request_id(),
                admission_id: admission.admission_id.clone(),
                etag: etag.to_owned(),
                entry: None,
            };
            let refused = scene.world.ask(&scene.beds, caller, request, arrive).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        for (what, caller, entry, code, field) in wrong_entries(&scene).await? {
            let request = ConfirmArrivalRequest {
                request_id: request_id(),
                admission_id: admission.admission_id.clone(),
                etag: String::new(),
                entry,
            };
            let refused = scene.world.ask(&scene.beds, &caller, request, arrive).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{what}");
        }
        Ok(())
    }
}
