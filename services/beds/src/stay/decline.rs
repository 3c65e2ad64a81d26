//! `DeclineAdmission`: the facility does not take the patient and says why; the search goes on.

use chassis::{Call, Error};
use proto::beds::{Admission, DeclineAdmissionRequest};

use super::{store, told};
use crate::{
    admission::{self, REASON, Who, reason_row},
    service::Beds,
};

pub(crate) async fn decline(beds: Beds, call: Call<DeclineAdmissionRequest>) -> Result<Admission, Error> {
    let told = told(&beds, &call, call.request.entry.as_ref())?;
    let facility = told.by.unwrap_or(call.caller.organisation_id);
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility(told), async |change| {
        let (id, stay, at) = (change.held.admission.id, change.held.admission.stay_id, change.held.at);
        change.held.admission.decline(at).map_err(Error::Precondition)?;
        if let Some(stay) = stay {
            store::end(&mut change.tx, stay, at).await?;
        }

        let reason = beds.base.vault.seal(REASON, &reason_row(id, facility), call.request.reason.as_bytes())?;
        admission::insert_refusal(&mut change.tx, id, facility, at, &reason).await?;
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{AdmissionState, Capability, DeclineAdmissionRequest, GetAdmissionRequest},
        identity::{OrganisationKind as Kind, Role},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::decline;
    use crate::{
        admission,
        fixture::{PREFECTURE, Scene, by_telephone, request_id, wrong_entries},
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
            entry: None,
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
    async fn a_refusal_that_was_told_is_the_hospitals_and_no_other_facility_sees_it() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.world.clock.advance(Duration::minutes(20));
        let said = NOW + Duration::minutes(10);
        let request = DeclineAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            reason: "満床".to_owned(),
            etag: String::new(),
            entry: Some(by_telephone(scene.hospital, said)),
        };
        let decline_it = || scene.world.ask(&scene.beds, &scene.nurse, request.clone(), decline);
        let declined = decline_it().await?;
        assert!(decline_it().await? == declined, "repeated");
        let refusal = &declined.refusals[0];
        assert_eq!(
            (&refusal.facility_id, refusal.refusal_time),
            (&scene.hospital.id.to_string(), Some(to_proto(said)))
        );
        let answer = &declined.answers[0];
        assert_eq!((answer.state(), &answer.entered_by_id), (AdmissionState::Requested, &scene.centre.id.to_string()));
        assert!(scene.world.audited("DeclineAdmission").await?.iter().all(|row| row.on_behalf_of.is_some()));

        let other = scene.world.body(Kind::Hospital, PREFECTURE).await?;
        let ward = other.staff(Role::Nurse);
        scene.declare(&ward, Capability::General, 1).await?;
        scene.offer(&admission, other).await?;
        let get = GetAdmissionRequest { admission_id: admission.admission_id.clone() };
        let seen = scene.world.ask(&scene.beds, &ward, get, admission::get).await?;
        assert!(seen.answers.is_empty() && seen.refusals.is_empty());
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
            entry: None,
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
        for (what, caller, entry, code, field) in wrong_entries(&scene).await? {
            let request = DeclineAdmissionRequest { entry, ..good() };
            let refused = scene.world.ask(&scene.beds, &caller, request, decline).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{what}");
        }
        scene.accept(&admission).await?;
        let late = scene.world.ask(&scene.beds, &scene.ward, good(), decline).await.refused();
        assert_eq!(late.code(), Code::FailedPrecondition, "it has accepted");
        Ok(())
    }
}
