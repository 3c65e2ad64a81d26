//! `EvaluateRelease`: whether the criteria in force on a day are met.

use access::classes;
use chassis::{Call, Error};
use japan::date;
use proto::followup::{EvaluateReleaseRequest, ReleaseEvaluation};

use super::{
    model::{self, Facts},
    rules,
};
use crate::{case, report, service::Followup};

pub(crate) async fn evaluate(
    followup: Followup,
    call: Call<EvaluateReleaseRequest>,
) -> Result<ReleaseEvaluation, Error> {
    let day = match call.request.release_date.as_str() {
        "" => call.today(),
        text => date::parse(text)
            .map_err(|why| Error::invalid("release_date", "日付が正しくありません（例: 2020-06-12）", why))?,
    };
    let known = case::known(&followup, &call, &call.request.case_id).await?;
    let rule = rules::on(day).ok_or(Error::NotFound("rule"))?;

    let mut tx = followup.base.pool.begin().await?;
    let relieved = report::relief(&mut tx, known.id).await?;
    call.record(&mut tx, &known.seen()).await?;
    tx.commit().await?;

    let answer = model::judge(rule, &Facts::of(&known.case, relieved), day);
    classes::mask(&answer, &known.relations).map_err(Error::Internal)
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        followup::{EvaluateReleaseRequest, HealthReport, ReleaseEvaluation},
        registry::CaseChanged,
    };
    use testing::{Outcome, patient};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, assert_refused, reporting, well},
        release,
    };

    async fn evaluate(scene: &Scene, who: &Caller, case: CaseId, day: &str) -> Result<ReleaseEvaluation, Status> {
        let request = EvaluateReleaseRequest { case_id: case.to_string(), release_date: day.to_owned() };
        scene.world.ask(&scene.followup, who, request, release::evaluate).await
    }

    #[tokio::test]
    async fn the_criteria_of_the_day_and_the_latest_report_decide() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.hear(&CaseChanged { onset_date: "2020-05-29".to_owned(), ..scene.known() }).await?;
        let on = |day| evaluate(&scene, &scene.nurse, case, day);
        assert!(!on("2020-06-12").await?.met, "no relief was reported");
        scene.world.clock.advance(Duration::days(6));
        let relieved = HealthReport { relief_date: "2020-06-05".to_owned(), ..well() };
        scene.submit(&scene.nurse, reporting(case, relieved)).await?;
        let met = on("2020-06-12").await?;
        assert_eq!((met.met, met.source.as_str(), met.conditions.len()), (true, "健感発0612第1号", 2));
        assert_eq!((met.effective_date.as_str(), met.earliest_date.as_str()), ("2020-06-12", "2020-06-09"));
        let today = on("").await?;
        assert_eq!((today.met, today.effective_date.as_str()), (false, "2020-05-29"));

        scene.world.clock.advance(Duration::minutes(1));
        scene.submit(&scene.nurse, reporting(case, well())).await?;
        assert!(!on("2020-06-12").await?.met, "symptoms came back");
        assert_eq!(scene.world.audited("EvaluateRelease").await?.len(), 4);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        for (who, case, day, code, field) in [
            (&scene.physician, case, "", Code::PermissionDenied, ""),
            (&patient(case), case, "", Code::PermissionDenied, ""),
            (&scene.stranger, case, "", Code::NotFound, ""),
            (&scene.nurse, CaseId::new(), "", Code::NotFound, ""),
            (&scene.nurse, case, "tomorrow", Code::InvalidArgument, "release_date"),
        ] {
            assert_refused(evaluate(&scene, who, case, day).await, code, field);
        }
        assert!(scene.world.audited("EvaluateRelease").await?.is_empty());
        Ok(())
    }
}
