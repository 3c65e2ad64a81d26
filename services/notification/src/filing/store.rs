//! SQL of notifications.

use access::{CaseId, OrganisationId};
use const_format::formatcp;
use data::Code;
use proto::notification::NotificationState;
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use time::{Date, OffsetDateTime};
use vault::{Key, Place, Sealed};

use super::model::{Notification, NotificationId};

/// The form as filed.
pub(super) const FORM: Place = Place { table: "notification", column: "form_sealed" };

pub(crate) const SEALED: Sealed = Sealed { place: FORM, key: Key::Uuid("notification_id") };

/// The columns of a [`Notification`].
pub(crate) const COLUMNS: &str = "notification_id, number, revision, state, form_sealed, missing, reporter_id,
    receiving_centre, prefecture, case_id, received_at, arrived_at, acknowledged_at";

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
            case_id: row.try_get("case_id")?,
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
    pub case_id: Option<CaseId>,
    pub salt: &'a [u8],
    pub content_hash: &'a [u8],
    pub received_at: OffsetDateTime,
}

pub(super) async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into notification
             (notification_id, number, state, form_sealed, form_version, missing, reporter_id, receiving_centre,
              prefecture, case_id, salt, content_hash, received_at, arrived_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
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
    .bind(new.case_id)
    .bind(new.salt)
    .bind(new.content_hash)
    .bind(new.received_at)
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
