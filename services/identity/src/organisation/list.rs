//! `ListOrganisations`: the directory, ordered by id. Nobody responsible is named in it.

use access::OrganisationId;
use chassis::{Call, Error, page};
use proto::identity::{ListOrganisationsRequest, ListOrganisationsResponse};

use super::store;
use crate::service::Identity;

/// Organisations a page where nothing else is asked.
const PAGE: i64 = 100;

pub(crate) async fn list(
    identity: Identity,
    call: Call<ListOrganisationsRequest>,
) -> Result<ListOrganisationsResponse, Error> {
    let request = &call.request;
    let after = OrganisationId::optional(&request.page_token).map_err(|_| Error::page_token())?;
    let size = if request.page_size > 0 { i64::from(request.page_size) } else { PAGE };

    let mut conn = identity.base.pool.acquire().await?;
    let kind = data::code(request.kind);
    let organisations = store::list(&mut conn, kind, after.unwrap_or(OrganisationId::NIL), size).await?;

    let next_page_token = page::next(&organisations, size, |last| last.organisation_id.clone());
    Ok(ListOrganisationsResponse { organisations, next_page_token })
}

#[cfg(test)]
mod tests {
    use proto::identity::{ListOrganisationsRequest, OrganisationKind as Kind, Role};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{fixture::Scene, organisation};

    #[tokio::test]
    async fn pages_follow_each_other_by_id() -> Outcome {
        let scene = Scene::new().await?;
        let nurse = scene.hospital.staff(Role::Nurse);
        let mut request = ListOrganisationsRequest { page_size: 3, ..ListOrganisationsRequest::default() };
        let first = scene.world.ask(&scene.identity, &nurse, request.clone(), organisation::list).await?;
        request.page_token.clone_from(&first.next_page_token);
        let second = scene.world.ask(&scene.identity, &nurse, request, organisation::list).await?;
        assert!(second.next_page_token.is_empty());
        let listed = first.organisations.iter().chain(&second.organisations);
        let ids: Vec<&str> = listed.map(|listed| listed.organisation_id.as_str()).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.is_sorted());

        let centres =
            ListOrganisationsRequest { kind: Kind::HealthCentre.into(), ..ListOrganisationsRequest::default() };
        let centres = scene.world.ask(&scene.identity, &nurse, centres, organisation::list).await?;
        let ids: Vec<&str> = centres.organisations.iter().map(|listed| listed.organisation_id.as_str()).collect();
        assert_eq!(ids, [scene.centre.id.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let citizen = testing::patient(access::CaseId::new());
        for (caller, page_token, code) in
            [(scene.minister.clone(), "x", Code::InvalidArgument), (citizen, "", Code::PermissionDenied)]
        {
            let request = ListOrganisationsRequest { page_token: page_token.to_owned(), ..Default::default() };
            let status = scene.world.ask(&scene.identity, &caller, request, organisation::list).await.refused();
            assert_eq!(status.code(), code);
        }
        Ok(())
    }
}
