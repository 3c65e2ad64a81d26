//! All SQL of notification.

use proto::notification::NotificationState;
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// A notification as stored.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Row {
    pub notification_id: Uuid,
    pub number: String,
    pub revision: i64,
    pub state: i16,
    pub form_sealed: Vec<u8>,
    pub missing: Vec<String>,
    pub reporter_id: Uuid,
    pub receiving_centre: Uuid,
    pub prefecture: i16,
    pub case_id: Option<Uuid>,
    pub received_at: OffsetDateTime,
    pub arrived_at: OffsetDateTime,
    pub acknowledged_at: Option<OffsetDateTime>,
}

pub(crate) struct New<'a> {
    pub id: Uuid,
    pub number: &'a str,
    pub form_sealed: &'a [u8],
    pub form_version: Date,
    pub missing: &'a [String],
    pub reporter_id: Uuid,
    pub receiving_centre: Uuid,
    pub prefecture: u8,
    pub case_id: Option<Uuid>,
    pub salt: &'a [u8],
    pub content_hash: &'a [u8],
    pub received_at: OffsetDateTime,
}

pub(crate) async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into notification
             (notification_id, number, state, form_sealed, form_version, missing, reporter_id, receiving_centre,
              prefecture, case_id, salt, content_hash, received_at, arrived_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
    )
    .bind(new.id)
    .bind(new.number)
    .bind(state(NotificationState::Filed))
    .bind(new.form_sealed)
    .bind(new.form_version)
    .bind(new.missing)
    .bind(new.reporter_id)
    .bind(new.receiving_centre)
    .bind(i16::from(new.prefecture))
    .bind(new.case_id)
    .bind(new.salt)
    .bind(new.content_hash)
    .bind(new.received_at)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn find(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select notification_id, number, revision, state, form_sealed, missing, reporter_id, receiving_centre, prefecture,
                case_id, received_at, arrived_at, acknowledged_at
         from notification where notification_id = any($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}

pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select notification_id, number, revision, state, form_sealed, missing, reporter_id, receiving_centre, prefecture,
                case_id, received_at, arrived_at, acknowledged_at
         from notification where notification_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// A page of a centre's inbox, newest first.
pub(crate) async fn inbox(
    conn: &mut PgConnection,
    centre: Uuid,
    state: i32,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    // Two statements, because what is still to be accepted has an index of its own.
    let sql = if state == i32::from(NotificationState::Filed) {
        "select notification_id, number, revision, state, form_sealed, missing, reporter_id, receiving_centre, prefecture,
                case_id, received_at, arrived_at, acknowledged_at
         from notification
         where receiving_centre = $1 and state = 1 and $4 = 1
           and (arrived_at, notification_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
         order by arrived_at desc, notification_id desc limit $5"
    } else {
        "select notification_id, number, revision, state, form_sealed, missing, reporter_id, receiving_centre, prefecture,
                case_id, received_at, arrived_at, acknowledged_at
         from notification
         where receiving_centre = $1 and ($4 = 0 or state = $4)
           and (arrived_at, notification_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
         order by arrived_at desc, notification_id desc limit $5"
    };
    sqlx::query_as(sql)
        .bind(centre)
        .bind(after.micros)
        .bind(after.id)
        .bind(i16::try_from(state).unwrap_or(0))
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// What reached a centre since a moment, oldest first.
pub(crate) async fn inbox_since(
    conn: &mut PgConnection,
    centre: Uuid,
    since: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select notification_id, number, revision, state, form_sealed, missing, reporter_id, receiving_centre, prefecture,
                case_id, received_at, arrived_at, acknowledged_at
         from notification where receiving_centre = $1 and arrived_at > $2
         order by arrived_at, notification_id limit $3",
    )
    .bind(centre)
    .bind(since)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Whether a centre had a notification before.
pub(crate) async fn was_there(conn: &mut PgConnection, id: Uuid, centre: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from former_centre where notification_id = $1 and centre_id = $2)")
        .bind(id)
        .bind(centre)
        .fetch_one(conn)
        .await
}

pub(crate) async fn acknowledge(conn: &mut PgConnection, id: Uuid, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(
        "update notification set state = $2, acknowledged_at = $3, revision = revision + 1 where notification_id = $1",
    )
    .bind(id)
    .bind(state(NotificationState::Acknowledged))
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn forward(
    conn: &mut PgConnection,
    id: Uuid,
    from: Uuid,
    to: Uuid,
    prefecture: u8,
) -> sqlx::Result<()> {
    sqlx::query("insert into former_centre (notification_id, centre_id) values ($1, $2) on conflict do nothing")
        .bind(id)
        .bind(from)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "update notification
         set receiving_centre = $2, prefecture = $3, state = $4, acknowledged_at = null, revision = revision + 1,
             arrived_at = now()
         where notification_id = $1",
    )
    .bind(id)
    .bind(to)
    .bind(i16::from(prefecture))
    .bind(state(NotificationState::Filed))
    .execute(conn)
    .await?;
    Ok(())
}

fn state(state: NotificationState) -> i16 {
    i16::try_from(i32::from(state)).unwrap_or(0)
}
