//! `RecordLeave`: the patient left (退院・退所), and where to.

use chassis::{Call, Error};
use proto::beds::{Admission, RecordLeaveRequest};

use super::{store, told};
use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn leave(beds: Beds, call: Call<RecordLeaveRequest>) -> Result<Admission, Error> {
    let told = told(&beds, &call, call.request.entry.as_ref())?;
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility(told), async |change| {
        let destination = data::code(call.request.destination);
        let at = change.held.at;
        change.held.admission.leave(destination, at).map_err(Error::Precondition)?;
        if let Some(id) = change.held.admission.stay_id {
            store::end(&mut change.tx, id, at).await?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::beds::{AdmissionState, Capability, Destination, RecordLeaveRequest};
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::leave;
    use crate::fixture::{Scene, by_telephone, request_id, wrong_entries};

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
            entry: None,
        };
        let left = scene.world.ask(&scene.beds, &scene.ward, request, leave).await?;
        assert_eq!((left.state, left.destination), (AdmissionState::Left.into(), Destination::Home.into()));
        assert!(left.facts.is_none());
        let next = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&next, scene.hospital).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_leave_that_was_told_counts_from_then_and_never_before_the_arrival() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.accept(&admission).await?;
        scene.world.clock.advance(Duration::hours(1));
        scene.arrive(&admission).await?;
        scene.world.clock.advance(Duration::hours(5));
        let request = |said| RecordLeaveRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            destination: Destination::Discharged.into(),
            etag: String::new(),
            entry: Some(by_telephone(scene.hospital, said)),
        };
        let early = scene.world.ask(&scene.beds, &scene.nurse, request(NOW), leave).await.refused();
        assert!(early.code() == Code::InvalidArgument && early.message().starts_with("entry.told_time"));
        let said = NOW + Duration::hours(4);
        let left = scene.world.ask(&scene.beds, &scene.nurse, request(said), leave).await?;
        assert_eq!((left.state(), left.leave_time), (AdmissionState::Left, Some(to_proto(said))));
        let last = left.answers.last().unwrap();
        assert_eq!((&last.entered_by_id, last.told_time), (&scene.centre.id.to_string(), Some(to_proto(said))));
        assert_eq!(scene.world.audited("RecordLeave").await?[0].on_behalf_of, Some(scene.hospital.id.uuid()));
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
            entry: None,
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
        for (what, caller, entry, code, field) in wrong_entries(&scene).await? {
            let request = RecordLeaveRequest { entry, ..good() };
            let refused = scene.world.ask(&scene.beds, &caller, request, leave).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{what}");
        }
        Ok(())
    }
}
