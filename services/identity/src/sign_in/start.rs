//! `SignIn`: the first factor of staff. Whatever is wrong, the answer is the same, after the same work: one write and one hash.

use chassis::{Anonymous, Call, Error};
use proto::identity::{NextStep, SignInRequest, SignInResponse};
use runtime::problem::Unproved;

use super::model::CHALLENGE;
use crate::{
    challenge::{self, NewChallenge, Step},
    factor::{self, Account, DEVICE_STOP, OF_STAFF},
    service::Identity,
};

pub(crate) async fn start(identity: Identity, call: Call<SignInRequest, Anonymous>) -> Result<SignInResponse, Error> {
    let SignInRequest { login, password, device_token } = call.request;
    // Turned away before it counts: a storm must not make anybody's credential rest.
    let turn = identity.admit()?;

    let Counted { account, resting, device } = count(&identity, &login, &device_token).await?;
    let kept = account.as_ref().filter(|_| !resting).map(|account| account.secret_hash.clone());
    let fits = identity.verify(turn, password, kept).await?;
    let account = account
        .filter(|account| fits && account.opens_at(call.now))
        .ok_or(Error::Unauthenticated(Unproved::CredentialsWrong))?;

    // The count stays after a right password: only the second factor clears it, so codes are not guessed without end.
    let (step, next_step) =
        if account.secret_is_initial { (Step::Enrol, NextStep::Enrol) } else { (Step::Otp, NextStep::Otp) };
    let (challenge, hash) = identity.secret()?;
    let new = NewChallenge {
        hash: &hash,
        subject: account.user_id,
        step,
        code_hash: None,
        device_hash: device.as_deref(),
        expires_at: call.now + CHALLENGE,
    };
    challenge::insert(&mut *identity.base.pool.acquire().await?, &new, call.now).await?;
    Ok(SignInResponse { challenge, next_step: next_step.into() })
}

/// An attempt that was counted.
struct Counted {
    account: Option<Account>,
    resting: bool,
    /// The known device it came from.
    device: Option<Vec<u8>>,
}

/// Counts an attempt before anything is checked: on the device where it is known, so that guesses from elsewhere cannot lock its
/// owner out, otherwise on the account.
async fn count(identity: &Identity, login: &str, device_token: &str) -> Result<Counted, Error> {
    let mut conn = identity.base.pool.acquire().await?;
    // Not the moment the call came in: whoever waited for a connection would have its rest begin earlier.
    let now = identity.base.clock.now();
    if !device_token.is_empty() {
        let device = identity.hash_of(device_token);
        if let Some(resting) = factor::count_device_attempt(&mut conn, &device, login, OF_STAFF, now).await? {
            factor::forget_device_after(&mut conn, &device, DEVICE_STOP).await?;
            let account = factor::find_login(&mut conn, login).await?;
            return Ok(Counted { account, resting, device: Some(device) });
        }
    }
    if let Some((account, resting)) = factor::count_attempt(&mut conn, login, OF_STAFF, now).await? {
        return Ok(Counted { account: Some(account), resting, device: None });
    }
    factor::note_stray(&mut conn, &identity.hash_of(login), now).await?;
    Ok(Counted { account: None, resting: false, device: None })
}

#[cfg(test)]
mod tests {
    use proto::identity::{NextStep, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{PASSWORD, Scene};

    #[tokio::test]
    async fn the_initial_secret_leads_to_enrolment_and_a_password_to_the_second_factor() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let first = scene.sign_in("nurse.sato", &issued.initial_secret).await?;
        assert_eq!(first.next_step(), NextStep::Enrol);
        let nurse = scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        let later = scene.sign_in(&nurse.login, PASSWORD).await?;
        assert_eq!(later.next_step(), NextStep::Otp);
        assert_ne!(first.challenge, later.challenge);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let late = scene.issue(scene.hospital, "nurse.late", Role::Nurse).await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let gone = scene.person(scene.hospital, "nurse.gone", Role::Nurse).await?;
        scene.disable(gone.caller.user_id).await?;
        scene.world.clock.advance(Duration::hours(72) + Duration::SECOND);
        for (login, password, what) in [
            ("nobody", PASSWORD, "nobody has the log-in"),
            (nurse.login.as_str(), "wrong", "the password is wrong"),
            (gone.login.as_str(), PASSWORD, "the ID is disabled"),
            ("nurse.late", late.initial_secret.as_str(), "the initial secret has expired"),
            ("nurse.sato", late.initial_secret.as_str(), "it is somebody else's"),
        ] {
            let refused = scene.sign_in(login, password).await.refused();
            assert_eq!(refused.code(), Code::Unauthenticated, "{what}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_initial_secret_is_good_for_three_days() -> Outcome {
        let scene = Scene::new().await?;
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        scene.world.clock.advance(Duration::hours(72));
        scene.sign_in("nurse.sato", &issued.initial_secret).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_resting_log_in_refuses_the_right_password_and_a_known_device_gets_in() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        for _ in 0..3 {
            scene.sign_in(&nurse.login, "a guess").await.refused();
        }
        assert_eq!(scene.sign_in(&nurse.login, PASSWORD).await.refused().code(), Code::Unauthenticated);
        scene.sign_in_on(&nurse.tokens.device_token, &nurse.login, PASSWORD).await?;
        scene.world.clock.advance(Duration::seconds(3));
        // The right password does not end the count: the next rest follows at once.
        scene.sign_in(&nurse.login, PASSWORD).await?;
        assert_eq!(scene.sign_in(&nurse.login, PASSWORD).await.refused().code(), Code::Unauthenticated);
        scene.world.clock.advance(Duration::seconds(3));
        scene.session(&nurse).await?;
        for _ in 0..2 {
            scene.sign_in(&nurse.login, PASSWORD).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_device_token_of_somebody_else_counts_like_none() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let other = scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        for _ in 0..3 {
            scene.sign_in_on(&other.tokens.device_token, &nurse.login, "a guess").await.refused();
        }
        assert_eq!(scene.sign_in(&nurse.login, PASSWORD).await.refused().code(), Code::Unauthenticated);
        scene.sign_in(&other.login, PASSWORD).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_storm_is_turned_away_and_nothing_counts() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let turns: Vec<_> = std::iter::from_fn(|| scene.identity.admit().ok()).collect();
        for _ in 0..5 {
            assert_eq!(scene.sign_in(&nurse.login, PASSWORD).await.refused().code(), Code::ResourceExhausted);
        }
        drop(turns);
        scene.sign_in(&nurse.login, PASSWORD).await?;
        Ok(())
    }
}
