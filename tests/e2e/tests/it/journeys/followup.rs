//! Daily health: plans, due reports, alerts, call-backs.

use std::time::Duration;

use client::Client;
use e2e::{World, eventually, patient, person, register, request_id};
use proto::{
    followup::{
        AcknowledgeAlertRequest, AdjustPlanRequest, Answer, ContactChannel, Followup, GetFollowupRequest, HealthReport,
        ListWorklistRequest, PlanState, RecordContactAttemptRequest, SubmitReportRequest, SubmitReportResponse, Task,
        TaskKind, WarningSign, WatchAlertsRequest, WatchWorklistRequest,
    },
    identity::Role,
    registry::{
        CaseRole, Outcome as Ended, Placement, RecordOutcomeRequest, RecordPlacementRequest, RegisterCaseRequest,
    },
};
use runtime::{Clock, clock::to_proto};
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::Outcome;

const SOON: Duration = Duration::from_secs(10);

fn report(case_id: &str) -> SubmitReportRequest {
    SubmitReportRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        report: Some(HealthReport {
            temperature_decicelsius: Some(368),
            cough: Answer::No.into(),
            ..HealthReport::default()
        }),
        form_version: String::new(),
    }
}

async fn submit(who: &Client, request: SubmitReportRequest) -> Result<SubmitReportResponse, Status> {
    who.reports().submit_report(who.request(request)).await.map(tonic::Response::into_inner)
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
    let list = who.worklist().list_worklist(request).await?.into_inner();
    Ok(list.tasks.into_iter().filter(|task| task.case_id == case_id).collect())
}

/// The next report is due in a moment.
async fn due_soon(who: &Client, case_id: &str, millis: i64) -> Outcome {
    let request = AdjustPlanRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        next_due_time: Some(to_proto(Clock::system().now() + time::Duration::milliseconds(millis))),
        ..AdjustPlanRequest::default()
    };
    who.plans().adjust_plan(who.request(request)).await?;
    Ok(())
}

#[tokio::test]
async fn a_plan_opens_at_registration_pauses_in_hospital_and_closes_with_the_outcome() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    // The case may be asked for before its event came: the first answer already carries the plan.
    let plan = followup(&nurse, &case_id).await?.plan.unwrap_or_default();
    assert_eq!(plan.state, i32::from(PlanState::Active));
    assert!(plan.next_due_time.is_some());
    assert_eq!(plan.owner_organisation_id, world.organisation("osaka-city-centre")?);

    let place = |placement: Placement| RecordPlacementRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        placement: placement.into(),
        since_date: "2020-06-02".to_owned(),
        ..RecordPlacementRequest::default()
    };
    nurse.course().record_placement(nurse.request(place(Placement::Hospital))).await?;
    planned(&nurse, &case_id, PlanState::Paused).await?;
    assert!(followup(&nurse, &case_id).await?.plan.unwrap_or_default().next_due_time.is_none());
    nurse.course().record_placement(nurse.request(place(Placement::Home))).await?;
    planned(&nurse, &case_id, PlanState::Active).await?;
    let ended = RecordOutcomeRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        outcome: Ended::Released.into(),
        outcome_date: "2020-06-20".to_owned(),
        ..RecordOutcomeRequest::default()
    };
    nurse.course().record_outcome(nurse.request(ended)).await?;
    planned(&nurse, &case_id, PlanState::Closed).await
}

#[tokio::test]
async fn a_close_contact_is_observed_for_fourteen_days_and_has_an_access_id() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let index = patient(&clinic, &nurse).await?;
    let yesterday = Clock::system().today_in_japan().previous_day().unwrap();
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(person()),
        role: CaseRole::CloseContact.into(),
        index_case_id: index,
        last_contact_date: yesterday.to_string(),
        ..RegisterCaseRequest::default()
    };
    let contact = nurse.cases().register_case(nurse.request(request)).await?.into_inner();
    assert!(japan::access_id::AccessId::parse(&contact.access_id).is_some());
    let plan = followup(&nurse, &contact.case_id).await?.plan.unwrap_or_default();
    assert_eq!(plan.state, i32::from(PlanState::Active));
    // The rule in force today: five days since July 2022.
    assert_eq!(plan.last_date, (yesterday + time::Duration::days(5)).to_string());
    Ok(())
}

#[tokio::test]
async fn a_missed_report_becomes_a_task_within_five_seconds_and_a_call_settles_it() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let somebody = person();
    let case_id = register(&clinic, somebody.clone()).await?.case_id;
    followup(&nurse, &case_id).await?;
    let mut watch = nurse.worklist().watch_worklist(nurse.request(WatchWorklistRequest {})).await?.into_inner();
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
    let minato = world.at_work("minato-centre", Role::Nurse).await?;
    assert!(tasks(&minato, &case_id).await?.is_empty());

    let call = RecordContactAttemptRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        reached: true,
        note: "解熱した。明日からスマートフォンで入力する。".to_owned(),
        channel: ContactChannel::Phone.into(),
    };
    let settled = nurse.contacts().record_contact_attempt(nurse.request(call.clone())).await?.into_inner();
    assert_eq!(settled.settled_tasks, 1);
    let again = nurse.contacts().record_contact_attempt(nurse.request(call)).await?.into_inner();
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
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    followup(&nurse, &case_id).await?;
    let mut watch = nurse.alerts().watch_alerts(nurse.request(WatchAlertsRequest {})).await?.into_inner();
    watch.next().await.unwrap()?;

    let well = submit(&nurse, report(&case_id)).await?;
    assert!(well.alert_id.is_empty() && well.next_due_time.is_some());
    let mut ill = report(&case_id);
    let answers = ill.report.as_mut().unwrap();
    answers.spo2_percent = Some(92);
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
    let acknowledge = AcknowledgeAlertRequest {
        request_id: request_id(),
        alert_id: sent.alert_id.clone(),
        ..AcknowledgeAlertRequest::default()
    };
    let alert = nurse.alerts().acknowledge_alert(nurse.request(acknowledge)).await?.into_inner();
    assert_eq!(alert.owner_organisation_id, world.organisation("osaka-city-centre")?);
    assert!(!alert.owner_user_id.is_empty());
    assert_eq!(alert.reasons.len(), 2, "the sign and the saturation");
    Ok(())
}
