//! Filing the legal notification (発生届).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use client::{Client, pages};
use proto::{
    notification::{
        AmendNotificationRequest, FileNotificationRequest, Form, ListNotificationsRequest, ListVersionsRequest,
        Notification, NotificationState, WithdrawNotificationRequest,
    },
    registry::{Channel, Entry},
};
use uuid::Uuid;

use crate::console::{from_json, print_json, say, timestamp};

#[derive(Args)]
pub(crate) struct File {
    /// The form, as the JSON of `hersys.notification.v1.Form`; `-` is standard input.
    form: PathBuf,
    /// The case registered at the test.
    #[arg(long, default_value = "")]
    case: String,
    /// An unusual order of days that is so, such as `ONSET_AFTER_FIRST_VISIT`. The refusal names it.
    #[arg(long)]
    confirm: Vec<String>,
    #[command(flatten)]
    told: Told,
    /// The draft that is filed; it is gone then.
    #[arg(long)]
    draft: Option<Uuid>,
    /// The revision of the draft that was read; where somebody saved it since, nothing is filed.
    #[arg(long, default_value = "", requires = "draft")]
    draft_etag: String,
    /// Repeat an earlier request.
    #[arg(long)]
    request_id: Option<Uuid>,
}

/// Who told what a centre enters, and how.
#[derive(Args)]
pub(crate) struct Told {
    /// The institution for which a centre enters (代行入力).
    #[arg(long = "for", default_value = "")]
    institution: String,
    /// How the institution told it.
    #[arg(long, value_enum)]
    by: Option<By>,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Telephone,
    Fax,
    Visit,
    Paper,
}

impl Told {
    fn entry(self) -> Option<Entry> {
        let channel = match self.by {
            None => Channel::Unspecified,
            Some(By::Telephone) => Channel::Telephone,
            Some(By::Fax) => Channel::Fax,
            Some(By::Visit) => Channel::Visit,
            Some(By::Paper) => Channel::Paper,
        };
        let entry = Entry { on_behalf_of_id: self.institution, channel: channel.into(), told_time: None };
        (entry != Entry::default()).then_some(entry)
    }
}

#[derive(Args)]
pub(crate) struct Amend {
    notification: Uuid,
    /// The whole form as it is now, as the JSON of `hersys.notification.v1.Form`; `-` is standard input.
    form: PathBuf,
    /// An unusual order of days that is so. The refusal names it.
    #[arg(long)]
    confirm: Vec<String>,
    #[command(flatten)]
    told: Told,
}

#[derive(Args)]
pub(crate) struct Withdraw {
    notification: Uuid,
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    told: Told,
}

pub(crate) async fn file(client: &Client, args: File) -> anyhow::Result<()> {
    let request = FileNotificationRequest {
        request_id: args.request_id.unwrap_or_else(Uuid::now_v7).to_string(),
        form: Some(form(&args.form)?),
        case_id: args.case,
        entry: args.told.entry(),
        confirmed_warnings: args.confirm,
        draft_id: args.draft.map(|draft| draft.to_string()).unwrap_or_default(),
        draft_etag: args.draft_etag,
    };
    let receipt = client.filing().file_notification(client.request(request)).await?.into_inner();
    print_json(&receipt, "hersys.notification.v1.Receipt")
}

pub(crate) fn form(file: &Path) -> anyhow::Result<Form> {
    let text = if file.as_os_str() == "-" {
        io::read_to_string(io::stdin()).context("read standard input")?
    } else {
        fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?
    };
    from_json(&text, "hersys.notification.v1.Form").context("read the form")
}

pub(crate) async fn amend(client: &Client, args: Amend) -> anyhow::Result<()> {
    let request = AmendNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: args.notification.to_string(),
        etag: String::new(),
        form: Some(form(&args.form)?),
        entry: args.told.entry(),
        confirmed_warnings: args.confirm,
    };
    let receipt = client.filing().amend_notification(client.request(request)).await?.into_inner();
    print_json(&receipt, "hersys.notification.v1.Receipt")
}

pub(crate) async fn withdraw(client: &Client, args: Withdraw) -> anyhow::Result<()> {
    let request = WithdrawNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: args.notification.to_string(),
        etag: String::new(),
        reason: args.reason,
        entry: args.told.entry(),
    };
    let done = client.filing().withdraw_notification(client.request(request)).await?.into_inner();
    say(format_args!("{} withdrawn", done.number))
}

pub(crate) async fn filed(client: &Client, missing_only: bool) -> anyhow::Result<()> {
    let notifications = pages(async |page_token| {
        let request = ListNotificationsRequest { page_size: 100, page_token, missing_only };
        let page = client.filing().list_notifications(client.request(request)).await?.into_inner();
        Ok((page.notifications, page.next_page_token))
    })
    .await?;
    for notification in &notifications {
        let missing = notification.missing_items.join(",");
        say(format_args!("{}  未記入: {missing}", line(notification)))?;
    }
    Ok(())
}

pub(crate) async fn versions(client: &Client, notification: Uuid) -> anyhow::Result<()> {
    let versions = pages(async |page_token| {
        let notification_id = notification.to_string();
        let request = ListVersionsRequest { notification_id, page_size: 50, page_token };
        let page = client.filing().list_versions(client.request(request)).await?.into_inner();
        Ok((page.versions, page.next_page_token))
    })
    .await?;
    for version in &versions {
        let filed = version.receive_time.as_ref().map(timestamp).unwrap_or_default();
        let told = match Channel::try_from(version.channel).unwrap_or_default() {
            Channel::Unspecified => String::new(),
            channel => channel.as_str_name().trim_start_matches("CHANNEL_").to_lowercase(),
        };
        let changed = version.changed_fields.join(" ");
        say(format_args!("{}  {filed}  様式 {}  {told}  {changed}", version.version, version.form_version))?;
    }
    Ok(())
}

pub(crate) fn line(notification: &Notification) -> String {
    let state = NotificationState::try_from(notification.state).unwrap_or_default();
    let form = notification.form.clone().unwrap_or_default();
    let name = form.subject.unwrap_or_default().name_kanji;
    let state = match state {
        NotificationState::Acknowledged => "受理済",
        NotificationState::Withdrawn => "取下げ",
        NotificationState::Returned => "返戻",
        NotificationState::Filed | NotificationState::Unspecified => "未受理",
    };
    format!(
        "{}  {}  {state}  {}  {name}  {}  症例 {}",
        notification.notification_id,
        notification.number,
        form.report_date,
        notification.reporter_name,
        notification.case_id
    )
}
