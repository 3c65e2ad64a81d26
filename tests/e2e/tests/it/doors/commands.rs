//! `hersysctl` and the load generator, run as their users run them.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use e2e::{World, eventually, figures, file, filing, form, person, program, register};
use proto::{
    identity::Role,
    notification::{Form, GetNotificationRequest, GetReceiptPlaceRequest, Receipt, ReceiptPlace},
    statistics::{Dimension, QueryCasesRequest},
};
use runtime::Clock;
use time::format_description::well_known::Rfc3339;

use crate::Outcome;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/example-form.json");

/// Runs a command of `hersysctl` with a session of its own; the exit code, what it printed, and what it complained of.
fn ctl(world: &World, session: &Path, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
    let done = program("hersysctl")?
        .args(arguments)
        .env("HERSYS_STACK", world.stack.run.join("stack.json"))
        .env("HERSYS_SESSION", session)
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr)))
}

#[tokio::test]
async fn exit_codes_mean_something_and_the_session_is_its_owners() -> Outcome {
    let world = World::shared()?;
    let session = world.stack.run.join("ctl-clerk.session");
    assert_eq!(ctl(&world, &session, &["inbox"])?.0, 3, "not signed in");
    assert_eq!(ctl(&world, &session, &["no-such-command"])?.0, 2, "wrong usage");
    assert_eq!(ctl(&world, &session, &["sign-in", "clinic-clerk", "--demo"])?.0, 0);
    assert_eq!(std::fs::metadata(&session)?.permissions().mode() & 0o777, 0o600);

    let (code, receipt, _) = ctl(&world, &session, &["file", EXAMPLE])?;
    assert_eq!(code, 0);
    let receipt: serde_json::Value = serde_json::from_str(&receipt)?;
    assert_eq!(receipt["receivingCentreName"], "大阪市保健所");
    assert_eq!(ctl(&world, &session, &["statistics"])?.0, 4, "a clinic has no figures");

    let broken = world.stack.run.join("broken.json");
    std::fs::write(&broken, std::fs::read_to_string(EXAMPLE)?.replace("令和2年6月1日", "2020-02-30"))?;
    let (code, _, complaint) = ctl(&world, &session, &["file", &broken.to_string_lossy()])?;
    assert_eq!(code, 5, "refused input");
    assert!(complaint.contains("form.report_date"), "{complaint}");
    assert_eq!(ctl(&world, &session, &["sign-out"])?.0, 0);
    assert_eq!(ctl(&world, &session, &["inbox"])?.0, 3);
    Ok(())
}

#[tokio::test]
async fn a_desk_lists_its_cases_and_finds_one_by_what_it_types() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let somebody = person();
    let case = register(&clinic, somebody.clone()).await?;
    let session = world.stack.run.join("ctl-desk.session");
    assert_eq!(ctl(&world, &session, &["sign-in", "clinic-clerk", "--demo"])?.0, 0);
    let since = (Clock::system().now() - time::Duration::minutes(10)).format(&Rfc3339)?;
    let wanted = ["cases", "list", "--open", "--relation", "reporter", "--since", &since];
    let (code, listed, told) = ctl(&world, &session, &wanted)?;
    assert!(code == 0 && listed.contains(&case.case_id), "{told}");
    assert_eq!(ctl(&world, &session, &["cases", "list", "--placement", "nowhere"])?.0, 2);

    // What is looked for comes by standard input.
    let find = |by: &str, typed: String| -> anyhow::Result<(i32, String)> {
        let input = world.stack.run.join("looked-for.txt");
        std::fs::write(&input, typed)?;
        let done = program("hersysctl")?
            .args(["cases", "find", by])
            .env("HERSYS_STACK", world.stack.run.join("stack.json"))
            .env("HERSYS_SESSION", &session)
            .stdin(std::fs::File::open(&input)?)
            .output()?;
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stdout).into_owned()))
    };
    for (by, typed) in [
        ("phone", somebody.phone.clone()),
        ("access-id", case.access_id.clone()),
        ("name", format!("{}\nS55.1.31\n", somebody.name_kana)),
    ] {
        let (code, found) = find(by, typed)?;
        assert!(code == 0 && found.contains(&case.case_id) && found.contains(&somebody.name_kanji), "{by}");
    }
    let (code, found) = find("receipt", "27-200601-00000000".to_owned())?;
    assert_eq!((code, found.as_str()), (0, "nothing on your list\n"));
    assert_eq!(find("phone", "12".to_owned())?.0, 5, "refused input");
    Ok(())
}

/// A message of the contract as its JSON, in a file.
fn written(world: &World, name: &str, message: &impl prost::Message, full_name: &str) -> anyhow::Result<String> {
    let descriptor = proto::pool().get_message_by_name(full_name).context("not part of the contract")?;
    let dynamic = prost_reflect::DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let file = world.stack.run.join(name);
    std::fs::write(&file, serde_json::to_string(&dynamic)?)?;
    Ok(file.to_string_lossy().into_owned())
}

#[tokio::test]
async fn a_receipt_is_proved_without_asking_anybody() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let receipt = file(&clinic, filing(form(&person()))).await?;
    let request = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
    let stored = clinic.filing().get_notification(clinic.request(request)).await?.into_inner().form.unwrap_or_default();
    let session = world.stack.run.join("ctl-nobody.session");
    let (code, keys, _) = ctl(&world, &session, &["receipts", "keys"])?;
    assert_eq!(code, 0, "the keys are public");
    let keys_file = world.stack.run.join("receipt-keys.json").to_string_lossy().into_owned();
    std::fs::write(&keys_file, keys)?;

    let verify = |receipt: &Receipt, form: &Form| -> anyhow::Result<(i32, String)> {
        let receipt = written(&world, "receipt.json", receipt, "hersys.notification.v1.Receipt")?;
        let form = written(&world, "receipt-form.json", form, "hersys.notification.v1.Form")?;
        let done = program("hersysctl")?
            .args(["receipts", "verify", &receipt, "--form", &form, "--keys", &keys_file])
            .env("HERSYS_STACK", "/nowhere/stack.json")
            .output()?;
        let told = [done.stdout, done.stderr].concat();
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&told).into_owned()))
    };
    let (code, told) = verify(&receipt, &stored)?;
    assert!(code == 0 && told.contains(&receipt.number) && told.contains("genuine, about this form"), "{told}");
    let mut another = stored.clone();
    another.report_date = "2020-05-31".to_owned();
    for (receipt, form, why) in [
        (receipt.clone(), &another, "the form is another one"),
        (Receipt { number: "27-200601-00000000".to_owned(), ..receipt.clone() }, &stored, "number"),
        (Receipt { version: 2, ..receipt.clone() }, &stored, "version"),
        (Receipt { signature: format!("{}A", receipt.signature), ..receipt.clone() }, &stored, "signature"),
    ] {
        let (code, told) = verify(&receipt, form)?;
        assert!(code == 5 && told.contains(why), "{code} {told}");
    }
    Ok(())
}

#[tokio::test]
async fn the_place_of_a_filing_in_the_trail_is_proved_without_asking_anybody() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let receipt = file(&clinic, filing(form(&person()))).await?;
    let session = world.stack.run.join("ctl-no-one.session");
    let (_, keys, _) = ctl(&world, &session, &["receipts", "keys"])?;
    let keys_file = world.stack.run.join("place-keys.json").to_string_lossy().into_owned();
    std::fs::write(&keys_file, keys)?;

    let ask = async || -> anyhow::Result<ReceiptPlace> {
        let notification_id = receipt.notification_id.clone();
        let request = clinic.request(GetReceiptPlaceRequest { notification_id, version: 1 });
        Ok(clinic.filing().get_receipt_place(request).await?.into_inner())
    };
    eventually("the filing is sealed", Duration::from_secs(20), || async { Ok(ask().await?.place > 0) }).await?;
    let place = ask().await?;

    let receipt_file = written(&world, "placed.json", &receipt, "hersys.notification.v1.Receipt")?;
    let verify = |place: &ReceiptPlace| -> anyhow::Result<(i32, String)> {
        let place = written(&world, "place.json", place, "hersys.notification.v1.ReceiptPlace")?;
        let done = program("hersysctl")?
            .args(["receipts", "verify", &receipt_file, "--place", &place, "--keys", &keys_file])
            .env("HERSYS_STACK", "/nowhere/stack.json")
            .output()?;
        let told = [done.stdout, done.stderr].concat();
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&told).into_owned()))
    };
    let (code, told) = verify(&place)?;
    let here = format!("place {} of the audit trail: the row holds", place.place);
    assert!(code == 0 && told.contains(&here) && told.contains("signed in with two factors"), "{told}");

    let mut forged = place.clone();
    forged.row.iter_mut().for_each(|row| row.user_id = receipt.notification_id.clone());
    for (place, why) in
        [(forged, "not the one that was sealed"), (ReceiptPlace { version: 2, ..place }, "another filing")]
    {
        let (code, told) = verify(&place)?;
        assert!(code == 5 && told.contains(why), "{code} {told}");
    }
    Ok(())
}

#[tokio::test]
async fn the_gateway_asks_others_and_identity_prints_the_first_secret_once_there_is_one() -> Outcome {
    let world = World::shared()?;
    let certs = &world.stack.certs;
    let ask = |service: &str, address: &str| -> anyhow::Result<(bool, String)> {
        let done = program("gateway")?
            .args(["ask", service, address])
            .env("HERSYS_TLS_CA", certs.join("ca.pem"))
            .env("HERSYS_TLS_CERT", certs.join("ops.pem"))
            .env("HERSYS_TLS_KEY", certs.join("ops.key"))
            .output()?;
        Ok((done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()))
    };
    let registry = &world.stack.services["registry"].admin;
    assert!(ask("registry", registry)?.0);
    assert!(!ask("beds", registry)?.0, "somebody else answers there");
    assert!(!ask("registry", "127.0.0.1:1")?.0);

    let print = |file: &Path| -> anyhow::Result<(bool, String, String)> {
        let done = program("identity")?.arg("bootstrap").arg("--bootstrap-file").arg(file).env_clear().output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((done.status.success(), text(&done.stdout), text(&done.stderr)))
    };
    let file = world.stack.run.join("first-secret");
    std::fs::write(&file, "admin\nsecret\n")?;
    assert_eq!(print(&file)?, (true, "admin\nsecret\n".to_owned(), String::new()));
    let (printed, _, why) = print(Path::new("/nowhere"))?;
    assert!(!printed && why.contains("--database"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_replay_counts_every_row_once_and_a_second_one_adds_nothing() -> Outcome {
    let world = World::shared()?;
    let analyst = world.at_work("ministry", Role::Analyst).await?;
    let session = world.stack.run.join("ctl-physician.session");
    assert_eq!(ctl(&world, &session, &["sign-in", "clinic-physician", "--demo"])?.0, 0);
    // The wave's first weeks, which no other journey touches.
    let per_day = || async {
        let request = QueryCasesRequest {
            dimensions: vec![Dimension::ReportDate.into()],
            from_date: "2020-03-20".to_owned(),
            until_date: "2020-04-05".to_owned(),
            prefecture: 27,
            include_empty_days: true,
            ..QueryCasesRequest::default()
        };
        let rows = figures(&analyst, request).await?.rows;
        Ok::<_, anyhow::Error>(rows.into_iter().map(|row| row.count).collect::<Vec<i64>>())
    };
    let before = per_day().await?;
    let rows = ctl::wave::synthetic(150);
    let mut expected = before.clone();
    for (day, count) in expected.iter_mut().enumerate() {
        let date = time::macros::date!(2020 - 03 - 20) + time::Duration::days(i64::try_from(day)?);
        *count += i64::try_from(rows.iter().filter(|row| row.reported_on == date).count())?;
    }
    assert_ne!(expected, before);

    let (code, said, complaint) = ctl(&world, &session, &["replay", "--count", "150"])?;
    assert_eq!((code, said.trim()), (0, "150 rows sent, 0 had been sent before"), "{complaint}");
    eventually("every row is counted on its day", Duration::from_secs(30), || async {
        Ok(per_day().await? == expected)
    })
    .await?;
    // Once more from where it ended, and once more from the start.
    assert_eq!(ctl(&world, &session, &["replay", "--count", "150"])?.1.trim(), "0 rows sent, 150 had been sent before");
    assert_eq!(ctl(&world, &session, &["replay", "--count", "150", "--again"])?.0, 0);
    let drained = world.stack.clone();
    eventually("everything has drained", Duration::from_secs(30), || async {
        let (_, metrics) = drained.admin("statistics", "/metrics").await?;
        Ok(metrics.contains("hersys_lag_events{stage=\"registry\"} 0"))
    })
    .await?;
    assert_eq!(per_day().await?, expected, "a second replay adds nothing");
    Ok(())
}

/// On a mesh of their own: the one counts everybody, the other storms.
#[tokio::test]
async fn the_demo_and_then_the_benchmark_run_to_their_end() -> Outcome {
    let world = World::private().await?;
    the_demo_plays_the_notice_in_both_languages_and_the_ministry_sees_no_name(&world).context("the demo")?;
    the_benchmark_runs(&world).context("the benchmark")
}

fn the_demo_plays_the_notice_in_both_languages_and_the_ministry_sees_no_name(world: &World) -> Outcome {
    let session = world.stack.run.join("ctl-demo.session");
    for (language, ministry, ending, fragments) in [
        ("ja", "厚生労働省", "以上、", ["スマホ入力ID", "受付番号 27-", "健感発0612第1号", "移管の申し出"]),
        ("en", "Ministry", "That took ", ["access ID", "receipt 27-", "2020-06-12: met", "exactly 1 centre"]),
    ] {
        let (code, told, complaint) = ctl(world, &session, &["demo", "--language", language])?;
        assert_eq!(code, 0, "{complaint}");
        for fragment in fragments {
            assert!(told.contains(fragment), "{fragment}");
        }
        assert!(told.trim_end().lines().last().is_some_and(|line| line.starts_with(ending)), "{told}");
        let lines: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with(ministry)).collect();
        assert!(lines.len() >= 7, "the ministry sees the figures at each step");
        for name in ["髙﨑", "天野", "重田", "相田"] {
            assert!(lines.iter().all(|line| !line.contains(name)), "{name}");
            assert!(told.contains(name), "the others do see whom it is about");
        }
    }
    Ok(())
}

fn the_benchmark_runs(world: &World) -> Outcome {
    let mut load: Command = program("hersys-load")?;
    let done = load
        .args(["--seconds", "1", "--rates", "20", "--connections", "2", "--pool", "4"])
        .args(["--report-rates", "20", "--people", "20", "--claims", "20", "--sign-ins", "2"])
        .env("HERSYS_TEST_RUN", &world.stack.run)
        .output()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for line in [
        "raw ceiling:",
        "sustained:",
        "ratio to the raw ceiling:",
        "claims/s",
        "log-ins: ratio to raw Argon2id hashes",
        "refreshes:",
        "a decision:",
        "log-in storm:",
        "REST: ratio to native gRPC:",
        "resident memory:",
    ] {
        assert!(said.contains(line), "{said}");
    }
    Ok(())
}
