//! The inbox of a health centre: what reached it, until it accepts (受理) or forwards it.

mod acknowledge;
mod assign;
mod batch_acknowledge;
mod forward;
mod list;
mod pass_on;
mod send_back;
mod store;
mod summary;
mod watch;

pub(crate) use acknowledge::acknowledge;
pub(crate) use assign::assign;
pub(crate) use batch_acknowledge::batch_acknowledge;
pub(crate) use forward::forward;
pub(crate) use list::list;
pub(crate) use pass_on::start_passing_on;
pub(crate) use send_back::send_back;
pub(crate) use summary::summary;
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
    let mut notification = filing::lock(conn, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = filing::relations(notifications, conn, caller, &mut notification).await?;

    let works = notification.is_work_of(caller, &relations);
    let revision = notification.revision;
    let withdrawn = notification.state == State::Withdrawn;
    let held = Held::new(notification, Seen::by(&relations, [id])).version(revision);
    if works {
        return Ok(if withdrawn { held.only_repeats(filing::withdrawn()) } else { held });
    }
    Ok(held.only_repeats(elsewhere()))
}

fn elsewhere() -> Error {
    Error::Denied(why(
        "NOT_IN_YOUR_INBOX",
        "この届出は、あなたの保健所の受信箱にありません。",
        "This notification is not in your centre's inbox.",
    ))
}
