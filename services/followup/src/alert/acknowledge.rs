//! `AcknowledgeAlert`: a worker takes an alert, or a centre has seen that somebody opened a case in an emergency (緊急閲覧).

use access::{CaseId, cases, classes};
use chassis::{Call, Error, Held, Seen};
use proto::{
    followup::{AcknowledgeAlertRequest, Alert as View},
    registry::{CaseChanged, Relation},
};
use sqlx::PgConnection;

use super::{
    model::{Alert, AlertId},
    shown, store,
};
use crate::{
    case::{is_void, may_work},
    service::Followup,
    worklist::{self, TaskId},
};

/// What is acknowledged.
enum Acknowledged {
    /// With whether nobody is followed up by its case any more.
    Alert(Alert, bool),
    Notice(TaskId),
}

pub(crate) async fn acknowledge(followup: Followup, call: Call<AcknowledgeAlertRequest>) -> Result<View, Error> {
    let id = AlertId::parse(&call.request.alert_id)?;
    let user = call.caller.user_id;
    let lock = async |conn: &mut PgConnection| lock(&followup, &call, conn, id).await;
    call.change(&followup.base, lock, async |change| {
        let view = match &mut change.held {
            Acknowledged::Alert(alert, is_void) => {
                let (is_free, task) = (alert.taken_by.is_none(), TaskId::from(id.uuid()));
                alert.take(user, change.now).map_err(Error::Precondition)?;
                if is_free {
                    store::take(&mut change.tx, alert).await?;
                }
                if *is_void {
                    // The person is called by the case that this one was joined into.
                    worklist::close_notice(&mut change.tx, task, user, change.now).await?;
                } else if is_free {
                    worklist::take(&mut change.tx, task, user).await?;
                }
                shown(alert)
            }
            Acknowledged::Notice(task) => {
                worklist::close_notice(&mut change.tx, *task, user, change.now).await?;
                View { alert_id: id.to_string(), owner_user_id: user.to_string(), ..View::default() }
            }
        };
        classes::mask(&view, &change.relations).map_err(Error::Internal)
    })
    .await
}

async fn lock(
    followup: &Followup,
    call: &Call<AcknowledgeAlertRequest>,
    conn: &mut PgConnection,
    id: AlertId,
) -> Result<Held<Acknowledged, View>, Error> {
    if let Some(alert) = store::lock(conn, id).await? {
        let version = alert.version;
        let (seen, case) = seen(followup, call, conn, alert.case_id, may_work).await?;
        return Ok(Held::new(Acknowledged::Alert(alert, is_void(&case)), seen).version(version));
    }
    let task = TaskId::from(id.uuid());
    let notice = worklist::lock_notice(conn, task).await?.ok_or(Error::NotFound("alert"))?;
    let (seen, _) = seen(followup, call, conn, notice.case_id, worklist::is_told).await?;
    let held = Held::new(Acknowledged::Notice(task), seen);
    // One centre has seen it for all; whoever repeats the request gets the answer again.
    Ok(if notice.is_closed { held.only_repeats(Error::NotFound("alert")) } else { held })
}

/// How the caller stands to a case, and the case. Without one of these relations there is no alert for the caller.
async fn seen(
    followup: &Followup,
    call: &Call<AcknowledgeAlertRequest>,
    conn: &mut PgConnection,
    case_id: CaseId,
    may: impl Fn(Relation) -> bool,
) -> Result<(Seen, CaseChanged), Error> {
    let case = cases::find(conn, &[case_id]).await?.remove(&case_id).ok_or(Error::NotFound("alert"))?;
    // Behind the lock: a relation may have ended while this waited.
    let now = followup.base.clock.now();
    let relations = cases::relations(&case, &call.caller, &followup.base.directory, now);
    if relations.iter().copied().any(may) {
        Ok((Seen::by(&relations, [case_id]), case))
    } else {
        Err(Error::NotFound("alert"))
    }
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        followup::{AcknowledgeAlertRequest, Alert as View},
        registry::Relation,
    };
    use testing::Outcome;
    use tonic::{Code, Status};

    use crate::{
        alert,
        fixture::{Scene, assert_refused, grant, request_id},
    };

    fn taking(alert_id: &str) -> AcknowledgeAlertRequest {
        AcknowledgeAlertRequest { request_id: request_id(), alert_id: alert_id.to_owned(), etag: String::new() }
    }

    async fn acknowledge(scene: &Scene, who: &Caller, request: AcknowledgeAlertRequest) -> Result<View, Status> {
        scene.world.ask(&scene.followup, who, request, alert::acknowledge).await
    }

    #[tokio::test]
    async fn an_alert_gets_an_owner_and_stays_on_the_list() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let id = scene.alarm(case).await?.alert_id;
        let request = AcknowledgeAlertRequest { etag: "1".to_owned(), ..taking(&id) };
        let taken = acknowledge(&scene, &scene.nurse, request).await?;
        assert_eq!((taken.owner_user_id.as_str(), taken.etag.as_str()), (&*scene.nurse.user_id.to_string(), "2"));
        assert_eq!((taken.reasons.len(), taken.acknowledge_time.is_some()), (1, true));
        assert!(scene.overview(&scene.nurse, case).await?.alerts == [taken.clone()]);
        assert_eq!(scene.tasks(&scene.colleague).await?[0].assignee_user_id, taken.owner_user_id);

        let again = acknowledge(&scene, &scene.nurse, taking(&id)).await?;
        assert!(again == taken, "the owner may say so twice");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_and_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = taking(&scene.alarm(case).await?.alert_id);
        let first = acknowledge(&scene, &scene.nurse, request.clone()).await?;
        assert!(acknowledge(&scene, &scene.nurse, request.clone()).await? == first);
        assert_eq!(scene.world.audited("AcknowledgeAlert").await?.len(), 2);
        let other = AcknowledgeAlertRequest { etag: "1".to_owned(), ..request.clone() };
        assert_refused(acknowledge(&scene, &scene.nurse, other).await, Code::AlreadyExists, "request_id");
        scene.hand_over(case).await?;
        assert_refused(acknowledge(&scene, &scene.nurse, request).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn an_opening_in_an_emergency_is_seen_once() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = taking(&scene.open_in_emergency(case).await?);
        let seen = acknowledge(&scene, &scene.nurse, request.clone()).await?;
        assert_eq!(seen.owner_user_id, scene.nurse.user_id.to_string());
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        assert!(acknowledge(&scene, &scene.nurse, request.clone()).await? == seen, "repeated, answered again");
        assert_eq!(scene.world.audited("AcknowledgeAlert").await?.len(), 2);

        let second = taking(&request.alert_id);
        assert_refused(acknowledge(&scene, &scene.colleague, second).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.other_centre, Relation::FormerCentre));
        known.grants.push(grant(scene.lodging, Relation::LodgingFacility));
        let case = scene.hear(&known).await?;
        let id = scene.alarm(case).await?.alert_id;
        let opening = scene.open_in_emergency(case).await?;
        let stale = AcknowledgeAlertRequest { etag: "7".to_owned(), ..taking(&id) };
        assert_refused(acknowledge(&scene, &scene.nurse, stale).await, Code::Aborted, "");
        acknowledge(&scene, &scene.nurse, taking(&id)).await?;
        for (who, request, code, field) in [
            (&scene.physician, taking(&id), Code::PermissionDenied, ""),
            (&scene.stranger, taking(&id), Code::NotFound, ""),
            (&scene.colleague, taking(&id), Code::FailedPrecondition, "担当者"),
            // The lodging looks after the person, and is not asked about openings.
            (&scene.officer, taking(&opening), Code::NotFound, ""),
            (&scene.nurse, taking(&request_id()), Code::NotFound, ""),
            (&scene.nurse, taking("x"), Code::InvalidArgument, "alert_id"),
        ] {
            assert_refused(acknowledge(&scene, who, request).await, code, field);
        }
        Ok(())
    }
}
