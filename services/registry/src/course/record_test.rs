//! `RecordTest`: a test of any result; negative results count as tests done (検査実施数).

use chassis::{Call, Error};
use proto::registry::{Case as View, RecordTestRequest};

use super::{model::Test, store};
use crate::{case, service::Registry};

pub(crate) async fn record_test(registry: Registry, call: Call<RecordTestRequest>) -> Result<View, Error> {
    let given = call.request.test.clone().unwrap_or_default();
    let test = Test {
        method: data::code(given.method),
        specimen: data::code(given.specimen),
        result: data::code(given.result),
        sampled_on: case::optional_date("test.sampled_date", &given.sampled_date, call.today())?,
    };

    case::change(&registry, &call, &call.request.case_id, case::may_record, async |change| {
        let case = &mut change.held.case;
        case.take_test(&test);
        store::insert_tests(&mut change.tx, &[(case.id, case.test_count, test)]).await?;
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{CaseChanged, RecordTestRequest, Specimen, Test, TestMethod, TestResult};
    use testing::{Outcome, Refused as _};
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
            }),
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
