//! `ResetUser`: starts over for a lost factor. The issuer never learns or chooses the password.

use access::UserId;
use chassis::{Call, Error};
use proto::identity::{IssueUserResponse, ResetUserRequest};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    locked,
    model::{self, INITIAL_SECRET, Made},
    store, view,
};
use crate::{service::Identity, session};

pub(crate) async fn reset(identity: Identity, call: Call<ResetUserRequest>) -> Result<IssueUserResponse, Error> {
    let caller = &call.caller;
    let id = UserId::parse(&call.request.user_id)?;

    let lock = async |conn: &mut PgConnection| {
        let locked = locked::lock(conn, caller, id).await?;
        // Who resets holds the secret for a while: nobody gets at an ID that sees more than the own one.
        model::check_hidden("hidden_groups", caller.hidden, locked.user.hidden).map_err(Error::Invalid)?;
        Ok(locked.held())
    };
    call.change(&identity.base, lock, async |change| {
        let user = &mut change.held.user;
        if user.disabled_at.is_some() {
            return Err(Error::Precondition(why("ID_DISABLED", "停止されたIDです。", "This ID is disabled.")));
        }
        if id == caller.user_id {
            return Err(Error::Precondition(why(
                "OWN_ID",
                "自分自身のIDは再発行できません。発行者に依頼してください。",
                "You cannot reset your own ID. Ask the person who issued it.",
            )));
        }

        let (initial_secret, _) = identity.secret()?;
        let made = Made { user_id: id, initial_secret, expires_at: change.now + INITIAL_SECRET };
        let hash = identity.initial_hash(&made.initial_secret);
        user.version += 1;
        store::reset(&mut change.tx, id, user.version, &hash, made.expires_at).await?;
        session::end_all(&identity, &mut change.tx, id).await?;

        let holder = view::holder_name(identity.vault(), user)?;
        view::issued(&identity, &made, &user.login, &holder, call.request.with_slip).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{
            AccessRevoked, DisableUserRequest, IssueUserResponse, NextStep, ResetUserRequest, Role,
            access_revoked::Subject,
        },
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{PASSWORD, Scene, request_id},
        user,
    };

    async fn reset(scene: &Scene, caller: &Caller, request: ResetUserRequest) -> Result<IssueUserResponse, Status> {
        scene.world.ask(&scene.identity, caller, request, user::reset).await
    }

    fn asked(user_id: &str) -> ResetUserRequest {
        ResetUserRequest { request_id: request_id(), user_id: user_id.to_owned(), ..ResetUserRequest::default() }
    }

    #[tokio::test]
    async fn both_factors_and_all_sessions_are_gone() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let nurse = scene.person(scene.hospital, "nurse.sato", Role::Nurse).await?;
        let id = nurse.caller.user_id.to_string();
        let begun = scene.sign_in(&nurse.login, PASSWORD).await?.challenge;
        let made = reset(&scene, &admin, ResetUserRequest { etag: "1".to_owned(), ..asked(&id) }).await?;
        assert_eq!(made.user_id, id);

        assert!(scene.verify_otp(&begun, &scene.code(&nurse)).await.is_err(), "what was begun is over");
        assert!(scene.sign_in(&nurse.login, PASSWORD).await.is_err());
        let step = scene.sign_in(&nurse.login, &made.initial_secret).await?.next_step;
        assert_eq!(step, i32::from(NextStep::Enrol));
        let revoked: Vec<AccessRevoked> = scene.world.announced().await?;
        assert_eq!(revoked.last().unwrap().subject, Some(Subject::UserId(id)));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_shows_the_same_secret_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let request = asked(&scene.issue(scene.hospital, "nurse.sato", Role::Nurse).await?.user_id);
        let first = reset(&scene, &admin, request.clone()).await?;
        assert!(reset(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("ResetUser").await?.len(), 2);
        let reused = ResetUserRequest { etag: "2".to_owned(), ..request.clone() };
        assert_eq!(reset(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = reset(&scene, &scene.hospital.staff(Role::Administrator), request.clone()).await?;
        assert_ne!(another.initial_secret, first.initial_secret);

        let narrowed = Caller { hidden: access::caller::Hidden::of([Group::Contact]), ..admin };
        assert_eq!(reset(&scene, &narrowed, request).await.refused().code(), Code::InvalidArgument);
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
        let gone = scene.issue(scene.hospital, "nurse.gone", Role::Nurse).await?.user_id;
        let disable = DisableUserRequest { request_id: request_id(), user_id: gone.clone(), etag: String::new() };
        scene.world.ask(&scene.identity, &admin, disable, user::disable).await?;
        let stale = ResetUserRequest { etag: "7".to_owned(), ..asked(&id) };
        let slip = ResetUserRequest { with_slip: true, ..asked(&id) };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Nurse), asked(&id), Code::PermissionDenied, ""),
            (admin.clone(), asked(&above), Code::NotFound, ""),
            (admin.clone(), asked(&Uuid::now_v7().to_string()), Code::NotFound, ""),
            (admin.clone(), asked(&gone), Code::FailedPrecondition, ""),
            (own_caller, asked(&own), Code::FailedPrecondition, ""),
            (narrow, asked(&id), Code::InvalidArgument, "hidden_groups"),
            (admin.clone(), stale, Code::Aborted, ""),
            // There is no font.
            (admin.clone(), slip, Code::FailedPrecondition, ""),
        ] {
            let status = reset(&scene, &caller, request).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        Ok(())
    }
}
