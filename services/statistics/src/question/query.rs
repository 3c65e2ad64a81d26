//! `QueryCases`: counts cases by the chosen dimensions, as known at a moment.

use chassis::{Call, Error};
use proto::statistics::{QueryCasesRequest, QueryCasesResponse, Row};
use runtime::clock::to_proto;

use super::{
    model::{self, Question},
    store::{self, Counted},
};
use crate::{
    fact::{self, Area},
    service::Statistics,
};

pub(crate) async fn query(statistics: Statistics, call: Call<QueryCasesRequest>) -> Result<QueryCasesResponse, Error> {
    let area = Area::of(&call.caller).map_err(Error::Denied)?;
    let question = Question::parse(&call.request, area, Area::is_own(&call.caller)).map_err(Error::Invalid)?;

    let mut conn = statistics.base.pool.acquire().await?;
    let moment = fact::moment(&mut conn, &[fact::REGISTRY], question.as_of).await?;
    let moment = if question.is_telling { moment.of_the_day() } else { moment };
    let counted = store::count(&mut conn, &question, moment.as_of).await?;

    let rows: Vec<Row> =
        counted.iter().map(|counted| model::told(row(&question, counted), question.is_telling)).collect();
    Ok(QueryCasesResponse {
        rows: question.every_day.map(|days| model::every_day(&rows, days)).unwrap_or(rows),
        as_of_time: Some(to_proto(moment.as_of)),
        watermark_time: Some(to_proto(moment.watermark)),
    })
}

fn row(question: &Question, counted: &Counted) -> Row {
    let keys = question.dimensions.iter().zip(&counted.keys);
    let shown = |key: &Option<String>, dimension| key.as_ref().map(|key| model::shown(dimension, key));
    Row {
        keys: keys.map(|(dimension, key)| shown(key, *dimension).unwrap_or_default()).collect(),
        count: counted.count,
        withheld: false,
    }
}

#[cfg(test)]
mod tests {
    use access::{Caller, OrganisationId};
    use proto::{
        Timestamp,
        identity::{OrganisationKind as Kind, Role},
        registry::{AgeBand, CaseChanged, DiagnosisClass, Outcome, Sex},
        statistics::{Dimension, QueryCasesRequest, QueryCasesResponse},
    };
    use runtime::clock::to_proto;
    use testing::{Outcome as Tested, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fact::REGISTRY,
        fixture::{OSAKA, Scene, TOKYO},
        question,
    };

    async fn ask(scene: &Scene, caller: &Caller, request: QueryCasesRequest) -> Result<QueryCasesResponse, Status> {
        scene.world.ask(&scene.statistics, caller, request, question::query).await
    }

    fn by(dimensions: &[Dimension]) -> QueryCasesRequest {
        QueryCasesRequest {
            dimensions: dimensions.iter().map(|d| i32::from(*d)).collect(),
            ..QueryCasesRequest::default()
        }
    }

    fn figures(answer: &QueryCasesResponse) -> Vec<(String, i64)> {
        answer.rows.iter().map(|row| (row.keys.join(" "), row.count)).collect()
    }

    fn figure(key: &str, count: i64) -> (String, i64) {
        (key.to_owned(), count)
    }

    #[tokio::test]
    async fn every_dimension_has_its_key() -> Tested {
        let scene = Scene::new().await?;
        let case = CaseChanged {
            onset_date: "2020-05-10".to_owned(),
            test_date: "2020-05-12".to_owned(),
            age_band: AgeBand::AgeBand40s.into(),
            sex: Sex::Female.into(),
            outcome: Outcome::Died.into(),
            prefecture: 1,
            ..scene.case()
        };
        scene.tell(&[case]).await?;
        let centre = scene.centre.id.to_string();
        for (dimension, key) in [
            (Dimension::ReportDate, "2020-05-13"),
            (Dimension::OnsetDate, "2020-05-10"),
            (Dimension::TestDate, "2020-05-12"),
            (Dimension::Prefecture, "1"),
            (Dimension::Centre, centre.as_str()),
            (Dimension::AgeBand, "AGE_BAND_40S"),
            (Dimension::Sex, "SEX_FEMALE"),
            (Dimension::Outcome, "OUTCOME_DIED"),
        ] {
            let answer = ask(&scene, &scene.ministry, by(&[dimension])).await?;
            assert_eq!(figures(&answer), [figure(key, 1)], "{dimension:?}");
        }
        let all = [Dimension::Sex, Dimension::AgeBand, Dimension::Prefecture, Dimension::OnsetDate];
        let coordinator = scene.world.body(Kind::Prefecture, 1).await?.staff(Role::Coordinator);
        let answer = ask(&scene, &coordinator, by(&all)).await?;
        assert_eq!(figures(&answer), [figure("SEX_FEMALE AGE_BAND_40S 1 2020-05-10", 1)]);
        Ok(())
    }

    #[tokio::test]
    async fn rows_are_in_order_and_what_is_not_known_comes_last() -> Tested {
        let scene = Scene::new().await?;
        let reported = |day: &str| CaseChanged { report_date: day.to_owned(), ..scene.case() };
        scene.tell(&[reported(""), reported("2020-05-14"), reported("2020-05-02"), reported("2020-05-14")]).await?;
        let days = ask(&scene, &scene.ministry, by(&[Dimension::ReportDate])).await?;
        assert_eq!(figures(&days), [figure("2020-05-02", 1), figure("2020-05-14", 2), figure("", 1)]);
        let total = ask(&scene, &scene.ministry, by(&[])).await?;
        assert_eq!(figures(&total), [figure("", 4)]);
        Ok(())
    }

    #[tokio::test]
    async fn the_answer_of_a_past_moment_stays_the_same() -> Tested {
        let scene = Scene::new().await?;
        let case = scene.case();
        let question = by(&[Dimension::AgeBand]);
        scene.tell(std::slice::from_ref(&case)).await?;
        let then = scene.world.clock.now();
        let known_then = ask(&scene, &scene.ministry, question.clone()).await?;

        scene.world.clock.advance(Duration::hours(1));
        scene.tell(&[CaseChanged { version: 2, age_band: AgeBand::AgeBand80s.into(), ..case }, scene.case()]).await?;
        let past = QueryCasesRequest { as_of_time: Some(to_proto(then)), ..question.clone() };
        let again = ask(&scene, &scene.ministry, past).await?;
        assert_eq!((figures(&again), again.as_of_time), (figures(&known_then), Some(to_proto(then))));
        assert_eq!(again.watermark_time, Some(to_proto(scene.world.clock.now())));
        let now = ask(&scene, &scene.ministry, question).await?;
        assert_eq!(figures(&now), [figure("AGE_BAND_UNSPECIFIED", 1), figure("AGE_BAND_80S", 1)]);
        Ok(())
    }

    #[tokio::test]
    async fn everybody_counts_the_own_area() -> Tested {
        let scene = Scene::new().await?;
        let other = CaseChanged { centre_id: OrganisationId::new().to_string(), ..scene.case() };
        let tokyo = CaseChanged { prefecture: TOKYO.into(), ..other.clone() };
        scene.tell(&[scene.case(), CaseChanged { case_id: scene.case().case_id, ..other }, tokyo]).await?;
        let national = scene.world.body(Kind::InformationCentre, 0).await?.staff(Role::Analyst);
        let local = scene.world.body(Kind::InformationCentre, TOKYO).await?.staff(Role::Analyst);
        for (caller, count) in
            [(&scene.ministry, 3), (&national, 3), (&scene.prefecture, 2), (&local, 1), (&scene.nurse, 1)]
        {
            let answer = ask(&scene, caller, by(&[])).await?;
            assert_eq!(figures(&answer), [figure("", count)], "{:?}", caller.kind);
        }
        // Whoever sees more may ask for less.
        let osaka = QueryCasesRequest { prefecture: OSAKA.into(), ..by(&[]) };
        assert_eq!(figures(&ask(&scene, &scene.ministry, osaka).await?), [figure("", 2)]);
        let centre = QueryCasesRequest { centre_id: scene.centre.id.to_string(), ..by(&[]) };
        assert_eq!(figures(&ask(&scene, &scene.prefecture, centre).await?), [figure("", 1)]);
        Ok(())
    }

    #[tokio::test]
    async fn bounds_apply_to_the_chosen_axis() -> Tested {
        let scene = Scene::new().await?;
        let case = |onset: &str, test: &str| {
            let (onset_date, test_date) = (onset.to_owned(), test.to_owned());
            CaseChanged { onset_date, test_date, ..scene.case() }
        };
        scene.tell(&[case("2020-05-01", "2020-05-05"), case("2020-05-03", "2020-05-05"), case("", "")]).await?;
        for (axis, from, until, count) in [
            (Dimension::Unspecified, "2020-05-13", "2020-05-13", 3),
            (Dimension::ReportDate, "2020-05-14", "", 0),
            (Dimension::OnsetDate, "2020-05-02", "", 1),
            (Dimension::OnsetDate, "", "令和2年5月3日", 2),
            (Dimension::TestDate, "2020-05-05", "2020-05-05", 2),
        ] {
            let bounded = QueryCasesRequest {
                time_axis: axis.into(),
                from_date: from.to_owned(),
                until_date: until.to_owned(),
                ..by(&[])
            };
            let counted: i64 = ask(&scene, &scene.ministry, bounded).await?.rows.iter().map(|row| row.count).sum();
            assert_eq!(counted, count, "{axis:?} {from}..{until}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn positive_cases_are_counted_unless_other_classes_are_asked_for() -> Tested {
        let scene = Scene::new().await?;
        let of = |class: DiagnosisClass| CaseChanged { diagnosis_class: class.into(), ..scene.case() };
        scene
            .tell(&[
                of(DiagnosisClass::Confirmed),
                of(DiagnosisClass::AsymptomaticCarrier),
                of(DiagnosisClass::Suspected),
                of(DiagnosisClass::Deceased),
                of(DiagnosisClass::SuspectedDeceased),
            ])
            .await?;
        assert_eq!(figures(&ask(&scene, &scene.ministry, by(&[])).await?), [figure("", 3)]);
        let suspected = QueryCasesRequest { diagnosis_classes: vec![DiagnosisClass::Suspected.into()], ..by(&[]) };
        assert_eq!(figures(&ask(&scene, &scene.ministry, suspected).await?), [figure("", 1)]);
        Ok(())
    }

    #[tokio::test]
    async fn days_without_cases_are_listed_where_asked_for() -> Tested {
        let scene = Scene::new().await?;
        scene.tell(&[scene.case(), scene.case()]).await?;
        let days = QueryCasesRequest {
            from_date: "2020-05-12".to_owned(),
            until_date: "2020-05-14".to_owned(),
            include_empty_days: true,
            ..by(&[Dimension::ReportDate])
        };
        let answer = ask(&scene, &scene.nurse, days).await?;
        assert_eq!(figures(&answer), [figure("2020-05-12", 0), figure("2020-05-13", 2), figure("2020-05-14", 0)]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Tested {
        let scene = Scene::new().await?;
        let status = ask(&scene, &scene.ministry, by(&[])).await.refused();
        assert_eq!(status.code(), Code::FailedPrecondition, "nothing was heard yet");
        scene.heard(REGISTRY).await?;

        let nowhere = scene.world.body(Kind::QuarantineStation, 0).await?.staff(Role::Analyst);
        let ward = scene.hospital.staff(Role::Nurse);
        let day = by(&[Dimension::ReportDate]);
        let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        let text = str::to_owned;
        for (caller, request, code, field) in [
            (&ward, by(&[]), Code::PermissionDenied, ""),
            (&nowhere, by(&[]), Code::PermissionDenied, ""),
            (
                &scene.ministry,
                QueryCasesRequest { from_date: text("x"), ..by(&[]) },
                Code::InvalidArgument,
                "from_date",
            ),
            (
                &scene.ministry,
                QueryCasesRequest { until_date: text("x"), ..by(&[]) },
                Code::InvalidArgument,
                "until_date",
            ),
            (
                &scene.ministry,
                QueryCasesRequest { centre_id: text("x"), ..by(&[]) },
                Code::InvalidArgument,
                "centre_id",
            ),
            (&scene.ministry, QueryCasesRequest { as_of_time: never, ..by(&[]) }, Code::InvalidArgument, "as_of_time"),
            (&scene.ministry, by(&[Dimension::Sex, Dimension::Sex]), Code::InvalidArgument, "dimensions"),
            (&scene.prefecture, QueryCasesRequest { prefecture: 13, ..by(&[]) }, Code::InvalidArgument, "prefecture"),
            (
                &scene.nurse,
                QueryCasesRequest { centre_id: OrganisationId::new().to_string(), ..by(&[]) },
                Code::InvalidArgument,
                "centre_id",
            ),
            (
                &scene.ministry,
                QueryCasesRequest {
                    include_empty_days: true,
                    from_date: text("2020-05-01"),
                    until_date: text("2020-05-02"),
                    ..by(&[Dimension::Sex])
                },
                Code::InvalidArgument,
                "include_empty_days",
            ),
            (
                &scene.ministry,
                QueryCasesRequest { include_empty_days: true, ..day },
                Code::InvalidArgument,
                "until_date",
            ),
        ] {
            let status = ask(&scene, caller, request).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}: {status:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn nobody_is_singled_out_from_outside_and_totals_stay_exact() -> Tested {
        let scene = Scene::new().await?;
        let cases: Vec<CaseChanged> = (0..11)
            .map(|number| CaseChanged {
                age_band: AgeBand::AgeBand80s.into(),
                sex: if number == 0 { Sex::Male } else { Sex::Female }.into(),
                ..scene.case()
            })
            .collect();
        scene.tell(&cases).await?;
        scene.world.clock.advance(Duration::days(1));
        scene.heard(REGISTRY).await?;
        let telling = by(&[Dimension::AgeBand, Dimension::Sex]);
        let outsider = scene.hospital.staff(Role::Analyst);
        let answer = ask(&scene, &outsider, telling.clone()).await?;
        let rows: Vec<(i64, bool)> = answer.rows.iter().map(|row| (row.count, row.withheld)).collect();
        assert_eq!(rows, [(0, true), (10, false)], "the one man of his age is not told");

        // What one report adds is told the day after, to those outside; the centre and the nation see it at once.
        scene
            .tell(&[CaseChanged { age_band: AgeBand::AgeBand80s.into(), sex: Sex::Female.into(), ..scene.case() }])
            .await?;
        let women = |answer: QueryCasesResponse| answer.rows.iter().map(|row| row.count).max();
        assert_eq!(women(ask(&scene, &outsider, telling.clone()).await?), Some(10));
        for inside in [&scene.nurse, &scene.ministry] {
            assert_eq!(women(ask(&scene, inside, telling.clone()).await?), Some(11));
        }
        let total = ask(&scene, &outsider, by(&[Dimension::Prefecture, Dimension::ReportDate])).await?;
        assert_eq!(total.rows.iter().map(|row| row.count).sum::<i64>(), 12);
        Ok(())
    }
}
