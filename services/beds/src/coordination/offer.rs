//! `OfferBed`: a bed of a facility is held for a while, and the facility is asked.

use chassis::{Call, Error};
use proto::beds::{Admission, OfferBedRequest};
use runtime::{clock::day_in_japan, problem::why};

use crate::{
    admission::{self, Hold, Who, held_until},
    capacity,
    service::Beds,
    stay,
};

pub(crate) async fn offer(beds: Beds, call: Call<OfferBedRequest>) -> Result<Admission, Error> {
    let request = &call.request;
    admission::change(&beds, &call, &request.admission_id, Who::Coordinator, async |change| {
        let (id, capability, now) = (change.held.admission.id, change.held.admission.capability, change.now);
        change.held.must_go_on()?;
        let facility = beds
            .base
            .directory
            .addressee(&request.facility_id, |kind| capacity::has(kind, capability), day_in_japan(now))
            .map(|entry| entry.id)
            .ok_or_else(no_such_beds)?;

        // The state first: an admission that is not waiting must not take a bed from one that is.
        change.held.admission.may_be_offered(now).map_err(Error::Precondition)?;
        let until = held_until(request.hold_minutes, now);
        let Some((stay_id, bed_number)) =
            stay::hold(&mut change.tx, id, facility, capability, (now, until)).await.map_err(stay::taken)?
        else {
            return Err(Error::Precondition(why(
                "NO_BED_FREE",
                "空いている病床・居室がありません。",
                "No bed of this kind is free there.",
            )));
        };
        let hold = Hold { stay_id, bed_number, until };
        change.held.admission.offer(facility, hold, now).map_err(Error::Precondition)
    })
    .await
}

fn no_such_beds() -> Error {
    Error::invalid(
        "facility_id",
        "該当する病床・居室のある、利用中の機関ではありません",
        "must be a facility with beds of this kind that is open",
    )
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionState, Capability, OfferBedRequest};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;
    use uuid::Uuid;

    use super::offer;
    use crate::fixture::{Scene, request_id};

    #[tokio::test]
    async fn a_bed_is_held_for_one_and_free_again_when_the_hold_runs_out() -> Outcome {
        let scene = Scene::new().await?;
        let held = scene.offered().await?;
        assert_eq!((held.state, held.bed_number), (AdmissionState::Offered.into(), 1));
        let other = scene.request(scene.case().await?, Capability::General).await?;
        assert_eq!(scene.offer(&other, scene.hospital).await.refused().code(), Code::FailedPrecondition);

        scene.world.clock.advance(Duration::minutes(31));
        let now_held = scene.offer(&other, scene.hospital).await?;
        assert_eq!(now_held.bed_number, 1);
        assert_eq!(scene.accept(&held).await.refused().code(), Code::FailedPrecondition, "its hold has run out");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        scene.declare(&scene.ward, Capability::General, 1).await?;
        let waiting = scene.request(scene.case().await?, Capability::General).await?;
        let offered = scene.request(scene.case().await?, Capability::Icu).await?;
        scene.declare(&scene.ward, Capability::Icu, 1).await?;
        scene.offer(&offered, scene.hospital).await?;
        let good = || OfferBedRequest {
            request_id: request_id(),
            admission_id: waiting.admission_id.clone(),
            facility_id: scene.hospital.id.to_string(),
            etag: waiting.etag.clone(),
            ..OfferBedRequest::default()
        };
        let nowhere = OfferBedRequest { admission_id: Uuid::now_v7().to_string(), ..good() };
        let lodging = OfferBedRequest { facility_id: scene.lodging.id.to_string(), ..good() };
        let twice = OfferBedRequest { admission_id: offered.admission_id.clone(), etag: String::new(), ..good() };
        let stale = OfferBedRequest { etag: "9".to_owned(), ..good() };
        for (what, caller, request, code) in [
            ("the ward does not coordinate", &scene.ward, good(), Code::PermissionDenied),
            ("there is no such admission", &scene.nurse, nowhere, Code::NotFound),
            ("lodging has no hospital beds", &scene.nurse, lodging, Code::InvalidArgument),
            ("a bed is held already", &scene.nurse, twice, Code::FailedPrecondition),
            ("somebody changed it first", &scene.nurse, stale, Code::Aborted),
        ] {
            let refused = scene.world.ask(&scene.beds, caller, request, offer).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        scene.world.ask(&scene.beds, &scene.nurse, good(), offer).await?;
        Ok(())
    }
}
