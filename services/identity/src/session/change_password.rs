//! `ChangePassword`: a new password; every other session of the caller ends.

use chassis::{Call, Error};
use proto::identity::{ChangePasswordRequest, ChangePasswordResponse};

use super::{attempt, end};
use crate::{challenge, factor, service::Identity};

pub(crate) async fn change_password(
    identity: Identity,
    call: Call<ChangePasswordRequest>,
) -> Result<ChangePasswordResponse, Error> {
    let ChangePasswordRequest { current_password, new_password } = call.request;
    let caller = call.caller;
    let turn = identity.admit()?;
    let account = attempt::counted(&identity, &caller).await?;
    factor::refuse_easy(&new_password, &account.login)?;
    if !identity.verify(turn, current_password, Some(account.secret_hash)).await? {
        return Err(Error::invalid("current_password", "パスワードが違います", "must be the password in use"));
    }
    let secret_hash = identity.hashing.hash(identity.admit()?, new_password).await?;

    let mut tx = identity.base.pool.begin().await?;
    factor::set_password(&mut tx, caller.user_id, &secret_hash).await?;
    challenge::drop_all(&mut tx, caller.user_id).await?;
    end::end_others(&identity, &mut tx, caller.user_id, caller.session_id).await?;
    tx.commit().await?;
    Ok(ChangePasswordResponse {})
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::identity::{ChangePasswordRequest, ChangePasswordResponse, Role, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{PASSWORD, Scene},
        session,
    };

    const NEW: &str = "staple battery correct";

    async fn change(
        scene: &Scene,
        caller: &Caller,
        current: &str,
        new: &str,
    ) -> Result<ChangePasswordResponse, Status> {
        let request = ChangePasswordRequest { current_password: current.to_owned(), new_password: new.to_owned() };
        scene.world.ask(&scene.identity, caller, request, session::change_password).await
    }

    #[tokio::test]
    async fn the_new_password_counts_and_every_other_session_ends() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (tokens, elsewhere) = scene.session(&nurse).await?;
        let begun = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        change(&scene, &nurse.caller, PASSWORD, NEW).await?;
        assert_eq!(scene.revoked().await?, [Subject::SessionId(elsewhere.session_id.to_string())]);
        assert_eq!(scene.refresh(&tokens).await.refused().code(), Code::Unauthenticated);
        scene.refresh(&nurse.tokens).await?;
        let refused = scene.verify_otp(&begun, &scene.code(&nurse)).await.refused();
        assert_eq!(refused.code(), Code::Unauthenticated, "what was begun with the old one");
        assert_eq!(scene.sign_in(&nurse.login, PASSWORD).await.refused().code(), Code::Unauthenticated);
        scene.sign_in(&nurse.login, NEW).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let ended = Caller { session_id: access::SessionId::new(), ..nurse.caller.clone() };
        for (caller, current, new, code, field) in [
            (&nurse.caller, PASSWORD, "nurse.sato-nurse.sato", Code::InvalidArgument, "new_password"),
            (&nurse.caller, "another", NEW, Code::InvalidArgument, "current_password"),
            (&ended, PASSWORD, NEW, Code::Unauthenticated, ""),
            (&testing::patient(CaseId::new()), PASSWORD, NEW, Code::PermissionDenied, ""),
        ] {
            let refused = change(&scene, caller, current, new).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{field}");
        }
        let turns: Vec<_> = std::iter::from_fn(|| scene.identity.admit().ok()).collect();
        assert_eq!(change(&scene, &nurse.caller, PASSWORD, NEW).await.refused().code(), Code::ResourceExhausted);
        drop(turns);
        scene.world.clock.advance(Duration::minutes(30));
        let late = change(&scene, &nurse.caller, PASSWORD, NEW).await.refused();
        assert_eq!(late.code(), Code::Unauthenticated, "the session ran out");
        Ok(())
    }

    #[tokio::test]
    async fn ten_wrong_passwords_end_the_session() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        for _ in 0..10 {
            assert_eq!(change(&scene, &nurse.caller, "a guess", NEW).await.refused().code(), Code::InvalidArgument);
        }
        assert_eq!(change(&scene, &nurse.caller, PASSWORD, NEW).await.refused().code(), Code::Unauthenticated);
        assert_eq!(scene.revoked().await?.len(), 1);
        Ok(())
    }
}
