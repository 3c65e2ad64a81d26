//! `BatchAcknowledge`: the centre accepts many (受理) at once. Each is answered by itself, and one that is refused keeps no other back.

use std::collections::HashMap;

use access::Caller;
use chassis::{Call, Error, Seen};
use data::outbox;
use proto::notification::{
    Acknowledgement, AcknowledgementOutcome as Outcome, BatchAcknowledgeRequest, BatchAcknowledgeResponse,
    NotificationAcknowledged, NotificationState as State,
};
use sqlx::PgConnection;

use super::store;
use crate::{
    filing::{self, Notification, NotificationId, Standing},
    service::Notifications,
};

pub(crate) async fn batch_acknowledge(
    notifications: Notifications,
    call: Call<BatchAcknowledgeRequest>,
) -> Result<BatchAcknowledgeResponse, Error> {
    let asked: Vec<NotificationId> =
        call.request.notification_ids.iter().map(|id| NotificationId::parse(id)).collect::<Result<_, _>>()?;
    let heard = filing::learn_what_is_told(&notifications, &call.caller, &asked).await?;

    let again = async |_: &mut PgConnection, answer: &BatchAcknowledgeResponse| Ok(seen(answer));
    call.create(&notifications.base, again, async |conn| {
        let mut rows = filing::lock_all(conn, &asked).await?;
        let stands = filing::standings(&notifications, conn, &call.caller, &mut rows).await?;
        // In the order of their ids, as they are locked.
        let judged: Vec<(&Notification, Outcome)> =
            rows.iter().zip(stands).map(|(row, stands)| (row, outcome(row, &call.caller, &stands, heard))).collect();

        let accepted: Vec<&Notification> =
            judged.iter().filter(|(_, outcome)| *outcome == Outcome::Acknowledged).map(|(row, _)| *row).collect();
        let ids: Vec<NotificationId> = accepted.iter().map(|row| row.id).collect();
        store::acknowledge_all(conn, &ids, notifications.base.clock.now()).await?;
        let events: Vec<NotificationAcknowledged> =
            accepted.iter().map(|row| announcement(row, &call.caller)).collect();
        outbox::add_all(conn, &events).await?;

        let told: HashMap<NotificationId, Acknowledgement> =
            judged.into_iter().map(|(row, outcome)| (row.id, told(row, outcome))).collect();
        let acknowledgements = asked.iter().map(|id| told.get(id).cloned().unwrap_or_else(|| unknown(*id))).collect();
        let answer = BatchAcknowledgeResponse { acknowledgements };
        let seen = seen(&answer);
        Ok((answer, seen))
    })
    .await
}

/// `heard`: whether the registry said all it was asked. What hangs on its word is not refused before it has spoken.
fn outcome(row: &Notification, caller: &Caller, stands: &Standing, heard: bool) -> Outcome {
    match stands {
        Standing::Unheard => Outcome::TryAgain,
        Standing::None if !heard && row.case_id.is_some() => Outcome::TryAgain,
        Standing::None => Outcome::NotFound,
        Standing::By(relations) if !row.is_work_of(caller, relations) => Outcome::NotInYourInbox,
        Standing::By(_) if row.state == State::Withdrawn => Outcome::Withdrawn,
        Standing::By(_) if row.state == State::Acknowledged => Outcome::Already,
        Standing::By(_) => Outcome::Acknowledged,
    }
}

fn told(row: &Notification, outcome: Outcome) -> Acknowledgement {
    let etag = match outcome {
        Outcome::Acknowledged => (row.revision + 1).to_string(),
        Outcome::Already => row.revision.to_string(),
        _ => String::new(),
    };
    Acknowledgement { notification_id: row.id.to_string(), outcome: outcome.into(), etag }
}

fn unknown(id: NotificationId) -> Acknowledgement {
    Acknowledgement { notification_id: id.to_string(), outcome: Outcome::NotFound.into(), etag: String::new() }
}

fn announcement(row: &Notification, caller: &Caller) -> NotificationAcknowledged {
    NotificationAcknowledged { notification_id: row.id.to_string(), centre_id: caller.organisation_id.to_string() }
}

/// What the audit trail says: every notification that exists for the caller, whatever became of it. The answer shows nothing of it.
fn seen(answer: &BatchAcknowledgeResponse) -> Seen {
    let there =
        answer.acknowledgements.iter().filter(|one| !matches!(one.outcome(), Outcome::NotFound | Outcome::TryAgain));
    Seen::records(there.filter_map(|one| NotificationId::parse(&one.notification_id).ok()))
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        notification::{
            AcknowledgementOutcome as Became, BatchAcknowledgeRequest, BatchAcknowledgeResponse,
            NotificationAcknowledged, NotificationState as State, Receipt,
        },
        registry::Relation,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{Scene, acknowledging, forwarding, request_id, returning, withdrawing},
        inbox,
    };

    fn accepting<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> BatchAcknowledgeRequest {
        BatchAcknowledgeRequest {
            request_id: request_id(),
            notification_ids: receipts.into_iter().map(|receipt| receipt.notification_id.clone()).collect(),
        }
    }

    async fn accept(
        scene: &Scene,
        caller: &Caller,
        request: BatchAcknowledgeRequest,
    ) -> Result<BatchAcknowledgeResponse, Status> {
        scene.world.ask(&scene.notifications, caller, request, inbox::batch_acknowledge).await
    }

    fn became(answer: &BatchAcknowledgeResponse) -> Vec<(Became, &str)> {
        answer.acknowledgements.iter().map(|one| (one.outcome(), one.etag.as_str())).collect()
    }

    #[tokio::test]
    async fn many_are_accepted_at_once_and_each_is_announced_and_audited() -> Outcome {
        let scene = Scene::new().await?;
        let filed = [scene.file().await?, scene.file().await?, scene.file().await?];
        scene.world.clock.advance(Duration::hours(1));
        // Whatever the order they are asked in.
        let request = accepting(filed.iter().rev());
        let answer = accept(&scene, &scene.nurse, request.clone()).await?;
        assert_eq!(became(&answer), [(Became::Acknowledged, "2"); 3]);
        let answered: Vec<&String> = answer.acknowledgements.iter().map(|one| &one.notification_id).collect();
        assert_eq!(answered, request.notification_ids.iter().collect::<Vec<_>>(), "in the order of the request");
        for receipt in &filed {
            let seen = scene.get(&scene.nurse, receipt).await?;
            assert_eq!((seen.state(), seen.etag.as_str()), (State::Acknowledged, "2"));
            assert_eq!(seen.acknowledge_time, Some(to_proto(NOW + Duration::hours(1))));
        }
        let announced: Vec<NotificationAcknowledged> = scene.world.announced().await?;
        assert_eq!(announced.len(), 3);
        assert!(announced.iter().all(|event| event.centre_id == scene.centre.id.to_string()));

        let again = accept(&scene, &scene.nurse, request.clone()).await?;
        assert!(again == answer, "a repeated request gets the same answer");
        assert_eq!(scene.world.announced::<NotificationAcknowledged>().await?.len(), 3);
        let rows = scene.world.audited("BatchAcknowledge").await?;
        assert_eq!((rows.len(), rows[0].user), (6, Some(scene.nurse.user_id.uuid())));
        let other = BatchAcknowledgeRequest { request_id: request.request_id, ..accepting(&filed[..1]) };
        assert_eq!(accept(&scene, &scene.nurse, other).await.refused().code(), Code::AlreadyExists);
        Ok(())
    }

    #[tokio::test]
    async fn each_is_answered_by_itself() -> Outcome {
        let scene = Scene::new().await?;
        let mut filed = Vec::new();
        for _ in 0..6 {
            filed.push(scene.file().await?);
        }
        let [good, accepted, returned, withdrawn, forwarded, handed_over] = filed.as_slice() else { unreachable!() };
        scene.acknowledge(&scene.nurse, acknowledging(accepted)).await?;
        let ask = |request| scene.world.ask(&scene.notifications, &scene.nurse, request, inbox::send_back);
        ask(returning(returned)).await?;
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(withdrawn), filing::withdraw).await?;
        scene.forward(&scene.nurse, forwarding(forwarded, scene.neighbour.id)).await?;
        let grants = [(scene.neighbour, Relation::ResponsibleCentre), (scene.centre, Relation::FormerCentre)];
        scene.belongs(handed_over, CaseId::new(), &grants, 1).await?;

        let mut request = accepting(&filed);
        request.notification_ids.push(request_id());
        let answer = accept(&scene, &scene.nurse, request).await?;
        assert_eq!(
            became(&answer),
            [
                (Became::Acknowledged, "2"),
                (Became::Already, "2"),
                (Became::Acknowledged, "3"),
                (Became::Withdrawn, ""),
                (Became::NotInYourInbox, ""),
                (Became::NotInYourInbox, ""),
                (Became::NotFound, ""),
            ]
        );
        assert_eq!(scene.get(&scene.nurse, good).await?.state(), State::Acknowledged);
        assert_eq!(scene.get(&scene.nurse, returned).await?.reason, "");
        assert_eq!(scene.get(&scene.colleague, forwarded).await?.state(), State::Filed);
        assert_eq!(scene.world.audited("BatchAcknowledge").await?.len(), 6, "nothing of what does not exist");

        // Not by name either does somebody else learn what there is.
        let stranger = scene.world.body(proto::identity::OrganisationKind::HealthCentre, 28).await?;
        let there = stranger.staff(proto::identity::Role::Nurse);
        let answer = accept(&scene, &there, accepting(&filed)).await?;
        assert_eq!(became(&answer), [(Became::NotFound, ""); 6]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let ids = |ids: Vec<String>| BatchAcknowledgeRequest { request_id: request_id(), notification_ids: ids };
        let twice = vec![receipt.notification_id.clone(); 2];
        let many = (0..201).map(|_| request_id()).collect();
        for (caller, request, code, field) in [
            (&scene.coordinator, accepting([]), Code::InvalidArgument, "notification_ids"),
            (&scene.nurse, accepting([]), Code::InvalidArgument, "notification_ids"),
            (&scene.nurse, ids(twice), Code::InvalidArgument, "notification_ids"),
            (&scene.nurse, ids(many), Code::InvalidArgument, "notification_ids"),
            (&scene.nurse, ids(vec!["x".to_owned()]), Code::InvalidArgument, "notification_ids"),
        ] {
            let refused = accept(&scene, caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        let administrator = scene.centre.staff(proto::identity::Role::Administrator);
        let refused = accept(&scene, &administrator, accepting([&receipt])).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(scene.world.audited("BatchAcknowledge").await?.is_empty());
        Ok(())
    }
}
