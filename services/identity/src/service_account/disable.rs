//! `DisableServiceAccount`: ends an account for good.

use chassis::{Call, Error};
use proto::identity::{DisableServiceAccountRequest, ServiceAccount};

use super::change::change;
use crate::service::Identity;

pub(crate) async fn disable(
    identity: Identity,
    call: Call<DisableServiceAccountRequest>,
) -> Result<ServiceAccount, Error> {
    change(&identity, &call, &call.request.service_account_id, |account, now| {
        account.disabled_at.get_or_insert(now);
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{
        AccessRevoked, DisableServiceAccountRequest, OrganisationKind as Kind, Role, ServiceAccount,
        access_revoked::Subject,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{Scene, request_id},
        service_account::{self, fixture::account},
    };

    fn asked(account: &ServiceAccount) -> DisableServiceAccountRequest {
        DisableServiceAccountRequest {
            request_id: request_id(),
            service_account_id: account.service_account_id.clone(),
            etag: account.etag.clone(),
        }
    }

    async fn disable(
        scene: &Scene,
        caller: &Caller,
        request: DisableServiceAccountRequest,
    ) -> Result<ServiceAccount, Status> {
        scene.world.ask(&scene.identity, caller, request, service_account::disable).await
    }

    #[tokio::test]
    async fn an_account_ends_for_good() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let request = asked(&account(&scene).await?);
        let ended = disable(&scene, &admin, request.clone()).await?;
        assert_eq!((ended.disabled, ended.etag.as_str()), (true, "2"));
        assert!(disable(&scene, &admin, request.clone()).await? == ended, "a repeated request");
        assert_eq!(scene.world.audited("DisableServiceAccount").await?.len(), 2);
        let revoked: Vec<AccessRevoked> = scene.world.announced().await?;
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].subject, Some(Subject::UserId(ended.service_account_id.clone())));
        let reused = DisableServiceAccountRequest { etag: String::new(), ..request };
        assert_eq!(disable(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        assert!(disable(&scene, &admin, asked(&ended)).await?.disabled, "another request");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.hospital.staff(Role::Administrator);
        let elsewhere = scene.organisation(Kind::Hospital, 13, scene.ministry).await?;
        let account = account(&scene).await?;
        let nothing =
            DisableServiceAccountRequest { service_account_id: Uuid::now_v7().to_string(), ..asked(&account) };
        let stale = DisableServiceAccountRequest { etag: "7".to_owned(), ..asked(&account) };
        for (caller, request, code) in [
            (scene.hospital.staff(Role::Nurse), asked(&account), Code::PermissionDenied),
            (elsewhere.staff(Role::Administrator), asked(&account), Code::NotFound),
            (admin.clone(), nothing, Code::NotFound),
            (admin, stale, Code::Aborted),
        ] {
            assert_eq!(disable(&scene, &caller, request).await.refused().code(), code);
        }
        Ok(())
    }
}
