//! SQL of notifications.

use access::{CaseId, OrganisationId, UserId};
use const_format::formatcp;
use data::Code;
use proto::{notification::NotificationState, registry::Channel};
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use time::{Date, OffsetDateTime};
use vault::{Key, Place, Sealed};

use super::model::{ForCaller, Notification, NotificationId};

const WITHDRAWN: i16 = NotificationState::Withdrawn as i16;

/// The form as filed.
pub(super) const FORM: Place = Place { table: "notification", column: "form_sealed" };

/// The form as filed before an amendment.
pub(super) const FORM_BEFORE: Place = Place { table: "notification_version", column: "form_sealed" };
/// Why a notification was returned or withdrawn.
pub(crate) const REASON: Place = Place { table: "notification", column: "reason" };

pub(crate) const SEALED: [Sealed; 3] = [
    Sealed { place: FORM, key: Key::Uuid("notification_id") },
    Sealed { place: FORM_BEFORE, key: Key::Uuid("notification_id") },
    Sealed { place: REASON, key: Key::Uuid("notification_id") },
];

/// The columns of a [`Notification`].
pub(crate) const COLUMNS: &str = "notification_id, number, revision, state, form_sealed, missing, reporter_id,
    receiving_centre, prefecture, named_case_id, case_id, version, filed_at, entered_by, channel, told_at, reason,
    withdrawn_at, received_at, arrived_at, placed_at, counted_by, acknowledged_at, on_its_way, assigned_to, assigned_at,
    form_version";

impl FromRow<'_, PgRow> for Notification {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let Code(state) = row.try_get("state")?;
        let prefecture: i16 = row.try_get("prefecture")?;
        let assigned_to: UserId = row.try_get("assigned_to")?;
        Ok(Self {
            id: row.try_get("notification_id")?,
            number: row.try_get("number")?,
            revision: row.try_get("revision")?,
            state,
            form: row.try_get("form_sealed")?,
            missing: row.try_get("missing")?,
            reporter_id: row.try_get("reporter_id")?,
            receiving_centre: row.try_get("receiving_centre")?,
            prefecture: u8::try_from(prefecture).map_err(|error| sqlx::Error::Decode(error.into()))?,
            named_case_id: row.try_get("named_case_id")?,
            case_id: row.try_get("case_id")?,
            version: row.try_get("version")?,
            filed_at: row.try_get("filed_at")?,
            entered_by: row.try_get("entered_by")?,
            channel: row.try_get::<Code<Channel>, _>("channel")?.0,
            told_at: row.try_get("told_at")?,
            reason: row.try_get("reason")?,
            withdrawn_at: row.try_get("withdrawn_at")?,
            received_at: row.try_get("received_at")?,
            arrived_at: row.try_get("arrived_at")?,
            placed_at: row.try_get("placed_at")?,
            counted_by: row.try_get("counted_by")?,
            acknowledged_at: row.try_get("acknowledged_at")?,
            on_its_way: row.try_get("on_its_way")?,
            assigned_to: Some(assigned_to).filter(|user| *user != UserId::NIL),
            assigned_at: row.try_get("assigned_at")?,
            form_version: row.try_get("form_version")?,
            for_caller: ForCaller::default(),
        })
    }
}

/// A notification that is being filed.
pub(super) struct New<'a> {
    pub id: NotificationId,
    pub number: &'a str,
    pub form_sealed: &'a [u8],
    pub form_version: Date,
    pub missing: &'a [String],
    pub reporter_id: OrganisationId,
    pub receiving_centre: OrganisationId,
    pub prefecture: u8,
    pub named_case_id: Option<CaseId>,
    pub entered_by: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
    pub salt: &'a [u8],
    pub content_hash: &'a [u8],
    pub received_at: OffsetDateTime,
}

pub(super) async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into notification
             (notification_id, number, state, form_sealed, form_version, missing, reporter_id, receiving_centre,
              prefecture, named_case_id, salt, content_hash, received_at, arrived_at, placed_at, filed_at, counted_by,
              entered_by, channel, told_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, $13, $8, $14, $15, $16)",
    )
    .bind(new.id)
    .bind(new.number)
    .bind(Code(NotificationState::Filed))
    .bind(new.form_sealed)
    .bind(new.form_version)
    .bind(new.missing)
    .bind(new.reporter_id)
    .bind(new.receiving_centre)
    .bind(i16::from(new.prefecture))
    .bind(new.named_case_id)
    .bind(new.salt)
    .bind(new.content_hash)
    .bind(new.received_at)
    .bind(new.entered_by)
    .bind(Code(new.channel))
    .bind(new.told_at)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn find(conn: &mut PgConnection, id: NotificationId) -> sqlx::Result<Option<Notification>> {
    sqlx::query_as(formatcp!("select {COLUMNS} from notification where notification_id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

pub(super) async fn find_all(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as(formatcp!("select {COLUMNS} from notification where notification_id = any($1)"))
        .bind(ids)
        .fetch_all(conn)
        .await
}

/// A notification, locked for a change.
pub(crate) async fn lock(conn: &mut PgConnection, id: NotificationId) -> sqlx::Result<Option<Notification>> {
    sqlx::query_as(formatcp!("select {COLUMNS} from notification where notification_id = $1 for update"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Some notifications, locked for a change, always in the same order.
pub(crate) async fn lock_all(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<Vec<Notification>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from notification where notification_id = any($1) order by notification_id for update"
    ))
    .bind(ids)
    .fetch_all(conn)
    .await
}

/// Stores where a notification is and what became of it.
pub(crate) async fn save(conn: &mut PgConnection, notification: &Notification) -> sqlx::Result<()> {
    sqlx::query(
        "update notification
         set revision = $2, state = $3, receiving_centre = $4, prefecture = $5, arrived_at = $6, acknowledged_at = $7,
             reason = $8, withdrawn_at = $9, on_its_way = $10, assigned_to = $11, assigned_at = $12, placed_at = $13,
             counted_by = $14
         where notification_id = $1",
    )
    .bind(notification.id)
    .bind(notification.revision)
    .bind(Code(notification.state))
    .bind(notification.receiving_centre)
    .bind(i16::from(notification.prefecture))
    .bind(notification.arrived_at)
    .bind(notification.acknowledged_at)
    .bind(&notification.reason)
    .bind(notification.withdrawn_at)
    .bind(notification.on_its_way)
    .bind(notification.assigned_to.unwrap_or(UserId::NIL))
    .bind(notification.assigned_at)
    .bind(notification.placed_at)
    .bind(notification.counted_by)
    .execute(conn)
    .await?;
    Ok(())
}

/// A new version of a form.
pub(super) struct Amended<'a> {
    pub form_sealed: &'a [u8],
    pub form_version: Date,
    pub missing: &'a [String],
    pub salt: &'a [u8],
    pub content_hash: &'a [u8],
    /// The form until now, sealed for where it is kept from here on.
    pub form_before: &'a [u8],
    pub entered_by: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
}

/// Keeps the version until now and stores the new one of an amended notification.
pub(super) async fn amend(conn: &mut PgConnection, to: &Notification, new: &Amended<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "with before as (
             insert into notification_version
                 (notification_id, version, form_sealed, salt, content_hash, filed_at, entered_by, channel, told_at,
                  form_version, filed_in)
             select notification_id, version, $2, salt, content_hash, filed_at, entered_by, channel, told_at,
                    form_version, filed_in
             from notification where notification_id = $1
         )
         update notification
         set version = $3, form_sealed = $4, form_version = $5, missing = $6, salt = $7, content_hash = $8,
             filed_at = $9, entered_by = $10, channel = $11, told_at = $12, filed_in = pg_current_xact_id()
         where notification_id = $1",
    )
    .bind(to.id)
    .bind(new.form_before)
    .bind(to.version)
    .bind(new.form_sealed)
    .bind(new.form_version)
    .bind(new.missing)
    .bind(new.salt)
    .bind(new.content_hash)
    .bind(to.filed_at)
    .bind(new.entered_by)
    .bind(Code(new.channel))
    .bind(new.told_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of what an institution filed, newest first.
pub(super) async fn filed_by(
    conn: &mut PgConnection,
    reporter: OrganisationId,
    missing_only: bool,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Notification>> {
    // Two statements, because what is still to be supplied has an index of its own.
    let sql = if missing_only {
        formatcp!(
            "select {COLUMNS} from notification
             where reporter_id = $1 and (received_at, notification_id) < ($2, $3)
               and missing <> '{{}}' and state <> {WITHDRAWN}
             order by received_at desc, notification_id desc limit $4"
        )
    } else {
        formatcp!(
            "select {COLUMNS} from notification
             where reporter_id = $1 and (received_at, notification_id) < ($2, $3)
             order by received_at desc, notification_id desc limit $4"
        )
    };
    sqlx::query_as(sql).bind(reporter).bind(after.moment()).bind(after.id).bind(limit).fetch_all(conn).await
}
