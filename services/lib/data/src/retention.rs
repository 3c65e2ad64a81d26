//! What is not kept for ever: dated rules, and the sweeper that keeps them. The log, the audit trail and the records of people are
//! no part of it.

use std::{collections::HashMap, time::Duration};

use runtime::{Clock, Shutdown, clock::day_in_japan};
use sqlx::PgPool;
use time::{Date, OffsetDateTime, macros::date};

/// How often to sweep.
const ROUND: Duration = Duration::from_mins(1);
/// The most rows of one transaction.
const BATCH: i64 = 1_000;

/// How long something is kept. The rule that is in force on a day is the last one of its name that begins by then.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is swept: a table, and which of its rows.
    pub name: &'static str,
    /// The first day on which the rule is in force.
    pub from: Date,
    /// How long it is kept, from the moment its statement compares.
    pub keep: time::Duration,
    /// Sweeps rows before `$1`, `$2` of them at most. Rows before `$3` were swept in an earlier round: a statement that leaves
    /// rows where they are, and only empties them, need not look at them again.
    pub sql: &'static str,
}

const BEGINNING: Date = date!(2020 - 05 - 01);

/// What every service keeps for a while: the answers to repeated requests, and their ids.
pub const OF_EVERY_SERVICE: &[Rule] = &[
    Rule {
        name: "request answers",
        from: BEGINNING,
        keep: time::Duration::days(1),
        sql: "update request set response = null where (user_id, request_id) in (
                  select user_id, request_id from request
                  where created_at < $1 and created_at >= $3 and response is not null
                  order by created_at limit $2 for update skip locked)",
    },
    Rule {
        name: "request ids",
        from: BEGINNING,
        keep: time::Duration::days(7),
        sql: "delete from request where (user_id, request_id) in (
                  select user_id, request_id from request where created_at < $1 and $3 is not null
                  order by created_at limit $2 for update skip locked)",
    },
];

/// Keeps the rules until shutdown.
pub fn start(pool: PgPool, clock: Clock, rules: Vec<Rule>, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("retention", async move {
        let mut sweeper = Sweeper::new(pool, clock, rules);
        loop {
            tokio::select! {
                () = stop.requested() => return,
                _ = sweeper.round() => {}
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    });
}

/// Sweeps by rules.
#[derive(Debug)]
pub struct Sweeper {
    pool: PgPool,
    clock: Clock,
    rules: Vec<Rule>,
    /// Up to where each rule has swept.
    swept: HashMap<&'static str, OffsetDateTime>,
}

impl Sweeper {
    /// A sweeper by some rules.
    pub fn new(pool: PgPool, clock: Clock, rules: Vec<Rule>) -> Self {
        Self { pool, clock, rules, swept: HashMap::new() }
    }

    /// Sweeps by every rule in force. A rule that fails is tried again in the next round. Returns how many rows it touched.
    pub async fn round(&mut self) -> u64 {
        let now = self.clock.now();
        let mut touched = 0;
        for rule in in_force(&self.rules, day_in_japan(now)) {
            match self.sweep(rule, now).await {
                Ok(rows) => touched += rows,
                Err(error) => {
                    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                    tracing::warn!(rule = rule.name, code = code.as_deref(), "Could not sweep");
                }
            }
        }
        touched
    }

    async fn sweep(&mut self, rule: Rule, now: OffsetDateTime) -> sqlx::Result<u64> {
        let before = now - rule.keep;
        let after = self.swept.get(rule.name).copied().unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut touched = 0;
        loop {
            let done =
                sqlx::query(rule.sql).bind(before).bind(BATCH).bind(after).execute(&self.pool).await?.rows_affected();
            touched += done;
            if done < BATCH.unsigned_abs() {
                break;
            }
        }
        self.swept.insert(rule.name, before);
        Ok(touched)
    }
}

/// The rules in force on a day, one of each name.
fn in_force(rules: &[Rule], day: Date) -> Vec<Rule> {
    let mut found: Vec<Rule> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.from <= day) {
        match found.iter_mut().find(|known| known.name == rule.name) {
            Some(known) if known.from < rule.from => *known = *rule,
            Some(_) => {}
            None => found.push(*rule),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use testing::{Outcome, World};
    use time::{Duration, macros::date};
    use uuid::Uuid;

    use super::{OF_EVERY_SERVICE, Rule, Sweeper, in_force};
    use crate::request::{Claim, Key, claim};

    #[test]
    fn the_last_rule_of_a_name_that_has_begun_is_in_force() {
        let rule = |name, from, days| Rule { name, from, keep: Duration::days(days), sql: "" };
        let rules = [
            rule("a", date!(2020 - 05 - 01), 1),
            rule("a", date!(2020 - 07 - 01), 2),
            rule("b", date!(2021 - 01 - 01), 3),
        ];
        let days = |day| in_force(&rules, day).iter().map(|rule| rule.keep.whole_days()).collect::<Vec<_>>();
        assert_eq!(days(date!(2020 - 06 - 30)), [1]);
        assert_eq!(days(date!(2020 - 07 - 01)), [2]);
        assert_eq!(days(date!(2021 - 01 - 01)), [2, 3]);
    }

    #[tokio::test]
    async fn an_answer_is_kept_a_day_and_its_request_a_week() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let key = Key { user_id: Uuid::now_v7(), request_id: Uuid::now_v7(), rpc: "Ask", body_hash: b"body".to_vec() };
        let ask = async || claim(&mut *pool.acquire().await?, &key, Some(b"yes"), world.clock.now()).await;
        let mut sweeper = Sweeper::new(pool.clone(), world.clock.clone(), OF_EVERY_SERVICE.to_vec());
        assert_eq!(ask().await?, Claim::First);
        world.clock.advance(Duration::hours(23));
        assert_eq!(sweeper.round().await, 0);
        assert_eq!(ask().await?, Claim::Repeated(b"yes".to_vec()));

        world.clock.advance(Duration::hours(2));
        assert_eq!((sweeper.round().await, sweeper.round().await), (1, 0));
        assert_eq!(ask().await?, Claim::Forgotten, "nothing is done twice");

        world.clock.advance(Duration::days(7));
        assert_eq!(sweeper.round().await, 1);
        assert_eq!(ask().await?, Claim::First);
        Ok(())
    }
}
