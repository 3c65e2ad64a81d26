//! `GetOrganisation`: one organisation of the caller's scope, with the person responsible.

use access::OrganisationId;
use chassis::{Call, Error, Seen};
use proto::identity::{GetOrganisationRequest, Organisation};

use super::{responsible, scope, store};
use crate::service::Identity;

pub(crate) async fn get(identity: Identity, call: Call<GetOrganisationRequest>) -> Result<Organisation, Error> {
    let id = OrganisationId::parse(&call.request.organisation_id)?;

    let mut tx = identity.base.pool.begin().await?;
    scope::in_scope(&mut tx, &call.caller, id).await?;
    let stored = store::find(&mut tx, id).await?.ok_or(Error::NotFound("organisation"))?;
    call.record(&mut tx, &Seen::records([id])).await?;
    tx.commit().await?;

    let responsible_person = responsible::open(identity.vault(), id, stored.responsible.as_deref())?;
    Ok(Organisation { responsible_person, ..stored.organisation })
}

#[cfg(test)]
mod tests {
    use proto::identity::{GetOrganisationRequest, Role};
    use testing::{Outcome, Refused as _};
    use tonic::Code;
    use uuid::Uuid;

    use crate::{fixture::Scene, organisation};

    #[tokio::test]
    async fn an_organisation_of_the_scope_is_shown_with_its_revision_and_audited() -> Outcome {
        let scene = Scene::new().await?;
        let request = GetOrganisationRequest { organisation_id: scene.hospital.id.to_string() };
        for body in [scene.hospital, scene.centre, scene.prefecture] {
            let admin = body.staff(Role::Administrator);
            let shown = scene.world.ask(&scene.identity, &admin, request.clone(), organisation::get).await?;
            assert_eq!((&shown.organisation_id, shown.etag.as_str()), (&request.organisation_id, "1"));
        }
        assert_eq!(scene.world.audited("GetOrganisation").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let hospital = scene.hospital.id.to_string();
        for (caller, id, code) in [
            (scene.hospital.staff(Role::Nurse), hospital.clone(), Code::PermissionDenied),
            (scene.hospital.staff(Role::Administrator), scene.centre.id.to_string(), Code::NotFound),
            (scene.minister.clone(), Uuid::now_v7().to_string(), Code::NotFound),
            (scene.minister.clone(), "x".to_owned(), Code::InvalidArgument),
        ] {
            let request = GetOrganisationRequest { organisation_id: id };
            let status = scene.world.ask(&scene.identity, &caller, request, organisation::get).await.refused();
            assert_eq!(status.code(), code);
        }
        assert!(scene.world.audited("GetOrganisation").await?.is_empty());
        Ok(())
    }
}
