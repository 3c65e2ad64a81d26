//! SQL of the versions of a notification that were amended since.

use access::OrganisationId;
use data::Code;
use proto::registry::Channel;
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};

use crate::filing::NotificationId;

/// A version that was amended since.
#[derive(FromRow)]
pub(super) struct Before {
    pub version: i32,
    pub form_sealed: Vec<u8>,
    pub filed_at: OffsetDateTime,
    pub entered_by: Option<OrganisationId>,
    pub channel: Code<Channel>,
    pub told_at: Option<OffsetDateTime>,
    pub form_version: Date,
}

/// The versions before the present one, oldest first.
pub(super) async fn versions(
    conn: &mut PgConnection,
    id: NotificationId,
    after: i32,
    limit: i64,
) -> sqlx::Result<Vec<Before>> {
    sqlx::query_as(
        "select version, form_sealed, filed_at, entered_by, channel, told_at, form_version from notification_version
         where notification_id = $1 and version > $2 order by version limit $3",
    )
    .bind(id)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
}
