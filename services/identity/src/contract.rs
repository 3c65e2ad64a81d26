//! Contracts (委託): a centre, a city or a prefecture entrusts others by name, between dates. Announced whole; what they allow
//! follows from them wherever it is asked, so it ends with them.

mod create;
mod end;
mod list;
mod model;
mod store;

pub(crate) use create::create;
pub(crate) use end::end;
pub(crate) use list::list;

use chassis::Error;
use data::outbox;
use proto::identity::{Contract, ContractChanged};
use sqlx::PgConnection;

/// Tells every service.
async fn announce(conn: &mut PgConnection, contract: &Contract, version: i64) -> Result<(), Error> {
    let changed = ContractChanged { contract: Some(contract.clone()), version };
    Ok(outbox::add(conn, &changed).await?)
}
