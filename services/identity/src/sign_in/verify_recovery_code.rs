//! `VerifyRecoveryCode`: the second factor of staff whose authenticator is lost. Each code works once.

use chassis::{Anonymous, Call, Error};
use proto::identity::{Tokens, VerifyRecoveryCodeRequest};
use runtime::problem::Unproved;

use super::{model::CODE_TRIES, open::open};
use crate::{
    challenge::{self, Step},
    factor::{self, Account},
    service::Identity,
};

pub(crate) async fn verify_recovery_code(
    identity: Identity,
    call: Call<VerifyRecoveryCodeRequest, Anonymous>,
) -> Result<Tokens, Error> {
    let hash = identity.hash_of(&call.request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    // By itself: a try counts whatever comes of it.
    let challenge = challenge::attempt(&mut conn, &hash, CODE_TRIES, call.now)
        .await?
        .filter(|challenge| challenge.step == Step::Otp)
        .ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    drop(conn);

    let mut tx = identity.base.pool.begin().await?;
    let account = factor::find_account(&mut tx, challenge.subject)
        .await?
        .filter(Account::is_in_use)
        .ok_or(Error::Unauthenticated(Unproved::CodeWrong))?;
    let code = factor::recovery_hash(&identity, account.user_id, &call.request.recovery_code);
    let first = factor::use_recovery_code(&mut tx, account.user_id, &code, call.now).await?
        && challenge::finish(&mut tx, &hash).await?;
    if !first {
        return Err(Error::Unauthenticated(Unproved::CodeWrong));
    }
    tracing::info!(user_id = %account.user_id, "A recovery code stood for the authenticator");
    let tokens = open(&identity, &mut tx, &account, challenge.device_hash.as_deref()).await?;
    tx.commit().await?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proto::identity::{Role, Tokens, VerifyRecoveryCodeRequest};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{PASSWORD, Scene},
        sign_in,
    };

    async fn recover(scene: &Scene, challenge: &str, recovery_code: &str) -> Result<Tokens, Status> {
        let request =
            VerifyRecoveryCodeRequest { challenge: challenge.to_owned(), recovery_code: recovery_code.to_owned() };
        scene.world.ask_public(&scene.identity, request, sign_in::verify_recovery_code).await
    }

    #[tokio::test]
    async fn a_code_stands_once_for_the_authenticator() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let code = nurse.recovery_codes[0].to_lowercase().replace('-', " ");
        let challenge = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let tokens = recover(&scene, &challenge, &code).await?;
        assert!(!tokens.access_token.is_empty() && !tokens.device_token.is_empty());
        let challenge = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        assert_eq!(recover(&scene, &challenge, &code).await.refused().code(), Code::Unauthenticated);
        recover(&scene, &challenge, &nurse.recovery_codes[1]).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let gone = scene.person(scene.hospital, "nurse.gone", Role::Nurse).await?;
        let issued = scene.issue(scene.hospital, "nurse.new", Role::Nurse).await?;
        let enrolling = scene.sign_in("nurse.new", &issued.initial_secret).await?.challenge;
        let of_gone = scene.sign_in(&gone.login, PASSWORD).await?.challenge;
        scene.disable(gone.caller.user_id).await?;
        let good = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let code = nurse.recovery_codes[0].as_str();
        for (challenge, code, what) in [
            ("nothing", code, "no such challenge"),
            (enrolling.as_str(), code, "the ID has no factors yet"),
            (of_gone.as_str(), gone.recovery_codes[0].as_str(), "the ID is disabled"),
            (good.as_str(), gone.recovery_codes[0].as_str(), "somebody else's code"),
        ] {
            assert_eq!(recover(&scene, challenge, code).await.refused().code(), Code::Unauthenticated, "{what}");
        }
        scene.world.clock.advance(Duration::minutes(5));
        assert_eq!(recover(&scene, &good, code).await.refused().code(), Code::Unauthenticated, "it has expired");
        Ok(())
    }
}
