//! `CancelAdmission`: the search is given up; a held bed is free again.

use chassis::{Call, Error};
use proto::beds::{Admission, CancelAdmissionRequest};

use crate::{
    admission::{self, Who},
    service::Beds,
    stay,
};

pub(crate) async fn cancel(beds: Beds, call: Call<CancelAdmissionRequest>) -> Result<Admission, Error> {
    admission::change(&beds, &call, &call.request.admission_id, Who::Coordinator, async |change| {
        change.held.admission.cancel(change.now).map_err(Error::Precondition)?;
        if let Some(id) = change.held.admission.stay_id {
            stay::end(&mut change.tx, id, change.now).await?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionState, CancelAdmissionRequest, Capability};
    use testing::{Outcome, Refused as _};
    use tonic::Code;
    use uuid::Uuid;

    use super::cancel;
    use crate::fixture::{Scene, request_id};

    #[tokio::test]
    async fn a_cancelled_request_gives_its_bed_back() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let request = CancelAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            etag: admission.etag,
        };
        let cancelled = scene.world.ask(&scene.beds, &scene.nurse, request, cancel).await?;
        assert_eq!(cancelled.state, i32::from(AdmissionState::Cancelled));
        let other = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&other, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.accept(&admission).await?;
        let arrived = scene.arrive(&admission).await?;
        let nowhere = Uuid::now_v7().to_string();
        for (what, caller, id, etag, code) in [
            ("the ward does not coordinate", &scene.ward, &arrived.admission_id, "", Code::PermissionDenied),
            ("there is no such admission", &scene.nurse, &nowhere, "", Code::NotFound),
            ("the patient is there", &scene.nurse, &arrived.admission_id, "", Code::FailedPrecondition),
            ("somebody changed it first", &scene.nurse, &arrived.admission_id, "1", Code::Aborted),
        ] {
            let request =
                CancelAdmissionRequest { request_id: request_id(), admission_id: id.clone(), etag: etag.to_owned() };
            let refused = scene.world.ask(&scene.beds, caller, request, cancel).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
