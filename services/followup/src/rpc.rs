//! The RPCs of follow-up.

use access::{
    Caller, Door,
    audit::{self, Act, Actor},
    cases, classes, policy,
};
use chassis::{Base, Error, once, page};
use data::outbox;
use japan::date;
use prost::Message as _;
use proto::{
    followup::{
        AcknowledgeAlertRequest, AcknowledgeAlertResponse, AdjustPlanRequest, AlertRaised, CareVisit,
        EvaluateReleaseRequest, Followup, GetFollowupRequest, GetReportFormRequest, HealthReport, ListWorklistRequest,
        ListWorklistResponse, Plan, RecordCareVisitRequest, RecordCareVisitResponse, RecordContactAttemptRequest,
        RecordContactAttemptResponse, ReleaseEvaluation, ReportForm, ReportSubmitted, SubmitReportRequest,
        SubmitReportResponse, Task, TaskKind, WatchAlertsRequest, WatchWorklistRequest,
        followup_service_server::FollowupService,
    },
    options::Group,
    registry::{
        BatchGetPersonHeadersRequest, CaseChanged, Person, Relation,
        registry_internal_service_client::RegistryInternalServiceClient,
    },
};
use runtime::{
    Clock,
    clock::{from_proto, to_proto},
    mesh::Channel,
    problem::text,
};
use sqlx::PgConnection;
use time::{Date, Duration, OffsetDateTime};
use tokio::sync::watch::Sender;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain, due, events, form, release, rules,
    store::{self, AttemptRow, NewReport, NewSlot, PlanRow},
    view, watch,
    worklist::{self, After, NewAlert, NewTask, TaskRow},
};

/// How far ahead the next report may be agreed.
const AHEAD: Duration = Duration::days(14);

/// The follow-up service.
#[derive(Clone)]
pub(crate) struct Followups {
    pub base: Base,
    pub clock: Clock,
    registry: RegistryInternalServiceClient<Channel>,
    /// Wakes those who watch a worklist.
    pub arrivals: std::sync::Arc<Sender<u64>>,
}

/// A case and how the caller stands to it.
struct Known {
    case: CaseChanged,
    id: Uuid,
    relations: Vec<Relation>,
}

impl Known {
    fn must(&self, may: impl Fn(Relation) -> bool) -> Result<(), Error> {
        if self.relations.iter().copied().any(may) {
            return Ok(());
        }
        Err(Error::Denied(text(
            "この方の健康観察に対してこの操作を行う権限がありません。",
            "Your relation to this person does not allow this.",
        )))
    }
}

impl Followups {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let registry = RegistryInternalServiceClient::new(base.channel("registry")?);
        Ok(Self { base: base.clone(), clock: Clock, registry, arrivals: std::sync::Arc::new(Sender::new(0)) })
    }

    /// A task arose somewhere.
    pub(crate) fn arrived(&self) {
        self.arrivals.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// A case, asked for once where it was not heard of yet. Without a relation it does not exist for the caller.
    async fn known(&self, caller: &Caller, case_id: &str) -> Result<Known, Error> {
        let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
        let mut conn = self.base.pool.acquire().await?;
        let held = cases::find(&mut conn, &[id]).await?.remove(&id);
        let now = self.clock.now();
        let sees = |case: &CaseChanged| !cases::relations(case, caller, now).is_empty();
        // A relation given a moment ago may be on its way too.
        let case = if let Some(case) = held.filter(sees) {
            case
        } else {
            let asked = cases::ask(&self.registry, id).await?.ok_or(Error::NotFound("case"))?;
            let mut tx = self.base.pool.begin().await?;
            events::take(&mut tx, std::slice::from_ref(&asked), now).await?;
            tx.commit().await?;
            asked
        };
        let relations = cases::relations(&case, caller, now);
        if relations.iter().all(|relation| policy::sight(*relation, Group::Followup) == policy::Sight::Hidden) {
            return Err(Error::NotFound("case"));
        }
        Ok(Known { case, id, relations })
    }

    async fn audit(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        rpc: &'static str,
        request_id: Option<Uuid>,
        records: &[Uuid],
    ) -> Result<(), Error> {
        let groups = [i16::try_from(i32::from(Group::Followup)).unwrap_or(0)];
        let act = Act { actor: Actor::Caller(caller), rpc, groups: &groups, request_id, on_behalf_of: None };
        Ok(audit::record(conn, &act, records).await?)
    }

    async fn submit(&self, caller: Caller, request: SubmitReportRequest) -> Result<SubmitReportResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "SubmitReport", &request.request_id, &request)?;
        let (report, form) =
            form::check(request.report.unwrap_or_default(), &request.form_version, self.clock.today_in_japan())
                .map_err(Error::Invalid)?;
        let known = self.known(&caller, &request.case_id).await?;
        known.must(may_report)?;
        let now = self.clock.now();
        let worries = domain::worries(&report);
        let level = domain::level(&worries);

        let mut tx = self.base.pool.begin().await?;
        store::lock_plans(&mut tx, &[known.id]).await?;
        let plan = store::plans(&mut tx, &[known.id]).await?.pop();
        let step = Step::of(plan.as_ref(), now);
        let (report_id, alert_id) = (Uuid::now_v7(), level.map(|_| Uuid::now_v7()));
        let answer = SubmitReportResponse {
            report_id: report_id.to_string(),
            next_due_at: step.next_due.map(to_proto),
            alert_id: alert_id.map(|id| id.to_string()).unwrap_or_default(),
            advice: domain::advice(level).shown().to_owned(),
        };
        if let Some(answer) = once::claim_with(&mut tx, &self.base.vault, &key, &answer).await? {
            return Ok(answer);
        }
        let message = view::sealed(&self.base.vault, view::MESSAGE, report_id, &report.message)?;
        let coded = HealthReport { message: String::new(), ..report };
        let new = NewReport {
            id: report_id,
            case_id: known.id,
            at: now,
            by_organisation: Some(caller.organisation_id).filter(|id| !id.is_nil()),
            form_version: &form.version,
            answers: coded.encode_to_vec(),
            message,
            answers_slot: step.answers,
        };
        store::insert_report(&mut tx, &new).await?;
        if let Some(slot) = step.open {
            store::open_slots(&mut tx, &[slot]).await?;
        } else if step.over {
            store::save_plans(&mut tx, &[due::closing(known.id, worklist::owner(&known.case))], &[], now).await?;
        }
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[known.id]).await?;
        let submitted = ReportSubmitted {
            report_id: report_id.to_string(),
            case_id: known.id.to_string(),
            at: Some(to_proto(now)),
        };
        outbox::add(&mut tx, "report.submitted", &submitted).await?;
        if let (Some(alert_id), Some(level)) = (alert_id, level) {
            let reasons: Vec<i16> = worries.iter().map(|worry| worry.number()).collect();
            let level_number = i16::try_from(i32::from(level)).unwrap_or(0);
            let alert = NewAlert {
                id: alert_id,
                case_id: known.id,
                report_id,
                level: level_number,
                reasons: &reasons,
                raised_at: now,
                owner: worklist::owner(&known.case),
            };
            worklist::insert_alert(&mut tx, &alert).await?;
            let kind = if level == proto::followup::AlertLevel::Urgent { TaskKind::Alert } else { TaskKind::Caution };
            let workers = worklist::workers(&known.case, now);
            worklist::add_tasks(&mut tx, &[NewTask { id: alert_id, case_id: known.id, kind, since: now, workers }])
                .await?;
            let raised =
                AlertRaised { alert_id: alert_id.to_string(), case_id: known.id.to_string(), level: level.into() };
            outbox::add(&mut tx, "alert.raised", &raised).await?;
        }
        tx.commit().await?;
        if alert_id.is_some() {
            self.arrived();
        }
        Ok(answer)
    }

    async fn get(&self, caller: &Caller, request: &GetFollowupRequest) -> Result<Followup, Error> {
        let known = self.known(caller, &request.case_id).await?;
        let mut tx = self.base.pool.begin().await?;
        let view = view::followup(&mut tx, &self.base.vault, known.id).await?;
        self.audit(&mut tx, caller, "GetFollowup", None, &[known.id]).await?;
        tx.commit().await?;
        classes::mask(&view, "hersys.followup.v1.Followup", &known.relations).map_err(Error::Internal)
    }

    async fn adjust(&self, caller: Caller, request: AdjustPlanRequest) -> Result<Plan, Error> {
        let key = once::key(&self.base.vault, &caller, "AdjustPlan", &request.request_id, &request)?;
        let now = self.clock.now();
        let next = request.next_due_at.as_ref().and_then(from_proto);
        if next.is_some_and(|next| next <= now || next > now + AHEAD) {
            return Err(Error::invalid(
                "next_due_at",
                "これから14日以内の時刻を指定してください",
                "lies within the next 14 days",
            ));
        }
        let known = self.known(&caller, &request.case_id).await?;
        known.must(may_work)?;
        let mut tx = self.base.pool.begin().await?;
        store::lock_plans(&mut tx, &[known.id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        let plan = store::plans(&mut tx, &[known.id]).await?.pop();
        let Some(plan) = plan.filter(|plan| plan.due_at.is_some()) else {
            return Err(Error::Precondition(text(
                "健康観察中ではないため、変更できません。",
                "No report is awaited of this person.",
            )));
        };
        let times = if request.times.is_empty() { plan.times.clone() } else { request.times };
        store::set_times(&mut tx, known.id, &times).await?;
        let due_at = next.unwrap_or_else(|| domain::next_due(now, &times));
        store::void_slots(&mut tx, &[known.id]).await?;
        let opens_at = plan.opens_at.unwrap_or(now);
        store::open_slots(&mut tx, &[NewSlot { case_id: known.id, opens_at, due_at }]).await?;
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[known.id]).await?;
        let answer = view::plan(&PlanRow { times, due_at: Some(due_at), ..plan });
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn worklist(&self, caller: &Caller, request: &ListWorklistRequest) -> Result<ListWorklistResponse, Error> {
        let after = After::parse(&request.page_token)
            .ok_or_else(|| Error::invalid("page_token", "不正なページトークンです", "is no page token"))?;
        let size = page::size(request.page_size);
        let mut tx = self.base.pool.begin().await?;
        let rows = worklist::page(&mut tx, caller.organisation_id, after, size).await?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(After::token);
        let tasks = self.tasks(&mut tx, caller, "ListWorklist", &rows).await?;
        tx.commit().await?;
        Ok(ListWorklistResponse { tasks, next_page_token: next.unwrap_or_default() })
    }

    /// Tasks with the names their callers may see, audited.
    pub(crate) async fn tasks(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        rpc: &'static str,
        rows: &[TaskRow],
    ) -> Result<Vec<Task>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<Uuid> = rows.iter().map(|row| row.case_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let known = cases::find(conn, &ids).await?;
        // Names live with their owner. Without it the work goes on by number.
        let request = BatchGetPersonHeadersRequest { case_ids: ids.iter().map(Uuid::to_string).collect() };
        let headers = match self.registry.clone().batch_get_person_headers(request).await {
            Ok(answer) => answer.into_inner().headers,
            Err(status) => {
                tracing::warn!(code = ?status.code(), "The registry does not tell names");
                Vec::new()
            }
        };
        let now = self.clock.now();
        self.audit(conn, caller, rpc, None, &ids).await?;
        rows.iter()
            .map(|row| {
                let case_id = row.case_id.to_string();
                let person: Person = headers
                    .iter()
                    .find(|header| header.case_id == case_id)
                    .and_then(|header| header.person.clone())
                    .unwrap_or_default();
                let relations =
                    known.get(&row.case_id).map(|case| cases::relations(case, caller, now)).unwrap_or_default();
                let task = Task {
                    task_id: row.task_id.to_string(),
                    case_id,
                    kind: i32::from(row.kind),
                    since: Some(to_proto(row.since)),
                    name_kanji: person.name_kanji,
                    name_kana: person.name_kana,
                    phone: person.phone,
                    owner_user_id: row.owner_user.map(|id| id.to_string()).unwrap_or_default(),
                };
                classes::mask(&task, "hersys.followup.v1.Task", &relations).map_err(Error::Internal)
            })
            .collect()
    }

    async fn acknowledge(
        &self,
        caller: Caller,
        request: AcknowledgeAlertRequest,
    ) -> Result<AcknowledgeAlertResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "AcknowledgeAlert", &request.request_id, &request)?;
        let id = Uuid::try_parse(&request.alert_id).map_err(|_| Error::NotFound("alert"))?;
        let mut tx = self.base.pool.begin().await?;
        let alert = worklist::find_alert(&mut tx, id).await?.ok_or(Error::NotFound("alert"))?;
        let case = cases::find(&mut tx, &[alert.case_id]).await?.remove(&alert.case_id);
        let now = self.clock.now();
        let relations = case.as_ref().map(|case| cases::relations(case, &caller, now)).unwrap_or_default();
        if !relations.iter().copied().any(may_work) {
            return Err(Error::NotFound("alert"));
        }
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        if alert.owner_user.is_some_and(|owner| owner != caller.user_id) {
            return Err(Error::Precondition(text(
                "他の担当者が対応しています。",
                "A colleague has taken this alert already.",
            )));
        }
        worklist::take_alert(&mut tx, id, caller.user_id, now).await?;
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[alert.case_id]).await?;
        let taken = worklist::AlertRow {
            owner_user: Some(caller.user_id),
            acknowledged_at: alert.acknowledged_at.or(Some(now)),
            ..alert
        };
        let answer = AcknowledgeAlertResponse { alert: Some(view::alert(&taken)) };
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn attempt(
        &self,
        caller: Caller,
        request: RecordContactAttemptRequest,
    ) -> Result<RecordContactAttemptResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordContactAttempt", &request.request_id, &request)?;
        let known = self.known(&caller, &request.case_id).await?;
        known.must(may_work)?;
        let now = self.clock.now();
        let mut tx = self.base.pool.begin().await?;
        store::lock_plans(&mut tx, &[known.id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        let id = Uuid::now_v7();
        let attempt = AttemptRow {
            attempt_id: id,
            case_id: known.id,
            at: now,
            channel: i16::try_from(request.channel).unwrap_or(0),
            reached: request.reached,
            note: view::sealed(&self.base.vault, view::NOTE, id, &request.note)?,
            by_organisation: caller.organisation_id,
        };
        store::insert_attempt(&mut tx, &attempt).await?;
        // Somebody who was reached is no longer overdue, and an alert somebody took is dealt with.
        let settled = if request.reached { worklist::close_tasks(&mut tx, &[known.id], false, now).await? } else { 0 };
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[known.id]).await?;
        let answer = RecordContactAttemptResponse { settled_tasks: i32::try_from(settled).unwrap_or(i32::MAX) };
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn visit(&self, caller: Caller, request: RecordCareVisitRequest) -> Result<RecordCareVisitResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordCareVisit", &request.request_id, &request)?;
        let given = request.visit.unwrap_or_default();
        let on = past_day("visit.on", &given.on, self.clock.today_in_japan())?;
        let known = self.known(&caller, &request.case_id).await?;
        known.must(|relation| may_report(relation) || relation == Relation::TreatingInstitution)?;
        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim_with(&mut tx, &self.base.vault, &key, &RecordCareVisitResponse {}).await? {
            return Ok(answer);
        }
        let id = Uuid::now_v7();
        let visit = CareVisit { on: on.to_string(), ..given };
        let sealed = self.base.vault.seal(view::VISIT, id.as_bytes(), &visit.encode_to_vec())?;
        store::insert_visit(&mut tx, id, known.id, self.clock.now(), &sealed).await?;
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[known.id]).await?;
        tx.commit().await?;
        Ok(RecordCareVisitResponse {})
    }

    async fn evaluate(&self, caller: &Caller, request: &EvaluateReleaseRequest) -> Result<ReleaseEvaluation, Error> {
        let today = self.clock.today_in_japan();
        let on = match request.as_of.as_str() {
            "" => today,
            text => date::parse(text)
                .map_err(|why| Error::invalid("as_of", "日付が正しくありません（例: 2020-06-12）", why))?,
        };
        let known = self.known(caller, &request.case_id).await?;
        let rule = rules::release(on).ok_or(Error::NotFound("rule"))?;
        let mut tx = self.base.pool.begin().await?;
        // The latest report decides: symptoms that came back end a relief.
        let latest = store::reports(&mut tx, known.id, 1).await?.pop();
        let relieved = latest
            .and_then(|row| HealthReport::decode(row.answers.as_slice()).ok())
            .and_then(|report| date::parse(&report.relieved_on).ok());
        self.audit(&mut tx, caller, "EvaluateRelease", None, &[known.id]).await?;
        tx.commit().await?;
        let answer = release::evaluate(rule, &release::Known::of(&known.case, relieved), on);
        classes::mask(&answer, "hersys.followup.v1.ReleaseEvaluation", &known.relations).map_err(Error::Internal)
    }
}

/// What a report does to the plan.
struct Step {
    answers: Option<OffsetDateTime>,
    open: Option<NewSlot>,
    next_due: Option<OffsetDateTime>,
    over: bool,
}

impl Step {
    fn of(plan: Option<&PlanRow>, now: OffsetDateTime) -> Self {
        let awaited = plan.and_then(|plan| Some((plan, plan.due_at?, plan.opens_at?)));
        match awaited {
            // A late report settles what was missed; what is awaited next stays awaited. So does a second one on a day.
            Some((plan, due_at, opens_at)) if !plan.overdue && opens_at <= now => {
                let open = due::next_slot(plan, due_at, now);
                Self { answers: Some(due_at), next_due: open.map(|slot| slot.due_at), over: open.is_none(), open }
            }
            Some((_, due_at, _)) => Self { answers: None, open: None, next_due: Some(due_at), over: false },
            None => Self { answers: None, open: None, next_due: None, over: false },
        }
    }
}

/// Relations that report for a person or as the person.
fn may_report(relation: Relation) -> bool {
    may_work(relation) || matches!(relation, Relation::Patient | Relation::Proxy | Relation::TreatingInstitution)
}

/// Relations that look after a person.
fn may_work(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ResponsibleCentre | Relation::ReceivingCentre | Relation::LodgingFacility | Relation::Contractor
    ) && policy::sight(relation, Group::Followup) == policy::Sight::Full
}

fn past_day(field: &str, value: &str, today: Date) -> Result<Date, Error> {
    match date::parse(value) {
        Ok(day) if day > today => Err(Error::invalid(field, "未来の日付です", "lies in the future")),
        Ok(day) => Ok(day),
        Err(why) => Err(Error::invalid(field, "日付が正しくありません（例: 2020-06-12）", why)),
    }
}

#[tonic::async_trait]
impl FollowupService for Followups {
    type WatchWorklistStream = watch::WorklistStream;
    type WatchAlertsStream = watch::AlertStream;

    async fn get_report_form(&self, request: Request<GetReportFormRequest>) -> Result<Response<ReportForm>, Status> {
        let (_, request) = Door::enter(request)?;
        let today = self.clock.today_in_japan();
        let on = match request.on.as_str() {
            "" => today,
            text => date::parse(text).map_err(|why| Error::invalid("on", "日付が正しくありません", why))?,
        };
        let form = rules::form(on).ok_or(Error::NotFound("form"))?;
        Ok(Response::new(form::shown(form)))
    }

    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.submit(caller, request).await }).await?))
    }

    async fn get_followup(&self, request: Request<GetFollowupRequest>) -> Result<Response<Followup>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.get(&caller, &request).await }).await?))
    }

    async fn adjust_plan(&self, request: Request<AdjustPlanRequest>) -> Result<Response<Plan>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.adjust(caller, request).await }).await?))
    }

    async fn list_worklist(
        &self,
        request: Request<ListWorklistRequest>,
    ) -> Result<Response<ListWorklistResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.worklist(&caller, &request).await }).await?))
    }

    async fn watch_worklist(
        &self,
        request: Request<WatchWorklistRequest>,
    ) -> Result<Response<Self::WatchWorklistStream>, Status> {
        let (caller, _) = Door::enter(request)?;
        Ok(Response::new(watch::worklist(self, caller)))
    }

    async fn watch_alerts(
        &self,
        request: Request<WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        let (caller, _) = Door::enter(request)?;
        Ok(Response::new(watch::alerts(self, caller)))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<AcknowledgeAlertRequest>,
    ) -> Result<Response<AcknowledgeAlertResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.acknowledge(caller, request).await }).await?))
    }

    async fn record_contact_attempt(
        &self,
        request: Request<RecordContactAttemptRequest>,
    ) -> Result<Response<RecordContactAttemptResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.attempt(caller, request).await }).await?))
    }

    async fn record_care_visit(
        &self,
        request: Request<RecordCareVisitRequest>,
    ) -> Result<Response<RecordCareVisitResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.visit(caller, request).await }).await?))
    }

    async fn evaluate_release(
        &self,
        request: Request<EvaluateReleaseRequest>,
    ) -> Result<Response<ReleaseEvaluation>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.evaluate(&caller, &request).await }).await?))
    }
}
