//! `CorrectFact`: what was recorded is kept, what is right counts.

use chassis::{Call, Error};
use proto::registry::{Case as View, CorrectFactRequest};
use runtime::{clock::day_in_japan, problem::why};

use super::{
    model::{Content, Fact, FactId},
    recorder::Recorder,
    standing,
    store::REASON,
    view,
};
use crate::{case, course, service::Registry};

pub(crate) async fn correct(registry: Registry, call: Call<CorrectFactRequest>) -> Result<View, Error> {
    let request = &call.request;
    let id = FactId::parse(&request.fact_id)?;

    case::change(&registry, &call, &request.case_id, case::may_enter, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let held = counting(&change.held.facts, id)?;
        may_replace(held, &recorder)?;
        if matches!(held.content, Some(Content::Ending(..))) {
            course::looks_after(&mut change.tx, &change.held.case, &change.relations).await?;
        }
        let before = held.content.as_ref().ok_or_else(withdrawn)?;
        let directory = &registry.base.directory;
        let content = view::given(directory, request.content.as_ref(), before, day_in_japan(change.now))?;
        let fact = sealed(&registry, recorder.instead(&change.held.case, held, Some(content)), &request.reason)?;
        change.held.record(fact);
        Ok(())
    })
    .await
}

/// The record that counts about the same thing as another.
pub(crate) fn counting(facts: &[Fact], id: FactId) -> Result<&Fact, Error> {
    let subject = facts.iter().find(|fact| fact.id == id).ok_or(Error::NotFound("fact"))?.subject;
    standing::latest(facts).remove(&subject).ok_or(Error::NotFound("fact"))
}

/// Whether a recorder may say otherwise: the responsible centre about everything, everybody else about what they recorded themselves.
pub(crate) fn may_replace(held: &Fact, recorder: &Recorder) -> Result<(), Error> {
    use proto::registry::Authority::ResponsibleCentre;

    let own = held.organisation.is_some() && held.organisation == recorder.organisation;
    if recorder.authority == ResponsibleCentre || (own && held.authority <= recorder.authority) {
        return Ok(());
    }
    Err(Error::Denied(why(
        "NOT_YOUR_RECORD",
        "他の機関が登録した事項を訂正できるのは、現在の担当保健所に限ります。",
        "Only the centre that is responsible now can correct what others recorded.",
    )))
}

pub(super) fn sealed(registry: &Registry, fact: Fact, reason: &str) -> Result<Fact, Error> {
    let reason = registry.base.vault.seal(REASON, fact.case_id.uuid().as_bytes(), reason.as_bytes())?;
    Ok(Fact { reason: Some(reason), ..fact })
}

fn withdrawn() -> Error {
    Error::Precondition(why(
        "FACT_WITHDRAWN",
        "この記録は取り下げられています。改めて登録してください。",
        "This fact was withdrawn. Record it anew.",
    ))
}

/// What comes from a notification as a whole is withdrawn with it.
pub(super) fn stands_alone(content: &Content) -> bool {
    !matches!(content, Content::Report(_) | Content::Description(..) | Content::Findings(_))
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{
        CaseChanged, CorrectFactRequest, Ending, FactContent, FactStanding, Outcome as Ended, Placement,
        RecordOutcomeRequest, RecordPlacementRequest, RecordTestRequest, Stay, Test, WithdrawFactRequest,
        fact_content::Content,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        course, fact,
        fixture::{Scene, request_id},
    };

    fn corrected(case: CaseId, fact_id: &str, content: Content) -> CorrectFactRequest {
        CorrectFactRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            fact_id: fact_id.to_owned(),
            content: Some(FactContent { content: Some(content) }),
            reason: "入力誤り".to_owned(),
        }
    }

    fn withdrawn(case: CaseId, fact_id: &str) -> WithdrawFactRequest {
        WithdrawFactRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            fact_id: fact_id.to_owned(),
            reason: "別の患者".to_owned(),
        }
    }

    fn test(result: i32) -> Test {
        Test { method: 2, specimen: 9, result, sampled_date: "2020-05-30".to_owned(), ..Test::default() }
    }

    /// A test that the clinic recorded.
    async fn recorded(scene: &Scene, case: CaseId) -> anyhow::Result<String> {
        let request = RecordTestRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            test: Some(test(2)),
            ..RecordTestRequest::default()
        };
        let case = scene.ask(&scene.physician, request, course::record_test).await?;
        Ok(case.tests[0].fact_id.clone())
    }

    #[tokio::test]
    async fn what_was_wrong_is_kept_with_the_reason_and_what_is_right_counts() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let fact_id = recorded(&scene, id).await?;
        let right = corrected(id, &fact_id, Content::Test(test(3)));
        let case = scene.ask(&scene.nurse, right, fact::correct).await?;
        assert_eq!((case.tests.len(), case.tests[0].result), (1, 3));
        assert_eq!(scene.world.announced::<CaseChanged>().await?.pop().unwrap().test_result, 3);

        let facts = scene.facts(&scene.nurse, id).await?;
        let of: Vec<_> = facts.iter().filter(|fact| fact.subject_fact_id == fact_id).collect();
        assert_eq!((of[0].standing(), of[1].standing()), (FactStanding::Replaced, FactStanding::Stands));
        assert_eq!((of[1].reason.as_str(), &of[1].organisation_id), ("入力誤り", &scene.osaka.id.to_string()));
        assert!(of[1].record_time.is_some() && of[1].user_id == scene.nurse.user_id.to_string());

        // Named by any of its records, and withdrawn as a whole.
        let case = scene.ask(&scene.nurse, withdrawn(id, &fact_id), fact::withdraw).await?;
        assert!(case.tests.is_empty());
        assert_eq!(scene.world.announced::<CaseChanged>().await?.pop().unwrap().test_result, 0);
        let gone = scene.ask(&scene.nurse, corrected(id, &fact_id, Content::Test(test(2))), fact::correct).await;
        assert_eq!(gone.refused().code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn an_institution_corrects_its_own_words_and_the_centre_everybodys() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let fact_id = recorded(&scene, id).await?;
        scene.ask(&scene.physician, corrected(id, &fact_id, Content::Test(test(4))), fact::correct).await?;
        scene.ask(&scene.nurse, corrected(id, &fact_id, Content::Test(test(3))), fact::correct).await?;
        let back = scene.ask(&scene.physician, corrected(id, &fact_id, Content::Test(test(2))), fact::correct).await;
        assert_eq!(back.refused().code(), Code::PermissionDenied, "the centre's word stands");
        let back = scene.ask(&scene.physician, withdrawn(id, &fact_id), fact::withdraw).await;
        assert_eq!(back.refused().code(), Code::PermissionDenied);
        Ok(())
    }

    #[tokio::test]
    async fn a_wrong_outcome_is_corrected_and_an_episode_is_open_again() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: Ended::Released.into(),
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        let facts = scene.facts(&scene.nurse, id).await?;
        let fact_id = &facts.last().unwrap().fact_id;
        let ending = Ending { outcome: Ended::Unknown.into(), outcome_date: "2020-05-31".to_owned() };
        let case = scene.ask(&scene.nurse, corrected(id, fact_id, Content::Ending(ending)), fact::correct).await?;
        assert_eq!((case.outcome(), case.outcome_date.as_str()), (Ended::Unknown, "2020-05-31"));
        let case = scene.ask(&scene.nurse, withdrawn(id, fact_id), fact::withdraw).await?;
        assert_eq!((case.outcome(), case.outcome_date.as_str()), (Ended::Unspecified, ""));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let fact_id = recorded(&scene, id).await?;
        let request = |case, etag: &str| CorrectFactRequest {
            etag: etag.to_owned(),
            ..corrected(case, &fact_id, Content::Test(test(3)))
        };
        scene.refuses_as_every_change((&scene.nurse, id), request, fact::correct).await?;
        let request = |case, etag: &str| WithdrawFactRequest { etag: etag.to_owned(), ..withdrawn(case, &fact_id) };
        scene.refuses_as_every_change((&scene.nurse, id), request, fact::withdraw).await?;

        let facts = scene.facts(&scene.nurse, id).await?;
        let described = &facts[0].fact_id;
        let stay = Stay { placement: Placement::Home.into(), since_date: "2020-06-01".to_owned(), ..Stay::default() };
        let future = Test { sampled_date: "2020-06-02".to_owned(), ..test(2) };
        let good = || corrected(id, &fact_id, Content::Test(test(3)));
        for (refused, code, field) in [
            (corrected(id, &request_id(), Content::Test(test(3))), Code::NotFound, ""),
            (corrected(id, "x", Content::Test(test(3))), Code::InvalidArgument, "fact_id"),
            (corrected(id, &fact_id, Content::Stay(stay)), Code::InvalidArgument, "content"),
            (corrected(id, &fact_id, Content::Test(future)), Code::InvalidArgument, "content.test.sampled_date"),
            (CorrectFactRequest { content: None, ..good() }, Code::InvalidArgument, "content"),
            (CorrectFactRequest { reason: String::new(), ..good() }, Code::InvalidArgument, "reason"),
            (corrected(id, described, Content::Test(test(3))), Code::InvalidArgument, "content"),
        ] {
            let status = scene.ask(&scene.nurse, refused, fact::correct).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{}", status.message());
        }
        let whole = scene.ask(&scene.nurse, withdrawn(id, described), fact::withdraw).await.refused();
        assert_eq!(whole.code(), Code::FailedPrecondition, "it goes with the person");
        Ok(())
    }

    #[tokio::test]
    async fn nobody_lives_through_what_a_correction_would_make_of_a_case() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let fact_id = recorded(&scene, id).await?;
        let died = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: Ended::Died.into(),
            outcome_date: "2020-05-30".to_owned(),
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, died, course::record_outcome).await?;
        let later = Test { sampled_date: "2020-05-31".to_owned(), ..test(2) };
        let refused =
            scene.ask(&scene.nurse, corrected(id, &fact_id, Content::Test(later)), fact::correct).await.refused();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let moved = RecordPlacementRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            placement: Placement::Home.into(),
            since_date: "2020-05-31".to_owned(),
            ..RecordPlacementRequest::default()
        };
        let refused = scene.ask(&scene.nurse, moved, course::record_placement).await.refused();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        Ok(())
    }
}
