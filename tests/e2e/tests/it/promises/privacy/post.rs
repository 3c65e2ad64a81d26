//! Messages leave by a real mail server over TLS, say no name, and are not kept.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use e2e::{World, eventually, issue, person, register, request_id};
use proto::identity::{IssueUserRequest, Role, SignInPatientRequest};
use uuid::Uuid;

use crate::Outcome;

/// A mail server on loopback; ends with the test.
pub(super) struct Mailbox {
    process: Child,
    port: u16,
    folder: std::path::PathBuf,
}

impl Mailbox {
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("hersys-mail-{}", Uuid::now_v7().simple()));
        let certs = devstack::certs::Authority::open(&folder.join("certs"))?;
        let files = certs.issue("smtp")?;
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let made = Command::new("python3").arg(format!("{root}/tests/contract/venv.py")).arg("smtp").output()?;
        let python = String::from_utf8(made.stdout)?.trim().to_owned();
        let mut process = Command::new(python)
            .arg(format!("{root}/tests/contract/mailbox.py"))
            .args([&files.cert, &files.key, &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the mail server")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut line)?;
        let port = line.trim().parse().context("the mail server prints its port")?;
        Ok(Self { process, port, folder })
    }

    /// What a mesh is told, so that it sends here.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HERSYS_SMTP", format!("127.0.0.1:{}", self.port)),
            ("HERSYS_SMTP_CA", self.folder.join("certs/ca.pem").display().to_string()),
            ("HERSYS_SMS_DOMAIN", "sms.example".to_owned()),
        ]
    }

    /// The mail to somebody: its whole text, as it was sent.
    fn to(&self, address: &str) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "mail") {
                let text = fs::read_to_string(path)?;
                if text.lines().next().is_some_and(|first| first == address) {
                    found.push(text);
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The text of a mail, decoded.
fn body(mail: &str) -> String {
    use base64::Engine as _;
    let encoded: String = mail.split("\r\n\r\n").nth(1).unwrap_or_default().split_whitespace().collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    String::from_utf8_lossy(&decoded).into_owned()
}

pub(super) async fn codes_and_initial_secrets_go_by_mail_and_short_message_and_carry_no_name(
    world: &World,
    mailbox: &Mailbox,
) -> Outcome {
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let patient = world.stack.client()?;
    // One has a mail address only, one a telephone.
    let with_mail = proto::registry::Person { phone: String::new(), mail: "p1@example.jp".to_owned(), ..person() };
    let with_phone = person();
    for (somebody, to) in [
        (with_mail, "p1@example.jp".to_owned()),
        (with_phone.clone(), format!("{}@sms.example", with_phone.phone.replace('-', ""))),
    ] {
        let case = register(&clinic, somebody.clone()).await?;
        let case_id = Uuid::try_parse(&case.case_id)?;
        eventually("identity has the credential", Duration::from_secs(20), || async {
            let known = sqlx::query_scalar("select exists (select from patient where case_id = $1)").bind(case_id);
            Ok(known.fetch_one(&mut world.sql("identity").await?).await?)
        })
        .await?;
        let request =
            SignInPatientRequest { access_id: case.access_id.clone(), birth_date: somebody.birth_date.clone() };
        patient.sign_ins().sign_in_patient(request).await?;
        eventually("the mail arrives", Duration::from_secs(20), || async { Ok(!mailbox.to(&to)?.is_empty()) }).await?;
        let mail = mailbox.to(&to)?.pop().unwrap_or_default();
        let text = body(&mail);
        let digits = text.chars().filter(char::is_ascii_digit).count();
        assert!(digits >= 6, "a code: {text}");
        for secret in [&somebody.name_kanji, &somebody.name_kana, &somebody.birth_date, &somebody.address] {
            assert!(!secret.is_empty() && !text.contains(secret.as_str()) && !mail.contains(secret.as_str()));
        }
    }
    let admin = world.admin().await?;
    let request = IssueUserRequest {
        request_id: request_id(),
        organisation_id: world.organisation("osaka-city-centre")?,
        login: "by.mail".to_owned(),
        role: Role::Nurse.into(),
        mail: "nurse@example.jp".to_owned(),
        ..IssueUserRequest::default()
    };
    let issued = issue(&admin, request).await?;
    eventually("the secret arrives", Duration::from_secs(20), || async {
        Ok(mailbox.to("nurse@example.jp")?.iter().any(|mail| body(mail).contains(&issued.initial_secret)))
    })
    .await?;
    // What was delivered is not kept.
    eventually("nothing that was delivered is left", Duration::from_secs(10), || async {
        let none = sqlx::query_scalar("select not exists (select from message)");
        Ok(none.fetch_one(&mut world.sql("identity").await?).await?)
    })
    .await
}
