//! SQL of notifications.

use access::{CaseId, OrganisationId};
use const_format::formatcp;
use data::Code;
use proto::{notification::NotificationState, registry::Channel};
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use time::{Date, OffsetDateTime};
use vault::{Key, Place, Sealed};

use super::model::{Notification, NotificationId};

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
    withdrawn_at, received_at, arrived_at, acknowledged_at";

impl FromRow<'_, PgRow> for Notification {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let Code(state) = row.try_get("state")?;
        let prefecture: i16 = row.try_get("prefecture")?;
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
            acknowledged_at: row.try_get("acknowledged_at")?,
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
              prefecture, named_case_id, salt, content_hash, received_at, arrived_at, filed_at, entered_by, channel,
              told_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, $14, $15, $16)",
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

/// Whether a centre had a notification in its inbox before it forwarded it.
pub(super) async fn was_there(
    conn: &mut PgConnection,
    id: NotificationId,
    centre: OrganisationId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from former_centre where notification_id = $1 and centre_id = $2)")
        .bind(id)
        .bind(centre)
        .fetch_one(conn)
        .await
}

/// Stores where a notification is and what became of it.
pub(crate) async fn save(conn: &mut PgConnection, notification: &Notification) -> sqlx::Result<()> {
    sqlx::query(
        "update notification
         set revision = $2, state = $3, receiving_centre = $4, prefecture = $5, arrived_at = $6, acknowledged_at = $7,
             reason = $8, withdrawn_at = $9
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
                 (notification_id, version, form_sealed, salt, content_hash, filed_at, entered_by)
             select notification_id, version, $2, salt, content_hash, filed_at, entered_by
             from notification where notification_id = $1
         )
         update notification
         set version = $3, form_sealed = $4, form_version = $5, missing = $6, salt = $7, content_hash = $8,
             filed_at = $9, entered_by = $10, channel = $11, told_at = $12
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

/// A version that was amended since.
#[derive(FromRow)]
pub(super) struct Before {
    pub version: i32,
    pub form_sealed: Vec<u8>,
    pub filed_at: OffsetDateTime,
    pub entered_by: Option<OrganisationId>,
}

/// The versions before the present one, oldest first.
pub(super) async fn versions(
    conn: &mut PgConnection,
    id: NotificationId,
    after: i32,
    limit: i64,
) -> sqlx::Result<Vec<Before>> {
    sqlx::query_as(
        "select version, form_sealed, filed_at, entered_by from notification_version
         where notification_id = $1 and version > $2 order by version limit $3",
    )
    .bind(id)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
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

/// Writes down which cases notifications belong to.
pub(super) async fn belong(conn: &mut PgConnection, cases: &[(NotificationId, CaseId)]) -> sqlx::Result<()> {
    sqlx::query(
        "update notification n set case_id = r.case_id
         from unnest($1::uuid[], $2::uuid[]) as r (notification_id, case_id)
         where n.notification_id = r.notification_id and n.case_id is distinct from r.case_id",
    )
    .bind(cases.iter().map(|(notification, _)| *notification).collect::<Vec<_>>())
    .bind(cases.iter().map(|(_, case)| *case).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
