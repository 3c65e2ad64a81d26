//! `IssueUser`: an ID for a named person and one duty, and the secret of the first sign-in.

use access::{OrganisationId, UserId};
use chassis::{Call, Error, Seen};
use proto::identity::{IssueUserRequest, IssueUserResponse};
use sqlx::PgConnection;

use super::{
    locked::must_all_be_in_scope,
    make::{check, make},
    model::{NewUser, hidden_of},
    view,
};
use crate::{organisation, service::Identity};

pub(crate) async fn issue(identity: Identity, call: Call<IssueUserRequest>) -> Result<IssueUserResponse, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let new = NewUser {
        organisation_id: OrganisationId::parse(&request.organisation_id)?,
        login: &request.login,
        role: data::code(request.role),
        holder_name: &request.holder_name,
        mail: &request.mail,
        hidden: hidden_of(&request.hidden_groups),
    };
    let mut conn = identity.base.pool.acquire().await?;
    let body = organisation::in_scope(&mut conn, caller, new.organisation_id).await?;
    let standing = organisation::standing(&mut conn, new.organisation_id).await?;
    drop(conn);
    check(caller, (&body, &standing), &new, call.today())?;

    let again = async |conn: &mut PgConnection, answer: &IssueUserResponse| {
        let id = UserId::parse(&answer.user_id)?;
        must_all_be_in_scope(conn, caller, &[id]).await?;
        Ok(Seen::records([id]))
    };
    call.create(&identity.base, again, async |conn| {
        let made = make(&identity, conn, Some(caller.user_id), &new, call.now).await?;
        let answer = view::issued(&identity, &made, &request.login, &request.holder_name, request.with_slip).await?;
        Ok((answer, Seen::records([made.user_id])))
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{
            IssueUserRequest, IssueUserResponse, ListMessagesRequest, ListUsersRequest, NextStep,
            OrganisationKind as Kind, Role, UserState,
        },
        options::Group,
    };
    use runtime::clock::from_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, request_id},
        message, user,
    };

    fn asked(scene: &Scene, login: &str) -> IssueUserRequest {
        IssueUserRequest {
            request_id: request_id(),
            organisation_id: scene.hospital.id.to_string(),
            login: login.to_owned(),
            role: Role::Nurse.into(),
            holder_name: "髙﨑 花子".to_owned(),
            ..IssueUserRequest::default()
        }
    }

    async fn issue(scene: &Scene, caller: &Caller, request: IssueUserRequest) -> Result<IssueUserResponse, Status> {
        scene.world.ask(&scene.identity, caller, request, user::issue).await
    }

    #[tokio::test]
    async fn the_secret_opens_the_first_sign_in_for_three_days_and_goes_by_mail_where_asked() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = IssueUserRequest {
            mail: "hanako@example.jp".to_owned(),
            hidden_groups: vec![Group::Clinical.into()],
            ..asked(&scene, "nurse.takasaki")
        };
        let issued = issue(&scene, &admin, request).await?;
        let expires = issued.expire_time.as_ref().and_then(from_proto);
        assert_eq!(expires, Some(NOW + Duration::hours(72)));
        assert!(issued.slip_pdf.is_empty());
        let audited = scene.world.audited("IssueUser").await?;
        assert_eq!(audited.len(), 1);
        assert_eq!(
            (audited[0].record.to_string(), audited[0].groups.as_slice()),
            (issued.user_id.clone(), &[2, 3][..])
        );

        let list = ListUsersRequest { organisation_id: scene.hospital.id.to_string(), ..ListUsersRequest::default() };
        let listed = scene.world.ask(&scene.identity, &admin, list, user::list).await?.users;
        let one = &listed[0];
        assert_eq!((one.holder_name.as_str(), one.state), ("髙﨑 花子", UserState::Initial.into()));
        assert_eq!((&one.issuer_id, &one.hidden_groups), (&admin.user_id.to_string(), &vec![Group::Clinical.into()]));

        let operator = scene.ministry.staff(Role::Operator);
        let sent = scene.world.ask(&scene.identity, &operator, ListMessagesRequest::default(), message::list).await?;
        assert!(sent.messages[0].text.contains(&issued.initial_secret));
        assert_eq!(sent.messages[0].destination, "hanako@example.jp");

        let step = scene.sign_in("nurse.takasaki", &issued.initial_secret).await?.next_step;
        assert_eq!(step, i32::from(NextStep::Enrol));
        scene.world.clock.advance(Duration::hours(72) + Duration::SECOND);
        let late = scene.sign_in("nurse.takasaki", &issued.initial_secret).await.refused();
        assert_eq!(late.code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_shows_the_same_secret_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = asked(&scene, "nurse.takasaki");
        let first = issue(&scene, &admin, request.clone()).await?;
        assert!(issue(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("IssueUser").await?.len(), 2);

        let reused = IssueUserRequest { role: Role::Clerk.into(), ..request.clone() };
        assert_eq!(issue(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = issue(&scene, &scene.centre.staff(Role::Administrator), request.clone()).await.refused();
        assert!(another.message().starts_with("login"), "another caller's request: {another}");

        // An issuer who sees less by now, and one who works elsewhere, do not get at the secret.
        let narrowed = Caller { hidden: access::caller::Hidden::of([Group::Contact]), ..admin.clone() };
        assert_eq!(issue(&scene, &narrowed, request.clone()).await.refused().code(), Code::InvalidArgument);
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..tokyo.staff(Role::Administrator) };
        assert_eq!(issue(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        scene.issue(scene.hospital, "taken", Role::Nurse).await?;
        let admin = scene.centre.staff(Role::Administrator);
        let narrow = scene.centre.narrowed(Role::Administrator, [Group::Contact]);
        let good = || asked(&scene, "nurse.takasaki");
        let above = IssueUserRequest { organisation_id: scene.prefecture.id.to_string(), ..good() };
        let coordinator = IssueUserRequest { role: Role::Coordinator.into(), ..good() };
        let mail = IssueUserRequest { mail: "nowhere".to_owned(), ..good() };
        let slip = IssueUserRequest { with_slip: true, ..good() };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Nurse), good(), Code::PermissionDenied, ""),
            (admin.clone(), above, Code::NotFound, ""),
            (admin.clone(), coordinator, Code::InvalidArgument, "role"),
            (narrow, good(), Code::InvalidArgument, "hidden_groups"),
            (admin.clone(), mail, Code::InvalidArgument, "mail"),
            (admin.clone(), asked(&scene, "taken"), Code::InvalidArgument, "login"),
            // There is no font.
            (admin.clone(), slip, Code::FailedPrecondition, ""),
        ] {
            let status = issue(&scene, &caller, request).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        issue(&scene, &admin, good()).await?;
        Ok(())
    }
}
