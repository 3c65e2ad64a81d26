//! `RecordOutcome`: how the episode ended (転帰). It is closed from here on.

use chassis::{Call, Error};
use proto::registry::{Case as View, Outcome, RecordOutcomeRequest};
use runtime::problem::why;

use crate::{case, service::Registry};

pub(crate) async fn record_outcome(registry: Registry, call: Call<RecordOutcomeRequest>) -> Result<View, Error> {
    let request = &call.request;
    let date = case::optional_date("outcome_date", &request.outcome_date, call.today())?;
    let outcome = data::code(request.outcome);
    if request.is_correction && request.etag.is_empty() {
        return Err(Error::invalid("etag", "訂正する版を指定してください", "is required of a correction"));
    }
    if !request.is_correction && outcome == Outcome::Unspecified {
        return Err(Error::invalid("outcome", "選択してください", "must be chosen"));
    }

    case::change(&registry, &call, &request.case_id, case::may_record, async |change| {
        let case = &mut change.held.case;
        if !request.is_correction {
            return case.end(outcome, date).map_err(Error::Precondition);
        }
        if case.responsible_centre != Some(call.caller.organisation_id) {
            return Err(Error::Denied(why(
                "NOT_RESPONSIBLE",
                "転帰を訂正できるのは、現在の担当保健所に限ります。",
                "Only the centre that is responsible now can correct an outcome.",
            )));
        }
        case.correct_end(outcome, date).map_err(Error::Precondition)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        notification::{Findings, Form},
        registry::{CaseChanged, Outcome as Ended, RecordOutcomeRequest},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::record_outcome;
    use crate::fixture::{Scene, form, request_id};

    fn ended(case: CaseId, outcome: Ended, day: &str) -> RecordOutcomeRequest {
        RecordOutcomeRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            outcome: outcome.into(),
            outcome_date: day.to_owned(),
            is_correction: false,
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
            (ended(over, Ended::Died, ""), Code::FailedPrecondition, ""),
        ] {
            let status = scene.ask(&scene.nurse, refused, record_outcome).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_responsible_centre_puts_right_what_a_filing_made_irreversible() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let dead = Findings { death_date: "2020-05-31".to_owned(), ..Findings::default() };
        scene.file(scene.clinic, scene.osaka, Some(id), Form { findings: Some(dead), ..form() }).await?;
        let case = scene.get(&scene.nurse, id).await?;
        assert_eq!(case.outcome, i32::from(Ended::Died));

        let corrected = |etag: &str, outcome: Ended| RecordOutcomeRequest {
            etag: etag.to_owned(),
            is_correction: true,
            ..ended(id, outcome, "")
        };
        let blind = scene.ask(&scene.nurse, corrected("", Ended::Unspecified), record_outcome).await;
        assert_eq!(blind.refused().code(), Code::InvalidArgument);
        let reporter = scene.ask(&scene.physician, corrected(&case.etag, Ended::Released), record_outcome).await;
        assert_eq!(reporter.refused().code(), Code::PermissionDenied);

        let alive = scene.ask(&scene.nurse, corrected(&case.etag, Ended::Unspecified), record_outcome).await?;
        assert_eq!((alive.outcome, alive.outcome_date.as_str()), (0, ""));
        let released = scene.ask(&scene.nurse, corrected(&alive.etag, Ended::Released), record_outcome).await?;
        assert_eq!(released.outcome, i32::from(Ended::Released));
        Ok(())
    }
}
