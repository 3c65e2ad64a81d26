//! Getting in: log-ins and refreshes per second, the cost of a decision, and filings while everybody signs in.

use std::{
    fmt::Write as _,
    hint::black_box,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use access::{
    Caller, Directory,
    caller::Hidden,
    cases,
    policy::{self, Duty},
};
use anyhow::Context as _;
use argon2::{Argon2, PasswordHasher as _};
use client::{Client, Credentials};
use e2e::World;
use proto::{
    identity::{
        ImportUsersRequest, OrganisationKind as Kind, RefreshTokensRequest, ReplaceRecoveryCodesRequest, Rights, Role,
        SignInRequest, VerifyRecoveryCodeRequest,
    },
    options::Permission,
    registry::{CaseChanged, Grant, Relation},
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{file_one, report, storm};

/// Log-ins under way at once: fewer than the hashing queue holds.
const AT_ONCE: usize = 12;

/// Someone who signs in, and the codes that are left.
struct Person {
    client: Client,
    credentials: Credentials,
    codes: Vec<String>,
}

/// Measures, and prints each result with a ratio from the same run.
pub(crate) async fn measure(
    world: &World,
    out: &mut impl Write,
    clients: &[Client],
    (count, length): (usize, Duration),
) -> anyhow::Result<()> {
    let hashes = raw_hashes(Duration::from_secs(2));
    let people = people(world, count).await?;
    let sessions: Vec<Client> = people.iter().map(|person| person.client.clone()).collect();

    let logins = logins(people).await?;
    writeln!(out, "log-ins: {logins:.1}/s with both factors; the hashing thread is one core")?;
    writeln!(out, "log-ins: ratio to raw Argon2id hashes ({hashes:.1}/s by one thread): {:.3}", logins / hashes)?;
    let refreshes = refreshes(&sessions, length).await?;
    writeln!(out, "refreshes: {refreshes:.0}/s; ratio to log-ins: {:.1}", refreshes / logins)?;
    let (allowed, related) = (decision(), relation());
    writeln!(out, "a decision: {allowed:.2} µs for the permission, {related:.2} µs for relations from ten grants")?;

    // Ten times what can be hashed, with log-ins that exist and log-ins that do not.
    let before = storm::run(clients, 200, length, file_one).await?;
    report(out, "filings at 200/s, nobody signs in", &before)?;
    let stop = Arc::new(AtomicBool::new(false));
    let rate = (hashes * 10.0).min(900.0);
    let mut signing = JoinSet::new();
    signing.spawn(stampede(world.stack.client()?, rate, Arc::clone(&stop)));
    let during = storm::run(clients, 200, length, file_one).await?;
    stop.store(true, Ordering::Release);
    let (turned_away, answered) = signing.join_next().await.context("the storm")???;
    report(out, &format!("filings at 200/s, {rate:.0} log-ins/s asked"), &during)?;
    writeln!(
        out,
        "log-in storm: filings' p99 ratio {:.2}, {} errors; {answered} log-ins answered, {turned_away} told to come back",
        during.milliseconds(0.99) / before.milliseconds(0.99),
        during.errors
    )?;
    Ok(())
}

/// Hashes per second by one thread of this process, with the parameters of identity.
fn raw_hashes(length: Duration) -> f64 {
    let started = std::time::Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < length {
        let _ = black_box(Argon2::default().hash_password(b"a password of the benchmark"));
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// Each has ten recovery codes, and each of those stands for one log-in.
async fn people(world: &World, count: usize) -> anyhow::Result<Vec<Person>> {
    let admin = world.admin().await?;
    let (organisation, mark) = (world.organisation("osaka-city-centre")?, Uuid::now_v7().simple().to_string());
    let mut csv = String::from("login,organisation_id,role\n");
    for number in 0..count {
        writeln!(csv, "l{mark}.{number},{organisation},nurse")?;
    }
    let request = ImportUsersRequest { request_id: Uuid::now_v7().to_string(), csv, with_slips: false };
    let issued = admin.users().import_users(admin.request(request)).await?.into_inner();
    let mut people = Vec::new();
    for row in issued.rows {
        let mut client = world.stack.client()?;
        let credentials = client.enrol(&row.login, &row.initial_secret, &Uuid::now_v7().to_string()).await?.credentials;
        let request = client.request(ReplaceRecoveryCodesRequest {});
        let codes = client.sessions().replace_recovery_codes(request).await?.into_inner().recovery_codes;
        people.push(Person { client, credentials, codes });
    }
    Ok(people)
}

/// Log-ins with both factors per second.
async fn logins(people: Vec<Person>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let room = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    for person in people {
        let room = Arc::clone(&room);
        tasks.spawn(async move {
            let mut done = 0_u32;
            for recovery_code in person.codes {
                let _place = room.acquire().await?;
                let request = SignInRequest {
                    login: person.credentials.login.clone(),
                    password: person.credentials.password.clone(),
                    device_token: String::new(),
                };
                let challenge = person.client.sign_ins().sign_in(request).await?.into_inner().challenge;
                let request = VerifyRecoveryCodeRequest { challenge, recovery_code };
                person.client.sign_ins().verify_recovery_code(request).await?;
                done += 1;
            }
            Ok::<_, anyhow::Error>(done)
        });
    }
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        done += task??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// Refreshes per second: each session refreshes again as soon as it is answered.
async fn refreshes(sessions: &[Client], length: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in sessions {
        let client = client.clone();
        tasks.spawn(async move {
            let mut token = client.session().map(|session| session.refresh_token.clone()).unwrap_or_default();
            let mut done = 0_u32;
            while started.elapsed() < length {
                let request = RefreshTokensRequest { refresh_token: token };
                token = client.sessions().refresh_tokens(request).await?.into_inner().refresh_token;
                done += 1;
            }
            Ok::<_, Status>(done)
        });
    }
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        done += task??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// Tries to sign in at a rate until told to stop, always with a wrong password. How many were told to come back, and
/// how many were answered.
async fn stampede(client: Client, rate: f64, stop: Arc<AtomicBool>) -> anyhow::Result<(u64, u64)> {
    let (turned_away, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    let mut tasks = JoinSet::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Acquire) {
        ticks.tick().await;
        number += 1;
        let (mut sign_ins, turned_away, answered) =
            (client.sign_ins(), Arc::clone(&turned_away), Arc::clone(&answered));
        tasks.spawn(async move {
            let request = SignInRequest {
                login: format!("nobody{number}"),
                password: "a wrong password".to_owned(),
                device_token: String::new(),
            };
            match sign_ins.sign_in(request).await.map_err(|status| status.code()) {
                Err(Code::ResourceExhausted) => turned_away.fetch_add(1, Ordering::AcqRel),
                _ => answered.fetch_add(1, Ordering::AcqRel),
            };
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Ok((turned_away.load(Ordering::Acquire), answered.load(Ordering::Acquire)))
}

/// Microseconds of the permission check, over every role, kind and permission.
fn decision() -> f64 {
    let values = |numbers: std::ops::RangeInclusive<i32>| numbers.collect::<Vec<_>>();
    let started = std::time::Instant::now();
    let mut count = 0_u32;
    for _ in 0..200 {
        for role in values(1..=15).into_iter().filter_map(|n| Role::try_from(n).ok()) {
            for kind in values(1..=13).into_iter().filter_map(|n| Kind::try_from(n).ok()) {
                for permission in values(1..=23).into_iter().filter_map(|n| Permission::try_from(n).ok()) {
                    black_box(policy::allows(permission, Duty { role, kind, rights: Rights::Entry, entrusted: &[] }));
                    count += 1;
                }
            }
        }
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Microseconds to find a caller's relations among ten grants.
fn relation() -> f64 {
    let caller = Caller {
        user_id: Uuid::now_v7().into(),
        organisation_id: Uuid::now_v7().into(),
        kind: Kind::HealthCentre,
        prefecture: 27,
        role: Role::Nurse,
        session_id: Uuid::now_v7().into(),
        case_id: None,
        hidden: Hidden::default(),
        terms_due: false,
        authenticated_at: runtime::Clock::system().now(),
        scopes: None,
        calls_per_second: 0,
        issued_at: runtime::Clock::system().now(),
        expires_at: runtime::Clock::system().now(),
    };
    let grant = |organisation: Uuid| Grant {
        organisation_id: organisation.to_string(),
        relation: Relation::ResponsibleCentre.into(),
        ..Grant::default()
    };
    let mut grants: Vec<Grant> = (0..9).map(|_| grant(Uuid::now_v7())).collect();
    grants.push(grant(caller.organisation_id.uuid()));
    let case = CaseChanged { case_id: Uuid::now_v7().to_string(), grants, ..CaseChanged::default() };
    let (directory, now) = (Directory::default(), runtime::Clock::system().now());
    let started = std::time::Instant::now();
    for _ in 0..100_000 {
        black_box(cases::relations(black_box(&case), &caller, &directory, now));
    }
    started.elapsed().as_secs_f64() * 1e6 / 100_000.0
}
