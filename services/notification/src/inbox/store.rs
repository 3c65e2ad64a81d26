//! SQL of inboxes.

use access::{OrganisationId, UserId};
use chassis::{
    page::After,
    watch::{Arrived, Since},
};
use const_format::formatcp;
use data::Code;
use proto::notification::NotificationState;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::filing::{COLUMNS, Notification, NotificationId};

const FILED: i16 = NotificationState::Filed as i16;
const ACKNOWLEDGED: i16 = NotificationState::Acknowledged as i16;
const RETURNED: i16 = NotificationState::Returned as i16;

/// Every state, for whoever asks for any.
const STATES: [NotificationState; 4] = [
    NotificationState::Filed,
    NotificationState::Acknowledged,
    NotificationState::Withdrawn,
    NotificationState::Returned,
];

/// What a page of an inbox lists.
pub(super) struct Wanted {
    /// `None` is whoever's work; `Some(UserId::NIL)` nobody's.
    pub assigned_to: Option<UserId>,
    pub state: NotificationState,
    pub missing_only: bool,
    pub arrived_before: Option<OffsetDateTime>,
    pub after: After,
}

impl Wanted {
    fn states(&self) -> Vec<Code<NotificationState>> {
        let wanted = |state: &NotificationState| match self.state {
            // Nobody is asked to supply what was withdrawn.
            NotificationState::Unspecified => !self.missing_only || *state != NotificationState::Withdrawn,
            only => *state == only,
        };
        STATES.into_iter().filter(wanted).map(Code).collect()
    }

    fn lacks(&self) -> &'static [bool] {
        if self.missing_only { &[true] } else { &[true, false] }
    }

    /// The place behind which the page begins: the later of the two is given up.
    fn edge(&self) -> After {
        let before = self.arrived_before.map(|moment| After::row(moment, Uuid::nil()));
        match before {
            Some(before) if (before.micros, before.id) < (self.after.micros, self.after.id) => before,
            _ => self.after,
        }
    }
}

/// A page of a centre's inbox, newest first.
///
/// Each pair of state and "something is missing" is a range of an index. The first rows of each wanted range are read, and merged.
pub(super) async fn page(
    conn: &mut PgConnection,
    centre: OrganisationId,
    wanted: &Wanted,
    limit: i64,
) -> sqlx::Result<Vec<Notification>> {
    const RANGE: &str = "n.receiving_centre = $1 and n.state = s.state and n.lacks = l.lacks
               and (n.arrived_at, n.notification_id) < ($4, $5)
             order by n.arrived_at desc, n.notification_id desc limit $6";
    const PAGE: &str = "from unnest($2::smallint[]) s (state) cross join unnest($3::boolean[]) l (lacks)
         cross join lateral (select n.notification_id, n.arrived_at from notification n where";
    // Two statements, because what is assigned to somebody has an index of its own.
    let sql = if wanted.assigned_to.is_some() {
        formatcp!(
            "select {COLUMNS} from notification join (
                 select r.notification_id {PAGE} n.assigned_to = $7 and {RANGE}) r
                 order by r.arrived_at desc, r.notification_id desc limit $6
             ) p using (notification_id) order by arrived_at desc, notification_id desc"
        )
    } else {
        formatcp!(
            "select {COLUMNS} from notification join (
                 select r.notification_id {PAGE} $7::uuid is null and {RANGE}) r
                 order by r.arrived_at desc, r.notification_id desc limit $6
             ) p using (notification_id) order by arrived_at desc, notification_id desc"
        )
    };
    let edge = wanted.edge();
    sqlx::query_as(sql)
        .bind(centre)
        .bind(wanted.states())
        .bind(wanted.lacks())
        .bind(edge.moment())
        .bind(edge.id)
        .bind(limit)
        .bind(wanted.assigned_to)
        .fetch_all(conn)
        .await
}

/// How many of each there are, counted up to a limit, and when the oldest that is still to be accepted arrived.
#[derive(FromRow)]
pub(super) struct Summary {
    pub unacknowledged: i64,
    pub unassigned: i64,
    pub returned: i64,
    pub lacking: i64,
    pub oldest: Option<OffsetDateTime>,
}

/// Reads no more than `limit` entries of an index for each number.
pub(super) async fn summary(conn: &mut PgConnection, centre: OrganisationId, limit: i64) -> sqlx::Result<Summary> {
    sqlx::query_as(formatcp!(
        "select (select count(*) from (select from notification
                 where receiving_centre = $1 and state = {FILED} limit $2) f) as unacknowledged,
                (select count(*) from (select from notification
                 where receiving_centre = $1 and assigned_to = $3 and state = {FILED} limit $2) u) as unassigned,
                (select count(*) from (select from notification
                 where receiving_centre = $1 and state = {RETURNED} limit $2) r) as returned,
                (select count(*) from (select from unnest($4::smallint[]) s (state)
                 cross join lateral (select from notification n
                     where n.receiving_centre = $1 and n.state = s.state and n.lacks limit $2) l limit $2) m) as lacking,
                (select min(o.arrived_at) from unnest('{{true,false}}'::boolean[]) l (lacks)
                 cross join lateral (select n.arrived_at from notification n
                     where n.receiving_centre = $1 and n.state = {FILED} and n.lacks = l.lacks
                     order by n.arrived_at, n.notification_id limit 1) o) as oldest"
    ))
    .bind(centre)
    .bind(limit)
    .bind(UserId::NIL)
    .bind(vec![Code(NotificationState::Filed), Code(NotificationState::Acknowledged), Code(NotificationState::Returned)])
    .fetch_one(conn)
    .await
}

/// What reached a centre since a moment, oldest first, without what is known.
pub(super) async fn arrived(
    conn: &mut PgConnection,
    centre: OrganisationId,
    since: &Since,
) -> sqlx::Result<Vec<Arrived>> {
    sqlx::query_as(
        "select r.notification_id, r.arrived_at
         from unnest($5::smallint[]) s (state) cross join unnest('{true,false}'::boolean[]) l (lacks)
         cross join lateral (
             select n.notification_id, n.arrived_at from notification n
             where n.receiving_centre = $1 and n.state = s.state and n.lacks = l.lacks
               and n.arrived_at >= $2 and n.notification_id <> all($3)
             order by n.arrived_at, n.notification_id limit $4
         ) r
         order by r.arrived_at, r.notification_id limit $4",
    )
    .bind(centre)
    .bind(since.moment)
    .bind(&since.known)
    .bind(since.limit)
    .bind(STATES.map(Code).to_vec())
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
         order by lacks desc, arrived_at, notification_id limit $2 for update skip locked"
    ))
    .bind(centre)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// The centre accepts these (受理), each of which is locked and not accepted yet.
pub(super) async fn acknowledge_all(
    conn: &mut PgConnection,
    ids: &[NotificationId],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(formatcp!(
        "update notification set state = {ACKNOWLEDGED}, acknowledged_at = $2, reason = null, revision = revision + 1
         where notification_id = any($1)"
    ))
    .bind(ids)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
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
