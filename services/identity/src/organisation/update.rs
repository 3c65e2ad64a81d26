//! `UpdateOrganisation`: the fields the mask names, and no others.

use access::OrganisationId;
use chassis::{Call, Error, Held, Seen};
use proto::identity::{Organisation, UpdateOrganisationRequest};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    add::{announce, claim},
    item::{self, Item},
    responsible, scope, store,
};
use crate::service::Identity;

pub(crate) async fn update(identity: Identity, call: Call<UpdateOrganisationRequest>) -> Result<Organisation, Error> {
    let (request, caller) = (&call.request, &call.caller);
    let id = OrganisationId::parse(&request.organisation_id)?;
    let given = request.organisation.clone().unwrap_or_default();
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let items = Item::of_mask(paths).map_err(Error::Invalid)?;
    if id == caller.organisation_id && items.iter().any(|item| item.is_for_the_supervisor()) {
        return Err(Error::Denied(why(
            "SUPERVISOR_ONLY",
            "権限、期間、管轄、利用停止は上位の機関が変更します。",
            "Only the supervising body changes rights, dates, jurisdiction and suspension.",
        )));
    }

    let lock = async |conn: &mut PgConnection| {
        let body = scope::in_scope(conn, caller, id).await?;
        let stored = store::lock(conn, id).await?.ok_or(Error::NotFound("organisation"))?;
        let version = stored.version;
        Ok(Held::new((body, stored), Seen::records([id])).version(version))
    };
    call.change(&identity.base, lock, async |change| {
        let (body, stored) = &mut change.held;
        let was_catch_all = stored.organisation.catch_all;
        for item in &items {
            item.replace(&mut stored.organisation, &given);
        }
        let maker = scope::maker(&mut change.tx, caller).await?;
        item::check(&stored.organisation, &items, &maker).map_err(Error::Invalid)?;
        item::may_touch(was_catch_all, &items, &maker).map_err(Error::Invalid)?;
        if items.contains(&Item::ResponsiblePerson) {
            let person = given.responsible_person.as_ref().filter(|person| !person.name.is_empty());
            let person = person.ok_or_else(|| {
                Error::invalid(
                    "organisation.responsible_person",
                    "システム利用統括責任者を登録してください",
                    "must be somebody: another one may take over, nobody may not",
                )
            })?;
            stored.responsible = responsible::seal(identity.vault(), id, Some(person))?;
        }
        stored.version += 1;
        stored.organisation.etag = stored.version.to_string();

        store::update(&mut change.tx, id, stored).await?;
        if items.iter().any(|item| matches!(item, Item::Jurisdiction | Item::CatchAll)) {
            store::release_jurisdiction(&mut change.tx, id).await?;
            claim(&mut change.tx, &stored.organisation, body).await?;
        }
        announce(&mut change.tx, &stored.organisation, stored.version).await?;

        let responsible_person = responsible::open(identity.vault(), id, stored.responsible.as_deref())?;
        Ok(Organisation { responsible_person, ..stored.organisation.clone() })
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::identity::{
        Organisation, OrganisationChanged, OrganisationKind as Kind, ResponsiblePerson, Rights, Role,
        UpdateOrganisationRequest,
    };
    use testing::{Body, Outcome, Refused as _};
    use tonic::{Code, Status};
    use uuid::Uuid;

    use crate::{
        fixture::{PREFECTURE, Scene, request_id},
        organisation,
    };

    fn asked(body: Body, organisation: Organisation, paths: &[&str]) -> UpdateOrganisationRequest {
        let mut request = UpdateOrganisationRequest {
            request_id: request_id(),
            organisation_id: body.id.to_string(),
            organisation: Some(organisation),
            ..UpdateOrganisationRequest::default()
        };
        request.update_mask.get_or_insert_default().paths = paths.iter().map(|path| (*path).to_owned()).collect();
        request
    }

    async fn update(
        scene: &Scene,
        caller: &Caller,
        request: UpdateOrganisationRequest,
    ) -> Result<Organisation, Status> {
        scene.world.ask(&scene.identity, caller, request, organisation::update).await
    }

    fn named(name: &str) -> Organisation {
        Organisation { name: name.to_owned(), ..Organisation::default() }
    }

    #[tokio::test]
    async fn only_what_the_mask_names_is_read_checked_and_changed() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let person = ResponsiblePerson { name: "責任 花子".to_owned(), ..ResponsiblePerson::default() };
        let given = Organisation { responsible_person: Some(person.clone()), ..Organisation::default() };
        update(&scene, &admin, asked(scene.hospital, given, &["responsible_person"])).await?;
        let changed = update(&scene, &admin, asked(scene.hospital, named("新病院"), &["name"])).await?;
        assert_eq!((changed.name.as_str(), changed.etag.as_str()), ("新病院", "3"));
        assert_eq!((changed.kind, changed.rights), (Kind::Hospital.into(), Rights::Entry.into()));
        assert!(changed.responsible_person == Some(person), "as it was");

        let announced: Vec<OrganisationChanged> = scene.world.announced().await?;
        let last = announced.last().unwrap();
        assert_eq!((last.version, last.organisation.as_ref().unwrap().name.as_str()), (3, "新病院"));
        assert!(last.organisation.as_ref().unwrap().responsible_person.is_none());
        assert_eq!(scene.world.audited("UpdateOrganisation").await?.len(), 2);

        let cleared = update(&scene, &admin, asked(scene.hospital, named(""), &["responsible_person"])).await;
        assert_eq!(cleared.refused().code(), Code::InvalidArgument, "somebody answers for it, always");
        Ok(())
    }

    #[tokio::test]
    async fn a_jurisdiction_is_replaced_and_what_only_others_set_is_left_alone() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let claims = |codes: &[&str]| Organisation {
            jurisdiction: codes.iter().map(|code| (*code).to_owned()).collect(),
            catch_all: true,
            ..Organisation::default()
        };
        let mask = ["jurisdiction", "catch_all"];
        update(&scene, &admin, asked(scene.centre, claims(&["271004"]), &mask)).await?;
        update(&scene, &admin, asked(scene.centre, claims(&["272027"]), &mask)).await?;
        let city = scene.organisation(Kind::City, PREFECTURE, scene.prefecture).await?;
        let other = scene.organisation(Kind::HealthCentre, PREFECTURE, city).await?;
        update(&scene, &admin, asked(other, claims(&["271004"]), &["jurisdiction"])).await?;
        let taken = update(&scene, &admin, asked(other, claims(&["272027"]), &["jurisdiction"])).await.refused();
        assert!(taken.message().starts_with("organisation.jurisdiction"), "{taken}");

        // The city did not say that the centre catches the rest, and does not say so by giving it a name.
        update(&scene, &admin, asked(scene.centre, Organisation::default(), &["catch_all"])).await?;
        update(&scene, &admin, asked(other, claims(&[]), &["catch_all"])).await?;
        let renamed =
            update(&scene, &city.staff(Role::Administrator), asked(other, named("新保健所"), &["name"])).await?;
        assert!(renamed.catch_all && renamed.name == "新保健所");
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_changes_nothing_more_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let request = asked(scene.hospital, named("新病院"), &["name"]);
        let first = update(&scene, &admin, request.clone()).await?;
        let again = update(&scene, &admin, request.clone()).await?;
        assert!(first == again);
        assert_eq!(scene.world.audited("UpdateOrganisation").await?.len(), 2);
        let reused = UpdateOrganisationRequest { organisation: Some(named("別")), ..request.clone() };
        assert_eq!(update(&scene, &admin, reused).await.refused().code(), Code::AlreadyExists);
        let another = update(&scene, &scene.minister, request.clone()).await?;
        assert_eq!(another.etag, "3", "another caller's request");

        // Whoever works elsewhere now finds nothing.
        let tokyo = scene.organisation(Kind::Prefecture, 13, scene.ministry).await?;
        let moved = Caller { user_id: admin.user_id, ..tokyo.staff(Role::Administrator) };
        assert_eq!(update(&scene, &moved, request).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let admin = scene.prefecture.staff(Role::Administrator);
        let good = || asked(scene.hospital, named("新病院"), &["name"]);
        let nobody = UpdateOrganisationRequest { organisation_id: Uuid::now_v7().to_string(), ..good() };
        let stale = UpdateOrganisationRequest { etag: "7".to_owned(), ..good() };
        let date = Organisation { valid_until_date: "nonsense".to_owned(), ..Organisation::default() };
        for (caller, request, code, field) in [
            (scene.hospital.staff(Role::Administrator), good(), Code::PermissionDenied, ""),
            (admin.clone(), asked(scene.prefecture, named(""), &["suspended"]), Code::PermissionDenied, ""),
            (admin.clone(), asked(scene.ministry, named("省"), &["name"]), Code::NotFound, ""),
            (admin.clone(), nobody, Code::NotFound, ""),
            (admin.clone(), stale, Code::Aborted, ""),
            (admin.clone(), asked(scene.hospital, named(""), &[]), Code::InvalidArgument, "update_mask"),
            (admin.clone(), asked(scene.hospital, named(""), &["kind"]), Code::InvalidArgument, "update_mask"),
            (admin.clone(), asked(scene.hospital, named(""), &["name"]), Code::InvalidArgument, "organisation.name"),
            (
                admin.clone(),
                asked(scene.hospital, named(""), &["rights"]),
                Code::InvalidArgument,
                "organisation.rights",
            ),
            (
                admin.clone(),
                asked(scene.hospital, date, &["valid_until_date"]),
                Code::InvalidArgument,
                "organisation.valid_until_date",
            ),
        ] {
            let status = update(&scene, &caller, request).await.refused();
            assert_eq!(status.code(), code, "{field}: {status}");
            assert!(status.message().starts_with(field), "{field}: {status}");
        }
        let current = UpdateOrganisationRequest { etag: "1".to_owned(), ..good() };
        update(&scene, &admin, current).await?;
        Ok(())
    }
}
