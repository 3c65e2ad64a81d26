//! `ConfirmArrival`: the patient is there. The bed the patient came from is free.

use chassis::{Call, Error};
use proto::beds::{Admission, ConfirmArrivalRequest};

use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn arrive(beds: Beds, call: Call<ConfirmArrivalRequest>) -> Result<Admission, Error> {
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility, async |change| {
        change.held.must_go_on()?;
        let (case_id, capability) = (change.held.admission.case_id, change.held.admission.capability);
        admission::leave_origin(&mut change.tx, case_id, capability, change.now).await?;
        change.held.admission.arrive(change.now).map_err(Error::Precondition)
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionChanged, AdmissionState, Capability, ConfirmArrivalRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::arrive;
    use crate::{
        fixture::{Scene, request_id},
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
        };
        scene.world.ask(&scene.beds, &scene.officer, accept, stay::accept).await?;
        let request = ConfirmArrivalRequest {
            request_id: request_id(),
            admission_id: second.admission_id.clone(),
            etag: String::new(),
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
            };
            let refused = scene.world.ask(&scene.beds, caller, request, arrive).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
