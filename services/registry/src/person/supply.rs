//! What a later source knows of a person and the registry does not, it learns.

use access::CaseId;
use chassis::Error;
use data::outbox;
use proto::registry::{Person, PersonCorrected};
use sqlx::PgConnection;
use vault::Vault;

use super::{
    model::{differs, supplied},
    seal::{open, seal},
    store,
};

/// Learns what is new; nothing known is overwritten. Tells whether the source says something else.
pub(crate) async fn supply(vault: &Vault, conn: &mut PgConnection, case: CaseId, told: &Person) -> Result<bool, Error> {
    let Some((_, sealed)) = store::of_cases(conn, &[case]).await?.pop() else { return Ok(false) };
    let known = open(vault, &sealed)?;
    let more = supplied(&known, told);
    if let Some(more) = &more {
        store::replace(conn, &seal(vault, sealed.id, more)?).await?;
        outbox::add(conn, &PersonCorrected { case_id: case.to_string() }).await?;
    }
    Ok(differs(more.as_ref().unwrap_or(&known), told))
}
