//! `ListUsers`: the IDs of an organisation of the caller's scope, in the order of their issue.

use access::{OrganisationId, UserId};
use chassis::{Call, Error, Seen, page};
use proto::identity::{ListUsersRequest, ListUsersResponse};

use super::{store, view};
use crate::{organisation, service::Identity};

pub(crate) async fn list(identity: Identity, call: Call<ListUsersRequest>) -> Result<ListUsersResponse, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let after = UserId::optional(&request.page_token).map_err(|_| Error::page_token())?.unwrap_or(UserId::NIL);
    let target = OrganisationId::optional(&request.organisation_id)?.unwrap_or(caller.organisation_id);
    let size = page::size(request.page_size);

    let mut tx = identity.base.pool.begin().await?;
    organisation::in_scope(&mut tx, caller, target).await?;
    let rows = store::page(&mut tx, target, after, size).await?;
    call.record(&mut tx, &Seen::records(rows.iter().map(|row| row.id))).await?;
    tx.commit().await?;

    Ok(ListUsersResponse {
        users: rows.iter().map(|row| view::shown(identity.vault(), row)).collect::<Result<_, _>>()?,
        next_page_token: page::next(&rows, size, |last| last.id.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use proto::identity::{ListUsersRequest, Role};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{fixture::Scene, user};

    #[tokio::test]
    async fn pages_follow_each_other_in_the_order_of_issue_and_every_row_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        for login in ["one", "two", "three"] {
            scene.issue(scene.hospital, login, Role::Nurse).await?;
        }
        scene.issue(scene.centre, "elsewhere", Role::Nurse).await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let mut request = ListUsersRequest { page_size: 2, ..ListUsersRequest::default() };
        let first = scene.world.ask(&scene.identity, &admin, request.clone(), user::list).await?;
        request.page_token.clone_from(&first.next_page_token);
        let second = scene.world.ask(&scene.identity, &admin, request, user::list).await?;
        assert!(second.next_page_token.is_empty());
        let logins: Vec<&str> = first.users.iter().chain(&second.users).map(|user| user.login.as_str()).collect();
        assert_eq!(logins, ["one", "two", "three"]);
        let audited = scene.world.audited("ListUsers").await?;
        assert_eq!((audited.len(), audited[0].groups.as_slice()), (3, &[2][..]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let good = ListUsersRequest::default();
        let centre = ListUsersRequest { organisation_id: scene.centre.id.to_string(), ..good.clone() };
        let nothing = ListUsersRequest { organisation_id: "x".to_owned(), ..good.clone() };
        let token = ListUsersRequest { page_token: "x".to_owned(), ..good.clone() };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Nurse), good, Code::PermissionDenied),
            (admin.clone(), centre, Code::NotFound),
            (admin.clone(), nothing, Code::NotFound),
            (admin, token, Code::InvalidArgument),
        ] {
            let status = scene.world.ask(&scene.identity, &caller, request, user::list).await.refused();
            assert_eq!(status.code(), code);
        }
        Ok(())
    }
}
