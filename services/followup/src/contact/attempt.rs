//! `RecordContactAttempt`: a call or visit to a person who did not report.

use chassis::{Call, Error, Held};
use proto::followup::{RecordContactAttemptRequest, RecordContactAttemptResponse};
use sqlx::PgConnection;

use super::{
    NOTE,
    model::{Attempt, AttemptId},
    store,
};
use crate::{
    case::{self, may_work},
    free_text, plan,
    service::Followup,
    worklist::{self, Closing},
};

pub(crate) async fn attempt(
    followup: Followup,
    call: Call<RecordContactAttemptRequest>,
) -> Result<RecordContactAttemptResponse, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let known = case::known(&followup, &call, &request.case_id).await?;
    known.must(may_work)?;
    known.may_write(request)?;

    let lock = async |conn: &mut PgConnection| {
        plan::lock(conn, &[known.id]).await?;
        Ok(Held::new((), known.seen()))
    };
    call.change(&followup.base, lock, async |change| {
        let id = AttemptId::new();
        let attempt = Attempt {
            id,
            case_id: known.id,
            at: change.now,
            channel: data::code(request.channel),
            reached: request.reached,
            note: free_text::seal(&followup.base.vault, NOTE, id.uuid(), &request.note)?,
            by_organisation: caller.organisation_id,
        };
        store::insert_attempt(&mut change.tx, &attempt).await?;

        // Somebody who was reached is no longer overdue, and the alert the caller took is dealt with.
        let settled = if request.reached {
            worklist::close(&mut change.tx, &[known.id], Closing::By(caller.user_id), change.now).await?
        } else {
            0
        };
        Ok(RecordContactAttemptResponse { settled_tasks: i32::try_from(settled).unwrap_or(i32::MAX) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        followup::{
            AcknowledgeAlertRequest, ContactChannel, RecordContactAttemptRequest, RecordContactAttemptResponse,
            TaskKind,
        },
        identity::Role,
        options::Group,
        registry::Relation,
    };
    use testing::Outcome;
    use tonic::{Code, Status};

    use crate::{
        alert, contact,
        fixture::{Scene, assert_refused, grant, request_id},
    };

    fn calling(case: CaseId, reached: bool) -> RecordContactAttemptRequest {
        RecordContactAttemptRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            channel: ContactChannel::Phone.into(),
            reached,
            note: "解熱した".to_owned(),
        }
    }

    async fn attempt(
        scene: &Scene,
        who: &Caller,
        request: RecordContactAttemptRequest,
    ) -> Result<RecordContactAttemptResponse, Status> {
        scene.world.ask(&scene.followup, who, request, contact::attempt).await
    }

    #[tokio::test]
    async fn who_was_reached_is_no_longer_overdue() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.miss().await?;
        assert_eq!(attempt(&scene, &scene.nurse, calling(case, false)).await?.settled_tasks, 0);
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 1, "nobody answered");
        let request = calling(case, true);
        assert_eq!(attempt(&scene, &scene.nurse, request.clone()).await?.settled_tasks, 1);
        assert!(scene.tasks(&scene.nurse).await?.is_empty());

        let again = attempt(&scene, &scene.nurse, request.clone()).await?;
        assert_eq!(again.settled_tasks, 1, "the same request, the same answer");
        let seen = scene.overview(&scene.nurse, case).await?.attempts;
        assert_eq!((seen.len(), seen[0].note.as_str()), (2, "解熱した"));
        assert_eq!(scene.world.audited("RecordContactAttempt").await?.len(), 3);

        let other = RecordContactAttemptRequest { reached: false, ..request.clone() };
        assert_refused(attempt(&scene, &scene.nurse, other).await, Code::AlreadyExists, "request_id");
        scene.hand_over(case).await?;
        assert_refused(attempt(&scene, &scene.nurse, request).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn a_call_deals_with_the_alerts_of_whoever_called() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let taken = scene.alarm(case).await?.alert_id;
        let left = scene.alarm(case).await?.alert_id;
        scene.open_in_emergency(case).await?;
        let take = AcknowledgeAlertRequest { request_id: request_id(), alert_id: taken, etag: String::new() };
        scene.world.ask(&scene.followup, &scene.nurse, take, alert::acknowledge).await?;
        assert_eq!(attempt(&scene, &scene.nurse, calling(case, true)).await?.settled_tasks, 1);
        let tasks = scene.tasks(&scene.nurse).await?;
        assert_eq!(
            tasks.iter().map(|task| task.kind).collect::<Vec<_>>(),
            [i32::from(TaskKind::EmergencyAccess), i32::from(TaskKind::Alert)]
        );
        assert_eq!(tasks[1].task_id, left);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.other_centre, Relation::FormerCentre));
        let case = scene.hear(&known).await?;
        let blind = scene.centre.narrowed(Role::Nurse, [Group::Followup]);
        for (who, request, code, field) in [
            (&scene.physician, calling(case, true), Code::PermissionDenied, ""),
            (&scene.stranger, calling(case, true), Code::PermissionDenied, "健康観察"),
            (&scene.officer, calling(case, true), Code::NotFound, ""),
            (&scene.nurse, calling(CaseId::new(), true), Code::NotFound, ""),
            (&blind, calling(case, true), Code::InvalidArgument, "note"),
        ] {
            assert_refused(attempt(&scene, who, request).await, code, field);
        }
        assert!(scene.overview(&scene.nurse, case).await?.attempts.is_empty());
        Ok(())
    }
}
