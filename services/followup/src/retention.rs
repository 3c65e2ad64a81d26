//! What follow-up does not keep for ever. Reports, alerts, contacts and visits are records and stay; the log keeps what was missed.

use data::retention::Rule;
use time::{Duration, macros::date};

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "ended slots",
    from: date!(2020 - 05 - 01),
    keep: Duration::days(28),
    // 1 is the slot that is awaited.
    sql: "delete from slot where (case_id, due_at) in (
              select case_id, due_at from slot where state <> 1 and due_at < $1 and $3 is not null
              order by due_at limit $2 for update skip locked)",
}];

#[cfg(test)]
mod tests {
    use data::retention::Sweeper;
    use testing::Outcome;
    use time::Duration;

    use super::RULES;
    use crate::fixture::Scene;

    #[tokio::test]
    async fn slots_that_ended_go_after_four_weeks_and_the_awaited_one_stays() -> Outcome {
        let scene = Scene::new().await?;
        scene.case().await?;
        scene.world.clock.advance(Duration::days(1));
        scene.miss().await?;
        let pool = scene.world.base.pool.clone();
        let mut sweeper = Sweeper::new(pool.clone(), scene.world.clock.clone(), RULES.to_vec());
        let states =
            async || sqlx::query_scalar::<_, i16>("select state from slot order by due_at").fetch_all(&pool).await;
        sweeper.round().await;
        assert_eq!(states().await?, [3, 1], "one was missed, the next one is awaited");
        scene.world.clock.advance(Duration::days(40));
        sweeper.round().await;
        assert_eq!(states().await?, [1]);
        Ok(())
    }
}
