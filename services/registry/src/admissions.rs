//! What the registry hears of beds: a facility accepted, so it may see who comes; the patient arrived or left, so the
//! placement is another.

use access::{
    audit::{self, Act, Actor},
    classes,
};
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::{
    beds::{AdmissionChanged, AdmissionState, Capability, Destination},
    registry::{Outcome, Placement, Relation},
};
use runtime::clock::{self, day_in_japan};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::Stay,
    events::failure,
    history,
    store::{self, GrantRow},
    write,
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
        let changes: Vec<AdmissionChanged> = events
            .iter()
            .filter(|event| event.r#type == "admission.changed")
            .map(Event::decode)
            .collect::<Result<_, _>>()?;
        // In one order everywhere, so that nobody waits in a circle.
        let cases: Vec<Uuid> = changes.iter().filter_map(|change| Uuid::try_parse(&change.case_id).ok()).collect();
        store::lock_cases(tx, &cases).await?;
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
    let id = |text: &str| Uuid::try_parse(text).map_err(|_| Failure::Dead("carries a malformed id".to_owned()));
    let state = AdmissionState::try_from(changed.state).unwrap_or_default();
    if !matches!(
        state,
        AdmissionState::Accepted | AdmissionState::Arrived | AdmissionState::Left | AdmissionState::Cancelled
    ) || changed.facility_id.is_empty()
    {
        return Ok(());
    }
    let (case_id, facility) = (id(&changed.case_id)?, id(&changed.facility_id)?);
    let at =
        changed.at.as_ref().and_then(clock::from_proto).ok_or_else(|| Failure::Dead("carries no moment".to_owned()))?;
    let mut case =
        store::lock_cases(tx, &[case_id]).await?.pop().ok_or_else(|| Failure::Dead("belongs to no case".to_owned()))?;
    let lodging = changed.capability == i32::from(Capability::LodgingRoom);
    let relation = if lodging { Relation::LodgingFacility } else { Relation::TreatingInstitution };
    case.step(at);
    let open = write::grant(&case, facility, relation);
    let ended = GrantRow { until: Some(case.updated_at), ..open };
    let stay = |placement, facility_id| Stay { placement, since: day_in_japan(at), facility_id };
    let (grants, stay) = match state {
        AdmissionState::Accepted => (vec![open], None),
        AdmissionState::Arrived => {
            let placement = if lodging { Placement::Lodging } else { Placement::Hospital };
            (vec![open], Some(stay(placement, Some(facility))))
        }
        AdmissionState::Left => {
            // A hospital goes on writing about the stay it had; lodging sees its residents only.
            let grants = if lodging { vec![ended] } else { Vec::new() };
            (grants, Some(stay(placement_after(changed.destination), None)).filter(|_| !changed.moved_on))
        }
        // A facility that has the patient, or had, keeps what it sees: it was another admission that was called off.
        _ => {
            let stays = history::stays_of(tx, &[case_id]).await?;
            let was_there = stays.iter().any(|(_, stay)| stay.facility_id == Some(facility));
            (if was_there { Vec::new() } else { vec![ended] }, None)
        }
    };
    if state == AdmissionState::Left && changed.destination == i32::from(Destination::Died) && case.is_open() {
        case.end(Outcome::Died, Some(day_in_japan(at))).map_err(|why| Failure::Dead(why.en))?;
    }
    if let Some(stay) = stay.filter(|stay| case.is_open() && stay.placement != Placement::Unspecified) {
        case.place(&stay);
        history::add_stay(tx, case.id, &stay).await?;
    }
    write::save_one(tx, &case, &grants).await.map_err(failure)?;
    let groups = classes::groups_shown(&vec![relation].into());
    let act = Act {
        actor: Actor::Service("beds"),
        rpc: "admission.changed",
        groups: &groups,
        request_id: None,
        on_behalf_of: None,
    };
    Ok(audit::record(tx, &act, &[case_id]).await?)
}

/// Where somebody is after a bed, as far as leaving it tells. The dead have an outcome and no placement.
fn placement_after(destination: i32) -> Placement {
    match Destination::try_from(destination).unwrap_or_default() {
        Destination::Discharged | Destination::Home => Placement::Home,
        Destination::Lodging | Destination::Hospital => Placement::Waiting,
        Destination::Died | Destination::Unspecified => Placement::Unspecified,
    }
}
