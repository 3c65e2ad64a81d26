//! `DisableUser`: ends an ID for good.

use access::UserId;
use chassis::{Call, Error};
use proto::identity::{DisableUserRequest, User};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{locked, store, view};
use crate::{service::Identity, session};

pub(crate) async fn disable(identity: Identity, call: Call<DisableUserRequest>) -> Result<User, Error> {
    let id = UserId::parse(&call.request.user_id)?;

    let lock = async |conn: &mut PgConnection| Ok(locked::lock(conn, &call.caller, id).await?.held());
    call.change(&identity.base, lock, async |change| {
        if id == call.caller.user_id {
            // The last administrator would lock everybody out, and could not undo it.
            return Err(Error::Precondition(why(
                "OWN_ID",
                "自分自身のIDは停止できません。",
                "You cannot disable your own ID.",
            )));
        }
        let user = &mut change.held.user;
        if user.disabled_at.is_none() {
            user.version += 1;
            user.disabled_at = Some(change.now);
            store::update(&mut change.tx, user).await?;
            session::end_all(&identity, &mut change.tx, id).await?;
        }
        view::shown(identity.vault(), user)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{AccessRevoked, DisableUserRequest, Role, User, UserState, access_revoked::Subject};
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{PASSWORD, Scene, request_id},
        user,
    };

    async fn disable(scene: &Scene, caller: &Caller, request: DisableUserRequest) -> Result<User, Status> {
        scene.world.ask(&scene.identity, caller, request, user::disable).await
    }

    fn asked(user_id: &str) -> DisableUserRequest {
        DisableUserRequest { request_id: request_id(), user_id: user_id.to_owned(), etag: String::new() }
    }

    #[tokio::test]
    async fn nobody_gets_in_any_more_and_a_second_time_changes_nothing() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let id = nurse.caller.user_id.to_string();
        let request = DisableUserRequest { etag: "1".to_owned(), ..asked(&id) };
        let gone = disable(&scene, &admin, request.clone()).await?;
        assert_eq!((gone.state, gone.etag.as_str()), (UserState::Disabled.into(), "2"));
        assert!(scene.sign_in(&nurse.login, PASSWORD).await.is_err());

        assert!(disable(&scene, &admin, request.clone()).await? == gone, "a repeated request");
        let reused = DisableUserRequest { etag: String::new(), ..request };
        assert_eq!(disable(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        assert_eq!(disable(&scene, &admin, asked(&id)).await?.etag, "2", "another request");
        assert_eq!(scene.world.audited("DisableUser").await?.len(), 3);
        let revoked: Vec<AccessRevoked> = scene.world.announced().await?;
        let of_user = revoked.iter().filter(|revoked| revoked.subject == Some(Subject::UserId(id.clone())));
        assert_eq!(of_user.count(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let id = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id;
        let above = scene.issue(scene.centre, "nurse.ito", Role::Nurse).await?.user_id;
        let own = scene.issue(scene.hospital, "admin.ito", Role::Administrator).await?.user_id;
        let own_caller = Caller { user_id: Uuid::try_parse(&own)?.into(), ..admin.clone() };
        let stale = DisableUserRequest { etag: "7".to_owned(), ..asked(&id) };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Nurse), asked(&id), Code::PermissionDenied),
            (admin.clone(), asked(&above), Code::NotFound),
            (admin.clone(), asked(&Uuid::now_v7().to_string()), Code::NotFound),
            (own_caller, asked(&own), Code::FailedPrecondition),
            (admin, stale, Code::Aborted),
        ] {
            assert_eq!(disable(&scene, &caller, request).await.refused().code(), code);
        }
        Ok(())
    }
}
