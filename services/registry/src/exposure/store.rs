//! SQL of which contacts a case has.

use access::{CaseId, OrganisationId};
use chassis::page::After;
use data::Code;
use proto::registry::Relation;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

/// Lists a contact at its index case. One that is listed there stays where it is.
pub(crate) async fn list(
    conn: &mut PgConnection,
    index: CaseId,
    contact: CaseId,
    at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_contact (index_case_id, contact_id, listed_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(index)
    .bind(contact)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A contact on the list of its index case.
#[derive(FromRow)]
pub(super) struct Listed {
    #[sqlx(rename = "contact_id")]
    pub contact: CaseId,
    /// The relations of the organisation that asks to the contact, without an end.
    pub relations: Vec<Code<Relation>>,
    #[sqlx(rename = "listed_at")]
    pub since: OffsetDateTime,
}

/// A page of the contacts of a case that an organisation has a relation to, newest first.
pub(super) async fn page(
    conn: &mut PgConnection,
    index: CaseId,
    organisation: OrganisationId,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as(
        "select c.contact_id, l.relations, c.listed_at
         from case_contact c join case_list l on l.organisation_id = $2 and l.case_id = c.contact_id
         where c.index_case_id = $1 and (c.listed_at, c.contact_id) < ($3, $4)
         order by c.listed_at desc, c.contact_id desc limit $5",
    )
    .bind(index)
    .bind(organisation)
    .bind(after.moment())
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await
}
