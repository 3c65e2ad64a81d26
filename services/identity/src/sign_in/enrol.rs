//! `Enrol`: at the first sign-in the person chooses a password and gets the secret of the authenticator.

use chassis::{Anonymous, Call, Error};
use proto::identity::{EnrolRequest, EnrolResponse};
use runtime::problem::Unproved;

use super::model::CODE_TRIES;
use crate::{
    challenge::{self, Step},
    factor::{self, RecoveryCodes},
    service::Identity,
};

pub(crate) async fn enrol(identity: Identity, call: Call<EnrolRequest, Anonymous>) -> Result<EnrolResponse, Error> {
    let EnrolRequest { challenge, new_password } = call.request;
    let hash = identity.hash_of(&challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = challenge::attempt(&mut conn, &hash, CODE_TRIES, call.now)
        .await?
        .filter(|challenge| challenge.step == Step::Enrol)
        .ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    let account = factor::find_account(&mut conn, challenge.subject)
        .await?
        .ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    // Nobody keeps a connection while waiting for the hash.
    drop(conn);
    factor::refuse_easy(&new_password, &account.login)?;

    let turn = identity.admit()?;
    let secret_hash = identity.hashing.hash(turn, new_password).await?;
    let authenticator = factor::new_authenticator(&identity, &account)?;
    let codes = RecoveryCodes::drawn(&identity, account.user_id)?;
    // In force only once the authenticator is proved: whoever saw the slip changes nothing of an ID in use.
    let mut conn = identity.base.pool.acquire().await?;
    let kept =
        challenge::prepare_enrolment(&mut conn, &hash, &authenticator.sealed, &secret_hash, &codes.hashes).await?;
    if !kept {
        return Err(Error::Unauthenticated(Unproved::ChallengeEnded));
    }
    Ok(EnrolResponse { otp_secret: authenticator.base32, otpauth_url: authenticator.url, recovery_codes: codes.shown })
}

#[cfg(test)]
mod tests {
    use proto::identity::{NextStep, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{PASSWORD, Scene};

    #[tokio::test]
    async fn a_choice_is_in_force_only_once_the_authenticator_is_proved() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let challenge = scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge;
        let enrolled = scene.enrol(&challenge, PASSWORD).await?;
        assert!(enrolled.otpauth_url.contains(&enrolled.otp_secret), "{}", enrolled.otpauth_url);
        assert_eq!(enrolled.recovery_codes.len(), 10);
        let again = scene.sign_in("nurse.sato", &issued.initial_secret).await?;
        assert_eq!(again.next_step(), NextStep::Enrol, "the initial secret still stands");
        assert_eq!(scene.sign_in("nurse.sato", PASSWORD).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        let otp = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let good = scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge;
        for (challenge, password, code, field) in [
            ("nothing", PASSWORD, Code::Unauthenticated, ""),
            (otp.as_str(), PASSWORD, Code::Unauthenticated, ""),
            (good.as_str(), "password1234", Code::InvalidArgument, "new_password"),
            (good.as_str(), "nurse.sato-nurse.sato", Code::InvalidArgument, "new_password"),
        ] {
            let refused = scene.enrol(challenge, password).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{password} {field}");
        }
        scene.world.clock.advance(Duration::minutes(5));
        assert_eq!(scene.enrol(&good, PASSWORD).await.refused().code(), Code::Unauthenticated, "it has expired");
        Ok(())
    }

    #[tokio::test]
    async fn a_challenge_is_tried_five_times() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let challenge = scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge;
        for _ in 0..5 {
            assert_eq!(scene.enrol(&challenge, "password1234").await.refused().code(), Code::InvalidArgument);
        }
        assert_eq!(scene.enrol(&challenge, PASSWORD).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn a_storm_is_turned_away() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let challenge = scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge;
        let turns: Vec<_> = std::iter::from_fn(|| scene.identity.admit().ok()).collect();
        assert_eq!(scene.enrol(&challenge, PASSWORD).await.refused().code(), Code::ResourceExhausted);
        drop(turns);
        scene.enrol(&challenge, PASSWORD).await?;
        Ok(())
    }
}
