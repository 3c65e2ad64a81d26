//! `RecordExposure`: a person was exposed to a case. The observation of a contact lasts from the latest exposure on.

use access::{Caller, CaseId};
use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, RecordExposureRequest};
use sqlx::PgConnection;

use super::store;
use crate::{
    case,
    fact::{Content, Exposure, Recorder},
    service::Registry,
};

pub(crate) async fn record(registry: Registry, call: Call<RecordExposureRequest>) -> Result<View, Error> {
    let request = &call.request;
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;
    let given = request.exposure.clone().unwrap_or_default();
    let on = case::required_date("exposure.last_contact_date", &given.last_contact_date, call.today())?;
    let index = CaseId::optional(&given.index_case_id)?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        let contact = change.held.case.id;
        if index == Some(contact) {
            return Err(Error::invalid(
                "exposure.index_case_id",
                "本人の症例は指定できません",
                "must be another case than the person's own",
            ));
        }
        if let Some(index) = index {
            index_case(&registry, &mut change.tx, index, &call.caller).await?;
            store::list(&mut change.tx, index, contact, change.now).await?;
        }
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        change.held.record(recorder.fact(&change.held.case, Content::Exposure(Exposure { index, on })));
        Ok(())
    })
    .await
}

/// Whoever names a case must be one of those who know it.
pub(crate) async fn index_case(
    registry: &Registry,
    conn: &mut PgConnection,
    index: CaseId,
    caller: &Caller,
) -> Result<(), Error> {
    let index = case::find(conn, index).await?;
    case::relations(registry, conn, &index, caller, registry.base.clock.now()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{
        Case as View, CaseChanged, CaseRole, CorrectFactRequest, Exposure, FactContent, ListContactsRequest,
        RecordExposureRequest, RecordTestRequest, RegisterCaseRequest, Test, WithdrawFactRequest,
        fact_content::Content,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::record;
    use crate::{
        case, course,
        exposure::list_contacts,
        fact,
        fixture::{Scene, another_person, registration, request_id},
    };

    fn exposed(contact: CaseId, index: Option<CaseId>, day: &str) -> RecordExposureRequest {
        RecordExposureRequest {
            request_id: request_id(),
            case_id: contact.to_string(),
            exposure: Some(Exposure { index_case_id: data::text(index), last_contact_date: day.to_owned() }),
            ..RecordExposureRequest::default()
        }
    }

    /// Somebody who was in contact with a case.
    async fn contact_of(scene: &Scene, index: CaseId, day: &str) -> anyhow::Result<CaseId> {
        let contact = RegisterCaseRequest {
            person: Some(another_person()),
            role: CaseRole::CloseContact.into(),
            index_case_id: index.to_string(),
            last_contact_date: day.to_owned(),
            ..registration()
        };
        Ok(CaseId::parse(&scene.ask(&scene.nurse, contact, case::register).await?.case_id)?)
    }

    async fn contacts(scene: &Scene, index: CaseId) -> anyhow::Result<Vec<String>> {
        let request = ListContactsRequest { case_id: index.to_string(), ..ListContactsRequest::default() };
        let listed = scene.ask(&scene.nurse, request, list_contacts).await?.contacts;
        Ok(listed.into_iter().map(|contact| contact.case_id).collect())
    }

    #[tokio::test]
    async fn a_new_exposure_extends_the_observation_and_an_earlier_one_entered_late_does_not() -> Outcome {
        let scene = Scene::new().await?;
        let (index, other) = (scene.case().await?, scene.unrelated().await?);
        let contact = contact_of(&scene, index, "2020-05-20").await?;
        let later = scene.ask(&scene.nurse, exposed(contact, Some(other), "2020-05-25"), record).await?;
        assert_eq!((later.last_contact_date.as_str(), &later.index_case_id), ("2020-05-25", &other.to_string()));
        let late = scene.ask(&scene.nurse, exposed(contact, None, "2020-05-22"), record).await?;
        assert_eq!((late.last_contact_date.as_str(), late.index_case_id), ("2020-05-25", other.to_string()));
        assert_eq!(scene.last().await?.last_contact_date, "2020-05-25", "follow-up counts from there");
        for index in [index, other] {
            assert_eq!(contacts(&scene, index).await?, [contact.to_string()], "listed at both");
        }
        Ok(())
    }

    #[tokio::test]
    async fn registered_again_by_those_who_know_it_the_contact_is_the_same_and_exposed_once_more() -> Outcome {
        let scene = Scene::new().await?;
        let (index, other) = (scene.case().await?, scene.unrelated().await?);
        let contact = contact_of(&scene, index, "2020-05-20").await?;
        assert_eq!(contact_of(&scene, other, "2020-05-28").await?, contact);
        let seen = scene.get(&scene.nurse, contact).await?;
        assert_eq!((seen.last_contact_date.as_str(), seen.role()), ("2020-05-28", CaseRole::CloseContact));
        Ok(())
    }

    #[tokio::test]
    async fn a_positive_test_makes_a_contact_a_patient_and_withdrawn_it_was_a_contact_all_along() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        let contact = contact_of(&scene, index, "2020-05-20").await?;
        let test = |result| RecordTestRequest {
            request_id: request_id(),
            case_id: contact.to_string(),
            test: Some(Test { method: 2, result, sampled_date: "2020-05-30".to_owned(), ..Test::default() }),
            ..RecordTestRequest::default()
        };
        let negative = scene.ask(&scene.nurse, test(1), course::record_test).await?;
        let positive = scene.ask(&scene.nurse, test(2), course::record_test).await?;
        let found = |case: &View, wanted| case.tests.iter().find(|test| test.result == wanted).cloned();
        let role = |case: &View| case.role();
        assert!(found(&negative, 1).is_some());
        assert_eq!(role(&positive), CaseRole::Patient);
        assert_eq!(positive.index_case_id, index.to_string(), "the exposure is kept");
        let announced: CaseChanged = scene.last().await?;
        assert_eq!(announced.role(), CaseRole::Patient);

        let mistaken = WithdrawFactRequest {
            request_id: request_id(),
            case_id: contact.to_string(),
            fact_id: found(&positive, 2).unwrap().fact_id,
            reason: "検体取り違え".to_owned(),
            ..WithdrawFactRequest::default()
        };
        assert_eq!(role(&scene.ask(&scene.nurse, mistaken, fact::withdraw).await?), CaseRole::CloseContact);
        Ok(())
    }

    #[tokio::test]
    async fn an_exposure_that_never_was_is_withdrawn_and_a_wrong_day_corrected() -> Outcome {
        let scene = Scene::new().await?;
        let index = scene.case().await?;
        let contact = contact_of(&scene, index, "2020-05-20").await?;
        let facts = scene.facts(&scene.nurse, contact).await?;
        let is_exposure = |content: &FactContent| matches!(content.content, Some(Content::Exposure(_)));
        let exposure = facts.iter().find(|fact| fact.content.as_ref().is_some_and(is_exposure)).unwrap();
        let corrected = CorrectFactRequest {
            request_id: request_id(),
            case_id: contact.to_string(),
            fact_id: exposure.fact_id.clone(),
            content: Some(FactContent {
                content: Some(Content::Exposure(Exposure {
                    index_case_id: String::new(),
                    last_contact_date: "R2.5.18".to_owned(),
                })),
            }),
            reason: "聞き取り直し".to_owned(),
            ..CorrectFactRequest::default()
        };
        let case = scene.ask(&scene.nurse, corrected, fact::correct).await?;
        assert_eq!((case.last_contact_date.as_str(), case.index_case_id), ("2020-05-18", index.to_string()));

        let withdrawn = WithdrawFactRequest {
            request_id: request_id(),
            case_id: contact.to_string(),
            fact_id: exposure.fact_id.clone(),
            reason: "別人".to_owned(),
            ..WithdrawFactRequest::default()
        };
        assert_eq!(scene.ask(&scene.nurse, withdrawn, fact::withdraw).await?.last_contact_date, "");
        assert!(contacts(&scene, index).await?.is_empty(), "nor is it listed");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (index, strange) = (scene.case().await?, scene.unrelated_of(&scene.tokyo_nurse).await?);
        let contact = contact_of(&scene, index, "2020-05-20").await?;
        scene
            .refuses_as_every_change(
                (&scene.nurse, contact),
                |case, etag| RecordExposureRequest { etag: etag.to_owned(), ..exposed(case, None, "2020-05-20") },
                record,
            )
            .await?;
        for (refused, code, field) in [
            (exposed(contact, None, ""), Code::InvalidArgument, "exposure.last_contact_date"),
            (exposed(contact, None, "2020-06-02"), Code::InvalidArgument, "exposure.last_contact_date"),
            (exposed(contact, Some(contact), "2020-05-20"), Code::InvalidArgument, "exposure.index_case_id"),
            (exposed(contact, Some(CaseId::new()), "2020-05-20"), Code::NotFound, ""),
            (exposed(contact, Some(strange), "2020-05-20"), Code::NotFound, ""),
        ] {
            let status = scene.ask(&scene.nurse, refused, record).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{status}");
        }
        Ok(())
    }
}
