//! SQL of which row of the audit trail a filing wrote.

use sqlx::PgConnection;

use crate::filing::NotificationId;

/// The row of the trail that was written with a version; `None` where there is no such version. A filing and its row are written by one
/// transaction, and both say by which.
pub(super) async fn filed(conn: &mut PgConnection, id: NotificationId, version: i32) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select a.id
         from (select notification_id, filed_in from notification where notification_id = $1 and version = $2
               union all
               select notification_id, filed_in from notification_version where notification_id = $1 and version = $2) v
         join audit a on a.xid = v.filed_in and a.record = v.notification_id
         order by a.id limit 1",
    )
    .bind(id)
    .bind(version)
    .fetch_optional(conn)
    .await
}
