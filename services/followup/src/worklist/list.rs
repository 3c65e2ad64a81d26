//! `ListWorklist`: what the caller's organisation has to do, or one that entrusts it with follow-up (委託).

mod store;

pub(super) use store::{listed, since};

use access::{CaseId, UserId};
use chassis::{Call, Error, page};
use proto::followup::{ListWorklistRequest, ListWorklistResponse, TaskAssignment, TaskKind};
use store::Filter;

use super::{model::After, view};
use crate::service::Followup;

pub(crate) async fn list(followup: Followup, call: Call<ListWorklistRequest>) -> Result<ListWorklistResponse, Error> {
    let request = &call.request;
    let mut filter = filter(request, call.caller.user_id)?;
    let after = After::parse(&request.page_token, filter.kind).ok_or_else(Error::page_token)?;
    let size = page::size(request.page_size);
    let whose = followup.base.whose(&call.caller, &request.for_organisation_id, call.now)?;
    // Entrusted is the follow-up of persons. What else is told to whoever entrusts it is not the contractor's to read.
    filter.only_shared = whose != call.caller.organisation_id;

    let mut conn = followup.base.pool.acquire().await?;
    let tasks = store::page(&mut conn, whose, filter, after, size).await?;
    // Nobody keeps a connection while asking for names.
    drop(conn);

    Ok(ListWorklistResponse {
        tasks: view::shown(&followup, &call, &tasks).await?,
        next_page_token: page::next(&tasks, size, After::token),
    })
}

fn filter(request: &ListWorklistRequest, caller: UserId) -> Result<Filter, Error> {
    Ok(Filter {
        kind: Some(data::code(request.kind)).filter(|kind| *kind != TaskKind::Unspecified),
        assigned_to: match data::code(request.assignment) {
            TaskAssignment::Unspecified => None,
            TaskAssignment::Mine => Some(caller),
            TaskAssignment::Unassigned => Some(UserId::NIL),
        },
        case_id: CaseId::optional(&request.case_id)?,
        only_shared: false,
    })
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        followup::{
            AcknowledgeAlertRequest, HealthReport, ListWorklistRequest, ListWorklistResponse, Task, TaskAssignment,
            TaskKind,
        },
        identity::{ContractScope, OrganisationKind as Kind, Role},
        registry::{CaseChanged, Outcome as Ended, Relation},
    };
    use testing::Outcome;
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        alert,
        fixture::{PREFECTURE, Scene, assert_refused, filed, grant, reporting, request_id, well},
        plan, worklist,
    };

    async fn page(scene: &Scene, size: i32, token: &str) -> Result<ListWorklistResponse, Status> {
        let request =
            ListWorklistRequest { page_size: size, page_token: token.to_owned(), ..ListWorklistRequest::default() };
        scene.world.ask(&scene.followup, &scene.nurse, request, worklist::list).await
    }

    #[tokio::test]
    async fn the_most_urgent_comes_first_then_who_waits_longest_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        // Two are overdue, one a day longer than the other; then a caution, two alarms and an opening.
        let silent = scene.case().await?;
        scene.miss().await?;
        let silent_too = scene.case().await?;
        scene.world.clock.advance(Duration::days(1));
        plan::pass(&scene.followup).await?;
        let (ill, worse) = (scene.case().await?, scene.case().await?);
        let caution = HealthReport { spo2_percent: Some(95), ..well() };
        scene.submit(&scene.nurse, reporting(ill, caution)).await?;
        scene.alarm(worse).await?;
        scene.world.clock.advance(Duration::minutes(1));
        scene.alarm(ill).await?;
        scene.open_in_emergency(ill).await?;

        let (mut found, mut token): (Vec<Task>, _) = (Vec::new(), String::new());
        loop {
            let answer = page(&scene, 2, &token).await?;
            found.extend(answer.tasks);
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let found: Vec<_> = found.iter().map(|task| (task.kind, task.case_id.as_str())).collect();
        let (ill, worse) = (ill.to_string(), worse.to_string());
        let wanted = [
            (TaskKind::EmergencyAccess.into(), ill.as_str()),
            (TaskKind::Alert.into(), &worse),
            (TaskKind::Alert.into(), &ill),
            (TaskKind::Caution.into(), &ill),
            (TaskKind::MissedReport.into(), &silent.to_string()),
            (TaskKind::MissedReport.into(), &silent_too.to_string()),
        ];
        assert_eq!(found, wanted);
        let audited = scene.world.audited("ListWorklist").await?;
        assert!(audited.len() >= 5 && audited.iter().all(|row| row.user == Some(scene.nurse.user_id.uuid())));
        Ok(())
    }

    #[tokio::test]
    async fn a_kind_or_a_case_is_listed_alone_page_by_page() -> Outcome {
        let scene = Scene::new().await?;
        let (one, other) = (scene.case().await?, scene.case().await?);
        scene.miss().await?;
        let ill = scene.alarm(one).await?.alert_id;
        let worse = scene.alarm(one).await?.alert_id;
        let all = async |request: ListWorklistRequest| -> Result<Vec<(TaskKind, String)>, Status> {
            let (mut found, mut token) = (Vec::new(), String::new());
            loop {
                let request = ListWorklistRequest { page_size: 1, page_token: token, ..request.clone() };
                let page = scene.world.ask(&scene.followup, &scene.nurse, request, worklist::list).await?;
                found.extend(page.tasks.iter().map(|task| (task.kind(), task.case_id.clone())));
                token = page.next_page_token;
                if token.is_empty() {
                    return Ok(found);
                }
            }
        };
        let of_kind = |kind: TaskKind| ListWorklistRequest { kind: kind.into(), ..ListWorklistRequest::default() };
        let alert = (TaskKind::Alert, one.to_string());
        assert_eq!(all(of_kind(TaskKind::Alert)).await?, [alert.clone(), alert.clone()]);
        // A report settles that none came before.
        let missed = (TaskKind::MissedReport, other.to_string());
        assert_eq!(all(of_kind(TaskKind::MissedReport)).await?, std::slice::from_ref(&missed));
        assert!(all(of_kind(TaskKind::Caution)).await?.is_empty());

        let of_case =
            |case: CaseId| ListWorklistRequest { case_id: case.to_string(), ..ListWorklistRequest::default() };
        assert_eq!(all(of_case(other)).await?, [missed]);
        assert_eq!(all(of_case(one)).await?, [alert.clone(), alert]);

        let take = AcknowledgeAlertRequest { request_id: request_id(), alert_id: worse, ..Default::default() };
        scene.world.ask(&scene.followup, &scene.nurse, take, alert::acknowledge).await?;
        let free = ListWorklistRequest { assignment: TaskAssignment::Unassigned.into(), ..of_kind(TaskKind::Alert) };
        let free = scene.world.ask(&scene.followup, &scene.nurse, free, worklist::list).await?.tasks;
        assert_eq!(free.iter().map(|task| &task.task_id).collect::<Vec<_>>(), [&ill]);
        let mine = ListWorklistRequest { assignment: TaskAssignment::Mine.into(), ..of_case(one) };
        assert_eq!(all(mine).await?, [(TaskKind::Alert, one.to_string())]);
        Ok(())
    }

    #[tokio::test]
    async fn a_contractor_works_on_the_list_of_those_who_entrust_it() -> Outcome {
        let scene = Scene::new().await?;
        let association = scene.world.body(Kind::MedicalAssociation, PREFECTURE).await?;
        scene.world.entrust(scene.centre, association, ContractScope::Followup).await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let contractor = association.staff(Role::Nurse);
        let whose = |organisation: String| ListWorklistRequest {
            for_organisation_id: organisation,
            ..ListWorklistRequest::default()
        };
        let ask = |request| scene.world.ask(&scene.followup, &contractor, request, worklist::list);
        let tasks = ask(whose(scene.centre.id.to_string())).await?.tasks;
        assert_eq!(tasks.iter().map(|task| &task.case_id).collect::<Vec<_>>(), [&case.to_string()]);
        assert_eq!(tasks[0].kind, i32::from(TaskKind::Alert), "the contract shows the follow-up");
        assert!(ask(whose(String::new())).await?.tasks.is_empty(), "the own list is another");
        assert_refused(ask(whose(scene.other_centre.id.to_string())).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn a_contractor_is_not_told_what_is_told_to_those_who_entrust_it() -> Outcome {
        let scene = Scene::new().await?;
        let association = scene.world.body(Kind::MedicalAssociation, PREFECTURE).await?;
        scene.world.entrust(scene.centre, association, ContractScope::Followup).await?;
        let contractor = association.staff(Role::Nurse);
        let offered = CaseChanged {
            grants: vec![
                grant(scene.other_centre, Relation::ResponsibleCentre),
                grant(scene.centre, Relation::IncomingCentre),
            ],
            ..scene.known()
        };
        scene.hear(&offered).await?;
        for _ in 0..3 {
            scene.hear_of_filing(&filed(&scene, &["7"])).await?;
        }
        let case = scene.case().await?;
        let alert = scene.alarm(case).await?.alert_id;
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 5);

        let entrusted =
            ListWorklistRequest { for_organisation_id: scene.centre.id.to_string(), ..ListWorklistRequest::default() };
        let nobodys = ListWorklistRequest { assignment: TaskAssignment::Unassigned.into(), ..entrusted.clone() };
        let of_case = ListWorklistRequest { case_id: case.to_string(), ..entrusted.clone() };
        for request in [entrusted.clone(), nobodys, of_case] {
            let request = ListWorklistRequest { page_size: 1, ..request };
            let page = scene.world.ask(&scene.followup, &contractor, request.clone(), worklist::list).await?;
            assert_eq!(page.tasks.iter().map(|task| &task.task_id).collect::<Vec<_>>(), [&alert]);
            let next = ListWorklistRequest { page_token: page.next_page_token, ..request };
            let page = scene.world.ask(&scene.followup, &contractor, next, worklist::list).await?;
            assert!(page.tasks.iter().all(|task| task.task_id == alert), "no notice comes after it");
        }
        let of_offer = ListWorklistRequest { case_id: offered.case_id, ..entrusted.clone() };
        let missing = ListWorklistRequest { kind: TaskKind::ItemsMissing.into(), ..entrusted };
        for request in [of_offer, missing] {
            assert!(scene.world.ask(&scene.followup, &contractor, request, worklist::list).await?.tasks.is_empty());
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_task_about_a_person_who_is_no_more_the_contractors_is_left_out() -> Outcome {
        let scene = Scene::new().await?;
        let association = scene.world.body(Kind::MedicalAssociation, PREFECTURE).await?;
        scene.world.entrust(scene.centre, association, ContractScope::Followup).await?;
        let contractor = association.staff(Role::Nurse);
        let (over, going_on) = (scene.known(), scene.case().await?);
        let case = scene.hear(&over).await?;
        let (opening, other) = (scene.open_in_emergency(case).await?, scene.open_in_emergency(going_on).await?);
        // The opening stays on the centre's list; the contract ends with the episode.
        scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..over }).await?;
        let listed = async |who: &Caller| {
            let request = ListWorklistRequest {
                for_organisation_id: scene.centre.id.to_string(),
                page_size: 1,
                ..ListWorklistRequest::default()
            };
            let (mut found, mut token) = (Vec::new(), String::new());
            loop {
                let request = ListWorklistRequest { page_token: token, ..request.clone() };
                let page = scene.world.ask(&scene.followup, who, request, worklist::list).await?;
                found.extend(page.tasks.into_iter().map(|task| task.task_id));
                token = page.next_page_token;
                if token.is_empty() {
                    return Ok::<Vec<String>, Status>(found);
                }
            }
        };
        let centres = listed(&scene.nurse).await?;
        assert!(centres.len() == 2 && centres.contains(&opening));
        assert_eq!(listed(&contractor).await?, [other], "a page may be short, and the next one goes on");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let asking = |token: &str, organisation: &str| ListWorklistRequest {
            page_token: token.to_owned(),
            for_organisation_id: organisation.to_owned(),
            ..ListWorklistRequest::default()
        };
        let centre = scene.centre.id.to_string();
        scene.case().await?;
        scene.miss().await?;
        let token = page(&scene, 1, "").await?.next_page_token;
        for (who, request, code, field) in [
            (&scene.clinic.staff(Role::Analyst), asking("", ""), Code::PermissionDenied, ""),
            (&scene.centre.staff(Role::Administrator), asking("", ""), Code::PermissionDenied, ""),
            (&scene.nurse, asking("x", ""), Code::InvalidArgument, "page_token"),
            (&scene.nurse, asking("", "x"), Code::NotFound, ""),
            (&scene.stranger, asking("", &centre), Code::NotFound, ""),
            (&scene.nurse, ListWorklistRequest { kind: 7, ..asking("", "") }, Code::InvalidArgument, "kind"),
            (
                &scene.nurse,
                ListWorklistRequest { assignment: 7, ..asking("", "") },
                Code::InvalidArgument,
                "assignment",
            ),
            (&scene.nurse, ListWorklistRequest { case_id: "x".to_owned(), ..asking("", "") }, Code::NotFound, ""),
            // The token of another list.
            (
                &scene.nurse,
                ListWorklistRequest { kind: TaskKind::Alert.into(), ..asking(&token, "") },
                Code::InvalidArgument,
                "page_token",
            ),
        ] {
            assert_refused(scene.world.ask(&scene.followup, who, request, worklist::list).await, code, field);
        }
        Ok(())
    }
}
