//! `ListWorklist`: what the caller's organisation has to do, or one that entrusts it with follow-up (委託).

use chassis::{Call, Error, page};
use proto::followup::{ListWorklistRequest, ListWorklistResponse};

use super::{model::After, store, view};
use crate::service::Followup;

pub(crate) async fn list(followup: Followup, call: Call<ListWorklistRequest>) -> Result<ListWorklistResponse, Error> {
    let request = &call.request;
    let after = After::parse(&request.page_token).ok_or_else(Error::page_token)?;
    let size = page::size(request.page_size);
    let whose = followup.base.whose(&call.caller, &request.for_organisation_id, call.now)?;

    let mut conn = followup.base.pool.acquire().await?;
    let tasks = store::page(&mut conn, whose, after, size).await?;
    // Nobody keeps a connection while asking for names.
    drop(conn);

    Ok(ListWorklistResponse {
        tasks: view::shown(&followup, &call, &tasks).await?,
        next_page_token: page::next(&tasks, size, After::token),
    })
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{HealthReport, ListWorklistRequest, ListWorklistResponse, Task, TaskKind},
        identity::{ContractScope, OrganisationKind as Kind, Role},
    };
    use testing::Outcome;
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{PREFECTURE, Scene, assert_refused, reporting, well},
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
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let asking = |token: &str, organisation: &str| ListWorklistRequest {
            page_token: token.to_owned(),
            for_organisation_id: organisation.to_owned(),
            ..ListWorklistRequest::default()
        };
        let centre = scene.centre.id.to_string();
        for (who, request, code, field) in [
            (&scene.physician, asking("", ""), Code::PermissionDenied, ""),
            (&scene.nurse, asking("x", ""), Code::InvalidArgument, "page_token"),
            (&scene.nurse, asking("", "x"), Code::NotFound, ""),
            (&scene.stranger, asking("", &centre), Code::NotFound, ""),
        ] {
            assert_refused(scene.world.ask(&scene.followup, who, request, worklist::list).await, code, field);
        }
        Ok(())
    }
}
