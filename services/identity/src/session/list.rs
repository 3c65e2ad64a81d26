//! `ListSessions`: the caller's sessions that have not ended, newest first.

use chassis::{Call, Error, page};
use proto::identity::{ListSessionsRequest, ListSessionsResponse, Session as View};
use runtime::clock::to_proto;

use super::{model::Session, store};
use crate::service::Identity;

pub(crate) async fn list(identity: Identity, call: Call<ListSessionsRequest>) -> Result<ListSessionsResponse, Error> {
    let after = page::After::parse(&call.request.page_token)?;
    let size = page::size(call.request.page_size);

    let mut conn = identity.base.pool.acquire().await?;
    let sessions = store::page(&mut conn, call.caller.user_id, call.now, after, size).await?;

    let view = |session: &Session| View {
        session_id: session.id.to_string(),
        create_time: Some(to_proto(session.created_at)),
        last_refresh_time: Some(to_proto(session.used_at)),
        current: session.id == call.caller.session_id,
    };
    let token = |session: &Session| page::After::row(session.created_at, session.id).token();
    Ok(ListSessionsResponse {
        sessions: sessions.iter().map(view).collect(),
        next_page_token: page::next(&sessions, size, token),
    })
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{ListSessionsRequest, ListSessionsResponse, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{fixture::Scene, session};

    async fn list(scene: &Scene, caller: &Caller, size: i32, token: &str) -> Result<ListSessionsResponse, Status> {
        let request = ListSessionsRequest { page_size: size, page_token: token.to_owned() };
        scene.world.ask(&scene.identity, caller, request, session::list).await
    }

    #[tokio::test]
    async fn the_own_sessions_are_listed_page_by_page_newest_first() -> Outcome {
        let scene = Scene::new().await?;
        scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (_, second) = scene.session(&nurse).await?;
        let first_page = list(&scene, &nurse.caller, 1, "").await?;
        assert_eq!(first_page.sessions[0].session_id, second.session_id.to_string());
        assert!(!first_page.sessions[0].current);
        let second_page = list(&scene, &nurse.caller, 1, &first_page.next_page_token).await?;
        assert_eq!(second_page.sessions[0].session_id, nurse.caller.session_id.to_string());
        assert!(second_page.sessions[0].current);
        let last_page = list(&scene, &nurse.caller, 1, &second_page.next_page_token).await?;
        assert_eq!((last_page.sessions.len(), last_page.next_page_token.as_str()), (0, ""));
        Ok(())
    }

    #[tokio::test]
    async fn what_ran_out_is_not_listed() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        scene.session(&nurse).await?;
        scene.world.clock.advance(Duration::minutes(20));
        scene.refresh(&nurse.tokens).await?;
        scene.world.clock.advance(Duration::minutes(20));
        let listed = list(&scene, &nurse.caller, 0, "").await?.sessions;
        assert_eq!(listed.len(), 1, "the other one was not used");
        assert!(listed[0].current);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let refused = list(&scene, &scene.minister, 0, "nonsense").await.refused();
        assert_eq!((refused.code(), refused.message().starts_with("page_token")), (Code::InvalidArgument, true));
        Ok(())
    }
}
