//! `CompleteTask`: a notice was seen, and what it asks for was done.

use access::classes;
use chassis::{Call, Error};
use proto::{
    followup::{CompleteTaskRequest, Task as View},
    registry::Person,
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    lock,
    model::{TaskId, is_for_the_centre, is_told},
    store, view,
};
use crate::service::Followup;

pub(crate) async fn complete(followup: Followup, call: Call<CompleteTaskRequest>) -> Result<View, Error> {
    let id = TaskId::parse(&call.request.task_id)?;

    let lock = async |conn: &mut PgConnection| lock::lock(&followup, &call, conn, id).await;
    call.change(&followup.base, lock, async |change| {
        // Others who look after the person do not settle what the centre is told.
        if is_for_the_centre(change.held.kind) && !change.relations.iter().copied().any(is_told) {
            return Err(Error::Denied(why(
                "FOR_THE_CENTRE",
                "この業務を終えられるのは、担当の保健所に限ります。",
                "Only the centre responsible for the case closes this task.",
            )));
        }
        change.held.complete(call.caller.user_id).map_err(Error::Precondition)?;
        store::save(&mut change.tx, &change.held, change.now).await?;
        let view = view::view(&change.held, Person::default(), change.now);
        classes::mask(&view, &change.relations).map_err(Error::Internal)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        followup::{CompleteTaskRequest, Task, TaskKind, TaskState},
        identity::Role,
        registry::{CaseChanged, Placement, Relation},
    };
    use testing::Outcome;
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, assert_refused, grant, request_id},
        worklist,
    };

    fn completing(task_id: &str) -> CompleteTaskRequest {
        CompleteTaskRequest { request_id: request_id(), task_id: task_id.to_owned(), etag: String::new() }
    }

    async fn complete(scene: &Scene, who: &Caller, request: CompleteTaskRequest) -> Result<Task, Status> {
        scene.world.ask(&scene.followup, who, request, worklist::complete).await
    }

    #[tokio::test]
    async fn a_facility_closes_what_it_was_told_and_no_later_version_tells_it_again() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let mut placed = CaseChanged { placement: Placement::Lodging.into(), ..known.clone() };
        placed.grants.push(grant(scene.lodging, Relation::LodgingFacility));
        scene.hear(&placed).await?;
        let task = scene.tasks(&scene.officer).await?.remove(0);
        assert_eq!(task.kind(), TaskKind::PatientPlaced);
        let request = CompleteTaskRequest { etag: task.etag.clone(), ..completing(&task.task_id) };
        let done = complete(&scene, &scene.officer, request.clone()).await?;
        assert_eq!((done.state(), done.etag.as_str()), (TaskState::Done, "2"));
        assert_eq!(done.assignee_user_id, scene.officer.user_id.to_string(), "who did it");
        assert!(scene.tasks(&scene.officer).await?.is_empty());
        assert!(complete(&scene, &scene.officer, request).await? == done, "the same request, the same answer");
        assert_eq!(scene.world.audited("CompleteTask").await?.len(), 2);
        let late = complete(&scene, &scene.lodging.staff(Role::LodgingOfficer), completing(&task.task_id)).await;
        assert_refused(late, Code::FailedPrecondition, "終わって");

        scene.hear(&placed).await?;
        assert!(scene.tasks(&scene.officer).await?.is_empty(), "the same stay");
        // Somebody who leaves and comes back is placed again, even where the registry keeps the day the relation first began.
        scene.hear(&known).await?;
        scene.hear(&placed).await?;
        let again = scene.tasks(&scene.officer).await?;
        assert_eq!(again.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::PatientPlaced]);
        assert_ne!(again[0].task_id, task.task_id);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_closes_that_it_saw_an_opening() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let opening = scene.open_in_emergency(case).await?;
        scene.world.clock.advance(Duration::minutes(1));
        let done = complete(&scene, &scene.nurse, completing(&opening)).await?;
        assert_eq!((done.kind(), done.state()), (TaskKind::EmergencyAccess, TaskState::Done));
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = CaseChanged { placement: Placement::Lodging.into(), ..scene.known() };
        known.grants.push(grant(scene.lodging, Relation::LodgingFacility));
        known.grants.push(grant(scene.other_centre, Relation::IncomingCentre));
        let case = scene.hear(&known).await?;
        let alert = scene.alarm(case).await?.alert_id;
        let opening = scene.open_in_emergency(case).await?;
        let placed = scene.tasks(&scene.officer).await?;
        let placed = placed.iter().find(|task| task.kind() == TaskKind::PatientPlaced).unwrap().task_id.clone();
        let offer = scene.tasks(&scene.stranger).await?.remove(0).task_id;
        for (who, request, code, field) in [
            (&scene.centre.staff(Role::Analyst), completing(&opening), Code::PermissionDenied, ""),
            (&scene.nurse, completing(&alert), Code::FailedPrecondition, "連絡"),
            (&scene.stranger, completing(&offer), Code::FailedPrecondition, "回答"),
            (&scene.officer, completing(&opening), Code::PermissionDenied, "保健所"),
            (&scene.nurse, completing(&placed), Code::NotFound, ""),
            (&scene.stranger, completing(&opening), Code::NotFound, ""),
            (&scene.nurse, completing(&request_id()), Code::NotFound, ""),
            (&scene.nurse, completing("x"), Code::InvalidArgument, "task_id"),
            (&scene.officer, CompleteTaskRequest { etag: "7".to_owned(), ..completing(&placed) }, Code::Aborted, ""),
        ] {
            assert_refused(complete(&scene, who, request).await, code, field);
        }
        assert_eq!(scene.tasks(&scene.officer).await?.len(), 3);
        Ok(())
    }
}
