//! Signing in and out, and your own sessions.

use client::{Client, Credentials, code, pages};
use proto::identity::{EndSessionRequest, ListSessionsRequest, ListSessionsResponse, SignOutRequest};
use runtime::Clock;
use uuid::Uuid;

use crate::{
    console::{ask, ask_new_secret, ask_secret, print_json, say},
    target::Target,
};

pub(crate) async fn sign_in(target: &Target, login: &str, demo: bool) -> anyhow::Result<()> {
    let mut client = target.client()?;
    if demo {
        client.sign_in(&target.demo_user(login)?).await?;
    } else {
        let password = ask_secret("password")?;
        let code = ask("one-time code")?;
        let credentials = Credentials { login: login.to_owned(), password, otp_secret: String::new() };
        client.sign_in_with(&credentials, code).await?;
    }
    target.keep(&client)?;

    if client.session().is_some_and(|session| session.terms_due > 0) {
        return say(format_args!("signed in as {login}; read and accept the terms first: hersysctl terms [--accept]"));
    }
    say(format_args!("signed in as {login}"))
}

pub(crate) async fn enrol(target: &Target, login: &str) -> anyhow::Result<()> {
    let mut client = target.client()?;
    let secret = ask_secret("initial secret")?;
    let password = ask_new_secret("new password")?;
    let enrolled = client.enrol(login, &secret, &password).await?;
    // Shown before anything else can fail: nobody sees them twice.
    say(format_args!("Enrolled as {login}."))?;
    say(format_args!("Add this to your authenticator app now; it is shown this once:\n  {}", enrolled.otpauth_url))?;
    say(format_args!("  by hand: {}", enrolled.credentials.otp_secret))?;
    say(format_args!("Keep these recovery codes apart from your phone. Each stands for a one-time code once:"))?;
    for code in &enrolled.recovery_codes {
        say(format_args!("  {code}"))?;
    }
    target.keep(&client)
}

pub(crate) async fn sign_out(target: &Target) -> anyhow::Result<()> {
    let client = target.signed_in().await?;
    client.sessions().sign_out(client.request(SignOutRequest {})).await?;
    target.forget();
    say(format_args!("signed out"))
}

pub(crate) async fn step_up(target: &Target, demo: Option<&str>) -> anyhow::Result<()> {
    let mut client = target.signed_in().await?;
    let code = match demo {
        Some(login) => code(&target.demo_user(login)?.otp_secret, Clock::system().now())?,
        None => ask("one-time code")?,
    };
    client.step_up(code).await?;
    target.keep(&client)?;
    say(format_args!("confirmed for a quarter of an hour"))
}

pub(crate) async fn list(client: &Client) -> anyhow::Result<()> {
    let sessions = pages(async |page_token| {
        let request = client.request(ListSessionsRequest { page_size: 200, page_token });
        let page = client.sessions().list_sessions(request).await?.into_inner();
        Ok((page.sessions, page.next_page_token))
    })
    .await?;
    let all = ListSessionsResponse { sessions, next_page_token: String::new() };
    print_json(&all, "hersys.identity.v1.ListSessionsResponse")
}

pub(crate) async fn end(client: &Client, session: Uuid) -> anyhow::Result<()> {
    let request = EndSessionRequest { session_id: session.to_string() };
    client.sessions().end_session(client.request(request)).await?;
    say(format_args!("{session} ended"))
}
