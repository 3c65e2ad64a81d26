//! Getting in: terms, both factors, guessing, devices, recovery, sessions.

use std::time::{Duration, Instant};

use client::{Client, Credentials, code, patiently};
use e2e::{Refused as _, World, eventually, issue, request_id};
use futures::future::join_all;
use proto::{
    identity::{
        ChangePasswordRequest, EndSessionRequest, EnrolRequest, GetTermsRequest, IssueUserRequest, ListSessionsRequest,
        RefreshTokensRequest, ReplaceRecoveryCodesRequest, Role, SignInRequest, UnlockUserRequest, VerifyOtpRequest,
        VerifyRecoveryCodeRequest,
    },
    registry::ListCasesRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::Outcome;

const AT_ONCE: Duration = Duration::from_secs(5);

/// An ID that was never used: log-in, secret, user.
async fn fresh(world: &World, role: Role) -> anyhow::Result<(String, String, String)> {
    let admin = world.admin().await?;
    let login = format!("t{}", Uuid::now_v7().simple());
    let request = IssueUserRequest {
        request_id: request_id(),
        organisation_id: world.organisation("osaka-city-centre")?,
        login: login.clone(),
        role: role.into(),
        ..IssueUserRequest::default()
    };
    let issued = issue(&admin, request).await?;
    Ok((login, issued.initial_secret, issued.user_id))
}

/// An enrolled ID, its credentials, the user.
async fn enrolled(world: &World) -> anyhow::Result<(Client, Credentials, String)> {
    let (login, secret, user_id) = fresh(world, Role::Nurse).await?;
    let mut client = world.stack.client()?;
    let credentials =
        client.enrol(&login, &secret, &format!("{}-{}", Uuid::now_v7(), Uuid::now_v7())).await?.credentials;
    Ok((client, credentials, user_id))
}

async fn lists(client: &Client) -> Result<(), Status> {
    let request = client.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    client.cases().list_cases(request).await.map(|_| ())
}

async fn first_factor(client: &Client, credentials: &Credentials, device: &str) -> Result<String, Status> {
    let request = SignInRequest {
        login: credentials.login.clone(),
        password: credentials.password.clone(),
        device_token: device.to_owned(),
    };
    patiently(|| {
        let (mut sign_ins, request) = (client.sign_ins(), request.clone());
        async move { sign_ins.sign_in(request).await }
    })
    .await
    .map(|answer| answer.challenge)
}

#[tokio::test]
async fn nobody_works_before_the_terms_are_accepted() -> Outcome {
    let world = World::shared()?;
    let (login, secret, user_id) = fresh(&world, Role::Nurse).await?;
    let mut client = world.stack.client()?;
    let terms = client.terms().get_terms(GetTermsRequest {}).await?.into_inner();
    assert!(terms.version >= 1 && terms.terms.contains("利用") && terms.security_leaflet.contains("パスワード"));

    let sign_in = SignInRequest { login, password: secret, ..SignInRequest::default() };
    let challenge = client.sign_ins().sign_in(sign_in).await?.into_inner().challenge;
    let enrol = EnrolRequest { challenge: challenge.clone(), new_password: "a long enough passphrase".to_owned() };
    let enrolled = client.sign_ins().enrol(enrol).await?.into_inner();
    let verify = VerifyOtpRequest { challenge, code: code(&enrolled.otp_secret, runtime::Clock::system().now())? };
    let tokens = client.sign_ins().verify_otp(verify).await?.into_inner();
    assert_eq!(tokens.terms_due, terms.version);
    client.keep(tokens);
    let refused = lists(&client).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = tonic_types::StatusExt::get_details_precondition_failure(&refused).unwrap();
    assert_eq!(details.violations[0].r#type, "TERMS_DUE");
    client.accept_terms().await?;
    lists(&client).await?;
    let mut tables = world.sql("identity").await?;
    let accepted: i32 = sqlx::query_scalar("select terms_version from account where user_id = $1")
        .bind(Uuid::try_parse(&user_id)?)
        .fetch_one(&mut tables)
        .await?;
    assert_eq!(accepted, terms.version, "on record by version");
    Ok(())
}

#[tokio::test]
async fn parallel_guesses_all_count_and_a_hundred_stop_strangers_but_not_a_known_device() -> Outcome {
    let world = World::shared()?;
    let (owner, credentials, user_id) = enrolled(&world).await?;
    let user = Uuid::try_parse(&user_id)?;
    let device = owner.session().unwrap().device_token.clone();
    let stranger = world.stack.client()?;
    let wrong = Credentials { password: "a wrong password".to_owned(), ..credentials.clone() };
    let mut tables = world.sql("identity").await?;

    // Thirty at once: three are looked at, the fourth one rests already.
    join_all((0..30).map(|_| {
        let request =
            SignInRequest { login: wrong.login.clone(), password: wrong.password.clone(), ..SignInRequest::default() };
        let mut sign_ins = stranger.sign_ins();
        async move { sign_ins.sign_in(request).await }
    }))
    .await;
    let failures = "select failures from account where user_id = $1";
    let counted: i32 = sqlx::query_scalar(failures).bind(user).fetch_one(&mut tables).await?;
    assert_eq!(counted, 3, "none slipped through between counting and resting");

    // The ninety-ninth and the hundredth.
    sqlx::query("update account set failures = 99, next_try_at = '-infinity' where user_id = $1")
        .bind(user)
        .execute(&mut tables)
        .await?;
    assert!(first_factor(&stranger, &wrong, "").await.is_err());
    let counted: i32 = sqlx::query_scalar(failures).bind(user).fetch_one(&mut tables).await?;
    assert_eq!(counted, 100);
    assert_eq!(first_factor(&stranger, &credentials, "").await.unwrap_err().code(), Code::Unauthenticated, "hard stop");
    assert_eq!(
        first_factor(&stranger, &credentials, "somebody's device").await.unwrap_err().code(),
        Code::Unauthenticated
    );
    // The owner's own device is not held up by what strangers do.
    let challenge = first_factor(&owner, &credentials, &device).await?;
    let later = runtime::Clock::system().now() + time::Duration::seconds(30);
    let verify = VerifyOtpRequest { challenge, code: code(&credentials.otp_secret, later)? };
    owner.sign_ins().verify_otp(verify).await?;
    // A device that guesses is forgotten.
    sqlx::query("update account set failures = 100, next_try_at = 'infinity' where user_id = $1")
        .bind(user)
        .execute(&mut tables)
        .await?;
    sqlx::query("update device set failures = 19, next_try_at = '-infinity' where user_id = $1")
        .bind(user)
        .execute(&mut tables)
        .await?;
    assert!(first_factor(&owner, &wrong, &device).await.is_err());
    assert!(first_factor(&owner, &credentials, &device).await.is_err(), "known no longer");
    // The issuer lifts the stop.
    let admin = world.admin().await?;
    let unlock = UnlockUserRequest { request_id: request_id(), user_id, etag: String::new() };
    admin.users().unlock_user(admin.request(unlock)).await?;
    first_factor(&stranger, &credentials, "").await?;
    Ok(())
}

#[tokio::test]
async fn a_challenge_takes_five_codes_and_no_sixth() -> Outcome {
    let world = World::shared()?;
    let (client, credentials, _) = enrolled(&world).await?;
    let challenge = first_factor(&client, &credentials, "").await?;
    for _ in 0..5 {
        let request = VerifyOtpRequest { challenge: challenge.clone(), code: "000000".to_owned() };
        assert!(client.sign_ins().verify_otp(request).await.is_err());
    }
    let right = code(&credentials.otp_secret, runtime::Clock::system().now() + time::Duration::seconds(30))?;
    let request = VerifyOtpRequest { challenge, code: right };
    assert_eq!(client.sign_ins().verify_otp(request).await.refused().code(), Code::Unauthenticated);
    Ok(())
}

#[tokio::test]
async fn a_person_sees_and_ends_the_own_sessions_and_a_new_password_ends_the_others() -> Outcome {
    let world = World::shared()?;
    let (first, credentials, _) = enrolled(&world).await?;
    let mut second = world.stack.client()?;
    second.sign_in(&credentials).await?;
    let sessions = |client: &Client| {
        let (mut service, request) = (client.sessions(), client.request(ListSessionsRequest::default()));
        async move { service.list_sessions(request).await.map(|answer| answer.into_inner().sessions) }
    };
    let listed = sessions(&first).await?;
    assert_eq!((listed.len(), listed.iter().filter(|session| session.current).count()), (2, 1));
    let stranger = world.at_work("clinic", Role::Clerk).await?;
    let theirs = EndSessionRequest { session_id: listed[0].session_id.clone() };
    assert_eq!(stranger.sessions().end_session(stranger.request(theirs)).await.refused().code(), Code::NotFound);

    let other = listed.iter().find(|session| !session.current).unwrap().session_id.clone();
    first.sessions().end_session(first.request(EndSessionRequest { session_id: other })).await?;
    eventually("the other session ends", AT_ONCE, || async { Ok(lists(&second).await.is_err()) }).await?;
    lists(&first).await?;

    // By a recovery code: one-time codes work once in half a minute.
    let codes = first.sessions().replace_recovery_codes(first.request(ReplaceRecoveryCodesRequest {})).await?;
    let recovery_code = codes.into_inner().recovery_codes.first().cloned().unwrap_or_default();
    let mut third = world.stack.client()?;
    let challenge = first_factor(&third, &credentials, "").await?;
    let verify = VerifyRecoveryCodeRequest { challenge, recovery_code };
    let tokens = third.sign_ins().verify_recovery_code(verify).await?.into_inner();
    third.keep(tokens);
    lists(&third).await?;
    let change = ChangePasswordRequest {
        current_password: credentials.password.clone(),
        new_password: "another long passphrase".to_owned(),
    };
    first.sessions().change_password(first.request(change)).await?;
    eventually("the third session ends", AT_ONCE, || async { Ok(lists(&third).await.is_err()) }).await?;
    lists(&first).await?;
    let old = SignInRequest {
        login: credentials.login.clone(),
        password: credentials.password.clone(),
        ..SignInRequest::default()
    };
    assert_eq!(first.sign_ins().sign_in(old).await.refused().code(), Code::Unauthenticated);
    Ok(())
}

#[tokio::test]
async fn of_fifty_thieves_and_a_victim_at_once_one_branch_lives_or_none() -> Outcome {
    let world = World::shared()?;
    let (victim, ..) = enrolled(&world).await?;
    let token = victim.session().unwrap().refresh_token.clone();
    let refresh = |token: String| {
        let mut sessions = victim.sessions();
        async move { sessions.refresh_tokens(RefreshTokensRequest { refresh_token: token }).await }
    };
    let answers = join_all((0..50).map(|_| refresh(token.clone()))).await;
    let mut successors: Vec<String> =
        answers.into_iter().filter_map(|answer| Some(answer.ok()?.into_inner().refresh_token)).collect();
    successors.sort_unstable();
    successors.dedup();
    assert_eq!(successors.len(), 1, "a lost response is repeated, never forked");
    // Victim, then thief with the old token, after the successor was used: nobody keeps the session.
    let next = refresh(successors[0].clone()).await?.into_inner().refresh_token;
    assert!(refresh(token).await.is_err());
    assert!(refresh(next).await.is_err(), "the family is gone");
    eventually("and its access tokens", AT_ONCE, || async { Ok(lists(&victim).await.is_err()) }).await?;
    Ok(())
}

#[tokio::test]
async fn whether_a_log_in_exists_shows_neither_by_words_nor_by_time() -> Outcome {
    const ROUNDS: usize = 24;
    let world = World::shared()?;
    let stranger = world.stack.client()?;
    let attempt = |login: String| {
        let mut sign_ins = stranger.sign_ins();
        async move {
            let request = SignInRequest { login, password: "a wrong password".to_owned(), ..SignInRequest::default() };
            let started = Instant::now();
            let refused = sign_ins.sign_in(request).await.refused();
            (refused.code(), refused.message().to_owned(), started.elapsed().as_secs_f64())
        }
    };
    let (_, credentials, user_id) = enrolled(&world).await?;
    let mut tables = world.sql("identity").await?;
    let (mut real, mut none) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each attempt as if it were the first.
        sqlx::query("update account set failures = 0, next_try_at = '-infinity' where user_id = $1")
            .bind(Uuid::try_parse(&user_id)?)
            .execute(&mut tables)
            .await?;
        let there = attempt(credentials.login.clone()).await;
        let nowhere = attempt(format!("nobody{round}{}", Uuid::now_v7().simple())).await;
        assert_eq!((there.0, &there.1), (nowhere.0, &nowhere.1));
        real.push(there.2);
        none.push(nowhere.2);
    }
    // Mann and Whitney's U: how often one is slower than the other. Far from the half only where time tells something;
    // an answer without the hash would be at one end of it.
    let slower = real.iter().map(|r| none.iter().filter(|n| *n < r).count()).sum::<usize>();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let share = slower as f64 / (ROUNDS * ROUNDS) as f64;
    assert!((0.1..0.9).contains(&share), "{share}: time tells who exists");
    Ok(())
}
