//! Whose inbox a form reaches.

use access::{Caller, Directory, OrganisationId, directory::Entry};
use japan::municipality::Municipality;
use proto::notification::Form;
use time::OffsetDateTime;

/// The centre that receives a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Centre {
    pub id: OrganisationId,
    pub name: String,
    pub prefecture: u8,
}

/// The centre responsible for the whereabouts; without one, whoever is left. There is always one: a filing is never
/// refused because an address is missing.
pub(super) fn receiving(directory: &Directory, caller: &Caller, form: &Form, now: OffsetDateTime) -> Centre {
    let code = form.subject.as_ref().map(|subject| subject.whereabouts_code.as_str()).unwrap_or_default();
    let place = Municipality::parse(code).ok();
    let prefecture = place.map_or(caller.prefecture, |place| place.prefecture());
    let of_prefecture = |prefecture| directory.open_prefecture(prefecture, now);
    let anybody = || directory.prefecture(prefecture).and_then(|id| directory.get(id));

    let entry = directory
        .centre_for(place.as_ref().map(Municipality::as_str), prefecture, now)
        .or_else(|| of_prefecture(prefecture))
        .or_else(|| directory.centre_for(None, caller.prefecture, now))
        .or_else(|| of_prefecture(caller.prefecture))
        // Nobody is open: it waits where it belongs, and goes on to whoever opens first.
        .or_else(anybody)
        .or_else(|| directory.get(caller.organisation_id));
    entry.map_or_else(
        // Not even the filer has been heard of yet.
        || Centre { id: caller.organisation_id, name: String::new(), prefecture: caller.prefecture },
        |entry| {
            let Entry { id, name, prefecture, .. } = &*entry;
            Centre { id: *id, name: name.clone(), prefecture: *prefecture }
        },
    )
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::Form,
    };
    use testing::{Body, Outcome, World};
    use time::Duration;

    use crate::{MIGRATIONS, fixture};

    const OSAKA: &str = "271004";
    const SAKAI: &str = "271403";
    const KOBE: &str = "281000";

    fn in_place(code: &str) -> Form {
        let mut form = fixture::form();
        form.subject.as_mut().unwrap().whereabouts_code = code.to_owned();
        form
    }

    async fn centre_of(world: &World, code: &'static str) -> anyhow::Result<Body> {
        world.organisation(Kind::HealthCentre, 27, |centre| centre.jurisdiction = vec![code.to_owned()]).await
    }

    fn receiving(world: &World, caller: &Caller, code: &str) -> access::OrganisationId {
        super::receiving(&world.base.directory, caller, &in_place(code), world.clock.now()).id
    }

    #[tokio::test]
    async fn without_a_centre_it_is_the_one_that_catches_the_rest_and_without_that_the_prefecture() -> Outcome {
        let world = World::new("notification", MIGRATIONS).await?;
        let doctor = world.body(Kind::Clinic, 27).await?.staff(Role::Physician);
        assert_eq!(receiving(&world, &doctor, OSAKA), doctor.organisation_id, "nobody else is there");

        let prefecture = world.body(Kind::Prefecture, 27).await?;
        assert_eq!(receiving(&world, &doctor, OSAKA), prefecture.id);
        let rest = world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        let osaka = centre_of(&world, OSAKA).await?;
        for (code, centre) in [(OSAKA, osaka), (SAKAI, rest), ("", rest), ("999999", rest)] {
            assert_eq!(receiving(&world, &doctor, code), centre.id, "{code}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn another_prefecture_comes_before_the_filers_own() -> Outcome {
        let world = World::new("notification", MIGRATIONS).await?;
        let doctor = world.body(Kind::Clinic, 27).await?.staff(Role::Physician);
        let own = world.body(Kind::Prefecture, 27).await?;
        assert_eq!(receiving(&world, &doctor, KOBE), own.id);
        let rest = world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        assert_eq!(receiving(&world, &doctor, KOBE), rest.id);
        let hyogo = world.body(Kind::Prefecture, 28).await?;
        assert_eq!(receiving(&world, &doctor, KOBE), hyogo.id);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_receives_nothing_before_it_opens() -> Outcome {
        let world = World::new("notification", MIGRATIONS).await?;
        let doctor = world.body(Kind::Clinic, 27).await?.staff(Role::Physician);
        let rest = world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        let opens = |centre: &mut proto::identity::Organisation| {
            centre.jurisdiction = vec![SAKAI.to_owned()];
            centre.opening_date = "2020-06-02".to_owned();
        };
        let sakai = world.organisation(Kind::HealthCentre, 27, opens).await?;
        assert_eq!(receiving(&world, &doctor, SAKAI), rest.id);
        world.clock.advance(Duration::days(1));
        assert_eq!(receiving(&world, &doctor, SAKAI), sakai.id);
        Ok(())
    }

    #[tokio::test]
    async fn a_filer_nobody_heard_of_keeps_the_notification() -> Outcome {
        let world = World::new("notification", MIGRATIONS).await?;
        let doctor = world.body(Kind::Clinic, 27).await?.staff(Role::Physician);
        let unheard = Caller { organisation_id: access::OrganisationId::new(), prefecture: 13, ..doctor };
        let centre = super::receiving(&world.base.directory, &unheard, &in_place(""), world.clock.now());
        assert_eq!((centre.id, centre.name.as_str(), centre.prefecture), (unheard.organisation_id, "", 13));
        Ok(())
    }
}
