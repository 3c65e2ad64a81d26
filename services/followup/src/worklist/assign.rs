//! `AssignTask`: it becomes the work of one of the organisation's users, or nobody's again.

use access::{UserId, classes};
use chassis::{Call, Error};
use proto::{
    followup::{AssignTaskRequest, Task as View},
    registry::Person,
};
use sqlx::PgConnection;

use super::{lock, model::TaskId, store, view};
use crate::service::Followup;

pub(crate) async fn assign(followup: Followup, call: Call<AssignTaskRequest>) -> Result<View, Error> {
    let id = TaskId::parse(&call.request.task_id)?;
    let user = UserId::optional(&call.request.user_id).map_err(|_| no_such_user())?;

    let lock = async |conn: &mut PgConnection| lock::lock(&followup, &call, conn, id).await;
    call.change(&followup.base, lock, async |change| {
        if let Some(user) = user.filter(|user| *user != call.caller.user_id) {
            let theirs = audit::store::organisation_of(&mut change.tx, user.uuid()).await?;
            if theirs != Some(call.caller.organisation_id.uuid()) {
                return Err(no_such_user());
            }
        }
        if change.held.assign(user) {
            store::save(&mut change.tx, &change.held, change.now).await?;
        }
        let view = view::view(&change.held, Person::default(), change.now);
        classes::mask(&view, &change.relations).map_err(Error::Internal)
    })
    .await
}

fn no_such_user() -> Error {
    Error::invalid(
        "user_id",
        "自分の機関で業務を行ったことのある利用者を指定してください",
        "must be a user of your organisation who has worked with tasks",
    )
}

#[cfg(test)]
mod tests {
    use access::{Caller, UserId};
    use proto::{
        followup::{AssignTaskRequest, ListWorklistRequest, RecordContactAttemptRequest, Task, TaskAssignment},
        identity::{ContractScope, OrganisationKind as Kind, Role},
        registry::Relation,
    };
    use testing::Outcome;
    use tonic::{Code, Status};

    use crate::{
        contact,
        fixture::{PREFECTURE, Scene, assert_refused, grant, request_id},
        worklist,
    };

    fn assigning(task_id: &str, user: Option<UserId>) -> AssignTaskRequest {
        AssignTaskRequest {
            request_id: request_id(),
            task_id: task_id.to_owned(),
            etag: String::new(),
            user_id: data::text(user),
        }
    }

    async fn assign(scene: &Scene, who: &Caller, request: AssignTaskRequest) -> Result<Task, Status> {
        scene.world.ask(&scene.followup, who, request, worklist::assign).await
    }

    /// Whose work the tasks of the caller's organisation are that are listed as this.
    async fn assignees(scene: &Scene, who: &Caller, assignment: TaskAssignment) -> Result<Vec<String>, Status> {
        let request = ListWorklistRequest { assignment: assignment.into(), ..ListWorklistRequest::default() };
        let tasks = scene.world.ask(&scene.followup, who, request, worklist::list).await?.tasks;
        Ok(tasks.into_iter().map(|task| task.assignee_user_id).collect())
    }

    #[tokio::test]
    async fn a_task_is_somebodys_work_until_it_is_given_back() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let id = scene.tasks(&scene.colleague).await?.remove(0).task_id;
        let colleague = scene.colleague.user_id;
        let request = AssignTaskRequest { etag: "1".to_owned(), ..assigning(&id, Some(colleague)) };
        let assigned = assign(&scene, &scene.nurse, request.clone()).await?;
        assert_eq!((&assigned.assignee_user_id, assigned.etag.as_str()), (&colleague.to_string(), "2"));
        assert!(assign(&scene, &scene.nurse, request).await? == assigned, "the same request, the same answer");
        assert_eq!(scene.world.audited("AssignTask").await?.len(), 2);

        assert_eq!(assignees(&scene, &scene.colleague, TaskAssignment::Mine).await?, [colleague.to_string()]);
        assert!(assignees(&scene, &scene.nurse, TaskAssignment::Mine).await?.is_empty());
        assert!(assignees(&scene, &scene.nurse, TaskAssignment::Unassigned).await?.is_empty());

        let back = assign(&scene, &scene.nurse, assigning(&id, None)).await?;
        assert_eq!((back.assignee_user_id.as_str(), back.etag.as_str()), ("", "3"));
        let again = assign(&scene, &scene.nurse, assigning(&id, None)).await?;
        assert_eq!(again.etag, "3", "nothing changed");
        assert_eq!(assignees(&scene, &scene.nurse, TaskAssignment::Unassigned).await?, [""]);
        Ok(())
    }

    #[tokio::test]
    async fn whoever_has_the_task_settles_it_with_a_call() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let id = scene.tasks(&scene.nurse).await?.remove(0).task_id;
        assign(&scene, &scene.nurse, assigning(&id, Some(scene.nurse.user_id))).await?;
        let call = RecordContactAttemptRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            reached: true,
            channel: 1,
            ..RecordContactAttemptRequest::default()
        };
        let settled = scene.world.ask(&scene.followup, &scene.nurse, call, contact::attempt).await?;
        assert_eq!(settled.settled_tasks, 1);
        let late = assign(&scene, &scene.nurse, assigning(&id, None)).await;
        assert_refused(late, Code::FailedPrecondition, "終わって");
        Ok(())
    }

    #[tokio::test]
    async fn a_contractor_assigns_what_it_was_entrusted_with_to_its_own_people() -> Outcome {
        let scene = Scene::new().await?;
        let association = scene.world.body(Kind::MedicalAssociation, PREFECTURE).await?;
        scene.world.entrust(scene.centre, association, ContractScope::Followup).await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let id = scene.tasks(&scene.nurse).await?.remove(0).task_id;
        let contractor = association.staff(Role::Nurse);
        let taken = assign(&scene, &contractor, assigning(&id, Some(contractor.user_id))).await?;
        assert_eq!(taken.assignee_user_id, contractor.user_id.to_string());
        let theirs = assign(&scene, &contractor, assigning(&id, Some(scene.nurse.user_id))).await;
        assert_refused(theirs, Code::InvalidArgument, "user_id");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.other_centre, Relation::IncomingCentre));
        let case = scene.hear(&known).await?;
        scene.alarm(case).await?;
        let id = scene.tasks(&scene.nurse).await?.remove(0).task_id;
        let offer = scene.tasks(&scene.stranger).await?.remove(0).task_id;
        let unknown = UserId::new();
        let good = |task: &str| assigning(task, None);
        for (who, request, code, field) in [
            (&scene.centre.staff(Role::Analyst), good(&id), Code::PermissionDenied, ""),
            // They see the case, and the task is on none of their lists.
            (&scene.physician, good(&id), Code::NotFound, ""),
            (&scene.stranger, good(&id), Code::NotFound, ""),
            (&scene.nurse, good(&offer), Code::NotFound, ""),
            (&scene.nurse, good(&request_id()), Code::NotFound, ""),
            (&scene.nurse, good("x"), Code::InvalidArgument, "task_id"),
            (&scene.nurse, assigning(&id, Some(unknown)), Code::InvalidArgument, "user_id"),
            (&scene.nurse, assigning(&id, Some(scene.stranger.user_id)), Code::InvalidArgument, "user_id"),
            (
                &scene.nurse,
                AssignTaskRequest { user_id: "x".to_owned(), ..good(&id) },
                Code::InvalidArgument,
                "user_id",
            ),
            (&scene.nurse, AssignTaskRequest { etag: "7".to_owned(), ..good(&id) }, Code::Aborted, ""),
        ] {
            assert_refused(assign(&scene, who, request).await, code, field);
        }
        Ok(())
    }
}
