//! SQL of the marks of a case.

use access::CaseId;
use chassis::Error;
use sqlx::{FromRow, PgConnection};

use super::model::Marks;

#[derive(FromRow)]
struct Row {
    version: i64,
    person: String,
    facts: i64,
    transfer: i64,
    grants: String,
    notifications: i64,
    sections: Vec<String>,
    revisions: Vec<i64>,
}

/// The marks of a case as it is now: one statement, so that they are those of one version. Each table is read by the case's own rows.
pub(super) async fn marks(conn: &mut PgConnection, id: CaseId) -> Result<Marks, Error> {
    let row: Option<Row> = sqlx::query_as(
        "select c.version,
                left(encode(sha256(p.sealed), 'hex'), 8) as person,
                (select count(*) from fact f where f.case_id = c.case_id) as facts,
                coalesce((
                    select t.number::bigint * 16 + t.state from case_transfer t
                    where t.case_id = c.case_id order by t.number desc limit 1
                ), 0) as transfer,
                coalesce((
                    select left(encode(sha256(convert_to(string_agg(
                        concat_ws('|', g.organisation_id, g.relation, g.user_id, extract(epoch from g.until)), ','
                        order by g.organisation_id, g.relation, g.user_id
                    ), 'UTF8')), 'hex'), 8)
                    from case_grant g where g.case_id = c.case_id
                ), '') as grants,
                (select count(*) from case_notification n where n.case_id = c.case_id) as notifications,
                s.sections, s.revisions
         from cases c
         join person p using (person_id)
         cross join lateral (
             select coalesce(array_agg(latest.section), '{}') as sections,
                    coalesce(array_agg(latest.revision), '{}') as revisions
             from (
                 select section, max(revision) as revision from case_section
                 where case_id = c.case_id group by section order by section
             ) as latest
         ) as s
         where c.case_id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await?;
    let row = row.ok_or(Error::NotFound("case"))?;
    Ok(Marks {
        version: row.version,
        person: row.person,
        facts: row.facts,
        transfer: row.transfer,
        grants: row.grants,
        notifications: row.notifications,
        sections: row.sections.into_iter().zip(row.revisions).collect(),
    })
}
