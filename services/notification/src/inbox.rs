//! The inbox of a health centre: what reached it, until it accepts (受理) or forwards it.

mod acknowledge;
mod forward;
mod list;
mod pass_on;
mod send_back;
mod store;
mod watch;

pub(crate) use acknowledge::acknowledge;
pub(crate) use forward::forward;
pub(crate) use list::list;
pub(crate) use pass_on::start_passing_on;
pub(crate) use send_back::send_back;
pub(crate) use watch::watch;

use access::Caller;
use chassis::{Error, Held, Seen};
use proto::notification::{Notification as View, NotificationState as State};
use runtime::problem::why;
use sqlx::PgConnection;

use crate::{
    filing::{self, Notification, NotificationId},
    service::Notifications,
};

/// A notification, locked for a change by the centre whose inbox it is in. Others who see it may only repeat what they
/// asked while it was in theirs; for everybody else it does not exist.
async fn lock(
    notifications: &Notifications,
    conn: &mut PgConnection,
    caller: &Caller,
    id: NotificationId,
) -> Result<Held<Notification, View>, Error> {
    let notification = filing::lock(conn, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = filing::relations(notifications, conn, caller, &notification).await?;

    let (in_inbox, revision) = (notification.is_in_inbox_of(caller), notification.revision);
    let withdrawn = notification.state == State::Withdrawn;
    let held = Held::new(notification, Seen::by(&relations, [id])).version(revision);
    if in_inbox {
        return Ok(if withdrawn { held.only_repeats(filing::withdrawn()) } else { held });
    }
    Ok(held.only_repeats(Error::Denied(why(
        "NOT_IN_YOUR_INBOX",
        "この届出は、あなたの保健所の受信箱にありません。",
        "This notification is not in your centre's inbox.",
    ))))
}
