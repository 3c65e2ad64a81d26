//! How far a service has got with its own log and with the logs it listens to.

use proto::operations::{ConsumerState, Pipeline};
use runtime::clock;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::dead_letter;

/// The state of a service's log and of its consumers.
///
/// # Errors
/// When the database refuses.
pub async fn state(conn: &mut PgConnection) -> sqlx::Result<Pipeline> {
    let (stamped_seq, published_seq): (i64, i64) =
        sqlx::query_as("select stamped_seq, published_seq from relay").fetch_one(&mut *conn).await?;
    let unstamped = sqlx::query_scalar("select count(*) from outbox where seq is null").fetch_one(&mut *conn).await?;
    let consumers: Vec<(String, i64, Option<OffsetDateTime>)> =
        sqlx::query_as("select source, handled_seq, nullif(watermark, '-infinity') from cursor order by source")
            .fetch_all(&mut *conn)
            .await?;
    Ok(Pipeline {
        stamped_seq,
        published_seq,
        unstamped,
        consumers: consumers
            .into_iter()
            .map(|(source, handled_seq, watermark)| ConsumerState {
                source,
                handled_seq,
                watermark_time: watermark.map(clock::to_proto),
            })
            .collect(),
        dead_letters: dead_letter::count(conn).await?,
    })
}
