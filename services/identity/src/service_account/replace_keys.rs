//! `ReplaceServiceKeys`: all keys that are good from now on.

use chassis::{Call, Error};
use proto::identity::{ReplaceServiceKeysRequest, ServiceAccount};

use super::{change::change, model};
use crate::service::Identity;

pub(crate) async fn replace_keys(
    identity: Identity,
    call: Call<ReplaceServiceKeysRequest>,
) -> Result<ServiceAccount, Error> {
    let request = &call.request;
    model::check_keys(&request.jwks_json).map_err(Error::Invalid)?;
    model::must_see_everything(&call.caller).map_err(Error::Denied)?;

    change(&identity, &call, &request.service_account_id, |account, _| {
        account.jwks.clone_from(&request.jwks_json);
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{AccessRevoked, ReplaceServiceKeysRequest, Role, ServiceAccount, access_revoked::Subject},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{Scene, request_id},
        service_account::{self, fixture::account, model::example_keys},
    };

    fn asked(account: &ServiceAccount) -> ReplaceServiceKeysRequest {
        ReplaceServiceKeysRequest {
            request_id: request_id(),
            service_account_id: account.service_account_id.clone(),
            jwks_json: example_keys(&["old", "new"]),
            etag: account.etag.clone(),
        }
    }

    async fn replace(
        scene: &Scene,
        caller: &Caller,
        request: ReplaceServiceKeysRequest,
    ) -> Result<ServiceAccount, Status> {
        scene.world.ask(&scene.identity, caller, request, service_account::replace_keys).await
    }

    #[tokio::test]
    async fn tokens_of_the_old_keys_are_refused_and_a_repeated_request_changes_nothing_more() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let request = asked(&account(&scene).await?);
        let replaced = replace(&scene, &admin, request.clone()).await?;
        assert_eq!(
            (replaced.key_ids.as_slice(), replaced.etag.as_str()),
            (&["old".to_owned(), "new".to_owned()][..], "2")
        );
        assert!(replace(&scene, &admin, request.clone()).await? == replaced);
        assert_eq!(scene.world.audited("ReplaceServiceKeys").await?.len(), 2);
        let revoked: Vec<AccessRevoked> = scene.world.announced().await?;
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].subject, Some(Subject::UserId(replaced.service_account_id)));
        let reused = ReplaceServiceKeysRequest { etag: String::new(), ..request };
        assert_eq!(replace(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let narrow = scene.hospital.narrowed(Role::Administrator, [Group::Contact]);
        let elsewhere = scene.organisation(proto::identity::OrganisationKind::Hospital, 13, scene.ministry).await?;
        let account = account(&scene).await?;
        let good = || asked(&account);
        let nothing = ReplaceServiceKeysRequest { service_account_id: Uuid::now_v7().to_string(), ..good() };
        let keys = ReplaceServiceKeysRequest { jwks_json: "{}".to_owned(), ..good() };
        let stale = ReplaceServiceKeysRequest { etag: "7".to_owned(), ..good() };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Nurse), good(), Code::PermissionDenied),
            (narrow, good(), Code::PermissionDenied),
            (elsewhere.staff(Role::Administrator), good(), Code::NotFound),
            (admin.clone(), nothing, Code::NotFound),
            (admin.clone(), keys, Code::InvalidArgument),
            (admin, stale, Code::Aborted),
        ] {
            assert_eq!(replace(&scene, &caller, request).await.refused().code(), code);
        }
        Ok(())
    }
}
