//! `EndSession`: one of the caller's sessions ends everywhere. And how sessions end for other reasons.

use access::{SessionId, UserId};
use chassis::{Call, Error};
use data::outbox;
use proto::identity::{AccessRevoked, EndSessionRequest, EndSessionResponse, access_revoked::Subject};
use runtime::clock::to_proto;
use sqlx::PgConnection;

use super::store;
use crate::service::Identity;

pub(crate) async fn end(identity: Identity, call: Call<EndSessionRequest>) -> Result<EndSessionResponse, Error> {
    let id = SessionId::parse(&call.request.session_id)?;
    let mut tx = identity.base.pool.begin().await?;
    store::lock(&mut tx, id)
        .await?
        .filter(|session| session.subject == call.caller.user_id)
        .ok_or(Error::NotFound("session"))?;

    end_one(&identity, &mut tx, id).await?;
    tx.commit().await?;
    Ok(EndSessionResponse {})
}

/// Ends a session and refuses its tokens everywhere.
pub(super) async fn end_one(identity: &Identity, conn: &mut PgConnection, id: SessionId) -> sqlx::Result<()> {
    store::end(conn, id, identity.base.clock.now()).await?;
    announce(identity, conn, Subject::SessionId(id.to_string())).await
}

/// Ends every session of a subject and refuses its tokens everywhere.
pub(crate) async fn end_all(identity: &Identity, conn: &mut PgConnection, subject: UserId) -> sqlx::Result<()> {
    store::end_all(conn, subject, None, identity.base.clock.now()).await?;
    announce(identity, conn, Subject::UserId(subject.to_string())).await
}

/// Ends every session of a subject but one.
pub(super) async fn end_others(
    identity: &Identity,
    conn: &mut PgConnection,
    subject: UserId,
    but: SessionId,
) -> sqlx::Result<()> {
    for ended in store::end_all(conn, subject, Some(but), identity.base.clock.now()).await? {
        announce(identity, conn, Subject::SessionId(ended.to_string())).await?;
    }
    Ok(())
}

/// The moment is read once the rows are locked: a token that a twin got while we waited is refused too.
async fn announce(identity: &Identity, conn: &mut PgConnection, subject: Subject) -> sqlx::Result<()> {
    let revoke_time = Some(to_proto(identity.base.clock.now()));
    outbox::add(conn, &AccessRevoked { subject: Some(subject), revoke_time }).await
}

#[cfg(test)]
mod tests {
    use access::SessionId;
    use proto::identity::{EndSessionRequest, Role, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::end_all;
    use crate::{fixture::Scene, session};

    #[tokio::test]
    async fn one_of_the_own_sessions_ends_everywhere() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (tokens, elsewhere) = scene.session(&nurse).await?;
        let request = EndSessionRequest { session_id: elsewhere.session_id.to_string() };
        scene.world.ask(&scene.identity, &nurse.caller, request, session::end).await?;
        assert_eq!(scene.revoked().await?, [Subject::SessionId(elsewhere.session_id.to_string())]);
        assert_eq!(scene.refresh(&tokens).await.refused().code(), Code::Unauthenticated);
        scene.refresh(&nurse.tokens).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let other = scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        let (_, ended) = scene.session(&nurse).await?;
        let request = EndSessionRequest { session_id: ended.session_id.to_string() };
        scene.world.ask(&scene.identity, &nurse.caller, request, session::end).await?;
        for (session_id, what) in [
            (other.caller.session_id, "somebody else's"),
            (ended.session_id, "it has ended"),
            (SessionId::new(), "there is none"),
        ] {
            let request = EndSessionRequest { session_id: session_id.to_string() };
            let refused = scene.world.ask(&scene.identity, &nurse.caller, request, session::end).await.refused();
            assert_eq!(refused.code(), Code::NotFound, "{what}");
        }
        scene.refresh(&other.tokens).await?;
        Ok(())
    }

    #[tokio::test]
    async fn all_sessions_of_somebody_end_with_one_event() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (tokens, _) = scene.session(&nurse).await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        end_all(&scene.identity, &mut conn, nurse.caller.user_id).await?;
        assert_eq!(scene.revoked().await?, [Subject::UserId(nurse.caller.user_id.to_string())]);
        for tokens in [&nurse.tokens, &tokens] {
            assert_eq!(scene.refresh(tokens).await.refused().code(), Code::Unauthenticated);
        }
        Ok(())
    }
}
