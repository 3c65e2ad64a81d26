//! `StepUp`: a fresh one-time code within a session, before issuing, transfer or export.

use chassis::{Call, Error};
use proto::identity::{StepUpRequest, Tokens};
use runtime::problem::Unproved;

use super::{attempt, store, tokens};
use crate::{factor, service::Identity};

pub(crate) async fn step_up(identity: Identity, call: Call<StepUpRequest>) -> Result<Tokens, Error> {
    let account = attempt::counted(&identity, &call.caller).await?;
    let sealed = account.totp_sealed.as_deref().ok_or(Error::Unauthenticated(Unproved::CodeWrong))?;
    let step = factor::step_of(&identity, &account, sealed, &call.request.code, call.now)?;

    let mut tx = identity.base.pool.begin().await?;
    if !factor::accept_step(&mut tx, account.user_id, step).await? {
        return Err(Error::Unauthenticated(Unproved::CodeUsed));
    }
    let session = store::step_up(&mut tx, call.caller.session_id, identity.base.clock.now()).await?;
    let session = session.ok_or(Error::Unauthenticated(Unproved::SessionEnded))?;
    // The session's refresh token stays good: only the access token is new.
    let tokens = tokens::access_token(&identity, &mut tx, &session, String::new()).await?;
    tx.commit().await?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::identity::{Role, StepUpRequest, Tokens, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, claims},
        session,
    };

    async fn step_up(scene: &Scene, caller: &Caller, code: &str) -> Result<Tokens, Status> {
        let request = StepUpRequest { code: code.to_owned() };
        scene.world.ask(&scene.identity, caller, request, session::step_up).await
    }

    #[tokio::test]
    async fn a_fresh_code_renews_the_access_token_and_leaves_the_refresh_token() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        scene.world.clock.advance(Duration::minutes(20));
        let tokens = step_up(&scene, &nurse.caller, &scene.code(&nurse)).await?;
        assert_eq!(tokens.refresh_token, "");
        assert_eq!(claims(&tokens).authenticated, scene.world.clock.now().unix_timestamp());
        scene.world.clock.advance(Duration::minutes(30));
        scene.refresh(&nurse.tokens).await?;
        Ok(())
    }

    #[tokio::test]
    async fn ten_wrong_codes_end_the_session_and_a_right_one_begins_the_count_anew() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let wrong = || if scene.code(&nurse) == "000000" { "111111" } else { "000000" };
        for _ in 0..9 {
            step_up(&scene, &nurse.caller, wrong()).await.refused();
        }
        step_up(&scene, &nurse.caller, &scene.code(&nurse)).await?;
        scene.world.clock.advance(Duration::seconds(30));
        for _ in 0..10 {
            step_up(&scene, &nurse.caller, wrong()).await.refused();
        }
        assert_eq!(scene.revoked().await?, []);
        let right = step_up(&scene, &nurse.caller, &scene.code(&nurse)).await.refused();
        assert_eq!(right.code(), Code::Unauthenticated);
        assert_eq!(scene.revoked().await?, [Subject::SessionId(nurse.caller.session_id.to_string())]);
        assert_eq!(scene.refresh(&nurse.tokens).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let gone = scene.person(scene.hospital, "nurse.gone", Role::Nurse).await?;
        let code = scene.code(&nurse);
        step_up(&scene, &nurse.caller, &code).await?;
        scene.disable(gone.caller.user_id).await?;
        let system = Caller { scopes: Some([].into()), ..nurse.caller.clone() };
        let ended = Caller { session_id: access::SessionId::new(), ..nurse.caller.clone() };
        for (caller, code, expected, what) in [
            (&nurse.caller, code.as_str(), Code::Unauthenticated, "the code was used"),
            (&ended, code.as_str(), Code::Unauthenticated, "there is no such session"),
            (&gone.caller, code.as_str(), Code::Unauthenticated, "the ID is disabled"),
            (&testing::patient(CaseId::new()), code.as_str(), Code::PermissionDenied, "a patient"),
        ] {
            assert_eq!(step_up(&scene, caller, code).await.refused().code(), expected, "{what}");
        }
        // Another system is stopped by its scopes already; the operation does not rely on that.
        assert_eq!(step_up(&scene, &system, &code).await.refused().code(), Code::PermissionDenied);
        scene.world.clock.advance(Duration::minutes(30) + Duration::SECOND);
        let late = step_up(&scene, &nurse.caller, &scene.code(&nurse)).await.refused();
        assert_eq!(late.code(), Code::Unauthenticated, "the session ran out");
        Ok(())
    }
}
