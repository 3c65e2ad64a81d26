//! `RecordTest`: a test of any result, or the result of one that was under way; negative results count as tests done (検査実施数).

use chassis::{Call, Error, behalf};
use proto::registry::{Case as View, RecordTestRequest, TestResult};
use runtime::problem::why;

use super::{model::Test, read::read_test};
use crate::{
    case,
    fact::{self, Content, Fact, FactId, Recorder},
    service::Registry,
};

pub(crate) async fn record_test(registry: Registry, call: Call<RecordTestRequest>) -> Result<View, Error> {
    let request = &call.request;
    let given = request.test.clone().unwrap_or_default();
    let test = read_test(&registry.base.directory, "test", &given, call.today())?;
    let pending = FactId::optional(&request.pending_fact_id)?;
    let told = behalf::told(&registry.base, &call, request.entry.as_ref())?;

    case::change_as(&registry, &call, (&request.case_id, told), case::may_enter, async |change| {
        let recorder = Recorder::of(&call.caller, &change.held.case, &change.relations, change.now);
        let recorder = recorder.told(&mut change.tx, &change.held.case, told).await?;
        let case = &change.held.case;
        let fact = match pending {
            None => recorder.fact(case, Content::Test(test)),
            Some(id) => {
                let (held, known) = under_way(&change.held.facts, id)?;
                // Whoever knows the result says so, also of a test that somebody else took.
                let authority = recorder.authority.max(held.authority);
                Fact { authority, ..recorder.instead(case, held, Some(Content::Test(test.with(&known)))) }
            }
        };
        change.held.record(fact);
        Ok(())
    })
    .await
}

/// A test that waits for its result.
fn under_way(facts: &[Fact], id: FactId) -> Result<(&Fact, Test), Error> {
    let held = fact::counting(facts, id)?;
    match &held.content {
        Some(Content::Test(test)) if test.result == TestResult::Pending => Ok((held, *test)),
        _ => Err(Error::Precondition(why(
            "NOT_UNDER_WAY",
            "結果待ちの検査ではありません。結果の誤りは訂正してください。",
            "This test is not under way. A wrong result is corrected.",
        ))),
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{
        Authority, CaseChanged, Channel, Entry, RecordTestRequest, Specimen, Test, TestMethod, TestResult,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::record_test;
    use crate::fixture::{Scene, request_id};

    fn tested(case: CaseId, result: TestResult, day: &str) -> RecordTestRequest {
        RecordTestRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            test: Some(Test {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::Saliva.into(),
                result: result.into(),
                sampled_date: day.to_owned(),
                ..Test::default()
            }),
            ..RecordTestRequest::default()
        }
    }

    #[tokio::test]
    async fn tests_are_kept_in_order_and_the_first_positive_one_dates_the_case() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.ask(&scene.physician, tested(id, TestResult::Negative, "2020-05-28"), record_test).await?;
        let case = scene.ask(&scene.nurse, tested(id, TestResult::Positive, "R2.5.30"), record_test).await?;
        let days: Vec<&str> = case.tests.iter().map(|test| test.sampled_date.as_str()).collect();
        assert_eq!(days, ["2020-05-28", "2020-05-30"]);
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!((announced.test_date.as_str(), announced.test_count), ("2020-05-30", 2));
        assert_eq!(announced.test_result, i32::from(TestResult::Positive));
        Ok(())
    }

    #[tokio::test]
    async fn a_test_under_way_and_its_result_are_one_test() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let case = scene.ask(&scene.physician, tested(id, TestResult::Pending, "2020-05-30"), record_test).await?;
        let pending = case.tests[0].fact_id.clone();
        // The centre learns of it first, and does not know the specimen.
        let result = RecordTestRequest {
            pending_fact_id: pending.clone(),
            test: Some(Test {
                method: TestMethod::NucleicAcid.into(),
                result: TestResult::Negative.into(),
                result_date: "2020-05-31".to_owned(),
                ..Test::default()
            }),
            ..tested(id, TestResult::Negative, "")
        };
        let case = scene.ask(&scene.nurse, result.clone(), record_test).await?;
        let [test] = case.tests.as_slice() else { panic!("one test") };
        assert_eq!((test.result, test.specimen), (TestResult::Negative.into(), Specimen::Saliva.into()));
        assert_eq!((test.sampled_date.as_str(), test.result_date.as_str()), ("2020-05-30", "2020-05-31"));
        let again = RecordTestRequest { request_id: request_id(), ..result };
        let status = scene.ask(&scene.nurse, again, record_test).await.refused();
        assert_eq!(status.code(), Code::FailedPrecondition, "it is not under way any more");

        // Told without naming it, the result of the same sample is still the same test.
        scene.ask(&scene.physician, tested(id, TestResult::Pending, "2020-05-28"), record_test).await?;
        let case = scene.ask(&scene.physician, tested(id, TestResult::Positive, "2020-05-28"), record_test).await?;
        assert_eq!(case.tests.len(), 2);
        let announced = scene.world.announced::<CaseChanged>().await?.pop().unwrap();
        assert_eq!((announced.test_count, announced.test_date.as_str()), (2, "2020-05-28"));
        Ok(())
    }

    #[tokio::test]
    async fn day_zero_is_the_first_positive_sample_in_whatever_order_they_are_told() -> Outcome {
        let scene = Scene::new().await?;
        for days in [["2020-05-12", "2020-05-08"], ["2020-05-08", "2020-05-12"]] {
            let id = scene.case().await?;
            for day in days {
                scene.ask(&scene.nurse, tested(id, TestResult::Positive, day), record_test).await?;
            }
            assert_eq!(scene.get(&scene.nurse, id).await?.day_zero_date, "2020-05-08");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_enters_what_a_hospital_tells_by_telephone_and_both_names_are_kept() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let told = |channel: Channel| RecordTestRequest {
            entry: Some(Entry {
                on_behalf_of_id: scene.clinic.id.to_string(),
                channel: channel.into(),
                told_time: Some(to_proto(NOW - Duration::hours(3))),
            }),
            ..tested(id, TestResult::Positive, "2020-05-30")
        };
        let mute = scene.ask(&scene.nurse, told(Channel::Unspecified), record_test).await.refused();
        assert!(mute.message().starts_with("entry.channel"), "it could enter it itself");
        scene.ask(&scene.nurse, told(Channel::Telephone), record_test).await?;
        let facts = scene.facts(&scene.nurse, id).await?;
        let fact = facts.last().unwrap();
        assert_eq!(
            (&fact.organisation_id, &fact.on_behalf_of_id),
            (&scene.osaka.id.to_string(), &scene.clinic.id.to_string())
        );
        assert_eq!(
            (fact.channel(), fact.authority()),
            (Channel::Telephone, Authority::Reporter),
            "it is the clinic's word"
        );
        assert_eq!(fact.told_time, Some(to_proto(NOW - Duration::hours(3))));
        let row = scene.world.audited("RecordTest").await?.remove(0);
        assert_eq!(row.on_behalf_of, Some(scene.clinic.id.uuid()));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let request =
            |case, etag: &str| RecordTestRequest { etag: etag.to_owned(), ..tested(case, TestResult::Negative, "") };
        scene.refuses_as_every_change((&scene.nurse, id), request, record_test).await?;
        for day in ["2020-06-02", "2020-02-30"] {
            let refused = tested(id, TestResult::Negative, day);
            let status = scene.ask(&scene.nurse, refused, record_test).await.refused();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with("test.sampled_date"));
        }
        Ok(())
    }
}
