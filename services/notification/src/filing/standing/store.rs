//! SQL of how notifications stand to cases and to the centres that had them.

use std::collections::HashSet;

use access::{CaseId, OrganisationId, UserId};
use const_format::formatcp;
use prost::Message as _;
use proto::{notification::NotificationState, registry::CaseChanged};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::filing::NotificationId;

const FILED: i16 = NotificationState::Filed as i16;
const RETURNED: i16 = NotificationState::Returned as i16;

/// A notification whose case is known, and this service's copy of the case.
#[derive(FromRow)]
pub(super) struct Copied {
    pub case_id: CaseId,
    pub reporter_id: OrganisationId,
    receiving_centre: OrganisationId,
    on_its_way: bool,
    facts: Option<Vec<u8>>,
}

impl Copied {
    /// Whether an organisation needs nothing from the case: it filed the notification, or has it since the registry heard last.
    pub(super) fn stands_by_itself(&self, organisation: OrganisationId) -> bool {
        self.reporter_id == organisation || (self.on_its_way && self.receiving_centre == organisation)
    }

    /// `None` where there is no copy that can be read.
    pub(super) fn case(&self) -> Option<CaseChanged> {
        CaseChanged::decode(self.facts.as_deref()?).ok()
    }
}

/// What this service has of the cases of some notifications. Those of which no case is known are left out.
pub(super) async fn copies(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<Vec<Copied>> {
    sqlx::query_as(
        "select n.case_id, n.reporter_id, n.receiving_centre, n.on_its_way, c.facts
         from notification n left join case_copy c using (case_id)
         where n.notification_id = any($1) and n.case_id is not null",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}

/// Those of some notifications that a centre had in its inbox before it forwarded them.
pub(super) async fn had(
    conn: &mut PgConnection,
    ids: &[NotificationId],
    centre: OrganisationId,
) -> sqlx::Result<HashSet<NotificationId>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let had: Vec<NotificationId> = sqlx::query_scalar(
        "select notification_id from former_centre where notification_id = any($1) and centre_id = $2",
    )
    .bind(ids)
    .bind(centre)
    .fetch_all(conn)
    .await?;
    Ok(had.into_iter().collect())
}

/// Locks what cases list now and what they listed until now, always in the same order, and tells what there is of it.
pub(super) async fn lock_concerned(
    conn: &mut PgConnection,
    cases: &[CaseId],
    listed: &[(NotificationId, CaseId)],
) -> sqlx::Result<Vec<NotificationId>> {
    sqlx::query_scalar(
        "select notification_id from notification
         where notification_id in (
             select unnest($1::uuid[]) union select notification_id from case_listing where case_id = any($2))
         order by notification_id for no key update",
    )
    .bind(listed.iter().map(|(notification, _)| *notification).collect::<Vec<_>>())
    .bind(cases)
    .fetch_all(conn)
    .await
}

/// Writes down what each case lists now.
pub(super) async fn list(
    conn: &mut PgConnection,
    cases: &[CaseId],
    listed: &[(NotificationId, CaseId)],
) -> sqlx::Result<()> {
    let notifications: Vec<NotificationId> = listed.iter().map(|(notification, _)| *notification).collect();
    let of: Vec<CaseId> = listed.iter().map(|(_, case)| *case).collect();
    sqlx::query(
        "delete from case_listing l where case_id = any($1) and not exists (
             select from unnest($2::uuid[], $3::uuid[]) as r (notification_id, case_id)
             where (r.notification_id, r.case_id) = (l.notification_id, l.case_id))",
    )
    .bind(cases)
    .bind(&notifications)
    .bind(&of)
    .execute(&mut *conn)
    .await?;
    // What this service never heard of is none of its notifications.
    sqlx::query(
        "insert into case_listing (notification_id, case_id)
         select r.notification_id, r.case_id from unnest($1::uuid[], $2::uuid[]) as r (notification_id, case_id)
         join notification n using (notification_id)
         on conflict do nothing",
    )
    .bind(&notifications)
    .bind(&of)
    .execute(conn)
    .await?;
    Ok(())
}

/// Each of these belongs to a case that lists it: to its own for as long as that does.
pub(super) async fn belong(conn: &mut PgConnection, ids: &[NotificationId]) -> sqlx::Result<()> {
    sqlx::query(
        "update notification n set case_id = r.case_id
         from (select distinct on (notification_id) notification_id, case_id from case_listing
               where notification_id = any($1) order by notification_id, case_id desc) r
         where n.notification_id = r.notification_id and not exists (
             select from case_listing l where l.notification_id = n.notification_id and l.case_id = n.case_id)",
    )
    .bind(ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// A centre that a notification of a case may have reached.
pub(super) struct Reached {
    pub case: CaseId,
    pub centre: OrganisationId,
    /// It left the case since then: it has had what it got before.
    pub left: Option<OffsetDateTime>,
}

/// The registry knows that its notifications reached these centres: those that were forwarded there are on their way no more.
pub(super) async fn arrived(conn: &mut PgConnection, ids: &[NotificationId], reached: &[Reached]) -> sqlx::Result<()> {
    if reached.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update notification n set on_its_way = false
         from unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) as r (case_id, centre_id, since)
         where n.notification_id = any($1) and n.case_id = r.case_id and n.receiving_centre = r.centre_id
           and n.on_its_way and (r.since is null or r.since > n.placed_at)",
    )
    .bind(ids)
    .bind(reached.iter().map(|reached| reached.case).collect::<Vec<_>>())
    .bind(reached.iter().map(|reached| reached.centre).collect::<Vec<_>>())
    .bind(reached.iter().map(|reached| reached.left).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// A centre left a case, and another one has it.
pub(super) struct Left {
    pub case: CaseId,
    pub from: OrganisationId,
    pub at: OffsetDateTime,
    pub to: OrganisationId,
    /// Where the other one lies; `None` before this service heard of it.
    pub prefecture: Option<u8>,
}

/// What lies in the inbox of a centre that left the case since it got there, and is not accepted yet, goes into the inbox of the
/// responsible one. The former one goes on seeing it. Heard again it does nothing: what was moved got there after that.
pub(super) async fn follow(
    conn: &mut PgConnection,
    ids: &[NotificationId],
    handed_over: &[Left],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    if handed_over.is_empty() {
        return Ok(());
    }
    sqlx::query(formatcp!(
        "with moved as (
             update notification n
             set receiving_centre = r.to_centre, prefecture = coalesce(r.prefecture, n.prefecture),
                 arrived_at = greatest($7, r.since), placed_at = greatest($7, r.since), assigned_to = $8,
                 assigned_at = null, revision = n.revision + 1
             from unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::smallint[])
                  as r (case_id, from_centre, since, to_centre, prefecture)
             where n.notification_id = any($1) and n.case_id = r.case_id and n.receiving_centre = r.from_centre
               and r.to_centre <> r.from_centre and r.since > n.placed_at and not n.on_its_way
               and n.state in ({FILED}, {RETURNED})
             returning n.notification_id, r.from_centre
         )
         insert into former_centre (notification_id, centre_id, until)
         select notification_id, from_centre, $7 from moved on conflict do nothing"
    ))
    .bind(ids)
    .bind(handed_over.iter().map(|left| left.case).collect::<Vec<_>>())
    .bind(handed_over.iter().map(|left| left.from).collect::<Vec<_>>())
    .bind(handed_over.iter().map(|left| left.at).collect::<Vec<_>>())
    .bind(handed_over.iter().map(|left| left.to).collect::<Vec<_>>())
    .bind(handed_over.iter().map(|left| left.prefecture.map(i16::from)).collect::<Vec<_>>())
    .bind(now)
    .bind(UserId::NIL)
    .execute(conn)
    .await?;
    Ok(())
}
