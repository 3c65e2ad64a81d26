//! `CreateOrganisation`: an organisation inside the caller's scope.

use access::OrganisationId;
use chassis::{Call, Error, Seen};
use proto::identity::{CreateOrganisationRequest, Organisation};
use sqlx::PgConnection;

use super::{
    add::add,
    item::{self, Item},
    model, responsible, scope,
};
use crate::service::Identity;

pub(crate) async fn create(identity: Identity, call: Call<CreateOrganisationRequest>) -> Result<Organisation, Error> {
    let caller = &call.caller;
    let mut organisation = call.request.organisation.clone().unwrap_or_default();
    let responsible = organisation.responsible_person.take();
    let body = model::new_body(&organisation, caller.organisation_id).map_err(Error::Invalid)?;
    let mut conn = identity.base.pool.acquire().await?;
    scope::must_create(&mut conn, caller, &body, call.today()).await?;
    let maker = scope::maker(&mut conn, caller).await?;
    item::check(&organisation, &Item::ALL, &maker).map_err(Error::Invalid)?;
    drop(conn);

    organisation.organisation_id = body.id.to_string();
    organisation.parent_id = data::text(body.parent_id);
    "1".clone_into(&mut organisation.etag);

    let again = async |conn: &mut PgConnection, made: &Organisation| {
        let id = OrganisationId::parse(&made.organisation_id)?;
        scope::in_scope(conn, caller, id).await?;
        Ok(Seen::records([id]))
    };
    call.create(&identity.base, again, async |conn| {
        let responsible = responsible::seal(identity.vault(), body.id, responsible.as_ref())?;
        add(conn, &organisation, &body, responsible.as_deref()).await?;
        Ok((organisation.clone(), Seen::records([body.id])))
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{
        CreateOrganisationRequest, GetOrganisationRequest, Organisation, OrganisationChanged, OrganisationClass,
        OrganisationKind as Kind, ResponsiblePerson, Rights, Role,
    };
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{PREFECTURE, Scene, request_id},
        organisation,
    };

    fn clinic() -> Organisation {
        Organisation {
            kind: Kind::Clinic.into(),
            name: "なにわ医院".to_owned(),
            prefecture: PREFECTURE.into(),
            rights: Rights::Entry.into(),
            ..Organisation::default()
        }
    }

    async fn create(
        scene: &Scene,
        caller: &Caller,
        request: CreateOrganisationRequest,
    ) -> Result<Organisation, Status> {
        scene.world.ask(&scene.identity, caller, request, organisation::create).await
    }

    fn asked(organisation: Organisation) -> CreateOrganisationRequest {
        CreateOrganisationRequest { request_id: request_id(), organisation: Some(organisation) }
    }

    #[tokio::test]
    async fn it_is_announced_without_the_person_who_answers_for_it() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let person = ResponsiblePerson { name: "責任 花子".to_owned(), ..ResponsiblePerson::default() };
        let request = asked(Organisation { responsible_person: Some(person.clone()), ..clinic() });
        let made = create(&scene, &admin, request).await?;
        assert_eq!((made.etag.as_str(), made.parent_id), ("1", scene.prefecture.id.to_string()));
        assert!(made.responsible_person.is_none());

        let announced: Vec<OrganisationChanged> = scene.world.announced().await?;
        let last = announced.last().unwrap();
        let told = last.organisation.as_ref().unwrap();
        assert_eq!((last.version, &told.organisation_id), (1, &made.organisation_id));
        assert!(told.responsible_person.is_none());
        let audited = scene.world.audited("CreateOrganisation").await?;
        assert_eq!(audited.len(), 1);
        assert_eq!(
            (audited[0].record.to_string(), audited[0].groups.as_slice()),
            (made.organisation_id.clone(), &[3][..])
        );

        let get = GetOrganisationRequest { organisation_id: made.organisation_id };
        let shown = scene.world.ask(&scene.identity, &admin, get, organisation::get).await?;
        assert!(shown.responsible_person == Some(person));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_makes_nothing_new_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let request = asked(clinic());
        let first = create(&scene, &admin, request.clone()).await?;
        let again = create(&scene, &admin, request.clone()).await?;
        assert!(first == again);
        assert_eq!(scene.world.audited("CreateOrganisation").await?.len(), 2);

        let other = Organisation { name: "別の医院".to_owned(), ..clinic() };
        let reused = CreateOrganisationRequest { organisation: Some(other), ..request.clone() };
        assert_eq!(create(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = create(&scene, &scene.prefecture.staff(Role::Administrator), request).await?;
        assert_ne!(another.organisation_id, first.organisation_id, "each caller has request ids of its own");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let centre = |codes: &[&str]| Organisation {
            kind: Kind::HealthCentre.into(),
            jurisdiction: codes.iter().map(|code| (*code).to_owned()).collect(),
            ..clinic()
        };
        let first = Organisation { catch_all: true, ..centre(&["271004"]) };
        create(&scene, &admin, asked(first)).await?;
        let city = scene.organisation(Kind::City, PREFECTURE, scene.prefecture).await?;
        for (caller, organisation, code, field) in [
            (scene.centre.staff(Role::Administrator), clinic(), Code::PermissionDenied, ""),
            (scene.prefecture.staff(Role::Clerk), clinic(), Code::PermissionDenied, ""),
            (admin.clone(), Organisation { prefecture: 13, ..clinic() }, Code::PermissionDenied, ""),
            (admin.clone(), Organisation { kind: Kind::Ministry.into(), ..clinic() }, Code::PermissionDenied, ""),
            (admin.clone(), Organisation { kind: 0, ..clinic() }, Code::InvalidArgument, "organisation.kind"),
            (
                admin.clone(),
                Organisation { name: String::new(), ..clinic() },
                Code::InvalidArgument,
                "organisation.name",
            ),
            (admin.clone(), Organisation { rights: 0, ..clinic() }, Code::InvalidArgument, "organisation.rights"),
            (
                admin.clone(),
                Organisation { prefecture: 0, ..clinic() },
                Code::InvalidArgument,
                "organisation.prefecture",
            ),
            (
                admin.clone(),
                Organisation { class: OrganisationClass::SpecialWard.into(), ..clinic() },
                Code::InvalidArgument,
                "organisation.class",
            ),
            (
                admin.clone(),
                Organisation { parent_id: "x".to_owned(), ..clinic() },
                Code::InvalidArgument,
                "organisation.parent_id",
            ),
            (
                admin.clone(),
                Organisation { parent_id: tokyo.id.to_string(), ..clinic() },
                Code::InvalidArgument,
                "organisation.parent_id",
            ),
            (
                admin.clone(),
                Organisation { parent_id: Uuid::now_v7().to_string(), ..clinic() },
                Code::InvalidArgument,
                "organisation.parent_id",
            ),
            (admin.clone(), centre(&["271004"]), Code::InvalidArgument, "organisation.jurisdiction"),
            (
                admin.clone(),
                Organisation { catch_all: true, ..centre(&[]) },
                Code::InvalidArgument,
                "organisation.jurisdiction",
            ),
            (
                city.staff(Role::Administrator),
                Organisation { catch_all: true, ..centre(&[]) },
                Code::InvalidArgument,
                "organisation.catch_all",
            ),
            (
                scene.minister.clone(),
                Organisation { kind: Kind::Prefecture.into(), ..clinic() },
                Code::InvalidArgument,
                "organisation.prefecture",
            ),
        ] {
            let status = create(&scene, &caller, asked(organisation)).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        Ok(())
    }
}
