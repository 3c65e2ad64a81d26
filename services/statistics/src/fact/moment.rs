//! The moment that figures hold for: never later than what was heard completely, so that they can be told again later.

use chassis::Error;
use runtime::{clock::start_of_day_in_japan, problem::why};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::store;

/// Who tells of cases.
pub(crate) const REGISTRY: &str = "registry";
/// Who tells of capacity.
pub(crate) const BEDS: &str = "beds";

/// A moment that figures hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub as_of: OffsetDateTime,
    /// Everything recorded up to here has been counted.
    pub watermark: OffsetDateTime,
}

impl Moment {
    /// The beginning of its day in Japan.
    pub(crate) fn of_the_day(self) -> Self {
        Self { as_of: start_of_day_in_japan(self.as_of), ..self }
    }
}

/// The moment for figures that are made of what these services told.
pub(crate) async fn moment(
    conn: &mut PgConnection,
    sources: &[&str],
    asked: Option<OffsetDateTime>,
) -> Result<Moment, Error> {
    let watermark = store::watermark(conn, sources).await?.ok_or_else(|| {
        Error::Precondition(why(
            "REBUILDING",
            "集計を準備中です。しばらくお待ちください。",
            "The figures are being rebuilt. Please wait.",
        ))
    })?;
    Ok(Moment { as_of: asked.map_or(watermark, |asked| asked.min(watermark)), watermark })
}

#[cfg(test)]
mod tests {
    use testing::Outcome;
    use time::Duration;

    use super::{BEDS, REGISTRY, moment};
    use crate::fixture::Scene;

    #[tokio::test]
    async fn figures_hold_for_what_was_heard_from_everybody() -> Outcome {
        let scene = Scene::new().await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        assert!(moment(&mut conn, &[REGISTRY], None).await.is_err(), "nothing was heard");
        let early = scene.world.clock.now();
        scene.heard(REGISTRY).await?;
        assert!(moment(&mut conn, &[REGISTRY, BEDS], None).await.is_err(), "beds was not heard");
        scene.world.clock.advance(Duration::hours(1));
        scene.heard(BEDS).await?;

        let both = moment(&mut conn, &[REGISTRY, BEDS], None).await?;
        assert_eq!((both.as_of, both.watermark), (early, early), "the registry is behind");
        let past = moment(&mut conn, &[BEDS], Some(early)).await?;
        assert_eq!((past.as_of, past.watermark), (early, early + Duration::hours(1)));
        let future = moment(&mut conn, &[BEDS], Some(early + Duration::days(1))).await?;
        assert_eq!(future.as_of, future.watermark, "nobody knows the future");
        Ok(())
    }
}
