//! `UnlockUser`: lifts the stop after too many wrong guesses.

use access::UserId;
use chassis::{Call, Error};
use proto::identity::{UnlockUserRequest, User};
use sqlx::PgConnection;

use super::{locked, store, view};
use crate::service::Identity;

pub(crate) async fn unlock(identity: Identity, call: Call<UnlockUserRequest>) -> Result<User, Error> {
    let id = UserId::parse(&call.request.user_id)?;
    let lock = async |conn: &mut PgConnection| Ok(locked::lock(conn, &call.caller, id).await?.held());
    call.change(&identity.base, lock, async |change| {
        let user = &mut change.held.user;
        user.version += 1;
        user.failures = 0;
        store::unlock(&mut change.tx, id, user.version).await?;
        view::shown(identity.vault(), user)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{ListUsersRequest, Role, UnlockUserRequest, User, UserState};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        factor,
        fixture::{Scene, request_id},
        user,
    };

    async fn unlock(scene: &Scene, caller: &Caller, request: UnlockUserRequest) -> Result<User, Status> {
        scene.world.ask(&scene.identity, caller, request, user::unlock).await
    }

    fn asked(user_id: &str) -> UnlockUserRequest {
        UnlockUserRequest { request_id: request_id(), user_id: user_id.to_owned(), etag: String::new() }
    }

    #[tokio::test]
    async fn an_id_that_was_stopped_gets_in_again() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let issued = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        for _ in 0..factor::HARD_STOP {
            scene.world.clock.advance(Duration::minutes(15));
            let now = scene.world.clock.now();
            factor::count_attempt(&mut conn, "nurse.sato", factor::OF_STAFF, now).await?;
        }
        let list = ListUsersRequest::default();
        let listed = scene.world.ask(&scene.identity, &admin, list, user::list).await?.users;
        assert_eq!(listed[0].state, i32::from(UserState::Locked));
        assert!(scene.sign_in("nurse.sato", &issued.initial_secret).await.is_err());

        let unlocked = unlock(&scene, &admin, asked(&issued.user_id)).await?;
        assert_eq!((unlocked.state, unlocked.etag.as_str()), (UserState::Initial.into(), "2"));
        scene.sign_in("nurse.sato", &issued.initial_secret).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_alike_and_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let request = asked(&scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id);
        let first = unlock(&scene, &admin, request.clone()).await?;
        assert!(unlock(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("UnlockUser").await?.len(), 2);
        let reused = UnlockUserRequest { etag: "2".to_owned(), ..request };
        assert_eq!(unlock(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let id = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id;
        let above = scene.issue(scene.centre, "nurse.ito", Role::Nurse).await?.user_id;
        let stale = UnlockUserRequest { etag: "7".to_owned(), ..asked(&id) };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Nurse), asked(&id), Code::PermissionDenied),
            (admin.clone(), asked(&above), Code::NotFound),
            (admin.clone(), asked(&Uuid::now_v7().to_string()), Code::NotFound),
            (admin, stale, Code::Aborted),
        ] {
            assert_eq!(unlock(&scene, &caller, request).await.refused().code(), code);
        }
        Ok(())
    }
}
