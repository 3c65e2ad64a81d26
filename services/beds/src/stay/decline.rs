//! `DeclineAdmission`: the facility does not take the patient and says why; the search goes on.

use chassis::{Call, Error};
use proto::beds::{Admission, DeclineAdmissionRequest};

use super::store;
use crate::{
    admission::{self, REASON, Who, reason_row},
    service::Beds,
};

pub(crate) async fn decline(beds: Beds, call: Call<DeclineAdmissionRequest>) -> Result<Admission, Error> {
    let facility = call.caller.organisation_id;
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility, async |change| {
        let (id, stay) = (change.held.admission.id, change.held.admission.stay_id);
        change.held.admission.decline(change.now).map_err(Error::Precondition)?;
        if let Some(stay) = stay {
            store::end(&mut change.tx, stay, change.now).await?;
        }

        let reason = beds.base.vault.seal(REASON, &reason_row(id, facility), call.request.reason.as_bytes())?;
        admission::insert_refusal(&mut change.tx, id, facility, change.now, &reason).await?;
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionState, Capability, DeclineAdmissionRequest, GetAdmissionRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::decline;
    use crate::{
        admission,
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn the_reason_reaches_the_coordinator_and_the_bed_is_free() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let request = DeclineAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            reason: "看護師が不足".to_owned(),
            etag: String::new(),
        };
        let decline_it = || scene.world.ask(&scene.beds, &scene.ward, request.clone(), decline);
        let told = decline_it().await?;
        assert!(told.refusals.is_empty(), "a facility is not told what others answered");
        // Repeated, though nothing is offered to the facility any more: the same answer, audited again.
        assert!(decline_it().await? == told);
        assert_eq!(scene.world.audited("DeclineAdmission").await?.len(), 2);

        let get = GetAdmissionRequest { admission_id: admission.admission_id.clone() };
        let seen = scene.world.ask(&scene.beds, &scene.nurse, get, admission::get).await?;
        assert_eq!((seen.state, seen.refusals[0].reason.as_str()), (AdmissionState::Requested.into(), "看護師が不足"));
        let other = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&other, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let good = || DeclineAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            reason: "満床".to_owned(),
            etag: String::new(),
        };
        let silent = DeclineAdmissionRequest { reason: String::new(), ..good() };
        let stale = DeclineAdmissionRequest { etag: "1".to_owned(), ..good() };
        for (what, caller, request, code) in [
            ("the centre does not answer for it", &scene.nurse, good(), Code::PermissionDenied),
            ("another facility was asked", &scene.officer, good(), Code::NotFound),
            ("there is no reason", &scene.ward, silent, Code::InvalidArgument),
            ("somebody changed it first", &scene.ward, stale, Code::Aborted),
        ] {
            let refused = scene.world.ask(&scene.beds, caller, request, decline).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        scene.accept(&admission).await?;
        let late = scene.world.ask(&scene.beds, &scene.ward, good(), decline).await.refused();
        assert_eq!(late.code(), Code::FailedPrecondition, "it has accepted");
        Ok(())
    }
}
