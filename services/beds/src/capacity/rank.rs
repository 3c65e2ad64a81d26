//! `ListAvailability`: the facilities of a prefecture, most free beds first.

use access::OrganisationId;
use chassis::{Call, Error, page};
use proto::beds::{ListAvailabilityRequest, ListAvailabilityResponse};

use super::{
    model::Room,
    shown,
    store::{self, Rank},
};
use crate::service::Beds;

pub(crate) async fn rank(beds: Beds, call: Call<ListAvailabilityRequest>) -> Result<ListAvailabilityResponse, Error> {
    let request = &call.request;
    let asked = u8::try_from(request.prefecture).ok().filter(|prefecture| *prefecture != 0);
    let prefecture = asked.unwrap_or(call.caller.prefecture);
    let after = parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut conn = beds.base.pool.acquire().await?;
    let rooms = store::ranked(&mut conn, prefecture, data::code(request.capability), call.now, after, size).await?;

    Ok(ListAvailabilityResponse {
        facilities: rooms.iter().map(|room| shown(&beds.base.directory, room)).collect(),
        next_page_token: page::next(&rooms, size, token),
    })
}

/// Where a page begins; the first one before the facility with the most free beds.
fn parse(token: &str) -> Result<Rank, Error> {
    if token.is_empty() {
        return Ok((i64::MAX, OrganisationId::NIL));
    }
    token
        .split_once('_')
        .and_then(|(free, id)| Some((free.parse().ok()?, OrganisationId::parse(id).ok()?)))
        .ok_or_else(Error::page_token)
}

fn token(room: &Room) -> String {
    format!("{}_{}", room.balance(), room.facility_id)
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{Capability, ListAvailabilityRequest},
        identity::{OrganisationKind as Kind, Role},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::rank;
    use crate::fixture::{PREFECTURE, Scene};

    fn asked() -> ListAvailabilityRequest {
        ListAvailabilityRequest { capability: Capability::General.into(), ..ListAvailabilityRequest::default() }
    }

    #[tokio::test]
    async fn most_free_beds_come_first_and_pages_follow_each_other() -> Outcome {
        let scene = Scene::new().await?;
        let other = scene.world.body(Kind::Hospital, PREFECTURE).await?;
        let elsewhere = scene.world.body(Kind::Hospital, 13).await?;
        scene.declare(&scene.ward, Capability::General, 1).await?;
        scene.declare(&other.staff(Role::Nurse), Capability::General, 3).await?;
        scene.declare(&elsewhere.staff(Role::Nurse), Capability::General, 9).await?;

        let page = |page_token| ListAvailabilityRequest { page_size: 1, page_token, ..asked() };
        let first = scene.world.ask(&scene.beds, &scene.nurse, page(String::new()), rank).await?;
        let second = scene.world.ask(&scene.beds, &scene.nurse, page(first.next_page_token), rank).await?;
        assert_eq!(first.facilities[0].facility_id, other.id.to_string());
        assert_eq!(second.facilities[0].facility_id, scene.hospital.id.to_string());
        let last = scene.world.ask(&scene.beds, &scene.nurse, page(second.next_page_token), rank).await?;
        assert!(last.facilities.is_empty() && last.next_page_token.is_empty());

        let tokyo = ListAvailabilityRequest { prefecture: 13, ..asked() };
        let tokyo = scene.world.ask(&scene.beds, &scene.nurse, tokyo, rank).await?;
        assert_eq!(tokyo.facilities.iter().map(|room| room.free).collect::<Vec<_>>(), [9]);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let clinic = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        let token = ListAvailabilityRequest { page_token: "x".to_owned(), ..asked() };
        for (caller, request, code) in
            [(&clinic, asked(), Code::PermissionDenied), (&scene.nurse, token, Code::InvalidArgument)]
        {
            assert_eq!(scene.world.ask(&scene.beds, caller, request, rank).await.refused().code(), code);
        }
        Ok(())
    }
}
