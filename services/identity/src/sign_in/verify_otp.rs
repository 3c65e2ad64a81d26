//! `VerifyOtp`: the second factor of staff. A code works once, also among fifty at the same moment.

use chassis::{Anonymous, Call, Error};
use proto::identity::{Tokens, VerifyOtpRequest};
use runtime::problem::Unproved;
use sqlx::PgConnection;

use super::{model::CODE_TRIES, open::open};
use crate::{
    challenge::{self, Challenge, Step},
    factor::{self, Account},
    service::Identity,
};

pub(crate) async fn verify_otp(identity: Identity, call: Call<VerifyOtpRequest, Anonymous>) -> Result<Tokens, Error> {
    let hash = identity.hash_of(&call.request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    // By itself: a try counts whatever comes of it.
    let challenge = challenge::attempt(&mut conn, &hash, CODE_TRIES, call.now)
        .await?
        .ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    drop(conn);
    tracing::debug!(tries = challenge.tries, "Checking a one-time code");

    let mut tx = identity.base.pool.begin().await?;
    let account = factor::find_account(&mut tx, challenge.subject)
        .await?
        .filter(Account::is_in_use)
        .ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    let sealed = match challenge.step {
        Step::Enrol => challenge.totp_sealed.as_deref(),
        Step::Otp => account.totp_sealed.as_deref(),
        Step::Patient => None,
    };
    let sealed = sealed.ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    let step = factor::step_of(&identity, &account, sealed, &call.request.code, call.now)?;
    let first = factor::accept_step(&mut tx, account.user_id, step).await? && challenge::finish(&mut tx, &hash).await?;
    if !first {
        return Err(Error::Unauthenticated(Unproved::CodeUsed));
    }

    if challenge.step == Step::Enrol {
        finish_enrolment(&mut tx, &account, &challenge, sealed).await?;
    }
    let tokens = open(&identity, &mut tx, &account, challenge.device_hash.as_deref()).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Password, authenticator and recovery codes come into force together.
async fn finish_enrolment(
    conn: &mut PgConnection,
    account: &Account,
    challenge: &Challenge,
    totp_sealed: &[u8],
) -> Result<(), Error> {
    let secret_hash = challenge.secret_hash.as_deref().ok_or(Error::Unauthenticated(Unproved::ChallengeEnded))?;
    if !factor::finish_enrolment(conn, account.user_id, secret_hash, totp_sealed).await? {
        return Err(Error::Unauthenticated(Unproved::ChallengeEnded));
    }
    let recovery = challenge.recovery.as_deref().unwrap_or_default();
    factor::replace_recovery_codes(conn, account.user_id, recovery).await?;
    // What else was begun with the initial secret ends.
    Ok(challenge::drop_all(conn, account.user_id).await?)
}

#[cfg(test)]
mod tests {
    use proto::identity::Role;
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{PASSWORD, Scene, claims};

    #[tokio::test]
    async fn both_factors_open_a_session_with_the_terms_still_due() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let said = claims(&nurse.tokens);
        assert_eq!((said.rol, said.org), (i32::from(Role::Nurse), scene.hospital.id.uuid()));
        assert_eq!((nurse.tokens.terms_due, said.due), (1, true));
        assert!(!nurse.tokens.device_token.is_empty() && !nurse.tokens.refresh_token.is_empty());
        // A device that is known keeps the token it has.
        let challenge = scene.sign_in_on(&nurse.tokens.device_token, &nurse.login, PASSWORD).await?.challenge;
        let tokens = scene.verify_otp(&challenge, &scene.code(&nurse)).await?;
        assert_eq!(tokens.device_token, "");
        Ok(())
    }

    #[tokio::test]
    async fn a_code_works_once_also_at_the_same_moment() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (first, second) =
            (scene.sign_in(&nurse.login, PASSWORD).await?, scene.sign_in(&nurse.login, PASSWORD).await?);
        let code = scene.code(&nurse);
        let (one, same, other) = tokio::join!(
            scene.verify_otp(&first.challenge, &code),
            scene.verify_otp(&first.challenge, &code),
            scene.verify_otp(&second.challenge, &code),
        );
        assert_eq!([one, same, other].iter().filter(|answer| answer.is_ok()).count(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let gone = scene.person(scene.hospital, "nurse.gone", Role::Nurse).await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let issued = scene.issue(scene.hospital, "nurse.new", Role::Nurse).await?;
        let unprepared = scene.sign_in("nurse.new", &issued.initial_secret).await?.challenge;
        scene.patient().await?;
        let patient = scene.sign_in_patient(crate::fixture::ACCESS_ID, crate::fixture::BIRTH_DATE).await?.challenge;
        let of_gone = scene.sign_in(&gone.login, PASSWORD).await?.challenge;
        scene.disable(gone.caller.user_id).await?;
        let good = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let code = scene.code(&nurse);
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for (challenge, code, what) in [
            ("nothing", code.as_str(), "no such challenge"),
            (unprepared.as_str(), code.as_str(), "no authenticator yet"),
            (patient.as_str(), code.as_str(), "a patient's challenge"),
            (of_gone.as_str(), scene.code(&gone).as_str(), "the ID is disabled"),
            (good.as_str(), wrong, "another code"),
        ] {
            assert_eq!(scene.verify_otp(challenge, code).await.refused().code(), Code::Unauthenticated, "{what}");
        }
        scene.verify_otp(&good, &code).await?;
        assert_eq!(scene.verify_otp(&good, &code).await.refused().code(), Code::Unauthenticated, "it is used up");
        Ok(())
    }

    #[tokio::test]
    async fn a_code_expires_with_its_step_and_a_challenge_after_five_minutes() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let challenge = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let old = scene.code(&nurse);
        scene.world.clock.advance(Duration::seconds(60));
        assert_eq!(scene.verify_otp(&challenge, &old).await.refused().code(), Code::Unauthenticated);
        scene.world.clock.advance(Duration::seconds(239));
        let other = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        scene.world.clock.advance(Duration::SECOND);
        assert_eq!(scene.verify_otp(&challenge, &scene.code(&nurse)).await.refused().code(), Code::Unauthenticated);
        scene.verify_otp(&other, &scene.code(&nurse)).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_challenge_is_tried_five_times() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let challenge = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let code = scene.code(&nurse);
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for _ in 0..5 {
            scene.verify_otp(&challenge, wrong).await.refused();
        }
        assert_eq!(scene.verify_otp(&challenge, &code).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn the_first_to_enrol_ends_what_else_was_begun_with_the_secret() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let (first, second) = (
            scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge,
            scene.sign_in("nurse.sato", &issued.initial_secret).await?.challenge,
        );
        let enrolled = scene.enrol(&first, PASSWORD).await?;
        let other = scene.enrol(&second, PASSWORD).await?;
        let code = |url: &str| scene.code_of(&totp_rs::Totp::from_url(url).unwrap());
        scene.verify_otp(&first, &code(&enrolled.otpauth_url)).await?;
        scene.world.clock.advance(Duration::seconds(30));
        let refused = scene.verify_otp(&second, &code(&other.otpauth_url)).await.refused();
        assert_eq!(refused.code(), Code::Unauthenticated);
        Ok(())
    }
}
