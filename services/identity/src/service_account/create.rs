//! `CreateServiceAccount`: an account for a system of an organisation of the caller's scope.

use access::{Caller, OrganisationId};
use chassis::{Call, Error, Seen};
use proto::identity::{CreateServiceAccountRequest, Role, ServiceAccount};
use sqlx::PgConnection;

use super::{
    change::must_be_in_scope,
    model::{self, Account, ServiceAccountId},
    store,
};
use crate::{organisation, service::Identity};

pub(crate) async fn create(
    identity: Identity,
    call: Call<CreateServiceAccountRequest>,
) -> Result<ServiceAccount, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let organisation_id = OrganisationId::parse(&request.organisation_id)?;
    model::check_keys(&request.jwks_json).map_err(Error::Invalid)?;
    model::check_scopes(&request.scopes).map_err(Error::Invalid)?;
    let calls_per_second = u32::try_from(request.calls_per_second)
        .map_err(|_| Error::invalid("calls_per_second", "0以上の数です", "must be at least 0"))?;
    model::must_see_everything(caller).map_err(Error::Denied)?;
    let mut conn = identity.base.pool.acquire().await?;
    organisation::in_scope(&mut conn, caller, organisation_id).await?;
    let standing = organisation::standing(&mut conn, organisation_id).await?;
    drop(conn);
    standing.may_employ("organisation_id", Role::System, call.today()).map_err(Error::Invalid)?;

    let account = Account {
        id: ServiceAccountId::new(),
        version: 1,
        organisation_id,
        name: request.name.clone(),
        scopes: request.scopes.clone(),
        jwks: request.jwks_json.clone(),
        calls_per_second,
        issued_by: caller.user_id,
        disabled_at: None,
    };
    let again = async |conn: &mut PgConnection, made: &ServiceAccount| still_in_scope(conn, caller, made).await;
    call.create(&identity.base, again, async |conn| {
        store::insert(conn, &account).await?;
        Ok((account.shown(), Seen::records([account.id])))
    })
    .await
}

async fn still_in_scope(conn: &mut PgConnection, caller: &Caller, made: &ServiceAccount) -> Result<Seen, Error> {
    let id = ServiceAccountId::parse(&made.service_account_id)?;
    let account = store::find(conn, id).await?.ok_or(Error::NotFound("service account"))?;
    must_be_in_scope(conn, caller, &account).await?;
    Ok(Seen::records([id]))
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{CreateServiceAccountRequest, OrganisationKind as Kind, Role, ServiceAccount},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{Scene, request_id},
        service_account::{self, model::example_keys},
    };

    const SCOPE: &str = "hersys.statistics.v1.StatisticsService/GetSummary";

    fn asked(scene: &Scene) -> CreateServiceAccountRequest {
        CreateServiceAccountRequest {
            request_id: request_id(),
            organisation_id: scene.hospital.id.to_string(),
            name: "電子カルテ".to_owned(),
            scopes: vec![SCOPE.to_owned()],
            jwks_json: example_keys(&["a", "b"]),
            calls_per_second: 5,
        }
    }

    async fn create(
        scene: &Scene,
        caller: &Caller,
        request: CreateServiceAccountRequest,
    ) -> Result<ServiceAccount, Status> {
        scene.world.ask(&scene.identity, caller, request, service_account::create).await
    }

    #[tokio::test]
    async fn an_account_shows_the_ids_of_its_keys_and_no_more() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let made = create(&scene, &admin, asked(&scene)).await?;
        assert_eq!((made.key_ids.as_slice(), made.etag.as_str()), (&["a".to_owned(), "b".to_owned()][..], "1"));
        assert_eq!((made.calls_per_second, made.disabled), (5, false));
        assert_eq!(scene.world.audited("CreateServiceAccount").await?[0].record.to_string(), made.service_account_id);
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_makes_nothing_new_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let request = asked(&scene);
        let first = create(&scene, &admin, request.clone()).await?;
        assert!(create(&scene, &admin, request.clone()).await? == first);
        assert_eq!(scene.world.audited("CreateServiceAccount").await?.len(), 2);
        let reused = CreateServiceAccountRequest { calls_per_second: 0, ..request.clone() };
        assert_eq!(create(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = create(&scene, &scene.centre.staff(Role::Administrator), request.clone()).await?;
        assert_ne!(another.service_account_id, first.service_account_id);
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..tokyo.staff(Role::Administrator) };
        assert_eq!(create(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.centre.staff(Role::Administrator);
        let narrow = scene.centre.narrowed(Role::Administrator, [Group::Contact]);
        let good = || asked(&scene);
        let above = CreateServiceAccountRequest { organisation_id: scene.prefecture.id.to_string(), ..good() };
        let nobody = CreateServiceAccountRequest { organisation_id: Uuid::now_v7().to_string(), ..good() };
        let keys = CreateServiceAccountRequest { jwks_json: "{}".to_owned(), ..good() };
        let scope = CreateServiceAccountRequest { scopes: vec![SCOPE.to_owned(), "a.b/C".to_owned()], ..good() };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Nurse), good(), Code::PermissionDenied, ""),
            (narrow, good(), Code::PermissionDenied, ""),
            (admin.clone(), above, Code::NotFound, ""),
            (admin.clone(), nobody, Code::NotFound, ""),
            (admin.clone(), keys, Code::InvalidArgument, "jwks_json"),
            (admin.clone(), scope, Code::InvalidArgument, "scopes[1]"),
        ] {
            let status = create(&scene, &caller, request).await.refused();
            assert_eq!((status.code(), status.message().starts_with(field)), (code, true), "{field}: {status}");
        }
        Ok(())
    }
}
