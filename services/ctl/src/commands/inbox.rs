//! The inbox of a health centre as a desk.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use client::{Client, pages};
use proto::notification::{
    AcknowledgeNotificationRequest, AcknowledgementOutcome as Outcome, AssignNotificationRequest,
    BatchAcknowledgeRequest, ForwardNotificationRequest, GetInboxSummaryRequest, InboxAssignment as Assignment,
    InboxCount, ListInboxRequest, NotificationState, ReturnNotificationRequest,
};
use runtime::clock;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::notifications::line;
use crate::console::{say, timestamp};

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Inbox {
    /// Only what is not acknowledged yet.
    #[arg(long, conflicts_with = "state")]
    open: bool,
    /// Only this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only your own work.
    #[arg(long, conflicts_with_all = ["unassigned", "user"])]
    mine: bool,
    /// Only what is nobody's work yet.
    #[arg(long, conflicts_with = "user")]
    unassigned: bool,
    /// Only the work of this user.
    #[arg(long)]
    user: Option<Uuid>,
    /// Only what has items that are still missing.
    #[arg(long)]
    missing: bool,
    /// Only what arrived before this moment (RFC 3339).
    #[arg(long)]
    before: Option<String>,
    /// How much there is, and since when the oldest waits, instead of the list.
    #[arg(long, conflicts_with_all = ["open", "state", "mine", "unassigned", "user", "missing", "before"])]
    summary: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Filed,
    Acknowledged,
    Returned,
    Withdrawn,
}

#[derive(Args)]
pub(crate) struct Assign {
    notification: Uuid,
    /// The user, instead of yourself.
    #[arg(long, conflicts_with = "nobody")]
    to: Option<Uuid>,
    /// Give it back.
    #[arg(long)]
    nobody: bool,
}

pub(crate) async fn inbox(client: &Client, args: Inbox) -> anyhow::Result<()> {
    if args.summary {
        return summary(client).await;
    }
    let request = wanted(args)?;
    let notifications = pages(async |page_token| {
        let request = client.request(ListInboxRequest { page_token, ..request.clone() });
        let page = client.inbox().list_inbox(request).await?.into_inner();
        Ok((page.notifications, page.next_page_token))
    })
    .await?;
    for notification in &notifications {
        let since = notification.arrive_time.as_ref().map(timestamp).unwrap_or_default();
        let whose = match notification.assigned_user_id.as_str() {
            "" => "未割当",
            user => user,
        };
        say(format_args!("{}  着信 {since}  担当 {whose}", line(notification)))?;
    }
    Ok(())
}

fn wanted(args: Inbox) -> anyhow::Result<ListInboxRequest> {
    let state = match args.state {
        None if args.open => NotificationState::Filed,
        None => NotificationState::Unspecified,
        Some(State::Filed) => NotificationState::Filed,
        Some(State::Acknowledged) => NotificationState::Acknowledged,
        Some(State::Returned) => NotificationState::Returned,
        Some(State::Withdrawn) => NotificationState::Withdrawn,
    };
    let assignment = match args.user {
        Some(_) => Assignment::User,
        None if args.mine => Assignment::Mine,
        None if args.unassigned => Assignment::Unassigned,
        None => Assignment::Unspecified,
    };
    let before = args.before.map(|text| OffsetDateTime::parse(&text, &Rfc3339)).transpose();
    Ok(ListInboxRequest {
        page_size: 100,
        page_token: String::new(),
        state: state.into(),
        assignment: assignment.into(),
        assigned_user_id: args.user.map(|user| user.to_string()).unwrap_or_default(),
        missing_only: args.missing,
        arrived_before_time: before.context("must be a moment, such as 2020-06-01T12:00:00Z")?.map(clock::to_proto),
    })
}

async fn summary(client: &Client) -> anyhow::Result<()> {
    let seen = client.inbox().get_inbox_summary(client.request(GetInboxSummaryRequest {})).await?.into_inner();
    let oldest = seen.oldest_arrive_time.as_ref().map_or_else(|| "-".to_owned(), timestamp);
    say(format_args!(
        "未受理 {}（未割当 {}、最古の着信 {oldest}）  返戻中 {}  未記入あり {}",
        count(seen.unacknowledged.as_ref()),
        count(seen.unassigned.as_ref()),
        count(seen.returned.as_ref()),
        count(seen.with_missing_items.as_ref())
    ))
}

fn count(count: Option<&InboxCount>) -> String {
    count.map_or_else(String::new, |count| format!("{}{}", count.count, if count.at_least { "+" } else { "" }))
}

pub(crate) async fn acknowledge(client: &Client, notifications: &[Uuid]) -> anyhow::Result<()> {
    if let [notification] = notifications {
        let request = AcknowledgeNotificationRequest {
            request_id: Uuid::now_v7().to_string(),
            notification_id: notification.to_string(),
            etag: String::new(),
        };
        let done = client.inbox().acknowledge_notification(client.request(request)).await?.into_inner();
        return say(format_args!("{} acknowledged", done.number));
    }
    for some in notifications.chunks(200) {
        let request = BatchAcknowledgeRequest {
            request_id: Uuid::now_v7().to_string(),
            notification_ids: some.iter().map(ToString::to_string).collect(),
        };
        let done = client.inbox().batch_acknowledge(client.request(request)).await?.into_inner();
        for one in &done.acknowledgements {
            let became = match one.outcome() {
                Outcome::Acknowledged => "acknowledged",
                Outcome::Already => "was acknowledged before",
                Outcome::NotInYourInbox => "refused: it is not in your centre's inbox",
                Outcome::Withdrawn => "refused: it was withdrawn",
                Outcome::TryAgain => "not judged: the registry is silent, try again",
                Outcome::NotFound | Outcome::Unspecified => "refused: there is none",
            };
            say(format_args!("{}  {became}", one.notification_id))?;
        }
    }
    Ok(())
}

pub(crate) async fn assign(client: &Client, args: &Assign) -> anyhow::Result<()> {
    let user_id = match args.to {
        _ if args.nobody => String::new(),
        Some(user) => user.to_string(),
        None => own_id(client)?,
    };
    let request = AssignNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: args.notification.to_string(),
        etag: String::new(),
        user_id,
    };
    let done = client.inbox().assign_notification(client.request(request)).await?.into_inner();
    match done.assigned_user_id.as_str() {
        "" => say(format_args!("{} is nobody's work", done.number)),
        user => say(format_args!("{} is the work of {user}", done.number)),
    }
}

/// Who is signed in, as the own token says.
fn own_id(client: &Client) -> anyhow::Result<String> {
    let session = client.session().context("nobody is signed in")?;
    let claims = jsonwebtoken::dangerous::insecure_decode::<access::token::Claims>(&session.access_token)
        .context("the session has no token that can be read")?
        .claims;
    Ok(claims.sub.to_string())
}

pub(crate) async fn send_back(client: &Client, notification: Uuid, reason: String) -> anyhow::Result<()> {
    let request = ReturnNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        notification_id: notification.to_string(),
        etag: String::new(),
        reason,
    };
    let done = client.inbox().return_notification(client.request(request)).await?.into_inner();
    say(format_args!("{} returned to {}", done.number, done.reporter_name))
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
