//! The audit trail: one row per record read or written, in the same transaction. Without the row, nothing is read.
//!
//! Writers insert rows ([`record`]); beside them, one process per service chains what was committed and signs the chain
//! ([`sealer`], [`seal`]); auditors search it and verify it from outside ([`store`]).

pub mod seal;
pub mod sealer;
pub mod store;

use access::{Caller, OrganisationId};
use runtime::trace;
use sqlx::PgConnection;
use uuid::Uuid;

/// The actor of an audited action.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// A person or another system, by token.
    Caller(&'a Caller),
    /// A service of the mesh, by name.
    Service(&'a str),
}

/// One audited action on any number of records.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// The caller, or the service that acted on its own.
    pub actor: Actor<'a>,
    /// The RPC, or the event that was handled.
    pub rpc: &'a str,
    /// Field groups shown or written, by number.
    pub groups: &'a [i16],
    /// The client's request id.
    pub request_id: Option<Uuid>,
    /// The organisation without rights for which a centre entered data (代行入力).
    pub on_behalf_of: Option<OrganisationId>,
}

/// Writes one row per record, in one statement.
///
/// # Errors
/// When the database refuses. The caller's transaction must not commit then.
pub async fn record(conn: &mut PgConnection, act: &Act<'_>, records: &[Uuid]) -> sqlx::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let (user, organisation, service) = match act.actor {
        Actor::Caller(caller) => (Some(caller.user_id), Some(caller.organisation_id), None),
        Actor::Service(name) => (None, None, Some(name)),
    };
    let done = sqlx::query(
        "insert into audit
             (user_id, organisation_id, service, on_behalf_of, rpc, record, field_groups, request_id, trace_id)
         select $1, $2, $3, $4, $5, record, $7, $8, $9 from unnest($6::uuid[]) as r (record)",
    )
    .bind(user)
    .bind(organisation)
    .bind(service)
    .bind(act.on_behalf_of)
    .bind(act.rpc)
    .bind(records)
    .bind(act.groups)
    .bind(act.request_id)
    .bind(trace::current().trace_id())
    .execute(conn)
    .await?;
    if done.rows_affected() == u64::try_from(records.len()).unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}
