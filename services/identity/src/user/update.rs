//! `UpdateUser`: role or field groups of an ID, as the mask names. Its sessions end.

use access::UserId;
use chassis::{Call, Error};
use proto::identity::{UpdateUserRequest, User};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    locked::{self, Locked},
    model::{self, Item, hidden_of},
    store, view,
};
use crate::{service::Identity, session};

pub(crate) async fn update(identity: Identity, call: Call<UpdateUserRequest>) -> Result<User, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let id = UserId::parse(&request.user_id)?;
    let given = request.user.clone().unwrap_or_default();
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let items = Item::of_mask(paths).map_err(Error::Invalid)?;

    let lock = async |conn: &mut PgConnection| Ok(locked::lock(conn, caller, id).await?.held());
    call.change(&identity.base, lock, async |change| {
        if id == caller.user_id {
            return Err(Error::Precondition(why(
                "OWN_ID",
                "自分自身のIDの権限は変更できません。",
                "You cannot change what your own ID may do.",
            )));
        }
        let Locked { user, body } = &mut change.held;
        for item in &items {
            match item {
                Item::Role => {
                    user.role = data::code(given.role);
                    model::check_role("user.role", user.role, body.kind).map_err(Error::Invalid)?;
                }
                Item::HiddenGroups => user.hidden = hidden_of(&given.hidden_groups),
            }
        }
        // Whatever is changed: nobody decides over an ID that sees more than their own.
        model::check_hidden("user.hidden_groups", caller.hidden, user.hidden).map_err(Error::Invalid)?;
        user.version += 1;

        store::update(&mut change.tx, user).await?;
        session::end_all(&identity, &mut change.tx, id).await?;
        view::shown(identity.vault(), user)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{AccessRevoked, OrganisationKind as Kind, Role, UpdateUserRequest, User, access_revoked::Subject},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{Scene, request_id},
        user,
    };

    fn asked(user_id: &str, user: User, paths: &[&str]) -> UpdateUserRequest {
        let mut request = UpdateUserRequest {
            request_id: request_id(),
            user_id: user_id.to_owned(),
            user: Some(user),
            ..UpdateUserRequest::default()
        };
        request.update_mask.get_or_insert_default().paths = paths.iter().map(|path| (*path).to_owned()).collect();
        request
    }

    async fn update(scene: &Scene, caller: &Caller, request: UpdateUserRequest) -> Result<User, Status> {
        scene.world.ask(&scene.identity, caller, request, user::update).await
    }

    fn role(role: Role) -> User {
        User { role: role.into(), ..User::default() }
    }

    fn hiding(groups: &[Group]) -> User {
        User { hidden_groups: groups.iter().map(|group| (*group).into()).collect(), ..User::default() }
    }

    #[tokio::test]
    async fn a_mask_of_one_field_leaves_the_other_alone_and_sessions_end() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let id = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id;
        let narrowed = update(&scene, &admin, asked(&id, hiding(&[Group::Clinical]), &["hidden_groups"])).await?;
        assert_eq!((narrowed.role, narrowed.etag.as_str()), (Role::Nurse.into(), "2"));
        let clerk = update(&scene, &admin, asked(&id, role(Role::Clerk), &["role"])).await?;
        assert_eq!((clerk.role, clerk.hidden_groups), (Role::Clerk.into(), vec![Group::Clinical.into()]));
        let widened = update(&scene, &admin, asked(&id, role(Role::Nurse), &["hidden_groups"])).await?;
        assert_eq!((widened.role, widened.hidden_groups.len()), (Role::Clerk.into(), 0));

        let revoked: Vec<AccessRevoked> = scene.world.announced().await?;
        assert_eq!(revoked.len(), 3);
        assert!(revoked.iter().all(|revoked| revoked.subject == Some(Subject::UserId(id.clone()))));
        let audited = scene.world.audited("UpdateUser").await?;
        assert_eq!((audited.len(), audited[0].groups.as_slice()), (3, &[2][..]));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_changes_nothing_more_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let id = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id;
        let request = UpdateUserRequest { etag: "1".to_owned(), ..asked(&id, role(Role::Clerk), &["role"]) };
        let first = update(&scene, &admin, request.clone()).await?;
        assert!(update(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("UpdateUser").await?.len(), 2);

        let reused = UpdateUserRequest { user: Some(role(Role::Nurse)), ..request.clone() };
        assert_eq!(update(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = update(&scene, &scene.hospital.staff(Role::Administrator), request.clone()).await;
        assert_eq!(another.refused().code(), Code::Aborted, "another caller's request, with an old etag");
        let elsewhere = scene.organisation(Kind::Hospital, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..elsewhere.staff(Role::Administrator) };
        assert_eq!(update(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let narrow = scene.hospital.narrowed(Role::Administrator, [Group::Contact]);
        let id = scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id;
        let above = scene.issue(scene.centre, "nurse.ito", Role::Nurse).await?.user_id;
        let own = scene.issue(scene.hospital, "admin.ito", Role::Administrator).await?.user_id;
        let own_caller = Caller { user_id: Uuid::try_parse(&own)?.into(), ..admin.clone() };
        let good = || asked(&id, role(Role::Clerk), &["role"]);
        let stale = UpdateUserRequest { etag: "7".to_owned(), ..good() };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Nurse), good(), Code::PermissionDenied, ""),
            (admin.clone(), asked(&above, role(Role::Clerk), &["role"]), Code::NotFound, ""),
            (admin.clone(), asked(&Uuid::now_v7().to_string(), role(Role::Clerk), &["role"]), Code::NotFound, ""),
            (own_caller, asked(&own, role(Role::Clerk), &["role"]), Code::FailedPrecondition, ""),
            (admin.clone(), stale, Code::Aborted, ""),
            (admin.clone(), asked(&id, role(Role::Clerk), &[]), Code::InvalidArgument, "update_mask"),
            (admin.clone(), asked(&id, role(Role::Clerk), &["role", "login"]), Code::InvalidArgument, "update_mask"),
            (admin.clone(), asked(&id, User::default(), &["role"]), Code::InvalidArgument, "user.role"),
            (admin.clone(), asked(&id, role(Role::Operator), &["role"]), Code::InvalidArgument, "user.role"),
            (narrow, asked(&id, hiding(&[]), &["hidden_groups"]), Code::InvalidArgument, "user.hidden_groups"),
        ] {
            let status = update(&scene, &caller, request).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        update(&scene, &admin, good()).await?;
        Ok(())
    }
}
