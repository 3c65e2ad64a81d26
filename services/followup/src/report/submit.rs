//! `SubmitReport`: a report is stored, its slot settled, the next one opened, an alert raised, in one commit.

use access::CaseId;
use chassis::{Call, Change, Error, Held};
use data::outbox;
use prost::Message as _;
use proto::followup::{HealthReport, ReportSubmitted, SubmitReportRequest, SubmitReportResponse};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    MESSAGE,
    model::{self, NewReport, Report, ReportId, Step},
    store,
};
use crate::{
    alert::{self, Alert},
    case::{self, Known, may_report},
    free_text, plan,
    service::Followup,
};

/// How often a report looks again at a slot that moved on under it.
const TRIES: usize = 5;

pub(crate) async fn submit(followup: Followup, call: Call<SubmitReportRequest>) -> Result<SubmitReportResponse, Error> {
    let request = &call.request;
    let id = CaseId::parse(&request.case_id)?;
    let given = request.report.clone().unwrap_or_default();
    let (answers, form) = model::check(given, &request.form_version, call.today()).map_err(Error::Invalid)?;

    let mut asked = None;
    for _ in 0..TRIES {
        let (mut unheard, mut moved_on) = (false, false);
        let lock = async |conn: &mut PgConnection| {
            let held = lock(&followup, &call, conn, id, asked.as_ref(), &answers).await?;
            unheard = held.is_none();
            held.ok_or(Error::NotFound("case"))
        };
        let outcome = call
            .change(&followup.base, lock, async |change| {
                moved_on = !store(&followup, &call, change, &answers, &form.version).await?;
                if moved_on { Err(Error::Unavailable) } else { Ok(change.held.answer.clone()) }
            })
            .await;
        if unheard {
            // Not heard of yet, or not with this relation: asked for outside of a transaction.
            asked = Some(case::known(&followup, &call, &request.case_id).await?);
        } else if !moved_on {
            if outcome.as_ref().is_ok_and(|answer| !answer.alert_id.is_empty()) {
                followup.arrivals.came();
            }
            return outcome;
        }
        // A slot that moved on while this waited for its plan is looked at again.
    }
    Err(Error::Unavailable)
}

/// A case and its plan, locked, with everything that a report is going to do.
struct Locked {
    known: Known,
    step: Step,
    report_id: ReportId,
    alert: Option<Alert>,
    answer: SubmitReportResponse,
    now: OffsetDateTime,
}

/// `None` where the case is not known here with a relation of the caller's, nor was asked for.
async fn lock(
    followup: &Followup,
    call: &Call<SubmitReportRequest>,
    conn: &mut PgConnection,
    id: CaseId,
    asked: Option<&Known>,
    answers: &HealthReport,
) -> Result<Option<Held<Locked, SubmitReportResponse>>, Error> {
    let (case, plan) = plan::lock_with_case(conn, id).await?.unzip();
    let now = followup.base.clock.now();
    let near = case.and_then(|case| Known::of(followup, &call.caller, id, case, now));
    let Some(known) = near.or_else(|| asked.cloned()) else { return Ok(None) };
    known.must(may_report)?;
    known.may_write(&call.request)?;

    let step = Step::of(plan.as_ref(), now);
    let report_id = ReportId::new();
    let alert = Alert::of(id, &known.case, answers, now);
    let answer = SubmitReportResponse {
        report_id: report_id.to_string(),
        next_due_time: step.next_due.map(to_proto),
        alert_id: data::text(alert.as_ref().map(|alert| alert.id)),
        advice: alert::advice(alert.as_ref().map(|alert| alert.level)).shown().to_owned(),
    };
    let seen = known.seen();
    let locked = Locked { known, step, report_id, alert, answer: answer.clone(), now };
    Ok(Some(Held::new(locked, seen).knowing(answer)))
}

/// Stores a report with everything that follows from it; `false` where somebody else settled its slot meanwhile.
async fn store(
    followup: &Followup,
    call: &Call<SubmitReportRequest>,
    change: &mut Change<Locked>,
    answers: &HealthReport,
    form_version: &str,
) -> Result<bool, Error> {
    let Change { tx, held: Locked { known, step, report_id, alert, now, .. }, .. } = change;
    let report = Report {
        id: *report_id,
        at: *now,
        by_organisation: Some(call.caller.organisation_id).filter(|_| !call.caller.is_citizen()),
        form_version: form_version.to_owned(),
        answers: HealthReport { message: String::new(), ..answers.clone() }.encode_to_vec(),
        message: free_text::seal(&followup.base.vault, MESSAGE, report_id.uuid(), &answers.message)?,
    };
    let (case_version, answers_slot) = (known.case.version, step.answers);
    if !store::insert(tx, &NewReport { report, case_id: known.id, case_version, answers_slot }).await? {
        return Ok(false);
    }
    if let Some(next) = step.open.take()
        && plan::open(tx, vec![next]).await?.is_empty()
    {
        plan::close(tx, &[known.id], *now).await?;
    }

    let submitted = ReportSubmitted {
        report_id: report_id.to_string(),
        case_id: known.id.to_string(),
        submit_time: Some(to_proto(*now)),
    };
    outbox::add(tx, &submitted).await?;
    if let Some(alert) = alert {
        alert::raise(tx, alert, *report_id, &known.case).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        followup::{HealthReport, PlanState, ReportSubmitted, SubmitReportRequest},
        identity::Role,
        options::Group,
        registry::{CaseChanged, CaseRole, Relation},
    };
    use testing::{Outcome, patient, proxy};
    use time::Duration;
    use tonic::Code;

    use crate::fixture::{Scene, assert_refused, grant, purple_lips, reporting, request_id, well};

    #[tokio::test]
    async fn a_report_settles_its_slot_and_is_announced() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let due = scene.plan(case).await?.next_due_time.unwrap_or_default();
        scene.world.clock.advance(Duration::hours(10));
        let report =
            HealthReport { message: "咳が少し残る".to_owned(), relief_date: "R2.5.31".to_owned(), ..well() };
        let sent = scene.submit(&patient(case), reporting(case, report)).await?;
        assert!(sent.alert_id.is_empty() && !sent.advice.is_empty());
        assert_eq!(sent.next_due_time.unwrap_or_default().seconds, due.seconds + 24 * 60 * 60);

        let seen = scene.overview(&scene.nurse, case).await?;
        assert_eq!(seen.plan.unwrap_or_default().next_due_time, sent.next_due_time);
        let (stored, answers) = (&seen.reports[0], seen.reports[0].report.clone().unwrap_or_default());
        assert_eq!((&stored.report_id, stored.by_organisation_id.as_str()), (&sent.report_id, ""));
        assert_eq!((answers.message.as_str(), answers.relief_date.as_str()), ("咳が少し残る", "2020-05-31"));
        assert_eq!((answers.temperature_decicelsius, answers.spo2_percent), (Some(364), None));
        let announced: Vec<ReportSubmitted> = scene.world.announced().await?;
        assert_eq!(announced.iter().map(|event| &event.report_id).collect::<Vec<_>>(), [&sent.report_id]);
        let audited = scene.world.audited("SubmitReport").await?;
        assert_eq!((audited.len(), audited[0].record), (1, case.uuid()));
        Ok(())
    }

    #[tokio::test]
    async fn a_second_report_and_one_of_the_evening_before_do_not_stand_for_the_next_day() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let due = scene.plan(case).await?.next_due_time;
        // In the afternoon: more than twelve hours before the deadline.
        let early = scene.submit(&scene.nurse, reporting(case, well())).await?;
        assert_eq!(early.next_due_time, due);
        scene.world.clock.advance(Duration::hours(10));
        let counted = scene.submit(&scene.nurse, reporting(case, well())).await?;
        let second = scene.submit(&scene.nurse, reporting(case, well())).await?;
        assert!(counted.next_due_time.is_some_and(|next| next.seconds > due.unwrap_or_default().seconds));
        assert_eq!(second.next_due_time, counted.next_due_time);
        assert_eq!(scene.overview(&scene.nurse, case).await?.reports.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn a_late_report_settles_what_was_missed() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.miss().await?;
        let next = scene.plan(case).await?.next_due_time;
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 1);
        let late = scene.submit(&proxy(case), reporting(case, well())).await?;
        assert_eq!(late.next_due_time, next, "what is awaited next stays awaited");
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn the_report_of_the_last_day_ends_the_observation() -> Outcome {
        let scene = Scene::new().await?;
        let contact = CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_date: "2020-05-19".to_owned(),
            ..scene.known()
        };
        let case = scene.hear(&contact).await?;
        scene.world.clock.advance(Duration::hours(10));
        let last = scene.submit(&scene.nurse, reporting(case, well())).await?;
        assert_eq!(last.next_due_time, None);
        assert_eq!(scene.plan(case).await?.state, i32::from(PlanState::Closed));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_report_is_one_report_and_is_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = reporting(case, purple_lips());
        let first = scene.submit(&scene.nurse, request.clone()).await?;
        assert!(scene.submit(&scene.nurse, request.clone()).await? == first);
        assert_eq!(scene.world.audited("SubmitReport").await?.len(), 2);
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 1, "alerted once");

        let other = SubmitReportRequest { report: Some(well()), ..request.clone() };
        assert_refused(scene.submit(&scene.nurse, other).await, Code::AlreadyExists, "request_id");
        let colleague = scene.submit(&scene.colleague, request.clone()).await?;
        assert!(colleague.report_id != first.report_id, "another person's request is another request");
        scene.hand_over(case).await?;
        assert_refused(scene.submit(&scene.nurse, request).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.lodging, Relation::ConsultationCentre));
        let case = scene.hear(&known).await?;
        let nurse = scene.nurse.clone();
        let blind = scene.centre.narrowed(Role::Nurse, [Group::Followup]);
        let with = |change: fn(&mut HealthReport)| {
            let mut report = well();
            change(&mut report);
            reporting(case, report)
        };
        let good = || reporting(case, well());
        for (who, request, code, field) in [
            (&scene.physician, good(), Code::PermissionDenied, "健康観察"),
            (&scene.officer, good(), Code::NotFound, ""),
            (&scene.stranger, good(), Code::NotFound, ""),
            (&patient(CaseId::new()), good(), Code::NotFound, ""),
            (&nurse, reporting(CaseId::new(), well()), Code::NotFound, ""),
            (&blind, good(), Code::InvalidArgument, "report.temperature_decicelsius"),
            (
                &nurse,
                with(|report| report.temperature_decicelsius = Some(38)),
                Code::InvalidArgument,
                "report.temperature_decicelsius",
            ),
            (&nurse, with(|report| report.spo2_percent = Some(0)), Code::InvalidArgument, "report.spo2_percent"),
            (
                &nurse,
                with(|report| report.relief_date = "2020-06-02".to_owned()),
                Code::InvalidArgument,
                "report.relief_date",
            ),
            (
                &nurse,
                with(|report| report.relief_date = "soon".to_owned()),
                Code::InvalidArgument,
                "report.relief_date",
            ),
            (&nurse, with(|report| *report = HealthReport::default()), Code::InvalidArgument, "report"),
            (
                &nurse,
                SubmitReportRequest { form_version: "1999".to_owned(), ..good() },
                Code::InvalidArgument,
                "form_version",
            ),
            (&nurse, SubmitReportRequest { request_id: "1".to_owned(), ..good() }, Code::InvalidArgument, "request_id"),
        ] {
            assert_refused(scene.submit(who, request).await, code, field);
        }
        assert!(scene.overview(&nurse, case).await?.reports.is_empty());
        scene.submit(&nurse, SubmitReportRequest { request_id: request_id(), ..good() }).await?;
        Ok(())
    }
}
