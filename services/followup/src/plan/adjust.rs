//! `AdjustPlan`: what was agreed with the person, when the next report is due or how often.

use access::classes;
use chassis::{Call, Change, Error, Held};
use proto::followup::{AdjustPlanRequest, Plan as View};
use runtime::{clock::from_proto, problem::why};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use super::{
    model::{Due, Plan, Slot, next_due},
    shown, slots, store,
};
use crate::{
    case::{self, may_work},
    service::Followup,
};

/// How far ahead the next report may be agreed.
const AHEAD: Duration = Duration::days(14);

pub(crate) async fn adjust(followup: Followup, call: Call<AdjustPlanRequest>) -> Result<View, Error> {
    let known = case::known(&followup, &call, &call.request.case_id).await?;
    known.must(may_work)?;
    known.may_write(&call.request)?;

    let lock = async |conn: &mut PgConnection| {
        store::lock(conn, &[known.id]).await?;
        let plan = store::find(conn, &[known.id]).await?.pop();
        let version = plan.as_ref().map(|plan| plan.version);
        let held = Held::new(plan, known.seen());
        Ok(if let Some(version) = version { held.version(version) } else { held })
    };
    call.change(&followup.base, lock, async |change| {
        let plan = agree(change, &call.request).await?;
        classes::mask(&shown(&plan), &change.relations).map_err(Error::Internal)
    })
    .await
}

async fn agree(change: &mut Change<Option<Plan>>, request: &AdjustPlanRequest) -> Result<Plan, Error> {
    let now = change.now;
    let next = next_due_time(request, now)?;
    let plan = change.held.take();
    let Some((plan, awaited)) = plan.and_then(|plan| plan.awaited.map(|slot| (plan, slot))) else {
        return Err(Error::Precondition(why(
            "NOT_UNDER_OBSERVATION",
            "健康観察中ではないため、変更できません。",
            "No report is awaited of this person.",
        )));
    };
    let times = if request.times_of_day.is_empty() { plan.times.clone() } else { request.times_of_day.clone() };
    let by_times = if times == plan.times { awaited.due_at } else { next_due(now, &times) };

    store::agree(&mut change.tx, plan.case_id, &times, now).await?;
    store::void_slots(&mut change.tx, &[plan.case_id]).await?;
    let slot = Slot { opens_at: awaited.opens_at, due_at: next.unwrap_or(by_times) };
    let due = Due { case_id: plan.case_id, slot, times: times.clone(), last_day: plan.last_day };
    let opened = slots::open(&mut change.tx, vec![due]).await?;
    let due_at = opened.get(&plan.case_id).copied().ok_or_else(|| {
        Error::invalid("next_due_time", "観察期間の最終日より後です", "must not be after the last day of observation")
    })?;
    let awaited = Some(Slot { due_at, ..awaited });
    Ok(Plan { version: plan.version + 1, times, awaited, ..plan })
}

fn next_due_time(request: &AdjustPlanRequest, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Error> {
    let next = request.next_due_time.as_ref().and_then(from_proto);
    if request.next_due_time.is_none() || next.is_some_and(|next| next > now && next <= now + AHEAD) {
        return Ok(next);
    }
    Err(Error::invalid("next_due_time", "これから14日以内の時刻を指定してください", "must be within the next 14 days"))
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        followup::{AdjustPlanRequest, Plan as View},
        identity::Role,
        options::Group,
        registry::{CaseChanged, CaseRole, Placement},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome};
    use time::{Duration, OffsetDateTime};
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, assert_refused, reporting, request_id, well},
        plan,
    };

    fn due(case: CaseId, next: OffsetDateTime) -> AdjustPlanRequest {
        AdjustPlanRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            next_due_time: Some(to_proto(next)),
            ..AdjustPlanRequest::default()
        }
    }

    async fn adjust(scene: &Scene, request: AdjustPlanRequest) -> Result<View, Status> {
        scene.world.ask(&scene.followup, &scene.nurse, request, plan::adjust).await
    }

    #[tokio::test]
    async fn what_was_agreed_is_the_plan_from_now_on() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let at = NOW + Duration::hours(2);
        let adjusted = adjust(&scene, AdjustPlanRequest { etag: "1".to_owned(), ..due(case, at) }).await?;
        assert_eq!((adjusted.next_due_time, adjusted.etag.as_str()), (Some(to_proto(at)), "2"));
        assert!(scene.plan(case).await? == adjusted);

        let times = vec!["07:00".to_owned(), "20:00".to_owned()];
        let twice_a_day = AdjustPlanRequest { next_due_time: None, times_of_day: times.clone(), ..due(case, at) };
        let adjusted = adjust(&scene, twice_a_day).await?;
        // Eight in the evening in Japan.
        assert_eq!((adjusted.next_due_time, adjusted.times_of_day), (Some(to_proto(NOW + Duration::hours(6))), times));
        assert_eq!(scene.world.audited("AdjustPlan").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_moment_that_is_answered_is_passed_over() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let at = NOW + Duration::hours(2);
        adjust(&scene, due(case, at)).await?;
        scene.submit(&scene.nurse, reporting(case, well())).await?;
        let again = adjust(&scene, due(case, at)).await?;
        assert!(again.next_due_time.is_some_and(|next| next.seconds > at.unix_timestamp()), "the next one is awaited");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_and_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let request = due(case, NOW + Duration::hours(2));
        let first = adjust(&scene, request.clone()).await?;
        // The moment has passed: what was agreed then is still what was answered.
        scene.world.clock.advance(Duration::hours(3));
        assert!(adjust(&scene, request.clone()).await? == first);
        assert_eq!(scene.world.audited("AdjustPlan").await?.len(), 2);

        let other = AdjustPlanRequest { times_of_day: vec!["07:00".to_owned()], ..request.clone() };
        assert_refused(adjust(&scene, other).await, Code::AlreadyExists, "request_id");
        let colleague = scene.world.ask(&scene.followup, &scene.colleague, request.clone(), plan::adjust).await;
        assert_refused(colleague, Code::InvalidArgument, "next_due_time");
        scene.hand_over(case).await?;
        assert_refused(adjust(&scene, request).await, Code::NotFound, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let soon = NOW + Duration::hours(2);
        let contact = CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_date: "2020-05-30".to_owned(),
            ..scene.known()
        };
        let contact = scene.hear(&contact).await?;
        let paused = scene.hear(&CaseChanged { placement: Placement::Hospital.into(), ..scene.known() }).await?;
        let over = scene.hear(&CaseChanged { outcome: 1, ..scene.known() }).await?;
        let reader = scene.clinic.staff(Role::Physician);
        let blind = scene.centre.narrowed(Role::Nurse, [Group::Followup]);
        let officer = scene.officer.clone();
        let nurse = scene.nurse.clone();
        let stale = AdjustPlanRequest { etag: "7".to_owned(), ..due(case, soon) };
        for (who, request, code, field) in [
            (&reader, due(case, soon), Code::PermissionDenied, ""),
            (&officer, due(case, soon), Code::NotFound, ""),
            (&scene.stranger, due(case, soon), Code::NotFound, ""),
            (&nurse, due(CaseId::new(), soon), Code::NotFound, ""),
            (&blind, due(case, soon), Code::InvalidArgument, "next_due_time"),
            (&nurse, due(case, NOW), Code::InvalidArgument, "next_due_time"),
            (&nurse, due(case, NOW + Duration::days(15)), Code::InvalidArgument, "next_due_time"),
            (&nurse, due(contact, NOW + Duration::days(13)), Code::InvalidArgument, "next_due_time"),
            (&nurse, due(paused, soon), Code::FailedPrecondition, ""),
            (&nurse, due(over, soon), Code::FailedPrecondition, ""),
            (&nurse, stale, Code::Aborted, ""),
        ] {
            assert_refused(scene.world.ask(&scene.followup, who, request, plan::adjust).await, code, field);
        }
        assert_eq!(scene.plan(case).await?.etag, "1");
        Ok(())
    }

    #[tokio::test]
    async fn who_reads_along_may_not_agree_on_anything() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(crate::fixture::grant(scene.other_centre, proto::registry::Relation::FormerCentre));
        let case = scene.hear(&known).await?;
        let request = due(case, NOW + Duration::hours(2));
        let answer = scene.world.ask(&scene.followup, &scene.stranger, request, plan::adjust).await;
        assert_refused(answer, Code::PermissionDenied, "健康観察");
        Ok(())
    }
}
