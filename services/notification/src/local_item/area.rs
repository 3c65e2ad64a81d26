//! Whose items are asked in an area: of the centre, of the city above it, and of the prefecture.

use access::{Caller, Directory, OrganisationId};
use chassis::Error;
use japan::municipality::Municipality;
use proto::identity::OrganisationKind as Kind;
use time::OffsetDateTime;

/// As many bodies stand above another at most.
const DEEPEST: usize = 4;

/// The area of a municipality or, where none is named, of a caller: its own, or that of the body that supervises it.
pub(crate) fn area(
    directory: &Directory,
    caller: &Caller,
    municipality: &str,
    now: OffsetDateTime,
) -> Result<Vec<OrganisationId>, Error> {
    if !municipality.is_empty() {
        let place = Municipality::parse(municipality).map_err(|why| {
            Error::invalid("municipality_code", "全国地方公共団体コード（6桁）を指定してください", why)
        })?;
        let centre = directory.centre_for(Some(place.as_str()), place.prefecture(), now);
        return Ok(match centre {
            Some(centre) => of_centre(directory, centre.id),
            None => directory.prefecture(place.prefecture()).into_iter().collect(),
        });
    }
    let own = of_centre(directory, caller.organisation_id);
    // A clinic that nobody supervises by name lies in the area that catches the rest.
    let has_centre = own.iter().any(|id| directory.get(*id).is_some_and(|entry| entry.kind != Kind::Prefecture));
    if has_centre || caller.kind == Kind::Prefecture {
        return Ok(own);
    }
    let rest = directory.centre_for(None, caller.prefecture, now);
    Ok(rest.map_or(own, |centre| of_centre(directory, centre.id)))
}

/// The area of a centre: itself, what is above it, and its prefecture.
pub(super) fn of_centre(directory: &Directory, centre: OrganisationId) -> Vec<OrganisationId> {
    let mut area = Vec::new();
    let mut next = directory.get(centre);
    let prefecture = next.as_ref().and_then(|entry| directory.prefecture(entry.prefecture));
    for _ in 0..DEEPEST {
        let Some(entry) = next else { break };
        if matches!(entry.kind, Kind::HealthCentre | Kind::City | Kind::Prefecture) {
            area.push(entry.id);
        }
        next = entry.parent_id.and_then(|parent| directory.get(parent));
    }
    area.extend(prefecture.filter(|prefecture| !area.contains(prefecture)));
    area
}

#[cfg(test)]
mod tests {
    use proto::identity::{OrganisationKind as Kind, Role};
    use testing::Outcome;

    use super::area;
    use crate::fixture::{PREFECTURE, Scene};

    #[tokio::test]
    async fn an_area_is_the_centre_what_is_above_it_and_the_prefecture() -> Outcome {
        let scene = Scene::new().await?;
        let world = &scene.world;
        let city = world.body(Kind::City, PREFECTURE).await?;
        let below = |code: &str, parent: testing::Body| {
            let (code, parent) = (code.to_owned(), parent.id.to_string());
            world.organisation(Kind::HealthCentre, PREFECTURE, move |centre| {
                centre.jurisdiction = vec![code];
                centre.parent_id = parent;
            })
        };
        let kita = below("272019", city).await?;
        let clinic = |parent: testing::Body| {
            let parent = parent.id.to_string();
            world.organisation(Kind::Clinic, PREFECTURE, move |clinic| clinic.parent_id = parent)
        };
        let supervised = clinic(kita).await?.staff(Role::Physician);
        let now = world.clock.now();
        let of = |caller: &access::Caller, code: &str| area(&world.base.directory, caller, code, now).unwrap();
        let whole = vec![kita.id, city.id, scene.prefecture.id];
        assert_eq!(of(&supervised, ""), whole);
        assert_eq!(of(&kita.staff(Role::Administrator), ""), whole);
        assert_eq!(of(&scene.doctor, "272019"), whole, "of where the person is");
        assert_eq!(of(&scene.doctor, "271004"), [scene.centre.id, scene.prefecture.id]);
        assert_eq!(of(&scene.coordinator, ""), [scene.prefecture.id]);
        assert_eq!(of(&scene.doctor, ""), [scene.prefecture.id], "no centre supervises it, and none catches the rest");

        let rest = world.organisation(Kind::HealthCentre, PREFECTURE, |centre| centre.catch_all = true).await?;
        assert_eq!(of(&scene.doctor, ""), [rest.id, scene.prefecture.id]);
        assert_eq!(of(&scene.doctor, "271403"), [scene.neighbour.id, scene.prefecture.id]);
        assert!(area(&world.base.directory, &scene.doctor, "x", now).is_err());
        Ok(())
    }
}
