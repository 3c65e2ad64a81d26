//! SQL of grants, and of the lists that follow from them.

use access::{
    Caller, CaseId, Directory, OrganisationId, Relations, UserId,
    cases::{self, Held},
};
use chassis::page::After;
use const_format::formatcp;
use data::Code;
use proto::registry::{Outcome, Placement, Relation, Severity};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Filter, Grant, State};
use crate::case::Case;

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
        "insert into case_list as l (organisation_id, case_id, relations, is_open, placement, severity, listed_at)
         select g.organisation_id, c.case_id, g.relations, c.outcome = {STILL_OPEN}, c.placement, c.severity,
                c.updated_at
         from cases c
         cross join lateral (
             select organisation_id, array_agg(relation order by relation) as relations
             from case_grant where case_id = c.case_id and until is null group by organisation_id
         ) as g
         where c.case_id = any($1)
         on conflict (organisation_id, case_id) do update
         set relations = excluded.relations, is_open = excluded.is_open, placement = excluded.placement,
             severity = excluded.severity
         where (l.relations, l.is_open, l.placement, l.severity)
               <> (excluded.relations, excluded.is_open, excluded.placement, excluded.severity)"
    ))
    .bind(cases)
    .execute(&mut *conn)
    .await?;
    // Whose every relation has ended no longer lists the case. The offset keeps the planner from joining all grants there are.
    sqlx::query(
        "delete from case_list l
         where case_id = any($1) and not exists (
             select from case_grant g
             where g.case_id = l.case_id and g.organisation_id = l.organisation_id and g.until is null offset 0
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
    relations: Vec<Code<Relation>>,
    #[sqlx(rename = "listed_at")]
    pub since: OffsetDateTime,
}

impl Listed {
    /// The relations to the case of a caller who works on the list of an organisation. Empty where it is none of the caller's.
    pub(crate) fn relations_of(
        &self,
        caller: &Caller,
        whose: OrganisationId,
        case: &Case,
        directory: &Directory,
        now: OffsetDateTime,
    ) -> Relations {
        let held = self.relations.iter().map(|relation| Held {
            organisation_id: whose,
            relation: relation.0,
            user_id: None,
            until: None,
        });
        cases::held(case.known(), held, caller, directory, now)
    }
}

/// The parts of a list, each by the index that holds nothing else. `$1` to `$6` are those of every page: organisation, where the page
/// begins, relation, since when, and how many.
///
/// Since when is a bound of the same index. A relation is looked at row by row: an organisation has one or two kinds of them.
macro_rules! page {
    ($part:literal) => {
        concat!(
            "select case_id, relations, listed_at from case_list
             where organisation_id = $1 and (listed_at, case_id) < ($2, $3) and listed_at >= $5
               and ($4 = 0 or $4 = any(relations)) ",
            $part,
            " order by listed_at desc, case_id desc limit $6"
        )
    };
}

/// `case_list_newest`.
const ALL: &str = page!("");
/// `case_list_newest`, too: what is still open is passed over, and that is little among much.
const ENDED: &str = page!("and not is_open");
/// `case_list_open`.
const OPEN: &str = page!("and is_open");
/// `case_list_placement`.
const PLACED: &str = page!("and is_open and placement = $7");
/// `case_list_severity`; of those who are so ill, each is looked at where they are.
const AS_ILL: &str = page!("and is_open and severity = $7 and ($8 = 0 or placement = $8)");

/// A page of an organisation's list, newest first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    filter: &Filter,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    let sql = match filter.state {
        State::Any => ALL,
        State::Ended => ENDED,
        State::Open(Placement::Unspecified, Severity::Unspecified) => OPEN,
        State::Open(_, Severity::Unspecified) => PLACED,
        State::Open(..) => AS_ILL,
    };
    let page = sqlx::query_as(sql)
        .bind(organisation)
        .bind(after.moment())
        .bind(after.id)
        .bind(Code(filter.relation))
        .bind(filter.since.unwrap_or(OffsetDateTime::UNIX_EPOCH))
        .bind(limit);
    let page = match filter.state {
        State::Any | State::Ended | State::Open(Placement::Unspecified, Severity::Unspecified) => page,
        State::Open(placement, Severity::Unspecified) => page.bind(Code(placement)),
        State::Open(placement, severity) => page.bind(Code(severity)).bind(Code(placement)),
    };
    page.fetch_all(conn).await
}

#[cfg(test)]
mod tests {
    use testing::Outcome;

    use super::{ALL, AS_ILL, ENDED, OPEN, PLACED};
    use crate::fixture::Scene;

    #[tokio::test]
    async fn each_part_of_a_list_has_an_index_and_none_is_sorted_even_on_a_table_that_is_new() -> Outcome {
        let scene = Scene::new().await?;
        for (sql, index) in [
            (ALL, "case_list_newest"),
            (ENDED, "case_list_newest"),
            (OPEN, "case_list_open"),
            (PLACED, "case_list_placement"),
            (AS_ILL, "case_list_severity"),
        ] {
            let plan = scene.plan(sql).await?;
            assert!(plan.contains(&format!("Index Scan using {index} on case_list")), "{plan}");
            assert!(!plan.contains("Sort"), "{plan}");
        }
        Ok(())
    }
}
