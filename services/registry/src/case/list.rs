//! `ListCases`: the cases that the caller's organisation, or one that entrusts it, has a relation to; newest first. The order does
//! not depend on what changes: what was there when a walk began comes once.

use std::collections::{BTreeSet, HashMap};

use access::{CaseId, Relations};
use chassis::{Call, Error, Seen, page};
use proto::registry::{ListCasesRequest, ListCasesResponse, Placement, Relation, Severity};
use runtime::{clock, problem::why};

use super::{
    grants::{self, Filter, State},
    model::Case,
    store,
    view::views,
};
use crate::service::Registry;

pub(crate) async fn list(registry: Registry, call: Call<ListCasesRequest>) -> Result<ListCasesResponse, Error> {
    let (request, caller, now) = (&call.request, &call.caller, call.now);
    if caller.is_citizen() {
        return Err(Error::Denied(why(
            "OWN_CASE_ONLY",
            "患者は一覧を表示できません。",
            "Patients see their own case only.",
        )));
    }
    let whose = registry.base.whose(caller, &request.for_organisation_id, now)?;
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let filter = filter(request, whose != caller.organisation_id)?;

    let mut tx = registry.base.pool.begin().await?;
    let rows = grants::list(&mut tx, whose, &filter, after, size).await?;
    let ids: Vec<CaseId> = rows.iter().map(|row| row.case_id).collect();
    let mut found: HashMap<CaseId, Case> =
        store::find_all(&mut tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();

    let (mut listed, mut seen) = (Vec::new(), BTreeSet::<Relation>::new());
    for row in &rows {
        let Some(case) = found.remove(&row.case_id) else { continue };
        let relations = row.relations_of(caller, whose, &case, &registry.base.directory, now);
        if !relations.is_empty() {
            seen.extend(relations.iter().copied());
            listed.push((case, relations));
        }
    }
    let shown: Vec<CaseId> = listed.iter().map(|(case, _)| case.id).collect();
    let cases = views(&registry.base.vault, &mut tx, listed).await?;
    call.record(&mut tx, &Seen::by(&Relations::new(seen.into_iter().collect(), caller), shown)).await?;
    tx.commit().await?;

    let next_page_token = page::next(&rows, size, |row| page::After::row(row.since, row.case_id).token());
    Ok(ListCasesResponse { cases, next_page_token })
}

/// What is asked for. Of what others entrust, only what is open: follow-up ends with the episode.
fn filter(request: &ListCasesRequest, is_entrusted: bool) -> Result<Filter, Error> {
    let (placement, severity): (Placement, Severity) = (data::code(request.placement), data::code(request.severity));
    let open_only =
        request.open_only || is_entrusted || placement != Placement::Unspecified || severity != Severity::Unspecified;
    let state = match (request.ended_only, open_only) {
        (true, true) => {
            return Err(Error::invalid(
                "ended_only",
                "終了した症例は、療養中の症例の条件や委託元と同時に指定できません",
                "must not be combined with open_only, placement, severity or for_organisation_id",
            ));
        }
        (true, false) => State::Ended,
        (false, true) => State::Open(placement, severity),
        (false, false) => State::Any,
    };
    let since = request.listed_since_time.as_ref().map(|since| {
        clock::from_proto(since)
            .ok_or_else(|| Error::invalid("listed_since_time", "日時が正しくありません", "must be a moment"))
    });
    Ok(Filter { relation: data::code(request.relation), state, since: since.transpose()? })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::{ContractScope, OrganisationKind as Kind, Role},
        registry::{
            ClinicalState, JudgeAdmissionRequest, ListCasesRequest, Outcome as Ended, Placement, RecordOutcomeRequest,
            RecordPlacementRequest, RecordSeverityRequest, Relation, Severity,
        },
    };
    use runtime::clock::to_proto;
    use testing::{Outcome, Refused as _, patient};
    use time::Duration;
    use tonic::Code;

    use super::list;
    use crate::{
        course,
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn the_organisation_finds_its_cases_newest_first_page_by_page_while_they_change() -> Outcome {
        let scene = Scene::new().await?;
        let mut cases = Vec::new();
        for _ in 0..3 {
            cases.insert(0, scene.case().await?.to_string());
            scene.world.clock.advance(Duration::seconds(1));
        }
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListCasesRequest { page_size: 2, page_token, ..ListCasesRequest::default() };
            let page = scene.ask(&scene.nurse, request, list).await?;
            listed.extend(page.cases.into_iter().map(|case| case.case_id));
            page_token = page.next_page_token;
            // Whatever happens to a case between two pages, and whatever is new.
            for case in &cases {
                let case_id = case.clone();
                let judged =
                    JudgeAdmissionRequest { request_id: request_id(), case_id, necessity: 1, ..Default::default() };
                scene.ask(&scene.nurse, judged, course::judge_admission).await?;
            }
            scene.case().await?;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, cases);
        assert_eq!(scene.world.audited("ListCases").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn a_list_is_narrowed_to_a_relation_and_to_what_is_open() -> Outcome {
        let scene = Scene::new().await?;
        let (open, ended) = (scene.case().await?, scene.case().await?);
        end(&scene, ended).await?;
        let ids = async |relation: Relation, open_only| -> anyhow::Result<Vec<String>> {
            let request = ListCasesRequest { relation: relation.into(), open_only, ..ListCasesRequest::default() };
            let cases = scene.ask(&scene.nurse, request, list).await?.cases;
            Ok(cases.into_iter().map(|case| case.case_id).collect())
        };
        assert_eq!(ids(Relation::ResponsibleCentre, false).await?.len(), 2);
        assert_eq!(ids(Relation::Unspecified, true).await?, [open.to_string()]);
        assert!(ids(Relation::FormerCentre, false).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_desk_narrows_the_list_to_what_it_works_on_and_pages_through_it() -> Outcome {
        let scene = Scene::new().await?;
        let mut cases = Vec::new();
        for _ in 0..4 {
            cases.push(scene.case().await?);
            scene.world.clock.advance(Duration::minutes(1));
        }
        let [home, ward, severe, ended] = cases.as_slice() else { panic!("four") };
        place(&scene, *home, Placement::Home, "2020-05-31").await?;
        for case in [*ward, *severe] {
            place(&scene, case, Placement::Hospital, "2020-05-31").await?;
        }
        for case in [*severe, *ended] {
            fall_ill(&scene, case, Severity::Severe).await?;
        }
        end(&scene, *ended).await?;
        let all = ListCasesRequest { page_size: 1, ..ListCasesRequest::default() };
        let hospital = ListCasesRequest { placement: Placement::Hospital.into(), ..all.clone() };
        let ill = ListCasesRequest { severity: Severity::Severe.into(), ..all.clone() };
        let second = scene.world.clock.now() - Duration::minutes(2);
        for (request, expected, what) in [
            (ListCasesRequest { ended_only: true, ..all.clone() }, vec![*ended], "what has an outcome"),
            (ListCasesRequest { open_only: true, ..all.clone() }, vec![*severe, *ward, *home], "what has none"),
            (hospital.clone(), vec![*severe, *ward], "where they lie"),
            (ill.clone(), vec![*severe], "how ill they are, of those who are open"),
            (ListCasesRequest { severity: Severity::Severe.into(), ..hospital }, vec![*severe], "both"),
            (ListCasesRequest { placement: Placement::Home.into(), ..ill }, vec![], "both, and nobody is"),
            (
                ListCasesRequest { listed_since_time: Some(to_proto(second)), ..all },
                vec![*ended, *severe],
                "since when",
            ),
        ] {
            assert_eq!(walk(&scene, request).await?, expected, "{what}");
        }
        // The list follows the case.
        place(&scene, *ward, Placement::Home, "2020-06-01").await?;
        let at_home = ListCasesRequest { placement: Placement::Home.into(), ..ListCasesRequest::default() };
        assert_eq!(walk(&scene, at_home).await?, [*ward, *home]);
        Ok(())
    }

    /// Every page of a list.
    async fn walk(scene: &Scene, mut request: ListCasesRequest) -> anyhow::Result<Vec<CaseId>> {
        let mut found = Vec::new();
        loop {
            let page = scene.ask(&scene.nurse, request.clone(), list).await?;
            for case in &page.cases {
                found.push(CaseId::parse(&case.case_id)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn place(scene: &Scene, case: CaseId, placement: Placement, since: &str) -> Outcome {
        let request = RecordPlacementRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            placement: placement.into(),
            since_date: since.to_owned(),
            ..RecordPlacementRequest::default()
        };
        scene.ask(&scene.nurse, request, course::record_placement).await?;
        Ok(())
    }

    async fn fall_ill(scene: &Scene, case: CaseId, severity: Severity) -> Outcome {
        let state = ClinicalState {
            observation_date: "2020-06-01".to_owned(),
            severity: severity.into(),
            ventilator: severity == Severity::Severe,
            ..ClinicalState::default()
        };
        let request = RecordSeverityRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            state: Some(state),
            ..RecordSeverityRequest::default()
        };
        scene.ask(&scene.nurse, request, course::record_severity).await?;
        Ok(())
    }

    async fn end(scene: &Scene, case: CaseId) -> Outcome {
        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            outcome: Ended::Released.into(),
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_contractor_works_on_the_list_of_whoever_entrusts_it() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let association = scene.world.body(Kind::MedicalAssociation, 27).await?;
        scene.world.entrust(scene.osaka, association, ContractScope::Followup).await?;
        let request = |whose: String| ListCasesRequest { for_organisation_id: whose, ..ListCasesRequest::default() };
        let nurse = association.staff(Role::Nurse);
        let cases = scene.ask(&nurse, request(scene.osaka.id.to_string()), list).await?.cases;
        assert_eq!(cases.iter().map(|case| case.case_id.clone()).collect::<Vec<_>>(), [case.to_string()]);
        assert!(cases[0].grants.is_empty() && cases[0].person.is_some(), "masked for a contractor");
        assert!(scene.ask(&nurse, request(String::new()), list).await?.cases.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let all = ListCasesRequest::default();
        let token = ListCasesRequest { page_token: "x".to_owned(), ..all.clone() };
        let others = ListCasesRequest { for_organisation_id: scene.tokyo.id.to_string(), ..all.clone() };
        let nobody = ListCasesRequest { for_organisation_id: "x".to_owned(), ..all.clone() };
        let both = ListCasesRequest { ended_only: true, open_only: true, ..all.clone() };
        let lies = ListCasesRequest { ended_only: true, placement: Placement::Home.into(), ..all.clone() };
        let code = ListCasesRequest { severity: 99, ..all.clone() };
        for (caller, refused, code, field) in [
            (&patient(case), all.clone(), Code::PermissionDenied, ""),
            (&scene.clinic.staff(Role::Administrator), all, Code::PermissionDenied, ""),
            (&scene.nurse, token, Code::InvalidArgument, "page_token"),
            (&scene.nurse, both, Code::InvalidArgument, "ended_only"),
            (&scene.nurse, lies, Code::InvalidArgument, "ended_only"),
            (&scene.nurse, code, Code::InvalidArgument, "severity"),
            (&scene.nurse, others, Code::NotFound, ""),
            (&scene.nurse, nobody, Code::NotFound, ""),
        ] {
            let status = scene.ask(caller, refused, list).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
