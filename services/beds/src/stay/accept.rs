//! `AcceptAdmission`: the facility takes the patient, and from here on sees who it is.

use chassis::{Call, Error};
use proto::beds::{AcceptAdmissionRequest, Admission};

use super::{store, taken};
use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn accept(beds: Beds, call: Call<AcceptAdmissionRequest>) -> Result<Admission, Error> {
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility, async |change| {
        change.held.must_go_on()?;
        change.held.admission.accept(change.now).map_err(Error::Precondition)?;
        if let Some(id) = change.held.admission.stay_id {
            store::keep(&mut change.tx, id).await.map_err(taken)?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AcceptAdmissionRequest, AdmissionState};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::accept;
    use crate::fixture::{Scene, request_id};

    #[tokio::test]
    async fn an_accepted_bed_is_held_without_an_end() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let accepted = scene.accept(&admission).await?;
        assert_eq!(accepted.state, i32::from(AdmissionState::Accepted));
        scene.world.clock.advance(Duration::days(2));
        let arrived = scene.arrive(&admission).await?;
        assert_eq!(arrived.bed_number, 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        for (what, caller, etag, later, code) in [
            ("the centre does not answer for it", &scene.nurse, "", Duration::ZERO, Code::PermissionDenied),
            ("another facility was asked", &scene.officer, "", Duration::ZERO, Code::NotFound),
            ("somebody changed it first", &scene.ward, "1", Duration::ZERO, Code::Aborted),
            ("the hold has run out", &scene.ward, "", Duration::hours(1), Code::FailedPrecondition),
        ] {
            scene.world.clock.advance(later);
            let request = AcceptAdmissionRequest {
                request_id: request_id(),
                admission_id: admission.admission_id.clone(),
                etag: etag.to_owned(),
            };
            let refused = scene.world.ask(&scene.beds, caller, request, accept).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
