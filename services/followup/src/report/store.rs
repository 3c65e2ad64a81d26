//! SQL of reports.

use access::{CaseId, OrganisationId};
use const_format::formatcp;
use proto::followup::{TaskKind, TaskState};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{NewReport, Report, ReportId};
use crate::plan::SlotState;

const OPEN: i16 = SlotState::Open as i16;
const REPORTED: i16 = SlotState::Reported as i16;
const MISSED_REPORT: i16 = TaskKind::MissedReport as i16;
const TO_DO: i16 = TaskState::Open as i16;
const OVER: i16 = TaskState::Over as i16;

#[derive(FromRow)]
struct Row {
    report_id: ReportId,
    at: OffsetDateTime,
    by_organisation: Option<OrganisationId>,
    form_version: String,
    answers: Vec<u8>,
    message: Option<Vec<u8>>,
}

impl From<Row> for Report {
    fn from(row: Row) -> Self {
        Self {
            id: row.report_id,
            at: row.at,
            by_organisation: row.by_organisation,
            form_version: row.form_version,
            answers: row.answers,
            message: row.message,
        }
    }
}

#[derive(FromRow)]
struct Settled {
    answered: i64,
    version: Option<i64>,
}

/// Stores a report and, in the same statement, settles the slot it answers and the overdue task it comes after. `false` where the
/// slot is no longer open or the case has changed meanwhile: the caller must not commit then.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewReport) -> sqlx::Result<bool> {
    let settled: Settled = sqlx::query_as(formatcp!(
        "with answered as (
             update slot set state = {REPORTED} where case_id = $2 and due_at = $8 and state = {OPEN} returning 1
         ), settled as (
             update task set state = {OVER}, closed_at = $3, version = version + 1
             where case_id = $2 and kind = {MISSED_REPORT} and state = {TO_DO} returning task_id
         ), listed as (
             delete from worklist w using settled t where w.task_id = t.task_id
         ), stored as (
             insert into report (report_id, case_id, at, by_organisation, form_version, answers, message)
             values ($1, $2, $3, $4, $5, $6, $7)
         )
         select (select count(*) from answered) as answered,
                (select version from case_copy where case_id = $2) as version"
    ))
    .bind(new.report.id)
    .bind(new.case_id)
    .bind(new.report.at)
    .bind(new.report.by_organisation)
    .bind(&new.report.form_version)
    .bind(&new.report.answers)
    .bind(&new.report.message)
    .bind(new.answers_slot)
    .fetch_one(conn)
    .await?;
    let still_open = new.answers_slot.is_none() || settled.answered == 1;
    Ok(still_open && settled.version == Some(new.case_version))
}

/// The latest reports of a case, newest first.
pub(crate) async fn latest(conn: &mut PgConnection, case: CaseId, limit: i64) -> sqlx::Result<Vec<Report>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select report_id, at, by_organisation, form_version, answers, message from report
         where case_id = $1 order by at desc, report_id desc limit $2",
    )
    .bind(case)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Report::from).collect())
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use testing::Outcome;
    use time::{Duration, OffsetDateTime};

    use super::{NewReport, Report, ReportId, insert};
    use crate::{
        fixture::{Scene, reporting, well},
        plan::{self, Due},
    };

    fn new(case_id: CaseId, case_version: i64, answers_slot: Option<OffsetDateTime>) -> NewReport {
        let report = Report {
            id: ReportId::new(),
            at: testing::NOW,
            by_organisation: None,
            form_version: "2020-05-29".to_owned(),
            answers: Vec::new(),
            message: None,
        };
        NewReport { report, case_id, case_version, answers_slot }
    }

    #[tokio::test]
    async fn a_slot_or_a_case_that_moved_on_keeps_a_report_from_being_stored() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        assert!(insert(&mut conn, &new(case, 1, None)).await?);
        assert!(!insert(&mut conn, &new(case, 2, None)).await?, "judged by another version");
        assert!(!insert(&mut conn, &new(case, 1, Some(testing::NOW))).await?, "no such slot is open");
        Ok(())
    }

    #[tokio::test]
    async fn a_report_looks_again_at_a_slot_that_moved_on_while_it_waited() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.world.clock.advance(Duration::hours(10));
        let mut first = scene.world.base.pool.begin().await?;
        plan::lock(&mut first, &[case]).await?;
        let plan = plan::find(&mut first, &[case]).await?.remove(0);
        let due_at = plan.awaited.unwrap().due_at;

        let settle = async {
            let waits = "select exists (select from pg_locks l join pg_stat_activity a using (pid)
                                        where not l.granted and a.datname = current_database())";
            while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&scene.world.base.pool).await? {}
            assert!(insert(&mut first, &new(case, 1, Some(due_at))).await?);
            let next = Due::after(&plan, due_at, scene.world.clock.now());
            let opened = plan::open(&mut first, vec![next]).await?;
            first.commit().await?;
            Ok::<_, anyhow::Error>(opened.get(&case).copied().unwrap())
        };
        let (answer, next) = tokio::join!(scene.submit(&scene.nurse, reporting(case, well())), settle);
        // The slot it saw first was answered by then: this report stands for none.
        assert_eq!(answer?.next_due_time.map(|next| next.seconds), Some(next?.unix_timestamp()));
        assert_eq!(scene.overview(&scene.nurse, case).await?.reports.len(), 2);
        assert_eq!(scene.world.audited("SubmitReport").await?.len(), 1, "what was given up leaves no trace");
        Ok(())
    }
}
