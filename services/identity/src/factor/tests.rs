//! What wrong guesses cost, as time goes by.

use access::UserId;
use proto::identity::Role;
use testing::Outcome;
use time::Duration;

use super::{
    DEVICE_STOP, HARD_STOP, OF_STAFF, Rests, count_attempt, count_device_attempt, forget_device_after, note_stray,
    remember_device,
};
use crate::fixture::Scene;

/// What so many attempts in a row cost.
fn rest(rests: Rests, attempts: i32) -> Duration {
    let reached = rests.least.iter().rposition(|least| *least <= attempts);
    Duration::seconds_f64(reached.map_or(0.0, |step| rests.seconds[step]))
}

#[tokio::test]
async fn rests_grow_and_end_and_the_hundredth_attempt_stops() -> Outcome {
    let scene = Scene::new().await?;
    let (world, login) = (&scene.world, "nurse.sato");
    scene.issue(scene.hospital, login, Role::Nurse).await?;
    let mut conn = world.base.pool.acquire().await?;
    let moment = Duration::milliseconds(1);
    for attempt in 1..=HARD_STOP {
        let (_, resting) = count_attempt(&mut conn, login, OF_STAFF, world.clock.now()).await?.unwrap();
        assert!(!resting, "attempt {attempt}");
        let rest = rest(OF_STAFF, attempt);
        if !rest.is_zero() && attempt < HARD_STOP {
            world.clock.advance(rest - moment);
            // Nothing counts while it rests: neither grows the rest, nor does it begin anew.
            let (_, resting) = count_attempt(&mut conn, login, OF_STAFF, world.clock.now()).await?.unwrap();
            assert!(resting, "after attempt {attempt}");
            world.clock.advance(moment);
        }
    }
    world.clock.advance(Duration::days(365));
    let (_, resting) = count_attempt(&mut conn, login, OF_STAFF, world.clock.now()).await?.unwrap();
    assert!(resting, "the stop does not end by itself");
    assert!(count_attempt(&mut conn, "nobody", OF_STAFF, world.clock.now()).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn parallel_guesses_all_count() -> Outcome {
    let scene = Scene::new().await?;
    scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
    let (pool, now) = (&scene.world.base.pool, scene.world.clock.now());
    let guess = async || count_attempt(&mut *pool.acquire().await?, "nurse.sato", OF_STAFF, now).await;
    let (a, b, c, d) = tokio::join!(guess(), guess(), guess(), guess());
    let resting = [a?, b?, c?, d?].into_iter().flatten().filter(|(_, resting)| *resting).count();
    assert_eq!(resting, 1, "the third costs a rest, and the fourth finds it");
    Ok(())
}

#[tokio::test]
async fn a_device_rests_by_itself_and_is_forgotten_after_twenty_attempts() -> Outcome {
    let scene = Scene::new().await?;
    let (world, login, device) = (&scene.world, "nurse.sato", b"a device");
    let user = UserId::parse(&scene.issue(scene.hospital, login, Role::Nurse).await?.user_id)?;
    let mut conn = world.base.pool.acquire().await?;
    remember_device(&mut conn, device, user, world.clock.now()).await?;
    for attempt in 1..=DEVICE_STOP {
        let resting = count_device_attempt(&mut conn, device, login, OF_STAFF, world.clock.now()).await?;
        assert_eq!(resting, Some(false), "attempt {attempt}");
        assert_eq!(count_device_attempt(&mut conn, device, "another", OF_STAFF, world.clock.now()).await?, None);
        world.clock.advance(rest(OF_STAFF, attempt));
        if attempt < DEVICE_STOP {
            forget_device_after(&mut conn, device, DEVICE_STOP).await?;
        }
    }
    forget_device_after(&mut conn, device, DEVICE_STOP).await?;
    assert_eq!(count_device_attempt(&mut conn, device, login, OF_STAFF, world.clock.now()).await?, None);
    Ok(())
}

#[tokio::test]
async fn ten_devices_are_remembered() -> Outcome {
    let scene = Scene::new().await?;
    let (world, login) = (&scene.world, "nurse.sato");
    let user = UserId::parse(&scene.issue(scene.hospital, login, Role::Nurse).await?.user_id)?;
    let mut conn = world.base.pool.acquire().await?;
    for device in 0..11_u8 {
        remember_device(&mut conn, &[device], user, world.clock.now()).await?;
        world.clock.advance(Duration::minutes(1));
    }
    let known = async |conn: &mut sqlx::PgConnection, device: u8| {
        count_device_attempt(conn, &[device], login, OF_STAFF, world.clock.now()).await
    };
    assert_eq!(known(&mut conn, 0).await?, None, "the one used longest ago");
    assert_eq!(known(&mut conn, 1).await?, Some(false));
    Ok(())
}

#[tokio::test]
async fn a_stray_attempt_is_noted() -> Outcome {
    let scene = Scene::new().await?;
    let mut conn = scene.world.base.pool.acquire().await?;
    for _ in 0..2 {
        note_stray(&mut conn, b"nobody", scene.world.clock.now()).await?;
        scene.world.clock.advance(Duration::days(2));
    }
    Ok(())
}
