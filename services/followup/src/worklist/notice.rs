//! Notices: the tasks that the present state of a case or a notification calls for, each at the desk of one organisation. They follow
//! that state, whatever was heard before and however often.

mod of_case;
mod store;

pub(crate) use of_case::of_case;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    model::{TaskId, Wanted},
    store::{enlist, unlist},
};

/// Lets the notices of some subjects be what is called for now: what is new is added and listed, what is called for no more is over.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    subjects: &[Uuid],
    wanted: &[Wanted],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let over = store::end(conn, subjects, wanted, now).await?;
    unlist(conn, &over).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    let added = store::add(conn, wanted).await?;
    let pairs: Vec<_> = added.into_iter().map(|(id, desk)| (desk, TaskId::from(id))).collect();
    enlist(conn, &pairs, now).await
}
