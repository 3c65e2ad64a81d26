//! Daily health: plans, due reports, alerts, call-backs, release.

use std::time::Duration;

use ctl::Client;
use e2e::{Refused as _, World, eventually, patient, person, register, request_id};
use proto::{
    followup::{
        AcknowledgeAlertRequest, AdjustPlanRequest, Answer, CareVisit, ContactChannel, EvaluateReleaseRequest,
        Followup, GetFollowupRequest, GetReportFormRequest, HealthReport, ListWorklistRequest, PlanState,
        RecordCareVisitRequest, RecordContactAttemptRequest, SubmitReportRequest, SubmitReportResponse, Task, TaskKind,
        WarningSign, WatchAlertsRequest, WatchWorklistRequest,
    },
    identity::Role,
    registry::{
        CaseRole, Outcome as Ended, Placement, RecordOutcomeRequest, RecordPlacementRequest, RegisterCaseRequest,
    },
};
use runtime::{Clock, clock::to_proto};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::Outcome;

const SOON: Duration = Duration::from_secs(10);

fn report(case_id: &str) -> SubmitReportRequest {
    SubmitReportRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        report: Some(HealthReport {
            temperature_decicelsius: 368,
            cough: Answer::No.into(),
            ..HealthReport::default()
        }),
        form_version: String::new(),
    }
}

async fn submit(who: &Client, request: SubmitReportRequest) -> Result<SubmitReportResponse, Status> {
    who.followup().submit_report(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn followup(who: &Client, case_id: &str) -> Result<Followup, Status> {
    let request = GetFollowupRequest { case_id: case_id.to_owned() };
    who.followup().get_followup(who.request(request)).await.map(tonic::Response::into_inner)
}

/// Waits until the plan stands as it should.
async fn planned(who: &Client, case_id: &str, state: PlanState) -> Outcome {
    eventually("the plan follows", SOON, || async {
        Ok(followup(who, case_id).await?.plan.is_some_and(|plan| plan.state == i32::from(state)))
    })
    .await
}

async fn tasks(who: &Client, case_id: &str) -> anyhow::Result<Vec<Task>> {
    let request = who.request(ListWorklistRequest { page_size: 200, ..Default::default() });
    let list = who.followup().list_worklist(request).await?.into_inner();
    Ok(list.tasks.into_iter().filter(|task| task.case_id == case_id).collect())
}

/// The next report is due in a moment.
async fn due_soon(who: &Client, case_id: &str, millis: i64) -> Outcome {
    let request = AdjustPlanRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        next_due_at: Some(to_proto(Clock.now() + time::Duration::milliseconds(millis))),
        times: Vec::new(),
    };
    who.followup().adjust_plan(who.request(request)).await?;
    Ok(())
}

#[tokio::test]
async fn a_plan_opens_at_registration_pauses_in_hospital_and_closes_with_the_outcome() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    // The case may be asked for before its event came: the first answer already carries the plan.
    let plan = followup(&nurse, &case_id).await?.plan.unwrap_or_default();
    assert_eq!(plan.state, i32::from(PlanState::Active));
    assert!(plan.next_due_at.is_some());
    assert_eq!(plan.owner_organisation_id, world.organisation("osaka-city-centre")?);

    let place = |placement: Placement| RecordPlacementRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        placement: placement.into(),
        since: "2020-06-02".to_owned(),
        ..RecordPlacementRequest::default()
    };
    nurse.registry().record_placement(nurse.request(place(Placement::Hospital))).await?;
    planned(&nurse, &case_id, PlanState::Paused).await?;
    assert!(followup(&nurse, &case_id).await?.plan.unwrap_or_default().next_due_at.is_none());
    nurse.registry().record_placement(nurse.request(place(Placement::Home))).await?;
    planned(&nurse, &case_id, PlanState::Active).await?;
    let ended = RecordOutcomeRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        outcome: Ended::Released.into(),
        date: "2020-06-20".to_owned(),
        ..RecordOutcomeRequest::default()
    };
    nurse.registry().record_outcome(nurse.request(ended)).await?;
    planned(&nurse, &case_id, PlanState::Closed).await
}

#[tokio::test]
async fn a_close_contact_is_observed_for_fourteen_days_and_has_an_access_id() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let index = patient(&clinic, &nurse).await?;
    let yesterday = Clock.today_in_japan().previous_day().unwrap();
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(person()),
        role: CaseRole::CloseContact.into(),
        index_case_id: index,
        last_contact_on: yesterday.to_string(),
        ..RegisterCaseRequest::default()
    };
    let contact = nurse.registry().register_case(nurse.request(request.clone())).await?.into_inner();
    assert!(japan::access_id::AccessId::parse(&contact.access_id).is_some());
    let plan = followup(&nurse, &contact.case_id).await?.plan.unwrap_or_default();
    assert_eq!(plan.state, i32::from(PlanState::Active));
    // The rule in force today: five days since July 2022.
    assert_eq!(plan.last_day, (yesterday + time::Duration::days(5)).to_string());

    let without_day =
        RegisterCaseRequest { request_id: request_id(), last_contact_on: String::new(), ..request.clone() };
    let refused = nurse.registry().register_case(nurse.request(without_day)).await.refused();
    assert!(refused.message().contains("last_contact_on"));
    // Nobody names a case it does not know.
    let stranger = world.staff("clinic-tokyo", Role::Physician).await?;
    let elsewhere = RegisterCaseRequest { request_id: request_id(), ..request };
    let refused = stranger.registry().register_case(stranger.request(elsewhere)).await.refused();
    assert_eq!(refused.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn a_missed_report_becomes_a_task_within_five_seconds_and_a_call_settles_it() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let somebody = person();
    let case_id = register(&clinic, somebody.clone()).await?.case_id;
    followup(&nurse, &case_id).await?;
    let mut watch = nurse.followup().watch_worklist(nurse.request(WatchWorklistRequest {})).await?.into_inner();
    watch.next().await.unwrap()?;
    due_soon(&nurse, &case_id, 300).await?;
    let arrived = loop {
        let message = tokio::time::timeout(SOON, watch.next()).await?.unwrap()?;
        if let Some(task) = message.tasks.into_iter().find(|task| task.case_id == case_id) {
            break task;
        }
    };
    assert_eq!(arrived.kind, i32::from(TaskKind::MissedReport));
    assert_eq!(arrived.name_kanji, somebody.name_kanji, "the one who calls knows whom");
    assert_eq!(tasks(&nurse, &case_id).await?.len(), 1);
    // The clinic's patient is not another centre's work.
    let minato = world.staff("minato-centre", Role::Nurse).await?;
    assert!(tasks(&minato, &case_id).await?.is_empty());

    let call = RecordContactAttemptRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        reached: true,
        note: "解熱した。明日からスマートフォンで入力する。".to_owned(),
        channel: ContactChannel::Phone.into(),
    };
    let settled = nurse.followup().record_contact_attempt(nurse.request(call.clone())).await?.into_inner();
    assert_eq!(settled.settled_tasks, 1);
    let again = nurse.followup().record_contact_attempt(nurse.request(call)).await?.into_inner();
    assert_eq!(again.settled_tasks, 1, "the same request, the same answer");
    assert!(tasks(&nurse, &case_id).await?.is_empty());
    let seen = followup(&nurse, &case_id).await?;
    assert_eq!(seen.attempts.len(), 1);
    assert!(seen.attempts[0].note.contains("解熱"));

    // It arose within five seconds of the deadline.
    let mut sql = world.sql("followup").await?;
    let in_time: bool = sqlx::query_scalar(
        "select t.since - s.due_at < interval '5 seconds' from task t join slot s using (case_id)
         where t.task_id = $1::uuid and s.state = 3",
    )
    .bind(&arrived.task_id)
    .fetch_one(&mut sql)
    .await?;
    assert!(in_time);
    // Every slot was opened once, and exactly one is open.
    let states: Vec<i16> = sqlx::query_scalar("select state from slot where case_id = $1::uuid order by due_at")
        .bind(&case_id)
        .fetch_all(&mut sql)
        .await?;
    assert_eq!(states.iter().filter(|state| **state == 1).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == 3).count(), 1);
    // The control: a second open slot of the case is refused by the database itself.
    let twice = sqlx::query("insert into slot (case_id, due_at, opens_at, state) values ($1::uuid, now(), now(), 1)")
        .bind(&case_id)
        .execute(&mut sql)
        .await;
    assert_eq!(
        twice.err().and_then(|e| e.as_database_error()?.constraint().map(str::to_owned)).as_deref(),
        Some("slot_open")
    );
    Ok(())
}

#[tokio::test]
async fn a_red_flag_alerts_the_centre_and_gets_an_owner() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let colleague = world.staff("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    followup(&nurse, &case_id).await?;
    let mut watch = nurse.followup().watch_alerts(nurse.request(WatchAlertsRequest {})).await?.into_inner();
    watch.next().await.unwrap()?;

    let well = submit(&nurse, report(&case_id)).await?;
    assert!(well.alert_id.is_empty() && well.next_due_at.is_some());
    let mut ill = report(&case_id);
    let answers = ill.report.as_mut().unwrap();
    answers.spo2_percent = 92;
    answers.warning_signs = vec![WarningSign::PurpleLips.into()];
    let sent = submit(&nurse, ill.clone()).await?;
    assert!(!sent.alert_id.is_empty() && sent.advice.contains("119"));
    assert!(submit(&nurse, ill).await? == sent, "sent twice, alerted once");

    let task = loop {
        let message = tokio::time::timeout(SOON, watch.next()).await?.unwrap()?;
        if let Some(task) = message.tasks.into_iter().find(|task| task.case_id == case_id) {
            break task;
        }
    };
    assert_eq!((task.kind, &task.task_id), (i32::from(TaskKind::Alert), &sent.alert_id));
    let acknowledge = AcknowledgeAlertRequest { request_id: request_id(), alert_id: sent.alert_id.clone() };
    let alert =
        nurse.followup().acknowledge_alert(nurse.request(acknowledge.clone())).await?.into_inner().alert.unwrap();
    assert_eq!(alert.owner_organisation_id, world.organisation("osaka-city-centre")?);
    assert!(!alert.owner_user_id.is_empty());
    assert_eq!(alert.reasons.len(), 2, "the sign and the saturation");
    let second = AcknowledgeAlertRequest { request_id: request_id(), ..acknowledge.clone() };
    let refused = colleague.followup().acknowledge_alert(colleague.request(second)).await.refused();
    assert_eq!(refused.code(), Code::FailedPrecondition, "one owner");
    let stranger = world.staff("minato-centre", Role::Nurse).await?;
    let other = AcknowledgeAlertRequest { request_id: request_id(), ..acknowledge };
    assert_eq!(stranger.followup().acknowledge_alert(stranger.request(other)).await.refused().code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn strangers_see_no_health_and_a_clinic_reads_without_working() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let stranger = world.staff("clinic-tokyo", Role::Physician).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    assert!(followup(&clinic, &case_id).await?.plan.is_some());
    assert_eq!(followup(&stranger, &case_id).await.refused().code(), Code::NotFound);
    assert_eq!(submit(&stranger, report(&case_id)).await.refused().code(), Code::NotFound);
    assert_eq!(submit(&clinic, report(&case_id)).await.refused().code(), Code::PermissionDenied);
    let analyst = world.staff("ministry", Role::Analyst).await?;
    assert_eq!(followup(&analyst, &case_id).await.refused().code(), Code::PermissionDenied);
    Ok(())
}

#[tokio::test]
async fn a_care_visit_is_kept_and_impossible_answers_are_refused_by_name() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    let visit = RecordCareVisitRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        visit: Some(CareVisit {
            on: "R2.6.3".to_owned(),
            institution: "なにわ診療所".to_owned(),
            note: "処方のみ".to_owned(),
            emergency_destination: "大阪中央病院".to_owned(),
        }),
    };
    nurse.followup().record_care_visit(nurse.request(visit)).await?;
    let seen = followup(&nurse, &case_id).await?.care_visits;
    assert_eq!((seen[0].on.as_str(), seen[0].institution.as_str()), ("2020-06-03", "なにわ診療所"));

    let mut wrong = report(&case_id);
    wrong.report.as_mut().unwrap().temperature_decicelsius = 37;
    wrong.form_version = "1999".to_owned();
    let refused = submit(&nurse, wrong).await.refused();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("report.temperature_decicelsius") && refused.message().contains("form_version"));
    let form = nurse.followup().get_report_form(nurse.request(GetReportFormRequest::default())).await?.into_inner();
    assert!(form.items.iter().any(|item| item.field == "spo2_percent"));
    Ok(())
}

#[tokio::test]
async fn release_follows_the_criteria_of_the_day_and_says_why() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    // Onset on 2020-05-29.
    let case_id = patient(&clinic, &nurse).await?;
    let evaluate = |as_of: &str| {
        let request = EvaluateReleaseRequest { case_id: case_id.clone(), as_of: as_of.to_owned() };
        let (mut service, request) = (nurse.followup(), nurse.request(request));
        async move { service.evaluate_release(request).await.map(tonic::Response::into_inner) }
    };
    eventually("the onset is known", SOON, || async {
        Ok(evaluate("2020-06-12").await?.conditions.first().is_some_and(|c| c.ja.contains("2020-05-29")))
    })
    .await?;
    assert!(!evaluate("2020-06-12").await?.met, "no relief was reported");
    let mut relieved = report(&case_id);
    relieved.report.as_mut().unwrap().relieved_on = "2020-06-05".to_owned();
    submit(&nurse, relieved).await?;
    let answer = evaluate("2020-06-12").await?;
    assert!(answer.met);
    assert_eq!((answer.source.as_str(), answer.conditions.len()), ("健感発0612第1号", 2));
    let earlier = evaluate("2020-06-11").await?;
    assert!(!earlier.met, "the rule of fourteen days was in force the day before");
    assert_eq!(earlier.effective_from, "2020-05-29");
    assert_eq!(evaluate("tomorrow").await.refused().code(), Code::InvalidArgument);
    Ok(())
}

#[tokio::test]
async fn somebody_who_is_observed_is_always_awaited() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    followup(&nurse, &case_id).await?;
    let at = to_proto(Clock.now() + time::Duration::hours(2));
    let adjust = |times: &[&str]| AdjustPlanRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        next_due_at: Some(at),
        times: times.iter().map(|time| (*time).to_owned()).collect(),
    };
    nurse.followup().adjust_plan(nurse.request(adjust(&[]))).await?;
    let sent = submit(&nurse, report(&case_id)).await?;
    assert!(sent.next_due_at.is_some_and(|next| next.seconds > at.seconds), "that moment is answered");
    // Agreed upon again, the answered moment is passed over: the plan never stands without a report to come.
    let plan = nurse.followup().adjust_plan(nurse.request(adjust(&["08:30", "20:00"]))).await?.into_inner();
    assert!(plan.next_due_at.is_some_and(|next| next.seconds > at.seconds));
    // A second report on the same day does not stand for the next one.
    let again = submit(&nurse, report(&case_id)).await?;
    let seen = followup(&nurse, &case_id).await?.plan.unwrap_or_default();
    assert_eq!(again.next_due_at, seen.next_due_at);
    let mut sql = world.sql("followup").await?;
    let open: i64 = sqlx::query_scalar("select count(*) from slot where case_id = $1::uuid and state = 1")
        .bind(&case_id)
        .fetch_one(&mut sql)
        .await?;
    assert_eq!(open, 1);
    Ok(())
}
