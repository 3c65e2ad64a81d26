//! SQL of inboxes.

use access::OrganisationId;
use chassis::watch::{Arrived, Since};
use const_format::formatcp;
use data::Code;
use proto::notification::NotificationState;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::filing::{COLUMNS, Notification, NotificationId};

const FILED: i16 = NotificationState::Filed as i16;

/// A page of a centre's inbox, newest first.
pub(super) async fn page(
    conn: &mut PgConnection,
    centre: OrganisationId,
    state: NotificationState,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Notification>> {
    // Two statements, because what is still to be accepted has an index of its own.
    let sql = if state == NotificationState::Filed {
        formatcp!(
            "select {COLUMNS} from notification
             where receiving_centre = $1 and state = {FILED} and $4 = {FILED}
               and (arrived_at, notification_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
             order by arrived_at desc, notification_id desc limit $5"
        )
    } else {
        formatcp!(
            "select {COLUMNS} from notification
             where receiving_centre = $1 and ($4 = 0 or state = $4)
               and (arrived_at, notification_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
             order by arrived_at desc, notification_id desc limit $5"
        )
    };
    sqlx::query_as(sql)
        .bind(centre)
        .bind(after.micros)
        .bind(after.id)
        .bind(Code(state))
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// What reached a centre since a moment, oldest first, without what is known.
pub(super) async fn arrived(
    conn: &mut PgConnection,
    centre: OrganisationId,
    since: &Since,
) -> sqlx::Result<Vec<Arrived>> {
    sqlx::query_as(
        "select notification_id, arrived_at from notification
         where receiving_centre = $1 and arrived_at >= $2 and notification_id <> all($3)
         order by arrived_at, notification_id limit $4",
    )
    .bind(centre)
    .bind(since.moment)
    .bind(&since.known)
    .bind(since.limit)
    .fetch_all(conn)
    .await
}

/// Those of some notifications that are in a centre's inbox, oldest first.
pub(super) async fn in_inbox(
    conn: &mut PgConnection,
    centre: OrganisationId,
    ids: &[NotificationId],
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from notification where notification_id = any($1) and receiving_centre = $2
         order by arrived_at, notification_id"
    ))
    .bind(ids)
    .bind(centre)
    .fetch_all(conn)
    .await
}

/// What lies unread with a centre, locked; what others have is passed over.
pub(super) async fn lock_unread(
    conn: &mut PgConnection,
    centre: OrganisationId,
    limit: i64,
) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from notification where receiving_centre = $1 and state = {FILED}
         order by arrived_at, notification_id limit $2 for update skip locked"
    ))
    .bind(centre)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// A centre that had a notification goes on seeing it.
pub(super) async fn remember_centre(
    conn: &mut PgConnection,
    id: NotificationId,
    centre: OrganisationId,
    until: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into former_centre (notification_id, centre_id, until) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(id)
    .bind(centre)
    .bind(until)
    .execute(conn)
    .await?;
    Ok(())
}
