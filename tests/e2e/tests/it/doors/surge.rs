//! What the operations team switches off in a wave, by one command; what people depend on goes on.

use std::time::Duration;

use e2e::{Gateway, Refused as _, World, eventually, figures, file, filing, form, person, program, register};
use http::Request;
use http_body_util::BodyExt as _;
use proto::{
    identity::Role,
    operations::ReadSealedAuditRequest,
    registry::GetCaseRequest,
    statistics::{Dimension, GetSummaryRequest, QueryCasesRequest},
};
use serde_json::Value;
use tonic::{Code, body::Body};
use tonic_types::StatusExt as _;

use crate::Outcome;

/// `hersysctl surge`, on a gateway of its own.
fn surge(gateway: &Gateway, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
    let done = program("hersysctl")?
        .arg("surge")
        .args(arguments)
        .env("HERSYS_STACK", gateway.run().join("stack.json"))
        .output()?;
    let text = [done.stdout, done.stderr].concat();
    Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
}

async fn get(gateway: &Gateway, path: &str) -> anyhow::Result<String> {
    let request = Request::get(path).body(Body::empty())?;
    let body = gateway.client()?.channel().send(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

async fn says(gateway: &Gateway, level: &str) -> Outcome {
    let said = async || Ok(get(gateway, "/readyz").await?.contains(&format!("level: {level}\n")));
    eventually(&format!("the level {level}"), Duration::from_secs(10), said).await
}

fn question() -> QueryCasesRequest {
    QueryCasesRequest {
        from_date: "2020-06-01".to_owned(),
        until_date: "2020-06-02".to_owned(),
        dimensions: vec![Dimension::AgeBand.into()],
        ..QueryCasesRequest::default()
    }
}

#[tokio::test]
async fn one_command_switches_off_what_can_wait_and_nothing_that_people_depend_on() -> Outcome {
    let world = World::shared()?;
    let gateway = world.gateway_with(&[]).await?;
    let here = async |organisation: &str, role: Role| {
        let session = world.at_work(organisation, role).await?.session().cloned();
        anyhow::Ok(gateway.client()?.with_session(session.expect("signed in")))
    };
    let analyst = here("ministry", Role::Analyst).await?;
    let auditor = here("ministry", Role::Auditor).await?;
    let clinic = here("clinic", Role::Physician).await?;
    let nurse = here("osaka-city-centre", Role::Nurse).await?;
    figures(&analyst, question()).await?;
    assert_eq!(surge(&gateway, &["show"])?.1.lines().next(), Some("level normal"));

    // What may not be set says why, and sets nothing.
    for (arguments, rule) in [
        (["set", "panic", "--until", "1h", "--reason", "x"], "there is no level panic: normal, alert, surge, critical"),
        (["set", "alert", "--until", "2020-01-01T00:00", "--reason", "x"], "must be to come"),
        (["set", "alert", "--until", "tomorrow", "--reason", "x"], "must be like 2h"),
        (["set", "alert", "--until", "40d", "--reason", "x"], "within 31 days"),
        (["set", "alert", "--until", "1h", "--reason", " "], "--reason must say why"),
    ] {
        let (code, said) = surge(&gateway, &arguments)?;
        assert!(code == 5 && said.contains(rule), "{code}: {said}");
    }
    assert!(!gateway.run().join("surge.json").exists());

    let (code, said) = surge(&gateway, &["set", "critical", "--until", "2h", "--reason", "第六波"])?;
    assert_eq!(code, 0, "{said}");
    says(&gateway, "critical").await?;
    let ready = get(&gateway, "/readyz").await?;
    assert!(ready.starts_with("ready\n") && ready.contains("heavy_statistics"), "{ready}");

    let refused = figures(&analyst, question()).await.refused();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("詳細な集計"), "{}", refused.message());
    assert_eq!(refused.get_details_error_info().map(|info| info.reason).as_deref(), Some("SWITCHED_OFF"));
    let wait = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| wait >= Duration::from_mins(1)), "{wait:?}");
    let exports = auditor.audit().read_sealed_audit(auditor.request(ReadSealedAuditRequest::default())).await;
    assert!(exports.refused().message().contains("大量の出力"));

    // By REST and in English as well.
    let request = Request::post("/v1/statistics:query")
        .header("authorization", format!("Bearer {}", analyst.session().expect("signed in").access_token))
        .header("content-type", "application/json")
        .header("accept-language", "en")
        .body(Body::new(http_body_util::Full::from(r#"{"fromDate":"2020-06-01","untilDate":"2020-06-02"}"#)))?;
    let answer = analyst.channel().send(request).await?;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers().get("retry-after").and_then(|value| value.to_str().ok()), Some("600"));
    let told: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    assert!(
        told["message"].as_str().is_some_and(|text| text.starts_with("Detailed statistics are switched off")),
        "{told}"
    );

    // Filing, the case, one's own patient and the summary go on.
    let somebody = person();
    file(&clinic, filing(form(&somebody))).await?;
    let case = register(&nurse, person()).await?.case_id;
    nurse.cases().get_case(nurse.request(GetCaseRequest { case_id: case })).await?;
    let summary = GetSummaryRequest { as_of_time: None };
    analyst.statistics().get_summary(analyst.request(summary)).await?;

    assert_eq!(surge(&gateway, &["clear"])?.0, 0);
    says(&gateway, "normal").await?;
    figures(&analyst, question()).await?;
    assert!(surge(&gateway, &["clear"])?.1.contains("no level was set"));
    Ok(())
}

#[tokio::test]
async fn a_gateway_keeps_what_it_had_when_the_file_is_nonsense_and_tells_the_level_as_a_metric() -> Outcome {
    let gateway = World::shared()?.gateway_with(&[]).await?;
    let file = gateway.run().join("surge.json");
    std::fs::write(&file, r#"{"level":"alert","rank":1,"switches":["exports"]}"#)?;
    says(&gateway, "alert").await?;
    std::fs::write(&file, r#"{"level":"critical","rank":3,"switches":["filing"]}"#)?;
    let noticed = async || Ok(std::fs::read_to_string(gateway.log())?.contains("there is no switch `filing`"));
    eventually("the complaint in the log", Duration::from_secs(10), noticed).await?;
    says(&gateway, "alert").await?;
    let metrics = gateway.metrics().await?;
    assert!(metrics.contains("hersys_surge_level 1"), "{metrics}");
    assert!(metrics.contains("hersys_surge_switches{switch=\"SWITCH_EXPORTS\"} 1"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_wave_is_played_through_the_plan_as_a_table_and_a_picture() -> Outcome {
    let gateway = World::shared()?.gateway_with(&[]).await?;
    let (curve, picture) = (gateway.run().join("wave.csv"), gateway.run().join("wave.svg"));
    let days: Vec<String> = (1..=28).map(|day| format!("2022/2/{day},{}", 100_000 + day * 10_000)).collect();
    std::fs::write(&curve, format!("Date,ALL\n{}\n", days.join("\n")))?;
    let (curve, picture) = (curve.to_string_lossy().into_owned(), picture.to_string_lossy().into_owned());
    let (code, said) = surge(&gateway, &["simulate", &curve, "--svg", &picture])?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("2022-02-21") && said.contains("of 960"), "{said}");
    assert!(std::fs::read_to_string(&picture)?.starts_with("<svg"));
    std::fs::write(&curve, "Date,ALL\n2022/2/30,1\n")?;
    let (code, said) = surge(&gateway, &["simulate", &curve])?;
    assert!(code == 5 && said.contains("line 2: must begin with a date"), "{code}: {said}");
    assert_eq!(surge(&gateway, &["simulate", "/nowhere"])?.0, 5);
    assert_eq!(surge(&gateway, &["simulate"])?.0, 2);
    Ok(())
}

#[tokio::test]
async fn a_placeholder_waits_until_its_room_is_needed_and_an_operator_says_that_it_has_no_cluster() -> Outcome {
    let mut waiting = program("operator")?.arg("placeholder").env_clear().spawn()?;
    let status = format!("/proc/{}/status", waiting.id());
    // SIGTERM is the fifteenth signal.
    let listens = async || {
        let text = std::fs::read_to_string(&status)?;
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap_or("0");
        Ok(u64::from_str_radix(caught, 16)? & (1 << 14) != 0)
    };
    eventually("it listens to signals", Duration::from_secs(10), listens).await?;
    devstack::process::signal(waiting.id(), nix::sys::signal::Signal::SIGTERM)?;
    assert!(waiting.wait()?.success());

    let certs = World::shared()?.stack.certs.clone();
    let alone = program("operator")?
        .env_clear()
        .env("HERSYS_TLS_CA", certs.join("ca.pem"))
        .env("HERSYS_TLS_CERT", certs.join("ops.pem"))
        .env("HERSYS_TLS_KEY", certs.join("ops.key"))
        .output()?;
    let said = String::from_utf8_lossy(&[alone.stdout, alone.stderr].concat()).into_owned();
    assert!(!alone.status.success() && said.contains("find the cluster"), "{said}");
    Ok(())
}
