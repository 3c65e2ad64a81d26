//! `RequestAdmission`: a centre or prefecture asks for a bed for a case, also before the result of its test is known.

use access::{Caller, CaseId, OrganisationId, cases};
use chassis::{Call, Error, Seen};
use data::outbox;
use proto::{
    beds::{Admission as View, RequestAdmissionRequest},
    registry::{CaseChanged, Outcome},
};
use runtime::problem::why;

use crate::{
    admission::{self, Admission, As, Locked, must_coordinate},
    case,
    service::Beds,
};

pub(crate) async fn request(beds: Beds, call: Call<RequestAdmissionRequest>) -> Result<View, Error> {
    let (caller, now) = (&call.caller, call.now);
    let case_id = CaseId::parse(&call.request.case_id)?;
    let case = case::find(&beds, caller, case_id, now).await?;
    let relations = cases::relations(&case, caller, &beds.base.directory, now);
    must_coordinate(&relations)?;
    if case.outcome != i32::from(Outcome::Unspecified) {
        return Err(Error::Precondition(why(
            "EPISODE_ENDED",
            "既に転帰が登録されています。",
            "The episode has ended.",
        )));
    }

    let seen = Seen::by(&relations, [case_id]);
    let again = async |_: &mut sqlx::PgConnection, _: &View| Ok(seen.clone());
    call.create(&beds.base, again, async |conn| {
        cases::take(conn, std::slice::from_ref(&case)).await?;
        let prefecture = prefecture_of(&beds, &case, caller);
        let capability = data::code(call.request.capability);
        let admission = Admission::requested(case_id, capability, prefecture, caller.organisation_id, now);
        if !admission::insert(conn, &admission).await? {
            return Err(Error::Precondition(why(
                "ALREADY_SOUGHT",
                "この方の入院・入所は既に調整中です。",
                "An admission request of this person is already open.",
            )));
        }
        outbox::add(conn, &admission::changed(&admission, now)).await?;

        let locked = Locked { admission, case: case.clone(), seen: As::Related(relations.clone()), at: now };
        Ok((admission::view_of(&beds, conn, &locked, now).await?, seen.clone()))
    })
    .await
}

/// Whose coordinators look for the bed: where the person is.
fn prefecture_of(beds: &Beds, case: &CaseChanged, caller: &Caller) -> u8 {
    let centre = OrganisationId::parse(&case.responsible_centre_id).ok().and_then(|id| beds.base.directory.get(id));
    centre
        .map(|centre| centre.prefecture)
        .or_else(|| u8::try_from(case.prefecture).ok())
        .filter(|prefecture| *prefecture != 0)
        .unwrap_or(caller.prefecture)
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{AdmissionChanged, AdmissionState, Capability, RequestAdmissionRequest},
        identity::{OrganisationKind as Kind, Role},
        registry::{CaseChanged, Outcome as Ended, Relation},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;
    use uuid::Uuid;

    use super::request;
    use crate::{
        coordination,
        fixture::{PREFECTURE, Scene, request_id},
    };

    #[tokio::test]
    async fn a_bed_is_asked_for_once_and_a_repeated_request_is_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let asked = RequestAdmissionRequest {
            request_id: request_id(),
            case_id: scene.case().await?.to_string(),
            capability: Capability::Icu.into(),
        };
        let ask = || scene.world.ask(&scene.beds, &scene.nurse, asked.clone(), request);
        let (first, again) = (ask().await?, ask().await?);
        assert!(first == again && first.state == i32::from(AdmissionState::Requested));
        assert_eq!(scene.world.announced::<AdmissionChanged>().await?.len(), 1);
        assert_eq!(scene.world.audited("RequestAdmission").await?.len(), 2);

        let another = RequestAdmissionRequest { capability: Capability::General.into(), ..asked.clone() };
        let reused = scene.world.ask(&scene.beds, &scene.nurse, another, request).await.refused();
        assert_eq!(reused.code(), Code::AlreadyExists);
        // The id is the nurse's own: from a colleague it is another request.
        let colleague = scene.centre.staff(Role::Nurse);
        let other = scene.world.ask(&scene.beds, &colleague, asked.clone(), request).await.refused();
        assert_eq!(other.code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let clinic = scene.world.body(Kind::Clinic, PREFECTURE).await?;
        let neighbour = scene.world.body(Kind::HealthCentre, PREFECTURE).await?;
        let reported = scene.case_of(&[(clinic, Relation::Reporter), (neighbour, Relation::FormerCentre)]).await?;
        let open = scene.case().await?;
        scene.request(open, Capability::General).await?;
        let ended = scene.case().await?;
        let event = CaseChanged {
            case_id: ended.to_string(),
            version: 2,
            outcome: Ended::Released.into(),
            grants: vec![proto::registry::Grant {
                organisation_id: scene.centre.id.to_string(),
                relation: Relation::ResponsibleCentre.into(),
                ..Default::default()
            }],
            ..CaseChanged::default()
        };
        scene.world.hear(&coordination::Hears { clock: scene.world.clock.clone() }, &event).await?;

        let (physician, former) = (clinic.staff(Role::Physician), neighbour.staff(Role::Nurse));
        for (what, caller, case_id, code) in [
            ("the role does not coordinate", &physician, reported.to_string(), Code::PermissionDenied),
            ("the relation does not coordinate", &former, reported.to_string(), Code::PermissionDenied),
            ("there is no such case", &scene.nurse, Uuid::now_v7().to_string(), Code::NotFound),
            ("a request is open", &scene.nurse, open.to_string(), Code::FailedPrecondition),
            ("the episode has ended", &scene.nurse, ended.to_string(), Code::FailedPrecondition),
        ] {
            let asked =
                RequestAdmissionRequest { request_id: request_id(), case_id, capability: Capability::General.into() };
            let refused = scene.world.ask(&scene.beds, caller, asked, request).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
