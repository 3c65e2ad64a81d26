//! `RecordLeave`: the patient left (退院・退所), and where to.

use chassis::{Call, Error};
use proto::beds::{Admission, RecordLeaveRequest};

use super::store;
use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn leave(beds: Beds, call: Call<RecordLeaveRequest>) -> Result<Admission, Error> {
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility, async |change| {
        let destination = data::code(call.request.destination);
        change.held.admission.leave(destination, change.now).map_err(Error::Precondition)?;
        if let Some(id) = change.held.admission.stay_id {
            store::end(&mut change.tx, id, change.now).await?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionState, Capability, Destination, RecordLeaveRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::leave;
    use crate::fixture::{Scene, request_id};

    #[tokio::test]
    async fn whoever_leaves_frees_the_bed_and_the_facility_follows_no_more() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.accept(&admission).await?;
        scene.arrive(&admission).await?;
        let request = RecordLeaveRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            destination: Destination::Home.into(),
            etag: String::new(),
        };
        let left = scene.world.ask(&scene.beds, &scene.ward, request, leave).await?;
        assert_eq!((left.state, left.destination), (AdmissionState::Left.into(), Destination::Home.into()));
        assert!(left.facts.is_none());
        let next = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&next, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.accept(&admission).await?;
        let good = || RecordLeaveRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            destination: Destination::Discharged.into(),
            etag: String::new(),
        };
        let nowhere = RecordLeaveRequest { destination: 0, ..good() };
        let stale = RecordLeaveRequest { etag: "1".to_owned(), ..good() };
        for (what, caller, request, code) in [
            ("the centre lets nobody go", &scene.nurse, good(), Code::PermissionDenied),
            ("another facility was asked", &scene.officer, good(), Code::NotFound),
            ("there is no destination", &scene.ward, nowhere, Code::InvalidArgument),
            ("the patient is not there", &scene.ward, good(), Code::FailedPrecondition),
            ("somebody changed it first", &scene.ward, stale, Code::Aborted),
        ] {
            let refused = scene.world.ask(&scene.beds, caller, request, leave).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
