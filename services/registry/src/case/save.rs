//! Cases, the lists and the events that tell of them, stored together.

use std::collections::HashMap;

use access::{CaseId, classes};
use audit::{Act, Actor};
use chassis::Error;
use data::{Failure, outbox};
use prost::Name;
use proto::registry::{CaseChanged, Grant as GrantView, Relation};
use runtime::trace;
use sqlx::PgConnection;

use super::{
    grants::{self, Grant},
    model::Case,
    store,
};
use crate::filing;

/// A version of a case, and the trace of what made it.
pub(crate) struct Version {
    pub case: Case,
    pub traceparent: String,
}

/// Stores a changed case, refreshes the lists, and announces it.
pub(crate) async fn save_one(conn: &mut PgConnection, case: &Case, grants: &[Grant]) -> sqlx::Result<()> {
    let version = Version { case: case.clone(), traceparent: trace::current().header() };
    save_all(conn, std::slice::from_ref(case), &[version], grants).await
}

/// Stores cases in their last version, refreshes the lists, and announces every version given, in order.
pub(crate) async fn save_all(
    conn: &mut PgConnection,
    last: &[Case],
    versions: &[Version],
    grants: &[Grant],
) -> sqlx::Result<()> {
    store::save(conn, last).await?;
    grants::save(conn, grants).await?;
    let ids: Vec<CaseId> = last.iter().map(|case| case.id).collect();
    grants::refresh_lists(conn, &ids).await?;

    let mut of_case: HashMap<CaseId, Vec<GrantView>> = HashMap::new();
    for grant in grants::of_cases(conn, &ids).await? {
        of_case.entry(grant.case_id).or_default().push(grant.into());
    }
    let mut notifications: HashMap<CaseId, Vec<String>> = HashMap::new();
    for (case, notification) in filing::notifications_of(conn, &ids).await? {
        notifications.entry(case).or_default().push(notification.to_string());
    }
    let of = |case: &Case| {
        (of_case.get(&case.id).cloned().unwrap_or_default(), notifications.get(&case.id).cloned().unwrap_or_default())
    };
    let events: Vec<CaseChanged> = versions
        .iter()
        .map(|version| {
            let (grants, notifications) = of(&version.case);
            version.case.changed(grants, notifications)
        })
        .collect();
    let traced: Vec<(&str, &CaseChanged)> =
        versions.iter().map(|version| version.traceparent.as_str()).zip(&events).collect();
    outbox::add_traced(conn, &traced).await
}

/// One audit row per case that an event of another service changed, in the transaction of the change.
pub(crate) async fn audit_heard<M: Name>(
    conn: &mut PgConnection,
    service: &str,
    relation: Relation,
    cases: &[CaseId],
) -> sqlx::Result<()> {
    let name = M::full_name();
    let act = Act {
        actor: Actor::Service(service),
        rpc: proto::event(&name).unwrap_or(&name),
        groups: &classes::groups_shown(&vec![relation].into()),
        request_id: None,
        on_behalf_of: None,
    };
    audit::record(conn, &act, &cases.iter().map(|id| id.uuid()).collect::<Vec<_>>()).await
}

/// Why an event could not be handled: the database is asked again, and so is everything else.
pub(crate) fn failure(error: Error) -> Failure {
    match error {
        Error::Database(error) => Failure::Database(error),
        other => Failure::Retry(other.to_string()),
    }
}
