//! The RPCs of follow-up.

use std::collections::HashMap;

use access::{
    Caller, Door, Relations,
    audit::{self, Act, Actor},
    cases, classes, policy,
};
use chassis::{Base, Error, once, page};
use japan::date;
use prost::Message as _;
use proto::{
    followup::{
        AcknowledgeAlertRequest, AcknowledgeAlertResponse, AdjustPlanRequest, Alert, CareVisit, EvaluateReleaseRequest,
        Followup, GetFollowupRequest, GetReportFormRequest, HealthReport, ListWorklistRequest, ListWorklistResponse,
        Plan, RecordCareVisitRequest, RecordCareVisitResponse, RecordContactAttemptRequest,
        RecordContactAttemptResponse, ReleaseEvaluation, ReportForm, SubmitReportRequest, SubmitReportResponse, Task,
        WatchAlertsRequest, WatchWorklistRequest, followup_service_server::FollowupService,
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
use time::{Date, Duration};
use tokio::sync::watch::Sender;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain, events, form, release, rules, slots,
    store::{self, AttemptRow, PlanRow},
    view, watch,
    worklist::{self, After, Closing, TaskRow},
};

/// How far ahead the next report may be agreed.
const AHEAD: Duration = Duration::days(14);
/// How long names may keep a worklist waiting.
const NAMES: std::time::Duration = std::time::Duration::from_secs(1);

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
pub(crate) struct Known {
    pub case: CaseChanged,
    pub id: Uuid,
    pub relations: Relations,
}

impl Known {
    /// Goes on only where one of the caller's relations may.
    pub(crate) fn must(&self, may: impl Fn(Relation) -> bool) -> Result<(), Error> {
        if self.relations.iter().copied().any(may) {
            return Ok(());
        }
        Err(Error::Denied(text(
            "この方の健康観察に対してこの操作を行う権限がありません。",
            "Your relation to this person does not allow this.",
        )))
    }

    /// Refuses by name what none of the relations may write.
    pub(crate) fn may_write(&self, request: &impl prost::Name) -> Result<(), Error> {
        let refused = classes::unwritable(request, &self.relations);
        if refused.is_empty() { Ok(()) } else { Err(Error::Invalid(refused)) }
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
    pub(crate) async fn known(&self, caller: &Caller, case_id: &str) -> Result<Known, Error> {
        let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
        let mut conn = self.base.pool.acquire().await?;
        let held = cases::find(&mut conn, &[id]).await?.remove(&id);
        // Nobody keeps a connection while asking somebody else.
        drop(conn);
        let now = self.clock.now();
        let sees = |case: &CaseChanged| !cases::relations(case, caller, &self.base.directory, now).is_empty();
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
        let relations = cases::relations(&case, caller, &self.base.directory, now);
        if relations.iter().all(|relation| policy::sight(*relation, Group::Followup) == policy::Sight::Hidden) {
            return Err(Error::NotFound("case"));
        }
        Ok(Known { case, id, relations })
    }

    pub(crate) async fn audit(
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
        let known = self.known(&caller, &request.case_id).await?;
        known.must(may_work)?;
        known.may_write(&request)?;
        let mut tx = self.base.pool.begin().await?;
        store::lock_plans(&mut tx, &[known.id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        let now = self.clock.now();
        let next = request.next_due_at.as_ref().and_then(from_proto);
        if next.is_some_and(|next| next <= now || next > now + AHEAD) {
            return Err(Error::invalid(
                "next_due_at",
                "これから14日以内の時刻を指定してください",
                "lies within the next 14 days",
            ));
        }
        let plan = store::plans(&mut tx, &[known.id]).await?.pop();
        let Some((plan, awaited)) = plan.and_then(|plan| plan.due_at.map(|due_at| (plan, due_at))) else {
            return Err(Error::Precondition(text(
                "健康観察中ではないため、変更できません。",
                "No report is awaited of this person.",
            )));
        };
        let times = if request.times.is_empty() { plan.times.clone() } else { request.times };
        let by_times = if times == plan.times { awaited } else { domain::next_due(now, &times) };
        store::set_times(&mut tx, known.id, &times).await?;
        store::void_slots(&mut tx, &[known.id]).await?;
        let slot = slots::Wanted {
            case_id: known.id,
            opens_at: plan.opens_at.unwrap_or(now),
            due_at: next.unwrap_or(by_times),
            times: times.clone(),
            last_day: plan.last_day,
        };
        let Some(due_at) = slots::open(&mut tx, vec![slot]).await?.remove(&known.id) else {
            return Err(Error::invalid(
                "next_due_at",
                "観察期間の最終日より後です",
                "lies after the last day of observation",
            ));
        };
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
        let whose = self.base.whose(caller, &request.for_organisation_id, self.clock.now())?;
        let mut conn = self.base.pool.acquire().await?;
        let rows = worklist::page(&mut conn, whose, after, size).await?;
        drop(conn);
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(After::token);
        let tasks = self.tasks(caller, "ListWorklist", &rows).await?;
        Ok(ListWorklistResponse { tasks, next_page_token: next.unwrap_or_default() })
    }

    /// Names of some cases' persons. They live with their owner; without it the work goes on by number.
    async fn names(&self, ids: &[Uuid]) -> HashMap<String, Person> {
        let request = BatchGetPersonHeadersRequest { case_ids: ids.iter().map(Uuid::to_string).collect() };
        let mut registry = self.registry.clone();
        if let Ok(Ok(answer)) = tokio::time::timeout(NAMES, registry.batch_get_person_headers(request)).await {
            let headers = answer.into_inner().headers;
            headers.into_iter().filter_map(|header| Some((header.case_id, header.person?))).collect()
        } else {
            tracing::warn!("The registry does not tell names");
            HashMap::new()
        }
    }

    /// Tasks with the names their callers may see, audited.
    pub(crate) async fn tasks(&self, caller: &Caller, rpc: &'static str, rows: &[TaskRow]) -> Result<Vec<Task>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<Uuid> = rows.iter().map(|row| row.case_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let names = self.names(&ids).await;
        let mut tx = self.base.pool.begin().await?;
        let known = cases::find(&mut tx, &ids).await?;
        let group = |group: Group| i16::try_from(i32::from(group)).unwrap_or(0);
        let groups = [group(Group::Identity), group(Group::Contact), group(Group::Followup)];
        let act = Act { actor: Actor::Caller(caller), rpc, groups: &groups, request_id: None, on_behalf_of: None };
        audit::record(&mut tx, &act, &ids).await?;
        tx.commit().await?;
        let now = self.clock.now();
        rows.iter()
            .map(|row| {
                let case_id = row.case_id.to_string();
                let person = names.get(&case_id).cloned().unwrap_or_default();
                let relations = known
                    .get(&row.case_id)
                    .map(|case| cases::relations(case, caller, &self.base.directory, now))
                    .unwrap_or_default();
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
        let Some(alert) = worklist::find_alert(&mut tx, id).await? else {
            return self.settle_emergency(tx, &caller, key, id).await;
        };
        let case = cases::find(&mut tx, &[alert.case_id]).await?.remove(&alert.case_id);
        let now = self.clock.now();
        let relations =
            case.as_ref().map(|case| cases::relations(case, &caller, &self.base.directory, now)).unwrap_or_default();
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

    /// The centre has seen that somebody opened the case in an emergency (緊急閲覧).
    async fn settle_emergency(
        &self,
        mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
        caller: &Caller,
        key: data::request::Key,
        id: Uuid,
    ) -> Result<AcknowledgeAlertResponse, Error> {
        let case_id = worklist::lock_emergency(&mut tx, id).await?.ok_or(Error::NotFound("alert"))?;
        let case = cases::find(&mut tx, &[case_id]).await?.remove(&case_id).ok_or(Error::NotFound("alert"))?;
        let now = self.clock.now();
        let told = |relation: &Relation| matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre);
        if !cases::relations(&case, caller, &self.base.directory, now).iter().any(told) {
            return Err(Error::NotFound("alert"));
        }
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        worklist::close_one(&mut tx, id, caller.user_id, now).await?;
        self.audit(&mut tx, caller, key.rpc, Some(key.request_id), &[case_id]).await?;
        let alert = Alert { alert_id: id.to_string(), owner_user_id: caller.user_id.to_string(), ..Alert::default() };
        let answer = AcknowledgeAlertResponse { alert: Some(alert) };
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
        known.may_write(&request)?;
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
        // Somebody who was reached is no longer overdue, and the alert the caller took is dealt with.
        let settled = if request.reached {
            worklist::close_tasks(&mut tx, &[known.id], Closing::By(caller.user_id), now).await?
        } else {
            0
        };
        self.audit(&mut tx, &caller, key.rpc, Some(key.request_id), &[known.id]).await?;
        let answer = RecordContactAttemptResponse { settled_tasks: i32::try_from(settled).unwrap_or(i32::MAX) };
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn visit(&self, caller: Caller, request: RecordCareVisitRequest) -> Result<RecordCareVisitResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordCareVisit", &request.request_id, &request)?;
        let given = request.visit.clone().unwrap_or_default();
        let on = past_day("visit.on", &given.on, self.clock.today_in_japan())?;
        let known = self.known(&caller, &request.case_id).await?;
        known.must(|relation| may_report(relation) || relation == Relation::TreatingInstitution)?;
        known.may_write(&request)?;
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

/// Relations that report for a person or as the person.
pub(crate) fn may_report(relation: Relation) -> bool {
    may_work(relation) || matches!(relation, Relation::Patient | Relation::Proxy)
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
