//! `RecordOutcome`: how the episode ended (転帰). It is closed from here on. A wrong outcome is corrected, not overwritten; death is
//! taken also after a release.

use access::Relations;
use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, Outcome, RecordOutcomeRequest};
use runtime::problem::why;
use sqlx::PgConnection;
use time::Date;

use crate::{
    case::{self, Case},
    fact::{self, Content, Fact, Recorder, standing},
    service::Registry,
    transfer,
};

pub(crate) async fn record_outcome(registry: Registry, call: Call<RecordOutcomeRequest>) -> Result<View, Error> {
    let request = &call.request;
    let date = case::optional_date("outcome_date", &request.outcome_date, call.today())?;
    let outcome: Outcome = data::code(request.outcome);
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_record, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        looks_after(&mut change.tx, &change.held.case, &change.relations).await?;
        let case = &change.held.case;
        may_follow(case, outcome)?;
        let fact = match same(&change.held.facts, outcome) {
            // The day may follow, and is not lost again.
            Some((held, known)) => {
                // Another day than is known is a correction of whoever said it; a day that nobody knew is not.
                if known.is_some() && date.is_some() && date != known {
                    fact::may_replace(held, &recorder)?;
                }
                let authority = recorder.authority.max(held.authority);
                let content = Content::Ending(outcome, date.or(known));
                Fact { authority, ..recorder.instead(case, held, Some(content)) }
            }
            None => recorder.fact(case, Content::Ending(outcome, date)),
        };
        change.held.record(fact);
        Ok(())
    })
    .await
}

/// Who once reported a case says nothing of its end after it was handed over: others look after the person.
pub(crate) async fn looks_after(conn: &mut PgConnection, case: &Case, relations: &Relations) -> Result<(), Error> {
    if relations.iter().copied().any(case::may_end) {
        return Ok(());
    }
    if transfer::was_handed_over(conn, case.id).await? {
        return Err(Error::Denied(why(
            "HANDED_OVER",
            "この症例は移管されています。転帰は担当保健所または治療する医療機関が登録します。",
            "The case was handed over. The responsible centre or who treats the person records the outcome.",
        )));
    }
    Ok(())
}

fn may_follow(case: &Case, outcome: Outcome) -> Result<(), Error> {
    if case.is_open() || case.course.outcome == outcome || outcome == Outcome::Died {
        return Ok(());
    }
    Err(Error::Precondition(why(
        "OTHER_OUTCOME",
        "この症例は既に転帰が登録されています。誤りは訂正してください。",
        "This case already has another outcome. A wrong one is corrected.",
    )))
}

/// The record of the same outcome, with its day.
fn same(facts: &[Fact], outcome: Outcome) -> Option<(&Fact, Option<Date>)> {
    standing(facts).into_iter().rev().find_map(|fact| match fact.content {
        Some(Content::Ending(known, date)) if known == outcome => Some((fact, date)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        notification::Findings,
        registry::{
            CaseChanged, CorrectFactRequest, FactContent, Outcome as Ended, RecordOutcomeRequest, WithdrawFactRequest,
            fact_content::Content,
        },
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::record_outcome;
    use crate::{
        fact,
        fixture::{Scene, form, request_id},
    };

    fn ended(case: CaseId, outcome: Ended, day: &str) -> RecordOutcomeRequest {
        RecordOutcomeRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            outcome: outcome.into(),
            outcome_date: day.to_owned(),
            entry: None,
        }
    }

    #[tokio::test]
    async fn the_episode_ends_and_the_day_may_follow() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, ended(id, Ended::Released, ""), record_outcome).await?;
        let case = scene.ask(&scene.nurse, ended(id, Ended::Released, "2020-06-01"), record_outcome).await?;
        assert_eq!((case.outcome, case.outcome_date.as_str()), (i32::from(Ended::Released), "2020-06-01"));
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!(announced.outcome, case.outcome);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let request =
            |case, etag: &str| RecordOutcomeRequest { etag: etag.to_owned(), ..ended(case, Ended::Released, "") };
        scene.refuses_as_every_change((&scene.nurse, id), request, record_outcome).await?;
        let mut sick = form();
        sick.findings = Some(Findings { onset_date: "2020-05-20".to_owned(), ..Findings::default() });
        scene.file(scene.clinic, scene.osaka, Some(id), sick).await?;
        let over = scene.case().await?;
        scene.ask(&scene.nurse, ended(over, Ended::Released, ""), record_outcome).await?;
        for (refused, code, field) in [
            (ended(id, Ended::Died, "2020-06-02"), Code::InvalidArgument, "outcome_date"),
            (ended(id, Ended::Died, "x"), Code::InvalidArgument, "outcome_date"),
            (ended(id, Ended::Died, "2020-05-19"), Code::FailedPrecondition, ""),
            (ended(over, Ended::Unknown, ""), Code::FailedPrecondition, ""),
            (ended(id, Ended::Unspecified, ""), Code::InvalidArgument, "outcome"),
            (ended(id, Ended::EnteredInError, ""), Code::InvalidArgument, "outcome"),
        ] {
            let status = scene.ask(&scene.nurse, refused, record_outcome).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn death_is_taken_after_a_release_too_and_knowing_the_day_is_not_lost() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, ended(id, Ended::Released, "2020-05-30"), record_outcome).await?;
        let dead = scene.ask(&scene.nurse, ended(id, Ended::Died, ""), record_outcome).await?;
        assert_eq!((dead.outcome, dead.outcome_date.as_str()), (i32::from(Ended::Died), ""));
        scene.ask(&scene.nurse, ended(id, Ended::Died, "2020-05-31"), record_outcome).await?;
        let dead = scene.ask(&scene.nurse, ended(id, Ended::Died, ""), record_outcome).await?;
        assert_eq!(dead.outcome_date, "2020-05-31");
        let alive = scene.ask(&scene.nurse, ended(id, Ended::Released, ""), record_outcome).await;
        assert_eq!(alive.refused().code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn who_only_reported_a_case_does_not_end_it_once_it_was_handed_over() -> Outcome {
        let scene = Scene::new().await?;
        let (here, gone) = (scene.case().await?, scene.handed_over().await?);
        scene.ask(&scene.physician, ended(here, Ended::Released, ""), record_outcome).await?;
        let refused = scene.ask(&scene.physician, ended(gone, Ended::Released, ""), record_outcome).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        scene.ask(&scene.tokyo_nurse, ended(gone, Ended::Released, ""), record_outcome).await?;

        // Nor by what it recorded itself before: neither corrected, nor withdrawn.
        let moved = scene.case().await?;
        scene.offer(moved).await?;
        scene.ask(&scene.physician, ended(moved, Ended::Unknown, ""), record_outcome).await?;
        let facts = scene.facts(&scene.physician, moved).await?;
        let is_ending = |content: &FactContent| matches!(content.content, Some(Content::Ending(_)));
        let ending = facts.iter().find(|fact| fact.content.as_ref().is_some_and(is_ending)).unwrap();
        scene.accept(moved).await?;
        let died = proto::registry::Ending { outcome: Ended::Died.into(), outcome_date: String::new() };
        let corrected = CorrectFactRequest {
            request_id: request_id(),
            case_id: moved.to_string(),
            fact_id: ending.fact_id.clone(),
            content: Some(FactContent { content: Some(Content::Ending(died)) }),
            reason: "誤り".to_owned(),
            ..CorrectFactRequest::default()
        };
        let withdrawn = WithdrawFactRequest {
            request_id: request_id(),
            case_id: moved.to_string(),
            fact_id: ending.fact_id.clone(),
            reason: "誤り".to_owned(),
            ..WithdrawFactRequest::default()
        };
        let refused = scene.ask(&scene.physician, corrected, fact::correct).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let refused = scene.ask(&scene.physician, withdrawn, fact::withdraw).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        Ok(())
    }

    #[tokio::test]
    async fn who_only_reported_a_case_moves_no_day_that_others_recorded() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, ended(id, Ended::Released, "2020-05-30"), record_outcome).await?;
        let moved = scene.ask(&scene.physician, ended(id, Ended::Released, "2020-05-31"), record_outcome).await;
        assert_eq!(moved.refused().code(), Code::PermissionDenied);
        assert_eq!(scene.get(&scene.nurse, id).await?.outcome_date, "2020-05-30");
        Ok(())
    }
}
