//! `RecordSeverity`: how ill the person is on a day (患者の状態).

use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, RecordSeverityRequest};

use super::read::read_state;
use crate::{
    case,
    fact::{Content, Recorder},
    service::Registry,
};

pub(crate) async fn record_severity(registry: Registry, call: Call<RecordSeverityRequest>) -> Result<View, Error> {
    let request = &call.request;
    let given = request.state.clone().unwrap_or_default();
    let state = read_state("state", &given, call.today())?;
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        change.held.record(recorder.fact(&change.held.case, Content::State(state)));
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{
            CaseChanged, ClinicalState, RecordOutcomeRequest, RecordSeverityRequest, Severity, WithdrawFactRequest,
        },
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::record_severity;
    use crate::{
        course::record_outcome,
        fact,
        fixture::{Scene, request_id},
    };

    fn ill(case: CaseId, severity: Severity, day: &str) -> RecordSeverityRequest {
        let ventilator = severity == Severity::Severe;
        RecordSeverityRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            state: Some(ClinicalState {
                observation_date: day.to_owned(),
                severity: severity.into(),
                ventilator,
                ..ClinicalState::default()
            }),
            entry: None,
        }
    }

    #[tokio::test]
    async fn the_newest_day_counts_and_every_day_is_kept() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.nurse, ill(id, Severity::Severe, "2020-05-31"), record_severity).await?;
        let case = scene.ask(&scene.nurse, ill(id, Severity::Mild, "2020-05-30"), record_severity).await?;
        assert_eq!((case.severity, case.clinical_states.len()), (i32::from(Severity::Severe), 2));
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert!(announced.ventilator && announced.was_ventilated);
        Ok(())
    }

    #[tokio::test]
    async fn the_prefecture_enters_and_corrects_its_own_and_nobody_elses() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let coordinator = scene.prefecture.staff(Role::Coordinator);
        let own = scene.ask(&coordinator, ill(id, Severity::Mild, "2020-05-30"), record_severity).await?;
        assert_eq!(own.severity(), Severity::Mild);
        let both = scene.ask(&scene.nurse, ill(id, Severity::Severe, "2020-05-31"), record_severity).await?;
        let withdrawn = |place: usize| WithdrawFactRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            fact_id: both.clinical_states[place].fact_id.clone(),
            reason: "誤り".to_owned(),
            ..WithdrawFactRequest::default()
        };
        let others = scene.ask(&coordinator, withdrawn(1), fact::withdraw).await.refused();
        assert_eq!(others.code(), Code::PermissionDenied);
        assert_eq!(scene.ask(&coordinator, withdrawn(0), fact::withdraw).await?.clinical_states.len(), 1);

        // It ends no episode, and asks for no patient's access ID.
        let ended = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: 1,
            ..RecordOutcomeRequest::default()
        };
        let refused = scene.ask(&coordinator, ended, record_outcome).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let request = |case, etag: &str| RecordSeverityRequest {
            etag: etag.to_owned(),
            ..ill(case, Severity::Mild, "2020-06-01")
        };
        scene.refuses_as_every_change((&scene.nurse, id), request, record_severity).await?;
        let mut contradicts = ill(id, Severity::Mild, "2020-06-01");
        contradicts.state.as_mut().unwrap().icu = true;
        for (refused, code, field) in [
            (contradicts, Code::FailedPrecondition, ""),
            (ill(id, Severity::Mild, "2020-06-02"), Code::InvalidArgument, "state.observation_date"),
            (ill(id, Severity::Mild, "x"), Code::InvalidArgument, "state.observation_date"),
        ] {
            let status = scene.ask(&scene.nurse, refused, record_severity).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
