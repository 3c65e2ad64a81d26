//! On `case.changed`: the plan opens, pauses, goes on or closes, and the open tasks move to those who look after the person now. Whoever is
//! given the case, or the person, is told.

use access::{CaseId, OrganisationId, cases};
use proto::registry::{CaseChanged, Outcome};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    filing, plan,
    worklist::{self, Closing, Wanted},
};

/// Takes versions of cases: many with a fixed number of statements.
pub(super) async fn take(conn: &mut PgConnection, versions: &[CaseChanged], now: OffsetDateTime) -> sqlx::Result<()> {
    let fresh = cases::take(conn, versions).await?;
    if fresh.is_empty() {
        return Ok(());
    }
    let followed = plan::follow(conn, &fresh, now).await?;

    // What worries outlives a negative test and the last day; the end of the episode ends it.
    let void: Vec<CaseId> = fresh.iter().filter(|(_, case)| is_void(case)).map(|(id, _)| *id).collect();
    worklist::close(conn, &followed.ended, Closing::Everything { void: &void }, now).await?;
    let (mut subjects, mut wanted): (Vec<Uuid>, Vec<Wanted>) = filing::belong(conn, &fresh).await?;
    subjects.extend(fresh.iter().map(|(id, _)| id.uuid()));
    wanted.extend(fresh.iter().flat_map(|(id, case)| worklist::of_case(*id, case)));
    worklist::settle(conn, &subjects, &wanted, now).await?;
    // A case without a plan until now has no tasks yet of those who look after the person.
    let workers: Vec<(CaseId, Vec<OrganisationId>)> = fresh
        .iter()
        .filter(|(id, _)| followed.held.contains(id))
        .map(|(id, case)| (*id, worklist::workers(case, now)))
        .collect();
    worklist::relist(conn, &workers, now).await
}

/// Whether nobody is followed up by this case: it was joined into another one, or was none. The person may be ill all the same.
pub(crate) fn is_void(case: &CaseChanged) -> bool {
    case.outcome == i32::from(Outcome::EnteredInError)
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        followup::{
            AcknowledgeAlertRequest, Alert, AssignTaskRequest, HealthReport, PlanState, Task, TaskKind, TaskState,
        },
        registry::{CaseChanged, CaseRole, Outcome as Ended, Placement, Relation, TestResult},
    };
    use testing::Outcome;
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        alert,
        fixture::{Scene, assert_refused, grant, reporting, request_id, since, until, well},
        worklist,
    };

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
        let theirs = scene.tasks(&scene.officer).await?;
        let theirs: Vec<TaskKind> = theirs.iter().map(Task::kind).collect();
        assert_eq!(
            theirs,
            [TaskKind::EmergencyAccess, TaskKind::Alert, TaskKind::PatientPlaced],
            "the lodging looks after its residents, and is told who comes"
        );
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
    async fn an_alert_that_nobody_has_seen_outlives_the_join_of_its_case_until_somebody_has() -> Outcome {
        let scene = Scene::new().await?;
        let caution = HealthReport { spo2_percent: Some(95), ..well() };
        let known = scene.known();
        let case = scene.hear(&known).await?;
        let overdue = scene.case().await?;
        scene.miss().await?;
        let seen = scene.alarm(case).await?.alert_id;
        acknowledge(&scene, &scene.nurse, &seen).await?;
        let unseen =
            [scene.alarm(case).await?.alert_id, scene.submit(&scene.nurse, reporting(case, caution)).await?.alert_id];
        // Given to a colleague, who has not seen it yet.
        let task = AssignTaskRequest {
            request_id: request_id(),
            task_id: unseen[0].clone(),
            etag: String::new(),
            user_id: scene.nurse.user_id.to_string(),
        };
        scene.world.ask(&scene.followup, &scene.nurse, task, worklist::assign).await?;
        let joined = CaseChanged { outcome: Ended::EnteredInError.into(), ..known };
        scene.hear(&joined).await?;
        scene.hear(&joined).await?;
        let left = async || -> anyhow::Result<Vec<String>> {
            let tasks = scene.tasks(&scene.nurse).await?.into_iter();
            Ok(tasks.filter(|task| task.case_id == case.to_string()).map(|task| task.task_id).collect())
        };
        assert_eq!(left().await?, unseen, "what somebody has seen ends with the case, and nobody awaits its report");
        assert_eq!(scene.plan(case).await?.state, i32::from(PlanState::Closed));
        assert!(scene.tasks(&scene.stranger).await?.is_empty());

        // Whoever says so twice has seen it once.
        for _ in 0..2 {
            let taken = acknowledge(&scene, &scene.nurse, &unseen[0]).await?;
            assert_eq!(taken.owner_user_id, scene.nurse.user_id.to_string());
        }
        assert_eq!(left().await?, unseen[1..]);
        acknowledge(&scene, &scene.colleague, &unseen[1]).await?;
        assert!(left().await?.is_empty());
        let others = scene.tasks(&scene.nurse).await?;
        assert_eq!(others.iter().map(|task| &task.case_id).collect::<Vec<_>>(), [&overdue.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn an_unseen_alert_ends_with_an_episode_that_ended_as_one() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let case = scene.hear(&known).await?;
        scene.alarm(case).await?;
        scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..known }).await?;
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        Ok(())
    }

    async fn acknowledge(scene: &Scene, who: &Caller, alert_id: &str) -> Result<Alert, Status> {
        let request = AcknowledgeAlertRequest {
            request_id: request_id(),
            alert_id: alert_id.to_owned(),
            ..AcknowledgeAlertRequest::default()
        };
        scene.world.ask(&scene.followup, who, request, alert::acknowledge).await
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

    async fn kinds(scene: &Scene, who: &Caller) -> anyhow::Result<Vec<TaskKind>> {
        Ok(scene.tasks(who).await?.iter().map(Task::kind).collect())
    }

    #[tokio::test]
    async fn a_centre_that_is_offered_a_case_is_told_once_until_the_offer_is_answered() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let (first, later) = (scene.world.clock.now(), scene.world.clock.now() + Duration::hours(1));
        let incoming = since(scene.other_centre, Relation::IncomingCentre, first);
        let mut offered = known.clone();
        offered.grants.push(incoming.clone());
        let case = scene.hear(&offered).await?;
        let told = scene.tasks(&scene.stranger).await?.remove(0);
        assert_eq!(
            (told.kind(), told.state(), &told.case_id),
            (TaskKind::TransferOffered, TaskState::Open, &case.to_string())
        );
        assert_eq!((told.source.as_str(), told.etag.as_str(), told.due_date.as_str()), ("case.changed", "1", ""));
        assert!(kinds(&scene, &scene.nurse).await?.is_empty(), "whoever offers it knows");
        scene.hear(&offered).await?;
        assert!(scene.tasks(&scene.stranger).await? == [told.clone()], "heard again, told once");

        // Declined, and offered again: the registry keeps the day on which the relation first began.
        let mut declined = known.clone();
        declined.grants.push(until(incoming.clone(), later));
        scene.hear(&declined).await?;
        assert!(kinds(&scene, &scene.stranger).await?.is_empty());
        scene.hear(&offered).await?;
        let again = scene.tasks(&scene.stranger).await?;
        assert_eq!(again.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::TransferOffered]);
        assert_ne!(again[0].task_id, told.task_id);

        let mut accepted = known.clone();
        accepted.grants = vec![
            until(grant(scene.centre, Relation::ResponsibleCentre), later),
            until(incoming, later),
            since(scene.other_centre, Relation::ResponsibleCentre, later),
        ];
        scene.hear(&accepted).await?;
        assert!(kinds(&scene, &scene.stranger).await?.is_empty(), "whoever accepted knows");
        Ok(())
    }

    #[tokio::test]
    async fn an_older_version_of_a_case_brings_nothing_back() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let mut offered = CaseChanged { version: 1, ..known.clone() };
        offered.grants.push(grant(scene.other_centre, Relation::IncomingCentre));
        let withdrawn = CaseChanged { version: 2, ..known };
        for event in [&withdrawn, &offered, &withdrawn] {
            scene.world.hear(&scene.hears(), event).await?;
            assert!(kinds(&scene, &scene.stranger).await?.is_empty());
        }
        Ok(())
    }

    #[tokio::test]
    async fn whoever_gets_the_person_is_told_until_the_stay_or_the_episode_is_over() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let mut placed = known.clone();
        placed.grants.push(since(scene.hospital, Relation::TreatingInstitution, scene.world.clock.now()));
        scene.hear(&placed).await?;
        let told = scene.tasks(&scene.ward).await?.remove(0);
        assert_eq!((told.kind(), told.etag.as_str()), (TaskKind::PatientPlaced, "1"));
        assert!(kinds(&scene, &scene.physician).await?.is_empty());
        scene.hear(&CaseChanged { outcome: Ended::Released.into(), ..placed }).await?;
        assert!(kinds(&scene, &scene.ward).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn the_institution_that_a_person_is_referred_to_is_told_and_another_one_instead() -> Outcome {
        let scene = Scene::new().await?;
        let mut referred = CaseChanged { referred_to_id: scene.hospital.id.to_string(), ..scene.known() };
        referred.grants.push(grant(scene.hospital, Relation::Reporter));
        scene.hear(&referred).await?;
        assert_eq!(kinds(&scene, &scene.ward).await?, [TaskKind::Referred]);
        assert!(kinds(&scene, &scene.physician).await?.is_empty(), "it reported the case");
        scene.hear(&CaseChanged { referred_to_id: scene.clinic.id.to_string(), ..referred }).await?;
        assert!(kinds(&scene, &scene.ward).await?.is_empty());
        assert_eq!(kinds(&scene, &scene.physician).await?, [TaskKind::Referred]);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_that_takes_over_from_a_closed_one_is_told_that_it_is_responsible() -> Outcome {
        let scene = Scene::new().await?;
        let now = scene.world.clock.now();
        let known = scene.known();
        scene.hear(&known).await?;
        let taken_over = CaseChanged {
            responsible_centre_id: scene.other_centre.id.to_string(),
            grants: vec![
                until(grant(scene.centre, Relation::ResponsibleCentre), now),
                since(scene.other_centre, Relation::ResponsibleCentre, now),
            ],
            ..known
        };
        scene.hear(&taken_over).await?;
        assert_eq!(kinds(&scene, &scene.stranger).await?, [TaskKind::CaseHandedOver]);
        assert!(kinds(&scene, &scene.nurse).await?.is_empty());
        Ok(())
    }
}
