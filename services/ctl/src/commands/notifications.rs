//! Filing the legal notification (発生届), and the inbox of a health centre.

use std::{fs, io, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use client::{Client, pages};
use proto::notification::{
    AcknowledgeNotificationRequest, FileNotificationRequest, Form, ForwardNotificationRequest, ListInboxRequest,
    Notification, NotificationState,
};
use uuid::Uuid;

use crate::console::{from_json, print_json, say};

#[derive(Args)]
pub(crate) struct File {
    /// The form, as the JSON of `hersys.notification.v1.Form`; `-` is standard input.
    form: PathBuf,
    /// The case registered at the test.
    #[arg(long, default_value = "")]
    case: String,
    /// Repeat an earlier request.
    #[arg(long)]
    request_id: Option<Uuid>,
}

pub(crate) async fn file(client: &Client, args: File) -> anyhow::Result<()> {
    let text = if args.form.as_os_str() == "-" {
        io::read_to_string(io::stdin()).context("read standard input")?
    } else {
        fs::read_to_string(&args.form).with_context(|| format!("read {}", args.form.display()))?
    };
    let form: Form = from_json(&text, "hersys.notification.v1.Form").context("read the form")?;

    let request = FileNotificationRequest {
        request_id: args.request_id.unwrap_or_else(Uuid::now_v7).to_string(),
        form: Some(form),
        case_id: args.case,
        on_behalf_of_id: String::new(),
    };
    let receipt = client.filing().file_notification(client.request(request)).await?.into_inner();
    print_json(&receipt, "hersys.notification.v1.Receipt")
}

pub(crate) async fn inbox(client: &Client, open: bool) -> anyhow::Result<()> {
    let state = if open { NotificationState::Filed.into() } else { 0 };
    let notifications = pages(async |page_token| {
        let request = client.request(ListInboxRequest { page_size: 100, page_token, state });
        let page = client.inbox().list_inbox(request).await?.into_inner();
        Ok((page.notifications, page.next_page_token))
    })
    .await?;
    for notification in &notifications {
        say(format_args!("{}", line(notification)))?;
    }
    Ok(())
}

fn line(notification: &Notification) -> String {
    let state = NotificationState::try_from(notification.state).unwrap_or_default();
    let form = notification.form.clone().unwrap_or_default();
    let name = form.subject.unwrap_or_default().name_kanji;
    let state = if state == NotificationState::Acknowledged { "受理済" } else { "未受理" };
    format!(
        "{}  {}  {state}  {}  {name}  {}",
        notification.notification_id, notification.number, form.report_date, notification.reporter_name
    )
}

pub(crate) async fn acknowledge(client: &Client, notification: Uuid) -> anyhow::Result<()> {
    let request = AcknowledgeNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: notification.to_string(),
        etag: String::new(),
    };
    let done = client.inbox().acknowledge_notification(client.request(request)).await?.into_inner();
    say(format_args!("{} acknowledged", done.number))
}

pub(crate) async fn forward(client: &Client, notification: Uuid, centre: Uuid) -> anyhow::Result<()> {
    let request = ForwardNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: notification.to_string(),
        centre_id: centre.to_string(),
        etag: String::new(),
    };
    let done = client.inbox().forward_notification(client.request(request)).await?.into_inner();
    say(format_args!("{} forwarded to {}", done.number, done.receiving_centre_name))
}
