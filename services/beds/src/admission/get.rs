//! `GetAdmission`: an admission as the caller may see it.

use access::{Caller, cases};
use chassis::{Call, Error, Seen};
use proto::{
    beds::{Admission as View, GetAdmissionRequest},
    registry::CaseChanged,
};
use time::OffsetDateTime;

use super::{
    As, answer,
    model::{Admission, AdmissionId},
    store, view,
};
use crate::{case, service::Beds};

pub(crate) async fn get(beds: Beds, call: Call<GetAdmissionRequest>) -> Result<View, Error> {
    let id = AdmissionId::parse(&call.request.admission_id)?;
    let mut conn = beds.base.pool.acquire().await?;
    let admission = store::find(&mut conn, id).await?.ok_or(Error::NotFound("admission"))?;
    drop(conn);
    let case = Some(case::find(&beds, &call.caller, admission.case_id, call.now).await?);
    let seen = seen(&beds, &call.caller, &admission, case.as_ref(), call.now).ok_or(Error::NotFound("admission"))?;

    let mut tx = beds.base.pool.begin().await?;
    let answers = answer::of(&mut tx, &[id]).await?;
    call.record(&mut tx, &Seen::by(&seen.relations(admission.capability), [admission.case_id])).await?;
    tx.commit().await?;
    view::shown(&beds.base.vault, &admission, case.as_ref(), &answers, &seen, call.now)
}

/// How the caller stands to an admission. Without a relation it does not exist for the caller.
pub(super) fn seen(
    beds: &Beds,
    caller: &Caller,
    admission: &Admission,
    case: Option<&CaseChanged>,
    now: OffsetDateTime,
) -> Option<As> {
    if admission.facility_at(now) == Some(caller.organisation_id) {
        return Some(As::Facility(caller.organisation_id, caller.hidden));
    }
    let relations = case.map(|case| cases::relations(case, caller, &beds.base.directory, now)).unwrap_or_default();
    // A facility whose offer ran out keeps no sight by a relation it does not have.
    (!relations.is_empty()).then_some(As::Related(relations))
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::GetAdmissionRequest,
        identity::{OrganisationKind as Kind, Role},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;
    use uuid::Uuid;

    use super::get;
    use crate::fixture::{PREFECTURE, Scene};

    #[tokio::test]
    async fn the_facility_that_was_asked_sees_coded_facts_while_the_offer_stands() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let request = || GetAdmissionRequest { admission_id: admission.admission_id.clone() };
        let seen = scene.world.ask(&scene.beds, &scene.ward, request(), get).await?;
        assert!(seen.facts.is_some_and(|facts| facts.severity != 0));
        let narrowed = scene.hospital.narrowed(Role::Nurse, [Group::Clinical]);
        let seen = scene.world.ask(&scene.beds, &narrowed, request(), get).await?;
        assert!(seen.facts.is_none_or(|facts| facts.severity == 0), "its ID does not see clinical facts");
        assert_eq!(scene.world.audited("GetAdmission").await?.len(), 2);

        scene.world.clock.advance(Duration::hours(1));
        let over = scene.world.ask(&scene.beds, &scene.ward, request(), get).await.refused();
        assert_eq!(over.code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admission = scene.offered().await?;
        let stranger = scene.world.body(Kind::HealthCentre, PREFECTURE).await?.staff(Role::Nurse);
        let clinic = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        let nowhere = Uuid::now_v7().to_string();
        for (what, caller, id, code) in [
            ("the role reads no beds", &clinic, &admission.admission_id, Code::PermissionDenied),
            ("there is no relation", &stranger, &admission.admission_id, Code::NotFound),
            ("there is no such admission", &scene.nurse, &nowhere, Code::NotFound),
        ] {
            let request = GetAdmissionRequest { admission_id: id.clone() };
            let refused = scene.world.ask(&scene.beds, caller, request, get).await.refused();
            assert_eq!(refused.code(), code, "{what}");
        }
        Ok(())
    }
}
