//! SQL of grants, and of the lists that follow from them.

use access::{CaseId, OrganisationId, UserId};
use chassis::page::After;
use const_format::formatcp;
use data::Code;
use proto::registry::{Outcome, Relation};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::Grant;

const STILL_OPEN: i16 = Outcome::Unspecified as i16;

#[derive(FromRow)]
struct Row {
    case_id: CaseId,
    organisation_id: OrganisationId,
    relation: Code<Relation>,
    user_id: UserId,
    since: OffsetDateTime,
    until: Option<OffsetDateTime>,
}

impl From<Row> for Grant {
    fn from(row: Row) -> Self {
        Self {
            case_id: row.case_id,
            organisation_id: row.organisation_id,
            relation: row.relation.0,
            user_id: row.user_id,
            since: row.since,
            until: row.until,
        }
    }
}

/// Every grant of some cases, those that ended too.
pub(crate) async fn of_cases(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Grant>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select case_id, organisation_id, relation, user_id, since, until from case_grant
         where case_id = any($1) order by since, organisation_id, relation",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Grant::from).collect())
}

/// Adds grants; one that ended opens again.
pub(crate) async fn save(conn: &mut PgConnection, grants: &[Grant]) -> sqlx::Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    sqlx::query(
        // The last word about a relation counts.
        "insert into case_grant as g (case_id, organisation_id, relation, user_id, since, until)
         select distinct on (1, 2, 3, 4) case_id, organisation_id, relation, user_id, since, until
         from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
              with ordinality as r (case_id, organisation_id, relation, user_id, since, until, n)
         order by 1, 2, 3, 4, n desc
         on conflict (case_id, organisation_id, relation, user_id) do update set until = excluded.until",
    )
    .bind(grants.iter().map(|grant| grant.case_id).collect::<Vec<_>>())
    .bind(grants.iter().map(|grant| grant.organisation_id).collect::<Vec<_>>())
    .bind(grants.iter().map(|grant| Code(grant.relation)).collect::<Vec<_>>())
    .bind(grants.iter().map(|grant| grant.user_id).collect::<Vec<_>>())
    .bind(grants.iter().map(|grant| grant.since).collect::<Vec<_>>())
    .bind(grants.iter().map(|grant| grant.until).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Brings the lists of all organisations up to date for some cases.
pub(crate) async fn refresh_lists(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<()> {
    sqlx::query(formatcp!(
        "insert into case_list as l (organisation_id, case_id, relations, is_open, listed_at)
         select g.organisation_id, c.case_id, array_agg(g.relation order by g.relation), c.outcome = {STILL_OPEN},
                c.updated_at
         from cases c join case_grant g using (case_id)
         where c.case_id = any($1) and g.until is null
         group by g.organisation_id, c.case_id
         on conflict (organisation_id, case_id) do update
         set relations = excluded.relations, is_open = excluded.is_open
         where l.relations <> excluded.relations or l.is_open <> excluded.is_open"
    ))
    .bind(cases)
    .execute(&mut *conn)
    .await?;
    // Whose every relation has ended no longer lists the case.
    sqlx::query(
        "delete from case_list l
         where case_id = any($1) and not exists (
             select from case_grant g
             where g.case_id = l.case_id and g.organisation_id = l.organisation_id and g.until is null
         )",
    )
    .bind(cases)
    .execute(conn)
    .await?;
    Ok(())
}

/// A case on an organisation's list.
#[derive(FromRow)]
pub(crate) struct Listed {
    pub case_id: CaseId,
    /// The organisation's relations without an end.
    pub relations: Vec<Code<Relation>>,
    #[sqlx(rename = "listed_at")]
    pub since: OffsetDateTime,
}

/// A page of an organisation's list, newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    relation: Relation,
    open_only: bool,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    // Two statements, because the open ones have an index of their own: they are few among many.
    let sql = if open_only {
        "select case_id, relations, listed_at from case_list
         where organisation_id = $1 and (listed_at, case_id) < ($2, $3) and ($4 = 0 or $4 = any(relations)) and is_open
         order by listed_at desc, case_id desc limit $5"
    } else {
        "select case_id, relations, listed_at from case_list
         where organisation_id = $1 and (listed_at, case_id) < ($2, $3) and ($4 = 0 or $4 = any(relations))
         order by listed_at desc, case_id desc limit $5"
    };
    sqlx::query_as(sql)
        .bind(organisation)
        .bind(after.moment())
        .bind(after.id)
        .bind(Code(relation))
        .bind(limit)
        .fetch_all(conn)
        .await
}
