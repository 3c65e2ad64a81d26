//! On `admission.changed`: the facility sees who comes, the placement follows the patient.

use access::{CaseId, OrganisationId};
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::beds::{AdmissionChanged, AdmissionState, Capability};
use runtime::clock;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Admission, Entered};
use crate::{
    case,
    course::Stay,
    fact::{self, Content, Fact},
};

/// Hears beds.
pub(crate) struct Hears;

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "beds"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let changes: Vec<AdmissionChanged> = Event::read_all(events)?;
        // In one order everywhere, so that nobody waits in a circle.
        let cases: Vec<CaseId> = changes.iter().filter_map(|change| CaseId::parse(&change.case_id).ok()).collect();
        case::lock_all(tx, &cases).await?;
        for change in &changes {
            take(tx, change).await?;
        }
        Ok(())
    }

    /// Placements and relations are the registry's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}

async fn take(tx: &mut PgConnection, changed: &AdmissionChanged) -> Result<(), Failure> {
    let Some((id, admission)) = read(changed)? else { return Ok(()) };
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let mut case = case::lock_all(tx, &[id]).await?.pop().ok_or_else(no_case)?;
    let before = fact::of_cases(tx, &[id]).await?;
    let there = |stay: &Stay| stay.facility_id == Some(admission.facility);
    let was_there = before.iter().any(|fact| matches!(&fact.content, Some(Content::Stay(stay)) if there(stay)));

    case.step(admission.entered.at);
    let new: Vec<Fact> = admission.facts(&case).into_iter().map(|fact| fact.following(&before)).collect();
    let after = [before.clone(), new.clone()].concat();
    case.derive(&after);
    let mut grants = case::moved(&case, &before, &after);
    grants.extend(admission.grant(&case, was_there));
    fact::insert(tx, &new).await?;
    case::save_one(tx, &case, &grants).await?;
    Ok(case::audit_heard::<AdmissionChanged>(tx, "beds", admission.relation(), &[id]).await?)
}

/// The case and its admission, where a facility has a part in it that the registry follows.
fn read(changed: &AdmissionChanged) -> Result<Option<(CaseId, Admission)>, Failure> {
    let state = data::code(changed.state);
    let followed = matches!(
        state,
        AdmissionState::Accepted | AdmissionState::Arrived | AdmissionState::Left | AdmissionState::Cancelled
    );
    if !followed || changed.facility_id.is_empty() {
        return Ok(None);
    }
    let malformed = |_| Failure::Dead("carries a malformed id".to_owned());
    let moment = |time: Option<&_>| time.and_then(clock::from_proto);
    let at = moment(changed.change_time.as_ref()).ok_or_else(|| Failure::Dead("carries no moment".to_owned()))?;
    let entered = Entered {
        by: OrganisationId::parse(&changed.entered_by_id).ok(),
        channel: data::code(changed.channel),
        told_at: moment(changed.told_time.as_ref()),
        at: moment(changed.entry_time.as_ref()).unwrap_or(at),
    };
    let admission = Admission {
        id: Uuid::try_parse(&changed.admission_id).map_err(|_| Failure::Dead("carries a malformed id".to_owned()))?,
        state,
        lodging: changed.capability == i32::from(Capability::LodgingRoom),
        facility: OrganisationId::parse(&changed.facility_id).map_err(malformed)?,
        destination: data::code(changed.destination),
        moved_on: changed.moved_on,
        at,
        entered,
    };
    Ok(Some((CaseId::parse(&changed.case_id).map_err(malformed)?, admission)))
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use data::Failure;
    use proto::{
        beds::{AdmissionChanged, AdmissionState as State, Capability, Destination},
        identity::Role,
        registry::{Authority, CaseChanged, Channel, Outcome as Ended, Placement, Relation},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use super::Hears;
    use crate::{
        fixture::{Scene, holders},
        stay::fixture::told,
    };

    #[tokio::test]
    async fn who_accepted_sees_who_comes_and_the_placement_follows_the_patient() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let ward = scene.hospital.staff(Role::Physician);
        let hear = async |state| scene.world.hear(&Hears, &told(id, scene.hospital, state, Capability::General)).await;
        for state in [State::Requested, State::Offered] {
            hear(state).await?;
            assert_eq!(scene.get(&ward, id).await.refused().code(), Code::NotFound);
        }
        hear(State::Accepted).await?;
        let case = scene.get(&ward, id).await?;
        assert_eq!(holders(&case, Relation::TreatingInstitution), [scene.hospital.id.to_string()]);
        assert_eq!(case.placement, i32::from(Placement::Unspecified));

        hear(State::Arrived).await?;
        let case = scene.get(&ward, id).await?;
        assert_eq!(case.placement, i32::from(Placement::Hospital));
        assert_eq!(case.stays[0].facility_id, scene.hospital.id.to_string());

        let home = AdmissionChanged {
            destination: Destination::Home.into(),
            ..told(id, scene.hospital, State::Left, Capability::General)
        };
        scene.world.hear(&Hears, &home).await?;
        let case = scene.get(&ward, id).await?;
        assert_eq!((case.placement, case.stays.len()), (i32::from(Placement::Home), 2), "and goes on writing");
        assert_eq!(scene.world.audited("admission.changed").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn what_a_facility_told_somebody_is_its_word_with_both_names_as_of_when_it_was_told() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let told_time = Some(to_proto(NOW - Duration::hours(5)));
        let arrived = AdmissionChanged {
            entered_by_id: scene.osaka.id.to_string(),
            channel: Channel::Telephone.into(),
            told_time,
            change_time: told_time,
            entry_time: Some(to_proto(NOW)),
            ..told(id, scene.hospital, State::Arrived, Capability::General)
        };
        scene.world.hear(&Hears, &arrived).await?;
        let stay = scene.get(&scene.nurse, id).await?.stays.pop().unwrap();
        assert_eq!((stay.since_date.as_str(), stay.since_time_of_day.as_str()), ("2020-06-01", "09:00"));
        let fact = scene.facts(&scene.nurse, id).await?.pop().unwrap();
        assert_eq!(
            (&fact.organisation_id, &fact.on_behalf_of_id),
            (&scene.osaka.id.to_string(), &scene.hospital.id.to_string())
        );
        assert_eq!((fact.channel(), fact.authority()), (Channel::Telephone, Authority::TreatingInstitution));
        assert_eq!((fact.told_time, fact.record_time), (told_time, Some(to_proto(NOW))));
        Ok(())
    }

    #[tokio::test]
    async fn lodging_sees_its_residents_only() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let officer = scene.lodging.staff(Role::LodgingOfficer);
        let room = |state| told(id, scene.lodging, state, Capability::LodgingRoom);
        scene.world.hear(&Hears, &room(State::Arrived)).await?;
        assert_eq!(scene.get(&scene.nurse, id).await?.placement, i32::from(Placement::Lodging));
        scene.get(&officer, id).await?;
        let left = AdmissionChanged { destination: Destination::Hospital.into(), ..room(State::Left) };
        scene.world.hear(&Hears, &left).await?;
        assert_eq!(scene.get(&officer, id).await.refused().code(), Code::NotFound);
        assert_eq!(scene.get(&scene.nurse, id).await?.placement, i32::from(Placement::Waiting));
        Ok(())
    }

    #[tokio::test]
    async fn what_was_called_off_ends_the_relation_unless_the_patient_was_there() -> Outcome {
        let scene = Scene::new().await?;
        let ward = scene.hospital.staff(Role::Physician);
        let (called_off, was_there) = (scene.case().await?, scene.case().await?);
        let hear =
            async |id, state| scene.world.hear(&Hears, &told(id, scene.hospital, state, Capability::General)).await;
        hear(called_off, State::Accepted).await?;
        hear(called_off, State::Cancelled).await?;
        assert_eq!(scene.get(&ward, called_off).await.refused().code(), Code::NotFound);
        hear(was_there, State::Arrived).await?;
        hear(was_there, State::Cancelled).await?;
        scene.get(&ward, was_there).await?;
        Ok(())
    }

    #[tokio::test]
    async fn who_dies_there_has_an_outcome_and_who_moved_on_is_placed_by_the_other_bed() -> Outcome {
        let scene = Scene::new().await?;
        let (dead, moved) = (scene.case().await?, scene.case().await?);
        for id in [dead, moved] {
            scene.world.hear(&Hears, &told(id, scene.hospital, State::Arrived, Capability::General)).await?;
        }
        let left = |id| told(id, scene.hospital, State::Left, Capability::General);
        let died = AdmissionChanged { destination: Destination::Died.into(), ..left(dead) };
        scene.world.hear(&Hears, &died).await?;
        let case = scene.get(&scene.nurse, dead).await?;
        assert_eq!((case.outcome, case.outcome_date.as_str()), (i32::from(Ended::Died), "2020-06-01"));
        assert_eq!(case.stays.len(), 1);
        let moved_on = AdmissionChanged { destination: Destination::Lodging.into(), moved_on: true, ..left(moved) };
        scene.world.hear(&Hears, &moved_on).await?;
        assert_eq!(scene.get(&scene.nurse, moved).await?.placement, i32::from(Placement::Hospital));
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_handled() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let good = || told(id, scene.hospital, State::Accepted, Capability::General);
        for garbled in [
            AdmissionChanged { facility_id: "x".to_owned(), ..good() },
            AdmissionChanged { case_id: "x".to_owned(), ..good() },
            AdmissionChanged { change_time: None, ..good() },
            AdmissionChanged { case_id: CaseId::new().to_string(), ..good() },
        ] {
            assert!(matches!(scene.world.hear(&Hears, &garbled).await, Err(Failure::Dead(_))));
        }
        // Nobody's admission is nobody's business.
        scene.world.hear(&Hears, &AdmissionChanged { facility_id: String::new(), ..good() }).await?;
        assert_eq!(scene.world.announced::<CaseChanged>().await?.len(), 1);
        Ok(())
    }
}
