//! `GetSummary`: where the nation and each prefecture stand.

use chassis::{Call, Error};
use proto::statistics::{GetSummaryRequest, Summary};
use runtime::clock::to_proto;

use super::{model, store};
use crate::{
    fact::{self, Area},
    service::Statistics,
};

pub(crate) async fn get(statistics: Statistics, call: Call<GetSummaryRequest>) -> Result<Summary, Error> {
    let area = Area::of(&call.caller).map_err(Error::Denied)?;
    let asked = fact::as_of(call.request.as_of_time.as_ref()).map_err(|at_fault| Error::Invalid(vec![at_fault]))?;

    let mut conn = statistics.base.pool.acquire().await?;
    let moment = fact::moment(&mut conn, &[fact::REGISTRY], asked).await?;
    let prefectures = store::prefectures(&mut conn, area, moment.as_of).await?;

    Ok(Summary {
        nation: Some(model::total(&prefectures)),
        prefectures,
        as_of_time: Some(to_proto(moment.as_of)),
        watermark_time: Some(to_proto(moment.watermark)),
    })
}

#[cfg(test)]
mod tests {
    use access::OrganisationId;
    use proto::{
        Timestamp,
        identity::{OrganisationKind as Kind, Role},
        registry::{CaseChanged, DiagnosisClass, Outcome},
        statistics::{GetSummaryRequest, SummaryRow},
    };
    use runtime::clock::to_proto;
    use testing::{Outcome as Tested, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        fact::REGISTRY,
        fixture::{Scene, TOKYO},
        summary,
    };

    /// Rows that can be printed.
    fn told<'a>(rows: impl IntoIterator<Item = &'a SummaryRow>) -> Vec<[i64; 6]> {
        rows.into_iter()
            .map(|row| [row.prefecture.into(), row.tested, row.positive, row.open, row.released, row.died])
            .collect()
    }

    #[tokio::test]
    async fn each_prefecture_has_its_row_and_the_nation_the_sum() -> Tested {
        let scene = Scene::new().await?;
        let ended = |outcome: Outcome| CaseChanged { outcome: outcome.into(), ..scene.case() };
        let tokyo = CaseChanged { prefecture: TOKYO.into(), test_count: 2, ..scene.case() };
        let negative = CaseChanged {
            test_count: 1,
            diagnosis_class: DiagnosisClass::Suspected.into(),
            ..ended(Outcome::Negative)
        };
        scene.tell(&[scene.case(), ended(Outcome::Released), ended(Outcome::Died), negative, tokyo]).await?;

        let answer = scene.summary(&scene.ministry, None).await?;
        assert_eq!(told(&answer.prefectures), [[13, 1, 1, 1, 0, 0], [27, 1, 3, 1, 1, 1]]);
        assert_eq!(told(&answer.nation), [[0, 2, 4, 2, 1, 1]]);
        let now = Some(to_proto(scene.world.clock.now()));
        assert_eq!((answer.as_of_time, answer.watermark_time), (now, now));
        Ok(())
    }

    #[tokio::test]
    async fn everybody_sees_the_own_area() -> Tested {
        let scene = Scene::new().await?;
        let other = CaseChanged { centre_id: OrganisationId::new().to_string(), ..scene.case() };
        let tokyo = CaseChanged { prefecture: TOKYO.into(), centre_id: other.centre_id.clone(), ..scene.case() };
        scene.tell(&[scene.case(), other, tokyo]).await?;
        for (caller, positive) in [(&scene.ministry, 3), (&scene.prefecture, 2), (&scene.nurse, 1)] {
            let nation = scene.summary(caller, None).await?.nation.unwrap_or_default();
            assert_eq!(nation.positive, positive, "{:?}", caller.kind);
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_was_known_then_is_answered_later_too() -> Tested {
        let scene = Scene::new().await?;
        let case = scene.case();
        scene.tell(std::slice::from_ref(&case)).await?;
        let then = scene.world.clock.now();
        let known_then = scene.summary(&scene.ministry, None).await?;
        scene.world.clock.advance(Duration::days(1));
        scene.tell(&[CaseChanged { version: 2, outcome: Outcome::Died.into(), ..case }]).await?;

        let again = scene.summary(&scene.ministry, Some(then)).await?;
        assert_eq!(told(&again.nation), told(&known_then.nation));
        assert_eq!(told(&again.prefectures), told(&known_then.prefectures));
        let now = scene.summary(&scene.ministry, None).await?.nation.unwrap_or_default();
        assert_eq!((now.open, now.died), (0, 1));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Tested {
        let scene = Scene::new().await?;
        let status = scene.summary(&scene.ministry, None).await.refused();
        assert_eq!(status.code(), Code::FailedPrecondition, "nothing was heard yet");
        scene.heard(REGISTRY).await?;

        let nowhere = scene.world.body(Kind::QuarantineStation, 0).await?.staff(Role::Analyst);
        let ward = scene.hospital.staff(Role::Nurse);
        let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        for (caller, as_of_time, code, field) in [
            (&ward, None, Code::PermissionDenied, ""),
            (&nowhere, None, Code::PermissionDenied, ""),
            (&scene.ministry, never, Code::InvalidArgument, "as_of_time"),
        ] {
            let request = GetSummaryRequest { as_of_time };
            let status = scene.world.ask(&scene.statistics, caller, request, summary::get).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{status:?}");
        }
        Ok(())
    }
}
