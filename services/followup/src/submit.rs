//! Taking a health report: stored, its slot settled, the next one opened, an alert raised, in one commit.

use access::{Caller, cases};
use chassis::{Error, once};
use data::outbox;
use prost::Message as _;
use proto::{
    followup::{
        AlertLevel, AlertRaised, HealthReport, ReportSubmitted, SubmitReportRequest, SubmitReportResponse, TaskKind,
    },
    registry::CaseChanged,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain, due, form,
    rpc::{Followups, Known, may_report},
    slots,
    store::{self, NewReport, PlanRow},
    view,
    worklist::{self, NewAlert, NewTask},
};

/// How often a report looks again at a slot that moved on under it.
const TRIES: usize = 5;

impl Followups {
    /// Takes a report.
    pub(crate) async fn submit(
        &self,
        caller: Caller,
        request: SubmitReportRequest,
    ) -> Result<SubmitReportResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "SubmitReport", &request.request_id, &request)?;
        let (report, form) =
            form::check(request.report.unwrap_or_default(), &request.form_version, self.clock.today_in_japan())
                .map_err(Error::Invalid)?;
        // A slot that moved on while this waited for its plan is looked at again.
        for _ in 0..TRIES {
            if let Some(answer) = self.submit_once(&caller, &key, &request.case_id, &report, &form.version).await? {
                return Ok(answer);
            }
        }
        Err(Error::Unavailable)
    }

    /// Stores a report with everything that follows from it; `None` where somebody else settled its slot meanwhile.
    async fn submit_once(
        &self,
        caller: &Caller,
        key: &data::request::Key,
        case_id: &str,
        report: &HealthReport,
        form_version: &str,
    ) -> Result<Option<SubmitReportResponse>, Error> {
        let now = self.clock.now();
        let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        let locked = store::lock_case(&mut tx, id).await?;
        let near = locked.as_ref().and_then(|(facts, _)| self.stands(caller, facts, now));
        let (known, plan) = if let (Some(known), Some((_, plan))) = (near, locked) {
            (known, Some(plan))
        } else {
            // Not heard of yet, or not with this relation: asked for before a transaction of its own begins.
            drop(tx);
            let known = self.known(caller, case_id).await?;
            tx = self.base.pool.begin().await?;
            (known, store::lock_case(&mut tx, id).await?.map(|(_, plan)| plan))
        };
        known.must(may_report)?;
        known.may_write(report)?;
        let step = Step::of(plan.as_ref(), now);
        let worries = domain::worries(report);
        let level = domain::level(&worries);
        let (report_id, alert_id) = (Uuid::now_v7(), level.map(|_| Uuid::now_v7()));
        let answer = SubmitReportResponse {
            report_id: report_id.to_string(),
            next_due_at: step.next_due.map(to_proto),
            alert_id: alert_id.map(|id| id.to_string()).unwrap_or_default(),
            advice: domain::advice(level).shown().to_owned(),
        };
        if let Some(answer) = once::claim_with(&mut tx, &self.base.vault, key, &answer).await? {
            return Ok(Some(answer));
        }
        let new = NewReport {
            id: report_id,
            case_id: id,
            at: now,
            by_organisation: Some(caller.organisation_id).filter(|id| !id.is_nil()),
            form_version,
            answers: HealthReport { message: String::new(), ..report.clone() }.encode_to_vec(),
            message: view::sealed(&self.base.vault, view::MESSAGE, report_id, &report.message)?,
            version: known.case.version,
            answers_slot: step.answers,
        };
        if !store::insert_report(&mut tx, &new).await? {
            return Ok(None);
        }
        if let Some(slot) = step.open
            && slots::open(&mut tx, vec![slot]).await?.is_empty()
        {
            store::save_plans(&mut tx, &[due::closing(id, worklist::owner(&known.case))], &[], now).await?;
        }
        self.audit(&mut tx, caller, key.rpc, Some(key.request_id), &[id]).await?;
        let submitted =
            ReportSubmitted { report_id: report_id.to_string(), case_id: id.to_string(), at: Some(to_proto(now)) };
        outbox::add(&mut tx, "report.submitted", &submitted).await?;
        if let Some(alert_id) = alert_id {
            Self::raise(&mut tx, &known, (alert_id, report_id), &worries, now).await?;
        }
        tx.commit().await?;
        if alert_id.is_some() {
            self.arrived();
        }
        Ok(Some(answer))
    }

    /// How a caller stands to a case as announced last; `None` where it shows the caller nothing.
    fn stands(&self, caller: &Caller, facts: &[u8], now: OffsetDateTime) -> Option<Known> {
        let case = CaseChanged::decode(facts).ok()?;
        let relations = cases::relations(&case, caller, &self.base.directory, now);
        let id = Uuid::try_parse(&case.case_id).ok()?;
        (!relations.is_empty()).then_some(Known { case, id, relations })
    }

    /// Raises an alert, with a task for those who look after the person.
    async fn raise(
        conn: &mut PgConnection,
        known: &Known,
        (alert_id, report_id): (Uuid, Uuid),
        worries: &[domain::Worry],
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let level = domain::level(worries).unwrap_or_default();
        let reasons: Vec<i16> = worries.iter().map(|worry| worry.number()).collect();
        let alert = NewAlert {
            id: alert_id,
            case_id: known.id,
            report_id,
            level: i16::try_from(i32::from(level)).unwrap_or(0),
            reasons: &reasons,
            raised_at: now,
            owner: worklist::owner(&known.case),
        };
        worklist::insert_alert(conn, &alert).await?;
        let kind = if level == AlertLevel::Urgent { TaskKind::Alert } else { TaskKind::Caution };
        let workers = worklist::workers(&known.case, now);
        worklist::add_tasks(conn, &[NewTask { id: alert_id, case_id: known.id, kind, since: now, workers }]).await?;
        let raised = AlertRaised { alert_id: alert_id.to_string(), case_id: known.id.to_string(), level: level.into() };
        Ok(outbox::add(conn, "alert.raised", &raised).await?)
    }
}

/// What a report does to the plan.
struct Step {
    answers: Option<OffsetDateTime>,
    open: Option<slots::Wanted>,
    next_due: Option<OffsetDateTime>,
}

impl Step {
    fn of(plan: Option<&PlanRow>, now: OffsetDateTime) -> Self {
        let awaited = plan.and_then(|plan| Some((plan, plan.due_at?, plan.opens_at?)));
        match awaited {
            Some((plan, due_at, opens_at)) if !plan.overdue && domain::counts(now, opens_at, due_at) => {
                let next = due::next_slot(plan, due_at, now);
                let next_due = Some(next.due_at).filter(|_| !next.is_over());
                Self { answers: Some(due_at), next_due, open: Some(next) }
            }
            // A late report settles what was missed; what is awaited next stays awaited. So it does after a second one.
            Some((_, due_at, _)) => Self { answers: None, open: None, next_due: Some(due_at) },
            None => Self { answers: None, open: None, next_due: None },
        }
    }
}
