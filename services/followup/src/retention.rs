//! What follow-up does not keep for ever. Reports, alerts, contacts and visits are records and stay; the log keeps what was missed, and
//! the audit trail who did what.

use data::retention::Rule;
use time::{Duration, macros::date};

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "ended slots",
        from: date!(2020 - 05 - 01),
        keep: Duration::days(28),
        // 1 is the slot that is awaited.
        sql: "delete from slot where (case_id, due_at) in (
                  select case_id, due_at from slot where state <> 1 and due_at < $1 and $3 is not null
                  order by due_at limit $2 for update skip locked)",
    },
    Rule {
        name: "closed tasks",
        from: date!(2020 - 05 - 01),
        keep: Duration::days(90),
        // 2 is done, 3 over. A notice that was done stays until its reason is over, or it would come again.
        sql: "delete from task where task_id in (
                  select task_id from task
                  where (state = 3 or (state = 2 and desk is null)) and closed_at < $1 and $3 is not null
                  order by closed_at limit $2 for update skip locked)",
    },
];

#[cfg(test)]
mod tests {
    use data::retention::Sweeper;
    use proto::{followup::CompleteTaskRequest, registry::Relation};
    use testing::Outcome;
    use time::Duration;

    use super::RULES;
    use crate::{
        fixture::{Scene, grant, request_id},
        worklist,
    };

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

    #[tokio::test]
    async fn closed_tasks_go_after_three_months_and_a_notice_that_was_done_not_before_its_reason() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let mut placed = known.clone();
        placed.grants.push(grant(scene.lodging, Relation::LodgingFacility));
        let case = scene.hear(&placed).await?;
        let opening = scene.open_in_emergency(case).await?;
        let notice = scene.tasks(&scene.officer).await?;
        let notice = notice.iter().find(|task| task.task_id != opening).unwrap().task_id.clone();
        for (who, task_id) in [(&scene.nurse, opening), (&scene.officer, notice)] {
            let done = CompleteTaskRequest { request_id: request_id(), task_id, etag: String::new() };
            scene.world.ask(&scene.followup, who, done, worklist::complete).await?;
        }
        let pool = scene.world.base.pool.clone();
        let mut sweeper = Sweeper::new(pool.clone(), scene.world.clock.clone(), RULES.to_vec());
        let left = async || sqlx::query_scalar::<_, i64>("select count(*) from task").fetch_one(&pool).await;
        sweeper.round().await;
        assert_eq!(left().await?, 2);
        scene.world.clock.advance(Duration::days(91));
        sweeper.round().await;
        assert_eq!(left().await?, 1);
        scene.hear(&placed).await?;
        assert!(scene.tasks(&scene.officer).await?.is_empty(), "it does not come again");

        scene.hear(&known).await?;
        scene.world.clock.advance(Duration::days(91));
        sweeper.round().await;
        assert_eq!(left().await?, 0);
        Ok(())
    }
}
