//! `WithdrawFact`: it never was one.

use chassis::{Call, Error};
use proto::registry::{Case as View, WithdrawFactRequest};
use runtime::problem::why;

use super::{
    correct::{counting, may_replace, sealed, stands_alone},
    model::{Content, FactId},
    recorder::Recorder,
};
use crate::{case, course, service::Registry};

pub(crate) async fn withdraw(registry: Registry, call: Call<WithdrawFactRequest>) -> Result<View, Error> {
    let request = &call.request;
    let id = FactId::parse(&request.fact_id)?;

    case::change(&registry, &call, &request.case_id, case::may_enter, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let held = counting(&change.held.facts, id)?;
        may_replace(held, &recorder)?;
        if matches!(held.content, Some(Content::Ending(..))) {
            course::looks_after(&mut change.tx, &change.held.case, &change.relations).await?;
        }
        if held.content.as_ref().is_some_and(|content| !stands_alone(content)) {
            return Err(Error::Precondition(why(
                "BELONGS_TO_A_NOTIFICATION",
                "この事項は発生届とともに取り下げられます。",
                "This is withdrawn together with its notification.",
            )));
        }
        let fact = sealed(&registry, recorder.instead(&change.held.case, held, None), &request.reason)?;
        change.held.record(fact);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::registry::{CaseChanged, Placement, RecordPlacementRequest, WithdrawFactRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::withdraw;
    use crate::{
        course,
        fixture::{Scene, form, request_id},
    };

    #[tokio::test]
    async fn what_never_was_counts_no_more_and_what_was_before_does_again() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let placed = |placement: Placement, day: &str| RecordPlacementRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            placement: placement.into(),
            since_date: day.to_owned(),
            ..RecordPlacementRequest::default()
        };
        scene.ask(&scene.nurse, placed(Placement::Home, "2020-05-30"), course::record_placement).await?;
        let case = scene.ask(&scene.nurse, placed(Placement::Lodging, "2020-05-31"), course::record_placement).await?;
        let withdrawn = |fact_id: &str| WithdrawFactRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            etag: case.etag.clone(),
            fact_id: fact_id.to_owned(),
            reason: "別の患者".to_owned(),
        };
        let request = withdrawn(&case.stays[1].fact_id);
        let home = scene.ask(&scene.nurse, request.clone(), withdraw).await?;
        assert_eq!((home.placement(), home.stays.len()), (Placement::Home, 1));
        assert!(scene.ask(&scene.nurse, request, withdraw).await? == home, "twice is once");
        assert_eq!(scene.world.announced::<CaseChanged>().await?.len(), 4);
        let stale = scene.ask(&scene.nurse, withdrawn(&case.stays[0].fact_id), withdraw).await.refused();
        assert_eq!(stale.code(), Code::Aborted);
        Ok(())
    }

    #[tokio::test]
    async fn what_a_notification_says_as_a_whole_goes_with_it() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.file(scene.clinic, scene.osaka, Some(id), form()).await?;
        for fact in scene.facts(&scene.nurse, id).await? {
            let request = WithdrawFactRequest {
                request_id: request_id(),
                case_id: id.to_string(),
                etag: String::new(),
                fact_id: fact.fact_id,
                reason: "誤り".to_owned(),
            };
            let refused = scene.ask(&scene.nurse, request, withdraw).await.refused();
            assert_eq!(refused.code(), Code::FailedPrecondition);
        }
        Ok(())
    }
}
