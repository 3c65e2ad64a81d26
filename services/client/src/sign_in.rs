//! Signing in, and what follows within a session: terms of use, step-up, refresh.

use std::time::Duration;

use anyhow::bail;
use proto::identity::{
    AcceptTermsRequest, EnrolRequest, NextStep, RefreshTokensRequest, SignInRequest, SignInResponse, StepUpRequest,
    Tokens, VerifyOtpRequest,
};
use runtime::Clock;
use time::OffsetDateTime;
use tonic::{Code, Status};
use totp_rs::{Builder, Secret};

use crate::{Client, Credentials, Enrolled, patiently};

impl Client {
    /// Signs in with both factors, and accepts the terms of use where they are due.
    ///
    /// # Errors
    /// When a factor is wrong, or the system is away.
    pub async fn sign_in(&mut self, credentials: &Credentials) -> anyhow::Result<()> {
        // A code works once. If this one was just used, the next one is already good (one step of tolerance); if that was
        // used too, the one after it is, as soon as the present step is over.
        let step = time::Duration::seconds(30);
        let now = Clock::system().now();
        for at in [now, now + step] {
            match self.sign_in_with(credentials, code(&credentials.otp_secret, at)?).await {
                Err(error) if is(&error, Code::Unauthenticated) => {}
                Ok(()) => return self.accept_terms().await,
                Err(error) => return Err(error),
            }
        }

        let left = 30 - now.unix_timestamp().rem_euclid(30);
        tokio::time::sleep(Duration::from_secs(u64::try_from(left + 1)?)).await;
        self.sign_in_with(credentials, code(&credentials.otp_secret, now + step * 2)?).await?;
        self.accept_terms().await
    }

    /// Signs in with a code that the person typed.
    ///
    /// # Errors
    /// When a factor is wrong, or the system is away.
    pub async fn sign_in_with(&mut self, credentials: &Credentials, code: String) -> anyhow::Result<()> {
        let device_token = self.session.as_ref().map(|session| session.device_token.clone()).unwrap_or_default();
        let first = self.first_factor(&credentials.login, &credentials.password, device_token).await?;
        if first.next_step != i32::from(NextStep::Otp) {
            bail!("this ID was never used: enrol it first");
        }

        let tokens = self.second_factor(first.challenge, code).await?;
        self.keep_authenticated(tokens);
        Ok(())
    }

    /// First sign-in with the initial secret: chooses a password, sets up the authenticator, and signs in.
    ///
    /// # Errors
    /// When the secret was used or has expired, or the password is easy to guess.
    pub async fn enrol(&mut self, login: &str, initial_secret: &str, new_password: &str) -> anyhow::Result<Enrolled> {
        let first = self.first_factor(login, initial_secret, String::new()).await?;
        if first.next_step != i32::from(NextStep::Enrol) {
            bail!("this ID is already enrolled");
        }
        let request = EnrolRequest { challenge: first.challenge.clone(), new_password: new_password.to_owned() };
        let enrolled = patiently(|| {
            let (mut sign_ins, request) = (self.sign_ins(), request.clone());
            async move { sign_ins.enrol(request).await }
        })
        .await?;

        let code = code(&enrolled.otp_secret, Clock::system().now())?;
        let tokens = self.second_factor(first.challenge, code).await?;
        self.keep_authenticated(tokens);
        self.accept_terms().await?;
        let credentials =
            Credentials { login: login.to_owned(), password: new_password.to_owned(), otp_secret: enrolled.otp_secret };
        Ok(Enrolled { credentials, otpauth_url: enrolled.otpauth_url, recovery_codes: enrolled.recovery_codes })
    }

    /// Accepts the terms of use where they are due, for the person who signed in.
    ///
    /// # Errors
    /// When the system is away.
    pub async fn accept_terms(&mut self) -> anyhow::Result<()> {
        let Some(session) = self.session.clone().filter(|session| session.terms_due > 0) else { return Ok(()) };
        let request = AcceptTermsRequest { version: session.terms_due, refresh_token: session.refresh_token };
        let tokens = patiently(|| {
            let (mut terms, request) = (self.terms(), self.request(request.clone()));
            async move { terms.accept_terms(request).await }
        })
        .await?;
        self.keep(tokens);
        Ok(())
    }

    /// Gives a fresh one-time code within the session.
    ///
    /// # Errors
    /// When the code is wrong or was used.
    pub async fn step_up(&mut self, code: String) -> anyhow::Result<()> {
        let tokens = self.sessions().step_up(self.request(StepUpRequest { code })).await?.into_inner();
        self.keep_authenticated(tokens);
        Ok(())
    }

    /// Gets new tokens where the access token is about to end. `true` where the session changed.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn keep_fresh(&mut self) -> anyhow::Result<bool> {
        let Some(session) = self.session.as_ref().filter(|session| session.ends_soon()) else { return Ok(false) };
        let request = RefreshTokensRequest { refresh_token: session.refresh_token.clone() };
        let tokens = patiently(|| {
            let (mut sessions, request) = (self.sessions(), request.clone());
            async move { sessions.refresh_tokens(request).await }
        })
        .await?;
        self.keep(tokens);
        Ok(true)
    }

    async fn first_factor(&self, login: &str, password: &str, device_token: String) -> Result<SignInResponse, Status> {
        let request = SignInRequest { login: login.to_owned(), password: password.to_owned(), device_token };
        patiently(|| {
            let (mut sign_ins, request) = (self.sign_ins(), request.clone());
            async move { sign_ins.sign_in(request).await }
        })
        .await
    }

    async fn second_factor(&self, challenge: String, code: String) -> Result<Tokens, Status> {
        let request = VerifyOtpRequest { challenge, code };
        patiently(|| {
            let (mut sign_ins, request) = (self.sign_ins(), request.clone());
            async move { sign_ins.verify_otp(request).await }
        })
        .await
    }
}

/// The one-time code of a moment.
///
/// # Errors
/// When the secret is malformed.
pub fn code(otp_secret: &str, at: OffsetDateTime) -> anyhow::Result<String> {
    let secret =
        Secret::try_from_base32(otp_secret).map_err(|_| anyhow::anyhow!("the one-time secret is malformed"))?;
    let totp = Builder::new()
        .with_secret(secret)
        .with_account_name("hersysctl")
        .build()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(totp.generate(u64::try_from(at.unix_timestamp())?).to_string())
}

fn is(error: &anyhow::Error, code: Code) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == code)
}
