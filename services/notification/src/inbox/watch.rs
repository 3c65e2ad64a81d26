//! `WatchInbox`: what reaches the caller's organisation is sent within a second.

use std::sync::Arc;

use chassis::{
    Call, Error, Reply,
    watch::{Arrived, Since, Stream},
};
use proto::notification::{WatchInboxRequest, WatchInboxResponse};
use tonic::Request;
use uuid::Uuid;

use super::store;
use crate::{filing, service::Notifications};

pub(crate) fn watch(
    notifications: &Notifications,
    request: Request<WatchInboxRequest>,
) -> Reply<Stream<WatchInboxResponse>> {
    notifications.base.watch(notifications, request, &notifications.arrivals, look, show)
}

async fn look(
    notifications: Notifications,
    call: Arc<Call<WatchInboxRequest>>,
    since: Since,
) -> Result<Vec<Arrived>, Error> {
    let mut conn = notifications.base.pool.acquire().await?;
    Ok(store::arrived(&mut conn, call.caller.organisation_id, &since).await?)
}

/// Shows what is still there: it may have been forwarded since it was looked for.
async fn show(
    notifications: Notifications,
    call: Arc<Call<WatchInboxRequest>>,
    ids: Vec<Uuid>,
) -> Result<WatchInboxResponse, Error> {
    let base = &notifications.base;
    let ids: Vec<filing::NotificationId> = ids.into_iter().map(Into::into).collect();

    let mut conn = base.pool.acquire().await?;
    let rows = store::in_inbox(&mut conn, call.caller.organisation_id, &ids).await?;
    drop(conn);
    // While the registry is silent, what hangs on its word is left out.
    filing::learn_what_is_told(&notifications, &call.caller, &ids).await?;
    let mut tx = base.pool.begin().await?;
    let shown = filing::visible(&notifications, &mut tx, &call, rows).await?;
    tx.commit().await?;

    let shown = shown.iter().map(|(row, relations)| filing::shown(base, row, relations));
    Ok(WatchInboxResponse { notifications: shown.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access::Caller;
    use anyhow::Context as _;
    use proto::{
        notification::{WatchInboxRequest, WatchInboxResponse, inbox_service_server::InboxService as _},
        options::Group,
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tokio::sync::mpsc::Receiver;
    use tonic::{Code, Request, Status};
    use uuid::Uuid;

    use super::Since;
    use crate::{
        fixture::{Scene, forwarding},
        service::Notifications,
    };

    type Messages = Receiver<Result<WatchInboxResponse, Status>>;

    fn request(caller: &Caller) -> Request<WatchInboxRequest> {
        let mut request = Request::new(WatchInboxRequest {});
        request.extensions_mut().insert(caller.clone());
        request
    }

    /// A watch that stands: what is filed from here on is news.
    async fn watch(scene: &Scene, caller: &Caller) -> anyhow::Result<Messages> {
        let mut messages = scene.notifications.watch_inbox(request(caller)).await?.into_inner().into_inner();
        assert!(next(&mut messages).await?.is_ok_and(|first| first.notifications.is_empty()));
        Ok(messages)
    }

    async fn next(messages: &mut Messages) -> anyhow::Result<Result<WatchInboxResponse, Status>> {
        tokio::time::timeout(Duration::from_secs(10), messages.recv()).await?.context("the watch ended")
    }

    fn ids(message: &WatchInboxResponse) -> Vec<&str> {
        message.notifications.iter().map(|notification| notification.notification_id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_filing_comes_once_and_is_audited_as_a_watch() -> Outcome {
        let scene = Scene::new().await?;
        scene.file().await?;
        let mut messages = watch(&scene, &scene.nurse).await?;
        scene.world.clock.advance(time::Duration::seconds(1));
        for _ in 0..2 {
            let receipt = scene.file().await?;
            let news = next(&mut messages).await??;
            assert_eq!(
                ids(&news),
                [receipt.notification_id.as_str()],
                "neither what was there before nor a thing twice"
            );
            assert_eq!(news.notifications[0].form.as_ref().unwrap().report_date, "2020-05-20");
        }
        let rows = scene.world.audited("WatchInbox").await?;
        assert_eq!((rows.len(), rows[0].user), (2, Some(scene.nurse.user_id.uuid())));
        assert!(rows[0].groups.contains(&(Group::Identity as i16)));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_forwarded_arrives_at_the_other_centre() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let mut messages = watch(&scene, &scene.colleague).await?;
        scene.world.clock.advance(time::Duration::seconds(1));
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        assert_eq!(ids(&next(&mut messages).await??), [receipt.notification_id.as_str()]);
        Ok(())
    }

    #[tokio::test]
    async fn what_went_on_in_the_meantime_is_neither_shown_nor_audited() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let found = (Uuid::try_parse(&receipt.notification_id)?, scene.world.clock.now() + time::Duration::hours(1));
        let look = move |_, _, since: Since| async move { Ok([found].repeat(usize::from(since.known.is_empty()))) };
        let Notifications { base, arrivals, .. } = &scene.notifications;
        let shown = base.watch(&scene.notifications, request(&scene.colleague), arrivals, look, super::show)?;
        let mut messages = shown.into_inner().into_inner();
        for _ in 0..2 {
            assert!(next(&mut messages).await??.notifications.is_empty());
        }
        assert!(scene.world.audited("WatchInbox").await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn what_hangs_on_a_silent_registry_keeps_nothing_else_back() -> Outcome {
        let scene = Scene::new().await?;
        let (unheard, other) = (scene.file().await?, scene.file().await?);
        scene.belongs(&unheard, access::CaseId::new(), &[(scene.centre, Relation::ResponsibleCentre)], 1).await?;
        access::cases::forget_all(&mut *scene.world.base.pool.acquire().await?).await?;
        let at = scene.world.clock.now() + time::Duration::hours(1);
        let found = [(Uuid::try_parse(&unheard.notification_id)?, at), (Uuid::try_parse(&other.notification_id)?, at)];
        let look = move |_, _, since: Since| async move {
            Ok(if since.known.is_empty() { found.to_vec() } else { Vec::new() })
        };
        let Notifications { base, arrivals, .. } = &scene.notifications;
        let shown = base.watch(&scene.notifications, request(&scene.nurse), arrivals, look, super::show)?;
        let mut messages = shown.into_inner().into_inner();
        assert!(next(&mut messages).await??.notifications.is_empty());
        assert_eq!(ids(&next(&mut messages).await??), [other.notification_id.as_str()]);
        Ok(())
    }

    #[tokio::test]
    async fn a_watch_ends_when_its_token_is_no_longer_good() -> Outcome {
        let scene = Scene::new().await?;
        let mut messages = watch(&scene, &scene.nurse).await?;
        // Identity has been silent for so long that only young tokens are good.
        scene.world.clock.advance(time::Duration::minutes(2));
        let end = next(&mut messages).await?;
        assert_eq!(end.refused().code(), Code::Unavailable, "it may be good: nobody is told to sign in again");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let refused = scene.notifications.watch_inbox(Request::new(WatchInboxRequest {})).await.refused();
        assert_eq!(refused.code(), Code::Unauthenticated, "nobody was let in");
        Ok(())
    }
}
