//! `AcceptAdmission`: the facility takes the patient, and from here on sees who it is.

use chassis::{Call, Error};
use proto::beds::{AcceptAdmissionRequest, Admission};

use super::{store, taken, told};
use crate::{
    admission::{self, Who},
    service::Beds,
};

pub(crate) async fn accept(beds: Beds, call: Call<AcceptAdmissionRequest>) -> Result<Admission, Error> {
    let told = told(&beds, &call, call.request.entry.as_ref())?;
    admission::change(&beds, &call, &call.request.admission_id, Who::Facility(told), async |change| {
        change.held.must_go_on()?;
        change.held.admission.accept(change.held.at).map_err(Error::Precondition)?;
        if let Some(id) = change.held.admission.stay_id {
            store::keep(&mut change.tx, id).await.map_err(taken)?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{AcceptAdmissionRequest, Admission, AdmissionChanged, AdmissionState, Capability},
        identity::{OrganisationKind as Kind, Role},
        registry::{Channel, Entry, Relation},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::accept;
    use crate::fixture::{PREFECTURE, Scene, by_telephone, request_id, strangers, wrong_entries};

    fn told(admission: &Admission, entry: Option<Entry>) -> AcceptAdmissionRequest {
        AcceptAdmissionRequest {
            request_id: request_id(),
            admission_id: admission.admission_id.clone(),
            etag: String::new(),
            entry,
        }
    }

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
    async fn a_centre_enters_what_the_hospital_told_by_telephone_before_the_hold_ran_out() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let (said, entered) = (NOW + Duration::minutes(20), NOW + Duration::minutes(40));
        scene.world.clock.advance(Duration::minutes(40));
        let request = told(&admission, Some(by_telephone(scene.hospital, said)));
        let accepted = scene.world.ask(&scene.beds, &scene.nurse, request.clone(), accept).await?;
        assert_eq!(accepted.state(), AdmissionState::Accepted);

        // Both names, how and when: for the centre, and for the hospital in whose name it was entered.
        let get = || proto::beds::GetAdmissionRequest { admission_id: admission.admission_id.clone() };
        let seen = scene.world.ask(&scene.beds, &scene.ward, get(), crate::admission::get).await?;
        for answers in [&accepted.answers, &seen.answers] {
            let [answer] = answers.as_slice() else { anyhow::bail!("one answer") };
            assert_eq!(
                (&answer.facility_id, &answer.entered_by_id),
                (&scene.hospital.id.to_string(), &scene.centre.id.to_string())
            );
            assert_eq!((answer.state(), answer.channel()), (AdmissionState::Accepted, Channel::Telephone));
            assert_eq!((answer.told_time, answer.entry_time), (Some(to_proto(said)), Some(to_proto(entered))));
        }
        let event = scene.world.announced::<AdmissionChanged>().await?.pop().unwrap();
        assert_eq!((event.change_time, event.entry_time), (Some(to_proto(said)), Some(to_proto(entered))));
        assert_eq!((event.entered_by_id.clone(), event.channel()), (scene.centre.id.to_string(), Channel::Telephone));

        // Repeated, it is the same answer, audited again in both names.
        assert!(scene.world.ask(&scene.beds, &scene.nurse, request, accept).await? == accepted);
        let audited = scene.world.audited("AcceptAdmission").await?;
        assert_eq!(audited.len(), 2);
        for row in audited {
            assert_eq!(
                (row.user, row.on_behalf_of),
                (Some(scene.nurse.user_id.uuid()), Some(scene.hospital.id.uuid()))
            );
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_prefecture_that_spoke_with_the_hospital_first_enters_its_answer_after_the_offer() -> Outcome {
        let scene = Scene::new().await?;
        let prefecture = scene.world.body(Kind::Prefecture, PREFECTURE).await?;
        let coordinator = prefecture.staff(Role::Coordinator);
        scene.declare(&scene.ward, Capability::General, 1).await?;
        let related = [(scene.centre, Relation::ResponsibleCentre), (prefecture, Relation::Prefecture)];
        let admission = scene.request(scene.case_of(&related).await?, Capability::General).await?;
        scene.offer(&admission, scene.hospital).await?;
        let request = told(&admission, Some(by_telephone(scene.hospital, NOW - Duration::minutes(5))));
        let accepted = scene.world.ask(&scene.beds, &coordinator, request, accept).await?;
        assert_eq!(accepted.answers[0].entered_by_id, prefecture.id.to_string());
        assert_eq!(accepted.answers[0].told_time, Some(to_proto(NOW - Duration::minutes(5))));
        let event = scene.world.announced::<AdmissionChanged>().await?.pop().unwrap();
        assert_eq!(event.change_time, Some(to_proto(NOW)), "it counts from the offer on");
        Ok(())
    }

    #[tokio::test]
    async fn a_bed_that_somebody_got_meanwhile_is_not_accepted_as_of_earlier() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        scene.world.clock.advance(Duration::minutes(40));
        let other = scene.request(scene.case().await?, Capability::General).await?;
        scene.offer(&other, scene.hospital).await?;
        let request = told(&admission, Some(by_telephone(scene.hospital, NOW + Duration::minutes(20))));
        let refused = scene.world.ask(&scene.beds, &scene.nurse, request, accept).await.refused();
        assert_eq!(refused.code(), Code::FailedPrecondition);
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
                entry: None,
            };
            let refused = scene.world.ask(&scene.beds, caller, request, accept).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        for (what, caller, entry, code, field) in wrong_entries(&scene).await? {
            let refused = scene.world.ask(&scene.beds, &caller, told(&admission, entry), accept).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{what}");
        }
        for stranger in strangers(&scene).await? {
            let request = told(&admission, Some(by_telephone(scene.hospital, NOW)));
            let refused = scene.world.ask(&scene.beds, &stranger, request, accept).await.refused();
            assert_eq!(refused.code(), Code::NotFound, "who does not look for this person's bed enters nothing");
        }
        Ok(())
    }
}
