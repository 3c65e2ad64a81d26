//! `JudgeAdmission`: whether the person needs a hospital (入院の要否), as a centre or a physician judges on a day.

use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, JudgeAdmissionRequest};

use crate::{
    case,
    fact::{Content, Need, Recorder},
    service::Registry,
};

pub(crate) async fn judge_admission(registry: Registry, call: Call<JudgeAdmissionRequest>) -> Result<View, Error> {
    let request = &call.request;
    let on = case::optional_date("judgement_date", &request.judgement_date, call.today())?.unwrap_or(call.today());
    let need = Need { necessity: data::code(request.necessity), on };
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        change.held.record(recorder.fact(&change.held.case, Content::Need(need)));
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{AdmissionNecessity, CaseChanged, JudgeAdmissionRequest};
    use testing::Outcome;

    use super::judge_admission;
    use crate::fixture::{Scene, request_id};

    fn judged(case: CaseId, etag: &str) -> JudgeAdmissionRequest {
        JudgeAdmissionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: etag.to_owned(),
            necessity: AdmissionNecessity::Needed.into(),
            ..JudgeAdmissionRequest::default()
        }
    }

    #[tokio::test]
    async fn a_physician_judges_and_everybody_hears_of_it() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let case = scene.ask(&scene.physician, judged(id, "1"), judge_admission).await?;
        assert_eq!(case.admission_necessity, i32::from(AdmissionNecessity::Needed));
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!(announced.admission_necessity, case.admission_necessity);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.refuses_as_every_change((&scene.nurse, id), judged, judge_admission).await
    }
}
