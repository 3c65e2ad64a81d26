//! `RefreshTokens`: new tokens for a refresh token, which works once. Reuse ends the session, except for one lost response.

use access::SessionId;
use chassis::{Anonymous, Call, Error};
use proto::identity::{RefreshTokensRequest, Tokens};
use runtime::problem::Unproved;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use vault::Place;

use super::{
    end,
    model::{LOST_RESPONSE, Session},
    store::{self, RefreshToken},
    tokens,
};
use crate::service::Identity;

const SUCCESSOR: Place = Place { table: "refresh_token", column: "successor" };

pub(crate) async fn refresh(identity: Identity, call: Call<RefreshTokensRequest, Anonymous>) -> Result<Tokens, Error> {
    renew(&identity, &call.request.refresh_token).await
}

/// Exchanges a refresh token.
pub(crate) async fn renew(identity: &Identity, refresh_token: &str) -> Result<Tokens, Error> {
    let hash = identity.hash_of(refresh_token);
    let mut tx = identity.base.pool.begin().await?;
    let token = store::lock_refresh(&mut tx, &hash).await?.ok_or(Error::Unauthenticated(Unproved::SessionEnded))?;
    let session =
        store::lock(&mut tx, token.session_id).await?.ok_or(Error::Unauthenticated(Unproved::SessionEnded))?;
    // Behind the locks: a twin may have used either meanwhile.
    let now = identity.base.clock.now();
    if session.is_over(now) {
        store::end(&mut tx, session.id, now).await?;
        tx.commit().await?;
        return Err(Error::Unauthenticated(Unproved::SessionEnded));
    }

    if token.used_at.is_some() {
        return again(identity, tx, &hash, token, &session, now).await;
    }
    let tokens = tokens::issue(identity, &mut tx, &session).await?;
    let sealed = identity.vault().seal(SUCCESSOR, &hash, tokens.refresh_token.as_bytes())?;
    store::use_refresh(&mut tx, &hash, &sealed, now).await?;
    store::touch(&mut tx, session.id, now).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// A token that was used before: its response got lost, or somebody holds a copy.
async fn again(
    identity: &Identity,
    mut tx: Transaction<'static, Postgres>,
    hash: &[u8],
    token: RefreshToken,
    session: &Session,
    now: OffsetDateTime,
) -> Result<Tokens, Error> {
    let in_time = token.used_at.is_some_and(|used_at| now - used_at <= LOST_RESPONSE);
    let successor = token.successor.map(|sealed| identity.vault().open(SUCCESSOR, hash, &sealed)).transpose()?;
    let successor = successor.and_then(|plain| String::from_utf8(plain).ok());
    let Some(successor) = successor.filter(|_| in_time) else { return copied(identity, tx, session.id).await };
    if store::is_used(&mut tx, &identity.hash_of(&successor)).await? {
        return copied(identity, tx, session.id).await;
    }
    // The response got lost on the way: the same successor again.
    store::touch(&mut tx, session.id, now).await?;
    let tokens = tokens::access_token(identity, &mut tx, session, successor).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Somebody holds a copy: nobody keeps the session.
async fn copied(
    identity: &Identity,
    mut tx: Transaction<'static, Postgres>,
    session: SessionId,
) -> Result<Tokens, Error> {
    end::end_one(identity, &mut tx, session).await?;
    tx.commit().await?;
    Err(Error::Unauthenticated(Unproved::SessionEnded))
}

#[cfg(test)]
mod tests {
    use proto::identity::{Role, Tokens, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{Scene, claims};

    #[tokio::test]
    async fn a_refresh_token_works_once() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let second = scene.refresh(&nurse.tokens).await?;
        let third = scene.refresh(&second).await?;
        assert_eq!(claims(&third).sid, claims(&nurse.tokens).sid);
        assert_eq!(claims(&third).authenticated, claims(&nurse.tokens).authenticated, "no factor was given again");
        // The successor was used, so nobody lost a response: somebody holds a copy.
        assert_eq!(scene.refresh(&nurse.tokens).await.refused().code(), Code::Unauthenticated);
        assert_eq!(scene.refresh(&third).await.refused().code(), Code::Unauthenticated, "the session has ended");
        assert_eq!(scene.revoked().await?, [Subject::SessionId(nurse.caller.session_id.to_string())]);
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_response_is_given_again_for_thirty_seconds() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let lost = scene.refresh(&nurse.tokens).await?;
        scene.world.clock.advance(Duration::seconds(30));
        let again = scene.refresh(&nurse.tokens).await?;
        assert_eq!(again.refresh_token, lost.refresh_token);
        scene.world.clock.advance(Duration::SECOND);
        assert_eq!(scene.refresh(&nurse.tokens).await.refused().code(), Code::Unauthenticated);
        assert_eq!(scene.refresh(&again).await.refused().code(), Code::Unauthenticated, "the session has ended");
        assert_eq!(scene.revoked().await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_session_ends_after_half_an_hour_without_use() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        // The fixture moved the clock on by half a minute.
        scene.world.clock.advance(Duration::seconds(29 * 60 + 30));
        let tokens = scene.refresh(&nurse.tokens).await?;
        scene.world.clock.advance(Duration::minutes(30) + Duration::SECOND);
        assert_eq!(scene.refresh(&tokens).await.refused().code(), Code::Unauthenticated);
        scene.world.clock.advance(-Duration::minutes(30));
        assert_eq!(scene.refresh(&tokens).await.refused().code(), Code::Unauthenticated, "it ended for good");
        Ok(())
    }

    #[tokio::test]
    async fn a_session_ends_after_twelve_hours_whatever_happens() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let mut tokens = nurse.tokens;
        for _ in 0..24 {
            scene.world.clock.advance(Duration::minutes(29));
            tokens = scene.refresh(&tokens).await?;
        }
        // The fixture moved the clock on by half a minute.
        scene.world.clock.advance(Duration::hours(12) - Duration::minutes(24 * 29) - Duration::seconds(30));
        tokens = scene.refresh(&tokens).await?;
        scene.world.clock.advance(Duration::SECOND);
        assert_eq!(scene.refresh(&tokens).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nothing = Tokens { refresh_token: "nothing".to_owned(), ..Tokens::default() };
        assert_eq!(scene.refresh(&nothing).await.refused().code(), Code::Unauthenticated);
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        scene.disable(nurse.caller.user_id).await?;
        assert_eq!(scene.refresh(&nurse.tokens).await.refused().code(), Code::Unauthenticated, "the ID is disabled");
        Ok(())
    }

    #[tokio::test]
    async fn of_two_at_the_same_moment_both_get_the_same_successor() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (one, other) = tokio::join!(scene.refresh(&nurse.tokens), scene.refresh(&nurse.tokens));
        assert_eq!(one?.refresh_token, other?.refresh_token);
        Ok(())
    }
}
