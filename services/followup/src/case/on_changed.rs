//! On `case.changed`: the plan opens, pauses, goes on or closes, and the open tasks move to those who look after the person now.

use access::{CaseId, OrganisationId, cases};
use proto::registry::CaseChanged;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    plan,
    worklist::{self, Closing},
};

/// Takes versions of cases: many with a fixed number of statements.
pub(super) async fn take(conn: &mut PgConnection, versions: &[CaseChanged], now: OffsetDateTime) -> sqlx::Result<()> {
    let fresh = cases::take(conn, versions).await?;
    if fresh.is_empty() {
        return Ok(());
    }
    let followed = plan::follow(conn, &fresh, now).await?;

    // What worries outlives a negative test and the last day; the end of the episode ends it.
    worklist::close(conn, &followed.ended, Closing::Everything, now).await?;
    // A case without a plan until now has no tasks yet.
    let workers: Vec<(CaseId, Vec<OrganisationId>)> = fresh
        .iter()
        .filter(|(id, _)| followed.held.contains(id))
        .map(|(id, case)| (*id, worklist::workers(case, now)))
        .collect();
    worklist::relist(conn, &workers).await
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{PlanState, TaskKind},
        registry::{CaseChanged, CaseRole, Outcome as Ended, Placement, Relation, TestResult},
    };
    use testing::Outcome;
    use tonic::Code;

    use crate::fixture::{Scene, assert_refused, grant};

    #[tokio::test]
    async fn a_plan_opens_with_the_case_pauses_in_hospital_and_closes_with_the_outcome() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let case = scene.hear(&known).await?;
        let plan = scene.plan(case).await?;
        assert_eq!((plan.state, plan.etag.as_str()), (PlanState::Active.into(), "1"));
        assert!(plan.next_due_time.is_some() && !plan.reason.is_empty());
        assert_eq!(
            (plan.times_of_day, plan.owner_organisation_id),
            (vec!["08:30".to_owned()], scene.centre.id.to_string())
        );

        let hospital = CaseChanged { placement: Placement::Hospital.into(), ..known.clone() };
        scene.hear(&hospital).await?;
        let plan = scene.plan(case).await?;
        assert_eq!((plan.state, plan.next_due_time), (PlanState::Paused.into(), None));

        scene.hear(&known).await?;
        let plan = scene.plan(case).await?;
        assert_eq!(plan.state, i32::from(PlanState::Active));
        assert!(plan.next_due_time.is_some(), "the slot that was void is open again");

        scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..known }).await?;
        let plan = scene.plan(case).await?;
        assert_eq!((plan.state, plan.next_due_time, plan.etag.as_str()), (PlanState::Closed.into(), None, "4"));
        Ok(())
    }

    #[tokio::test]
    async fn a_version_that_changes_nothing_of_the_plan_leaves_it_alone() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let case = scene.hear(&known).await?;
        scene.hear(&CaseChanged { test_result: TestResult::Positive.into(), ..known }).await?;
        assert_eq!(scene.plan(case).await?.etag, "1");
        Ok(())
    }

    #[tokio::test]
    async fn an_episode_that_is_over_when_it_is_first_heard_of_has_no_plan() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..scene.known() }).await?;
        assert!(scene.overview(&scene.nurse, case).await?.plan.is_none());
        Ok(())
    }

    #[tokio::test]
    async fn a_contact_is_observed_to_the_last_day() -> Outcome {
        let scene = Scene::new().await?;
        let contact = |day: &str| CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_date: day.to_owned(),
            ..scene.known()
        };
        let case = scene.hear(&contact("2020-05-30")).await?;
        assert_eq!(scene.plan(case).await?.last_date, "2020-06-13");

        // The last day is today, and the first report would be due tomorrow.
        let late = scene.hear(&contact("2020-05-18")).await?;
        let plan = scene.plan(late).await?;
        assert_eq!((plan.state, plan.next_due_time), (PlanState::Closed.into(), None));
        Ok(())
    }

    #[tokio::test]
    async fn open_tasks_move_with_the_case_and_end_with_the_episode() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let case = scene.hear(&known).await?;
        scene.alarm(case).await?;
        let opening = scene.open_in_emergency(case).await?;
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 2);

        let lodging = CaseChanged {
            placement: Placement::Lodging.into(),
            facility_id: scene.lodging.id.to_string(),
            grants: vec![
                grant(scene.centre, Relation::ResponsibleCentre),
                grant(scene.lodging, Relation::LodgingFacility),
            ],
            ..known.clone()
        };
        scene.hear(&lodging).await?;
        assert_eq!(scene.tasks(&scene.officer).await?.len(), 2, "the lodging looks after its residents");
        assert_eq!(scene.plan(case).await?.owner_organisation_id, scene.lodging.id.to_string());

        scene.hear(&known).await?;
        assert!(scene.tasks(&scene.officer).await?.is_empty(), "and after nobody else");

        // What worries ends with the episode. That somebody opened the case has still to be seen.
        scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..known }).await?;
        let left = scene.tasks(&scene.nurse).await?;
        let left: Vec<_> = left.iter().map(|task| (task.kind, task.task_id.as_str())).collect();
        assert_eq!(left, [(TaskKind::EmergencyAccess.into(), opening.as_str())]);
        Ok(())
    }

    #[tokio::test]
    async fn after_a_hand_over_the_case_is_the_other_centres() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        scene.hand_over(case).await?;
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        assert_eq!(scene.tasks(&scene.stranger).await?.len(), 1);
        assert_refused(scene.overview(&scene.nurse, case).await, Code::NotFound, "");
        Ok(())
    }
}
