//! What identity does not keep for ever.
//!
//! Sessions are the record of who signed in when, and stay for three years; their tokens go with the longest session. Patients and
//! users are never swept.

use data::retention::Rule;
use time::{Date, Duration, macros::date};

const BEGINNING: Date = date!(2020 - 05 - 01);

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "secret answers",
        from: BEGINNING,
        // Enough to ask again after a lost response.
        keep: Duration::minutes(10),
        sql: "update request set response = null where (user_id, request_id) in (
                  select user_id, request_id from request
                  where created_at < $1 and $3 is not null and response is not null
                    and rpc in ('IssueUser', 'ResetUser', 'ImportUsers', 'IssuePatientCode', 'NameProxy')
                  order by created_at limit $2 for update skip locked)",
    },
    Rule {
        name: "messages",
        from: BEGINNING,
        // From when they are of no use.
        keep: Duration::ZERO,
        sql: "delete from message where message_id in (
                  select message_id from message where expires_at < $1 and $3 is not null
                  order by expires_at limit $2 for update skip locked)",
    },
    Rule {
        name: "refresh tokens",
        from: BEGINNING,
        // The longest session, and an hour.
        keep: Duration::hours(13),
        sql: "delete from refresh_token where token_hash in (
                  select token_hash from refresh_token where created_at < $1 and $3 is not null
                  order by created_at limit $2 for update skip locked)",
    },
    Rule {
        name: "sessions nobody ended",
        from: BEGINNING,
        keep: Duration::hours(12),
        sql: "update session set ended_at = created_at + interval '12 hours' where session_id in (
                  select session_id from session where ended_at is null and created_at < $1 and $3 is not null
                  order by created_at limit $2 for update skip locked)",
    },
    Rule {
        name: "sessions",
        from: BEGINNING,
        keep: Duration::days(3 * 365),
        sql: "delete from session where session_id in (
                  select session_id from session where ended_at is not null and created_at < $1 and $3 is not null
                  order by created_at limit $2 for update skip locked)",
    },
    Rule {
        name: "challenges",
        from: BEGINNING,
        keep: Duration::ZERO,
        sql: "delete from challenge where challenge_hash in (
                  select challenge_hash from challenge where expires_at < $1 and $3 is not null
                  order by expires_at limit $2 for update skip locked)",
    },
    Rule {
        name: "used assertions",
        from: BEGINNING,
        keep: Duration::ZERO,
        sql: "delete from used_assertion where jti_hash in (
                  select jti_hash from used_assertion where expires_at < $1 and $3 is not null
                  order by expires_at limit $2 for update skip locked)",
    },
];

#[cfg(test)]
mod tests {
    use data::retention::Sweeper;
    use proto::identity::{IssueUserRequest, RefreshTokensRequest, Role};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::RULES;
    use crate::{
        fixture::{Scene, request_id},
        message, session, user,
    };

    #[tokio::test]
    async fn what_is_over_goes_and_what_is_in_use_stays() -> Outcome {
        let scene = Scene::new().await?;
        let (world, identity) = (&scene.world, &scene.identity);
        let mut sweeper = Sweeper::new(world.base.pool.clone(), world.clock.clone(), RULES.to_vec());
        let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&world.base.pool).await;

        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: scene.hospital.id.to_string(),
            login: "nurse.sato".to_owned(),
            role: Role::Nurse.into(),
            ..IssueUserRequest::default()
        };
        world.ask(identity, &scene.minister, request.clone(), user::issue).await?;
        let person = scene.person(scene.hospital, "nurse.suzuki", Role::Nurse).await?;
        let mut conn = world.base.pool.acquire().await?;
        message::one_time_code(identity, &mut conn, "09010000000".to_owned(), "123456").await?;
        sweeper.round().await;
        world.ask(identity, &scene.minister, request.clone(), user::issue).await?;
        assert_eq!(count("select count(*) from message").await?, 1);

        world.clock.advance(Duration::minutes(11));
        sweeper.round().await;
        let again = world.ask(identity, &scene.minister, request, user::issue).await;
        assert_eq!(again.refused().code(), Code::AlreadyExists, "the secret is not shown again");
        assert_eq!(count("select count(*) from message").await?, 0, "nobody waits for an old code");
        assert_eq!(count("select count(*) from challenge where expires_at < now() - interval '100 years'").await?, 0);
        let tokens = count("select count(*) from refresh_token").await?;
        assert!(tokens > 0);

        world.clock.advance(Duration::hours(13));
        sweeper.round().await;
        assert_eq!(count("select count(*) from refresh_token").await?, 0);
        assert_eq!(count("select count(*) from session where ended_at is null").await?, 0);
        assert!(count("select count(*) from session").await? > 0, "who signed in when stays known");
        let refresh = RefreshTokensRequest { refresh_token: person.tokens.refresh_token };
        let refused = world.ask_public(identity, refresh, session::refresh).await.refused();
        assert_eq!(refused.code(), Code::Unauthenticated);

        world.clock.advance(Duration::days(3 * 365));
        sweeper.round().await;
        assert_eq!(count("select count(*) from session").await?, 0);
        Ok(())
    }
}
