//! A client of HER-SYS in Rust: signs in with both factors, registers a person, files the legal notification (発生届), lists
//! the newest case, and shows how a refusal names the field.
//!
//! The crate `client` brings the connection (TLS against one authority), sign-in and fresh tokens; `proto` the generated messages.

use std::path::PathBuf;

use clap::Parser;
use client::{Client, Credentials, patiently};
use proto::{
    notification::{Diagnosis, FileNotificationRequest, Findings, Form, Purpose, Subject},
    registry::{DiagnosisClass, ListCasesRequest, Person, RegisterCaseRequest, Sex, Specimen, TestMethod, TestResult},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The gateway, and who signs in.
#[derive(Parser)]
struct Settings {
    /// `https://host:port`.
    #[arg(long, env = "HERSYS_GATEWAY")]
    gateway: String,
    /// The authority of its certificate.
    #[arg(long, env = "HERSYS_CA")]
    ca: PathBuf,
    /// The log-in.
    #[arg(long, env = "HERSYS_LOGIN")]
    login: String,
    /// The password.
    #[arg(long, env = "HERSYS_PASSWORD", hide_env_values = true)]
    password: String,
    /// The secret of the authenticator, base32.
    #[arg(long, env = "HERSYS_OTP_SECRET", hide_env_values = true)]
    otp_secret: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    runtime::telemetry::install_crypto();
    let settings = Settings::parse();
    let mut client = Client::new(&settings.gateway, &settings.ca)?.speaking("en");
    let Settings { login, password, otp_secret, .. } = settings;
    client.sign_in(&Credentials { login, password, otp_secret }).await?;

    // Every change carries a request id of the client's choice. After a lost answer or UNAVAILABLE, send it again: the same id
    // and body take effect once and get the same answer.
    let register = RegisterCaseRequest {
        request_id: Uuid::now_v7().to_string(),
        person: Some(Person {
            name_kanji: "見本 次郎".to_owned(),
            name_kana: "ミホン ジロウ".to_owned(),
            birth_date: "S55.1.31".to_owned(),
            sex: Sex::Male.into(),
            phone: "090-1234-5678".to_owned(),
            municipality_code: "271004".to_owned(),
            ..Person::default()
        }),
        ..RegisterCaseRequest::default()
    };
    let case = patiently(|| {
        let (mut cases, request) = (client.cases(), client.request(register.clone()));
        async move { cases.register_case(request).await }
    })
    .await?;
    eprintln!("Registered. Hand over the access ID {}", case.access_id);

    let file = FileNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        form: Some(form("1980-01-31")),
        case_id: case.case_id,
        ..FileNotificationRequest::default()
    };
    let receipt = client.filing().file_notification(client.request(file)).await?.into_inner();
    eprintln!("Filed: receipt {} of {}", receipt.number, receipt.receiving_centre_name);

    let newest = ListCasesRequest { page_size: 1, ..ListCasesRequest::default() };
    let cases = client.cases().list_cases(client.request(newest)).await?.into_inner().cases;
    eprintln!("Newest case changed at revision {}", cases.first().map(|case| case.etag.clone()).unwrap_or_default());

    // A refusal names each field at fault, in the language asked for.
    let wrong = FileNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        form: Some(form("1980-02-30")),
        ..FileNotificationRequest::default()
    };
    match client.filing().file_notification(client.request(wrong)).await {
        Ok(_) => anyhow::bail!("the thirtieth of February was accepted"),
        Err(status) => {
            for violation in status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default() {
                eprintln!("Refused: {}: {}", violation.field, violation.description);
            }
        }
    }
    Ok(())
}

/// The six basic items of form 6-1, and the day of onset.
fn form(birth_date: &str) -> Form {
    Form {
        purpose: Purpose::Notification.into(),
        report_date: "2020-06-02".to_owned(),
        diagnosis_class: DiagnosisClass::Confirmed.into(),
        subject: Some(Subject {
            name_kanji: "見本 次郎".to_owned(),
            name_kana: "ミホン ジロウ".to_owned(),
            birth_date: birth_date.to_owned(),
            sex: Sex::Male.into(),
            whereabouts: "大阪市北区".to_owned(),
            whereabouts_code: "271004".to_owned(),
            phone: "090-1234-5678".to_owned(),
            ..Subject::default()
        }),
        findings: Some(Findings {
            diagnoses: vec![Diagnosis {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::Saliva.into(),
                result: TestResult::Positive.into(),
                sampled_date: "2020-06-01".to_owned(),
                ..Diagnosis::default()
            }],
            onset_date: "2020-05-30".to_owned(),
            ..Findings::default()
        }),
        ..Form::default()
    }
}
