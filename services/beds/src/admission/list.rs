//! `ListAdmissions`: the admissions that concern the caller's organisation, newest change first.

use std::collections::BTreeSet;

use access::{CaseId, Relations, cases};
use chassis::{Call, Error, Seen, page};
use proto::{
    beds::{ListAdmissionsRequest, ListAdmissionsResponse},
    identity::OrganisationKind as Kind,
    registry::Relation,
};

use super::{
    answer,
    get::seen,
    model::AdmissionId,
    store::{self, Whose},
    view,
};
use crate::service::Beds;

pub(crate) async fn list(beds: Beds, call: Call<ListAdmissionsRequest>) -> Result<ListAdmissionsResponse, Error> {
    let (request, caller, now) = (&call.request, &call.caller, call.now);
    let whose = match caller.kind {
        Kind::Hospital | Kind::LodgingFacility => Whose::Facility(caller.organisation_id),
        Kind::Prefecture => Whose::Prefecture(caller.prefecture),
        _ => Whose::Requester(caller.organisation_id),
    };
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = beds.base.pool.begin().await?;
    let rows = store::list(&mut tx, whose, data::code(request.state), now, after, size).await?;
    let ids: Vec<AdmissionId> = rows.iter().map(|row| row.id).collect();
    let case_ids: BTreeSet<CaseId> = rows.iter().map(|row| row.case_id).collect();
    let known = cases::find(&mut tx, &case_ids.iter().copied().collect::<Vec<_>>()).await?;
    let answers = answer::of(&mut tx, &ids).await?;

    let (mut admissions, mut shown) = (Vec::new(), BTreeSet::<Relation>::new());
    for row in &rows {
        let case = known.get(&row.case_id);
        let Some(seen) = seen(&beds, caller, row, case, now) else { continue };
        shown.extend(seen.relations(row.capability).iter().copied());
        admissions.push(view::shown(&beds.base.vault, row, case, &answers, &seen, now)?);
    }
    let relations = Relations::new(shown.into_iter().collect(), caller);
    call.record(&mut tx, &Seen::by(&relations, case_ids)).await?;
    tx.commit().await?;

    let token = |row: &super::Admission| page::After::row(row.updated_at, row.id).token();
    Ok(ListAdmissionsResponse { admissions, next_page_token: page::next(&rows, size, token) })
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{AdmissionState, Capability, ListAdmissionsRequest},
        identity::{OrganisationKind as Kind, Role},
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::list;
    use crate::fixture::{PREFECTURE, Scene};

    #[tokio::test]
    async fn each_sees_the_own_admissions_newest_change_first_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        let prefecture = scene.world.body(Kind::Prefecture, PREFECTURE).await?;
        let coordinator = prefecture.staff(Role::Coordinator);
        let related = [(scene.centre, Relation::ResponsibleCentre), (prefecture, Relation::Prefecture)];
        scene.declare(&scene.ward, Capability::General, 2).await?;
        let mut ids = Vec::new();
        for _ in 0..3 {
            scene.world.clock.advance(Duration::minutes(1));
            let case = scene.case_of(&related).await?;
            ids.push(scene.request(case, Capability::General).await?);
        }
        scene.world.clock.advance(Duration::minutes(1));
        scene.offer(&ids[0], scene.hospital).await?;

        let page = |page_token| ListAdmissionsRequest { page_size: 2, page_token, ..ListAdmissionsRequest::default() };
        for caller in [&scene.nurse, &coordinator] {
            let first = scene.world.ask(&scene.beds, caller, page(String::new()), list).await?;
            let second = scene.world.ask(&scene.beds, caller, page(first.next_page_token), list).await?;
            let seen: Vec<_> = first.admissions.iter().chain(&second.admissions).map(|a| &a.admission_id).collect();
            assert_eq!(seen, [&ids[0].admission_id, &ids[2].admission_id, &ids[1].admission_id]);
            assert!(second.next_page_token.is_empty());
        }
        let all = ListAdmissionsRequest::default();
        let ward = scene.world.ask(&scene.beds, &scene.ward, all.clone(), list).await?;
        assert_eq!(ward.admissions.len(), 1, "what was offered to it");
        let waiting = ListAdmissionsRequest { state: AdmissionState::Requested.into(), ..all.clone() };
        assert_eq!(scene.world.ask(&scene.beds, &scene.nurse, waiting.clone(), list).await?.admissions.len(), 2);
        scene.world.clock.advance(Duration::hours(1));
        assert_eq!(scene.world.ask(&scene.beds, &scene.nurse, waiting, list).await?.admissions.len(), 3, "ran out");
        assert!(scene.world.ask(&scene.beds, &scene.ward, all, list).await?.admissions.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let clinic = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        let token = ListAdmissionsRequest { page_token: "x".to_owned(), ..ListAdmissionsRequest::default() };
        for (caller, request, code) in [
            (&clinic, ListAdmissionsRequest::default(), Code::PermissionDenied),
            (&scene.nurse, token, Code::InvalidArgument),
        ] {
            assert_eq!(scene.world.ask(&scene.beds, caller, request, list).await.refused().code(), code);
        }
        Ok(())
    }
}
