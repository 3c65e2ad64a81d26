//! The open cases of a centre that is over go to the one that takes the rest of its prefecture: nobody else would look after these
//! people. A centre closes by the calendar, and no event tells of it.

use std::time::Duration;

use access::{CaseId, OrganisationId};
use data::pool;
use proto::{
    identity::OrganisationChanged,
    registry::{Relation, TransferState},
};
use sqlx::PgConnection;

use super::{
    model::handed_over,
    store::{self, latest_of},
};
use crate::{
    case::{self, Grant},
    service::Registry,
};

/// How often to look.
const EVERY: Duration = Duration::from_secs(30);
/// The most cases taken over in one transaction.
const BATCH: i64 = 100;

/// Takes over until the process is to stop. Several processes may: each takes what the others do not.
pub(crate) fn start_taking_over(registry: &Registry) {
    let (registry, stop) = (registry.clone(), registry.base.shutdown.clone());
    stop.clone().spawn("taking over", async move {
        loop {
            let passed = if registry.base.pulses.may_act() { pass(&registry).await } else { Ok(0) };
            match passed {
                Ok(taken) if taken > 0 => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "Could not take over what lies with closed centres"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

/// One batch of each closed centre. Returns how many cases were taken over.
pub(crate) async fn pass(registry: &Registry) -> sqlx::Result<usize> {
    let base = &registry.base;
    let now = base.clock.now();
    let mut taken = 0;
    for from in base.directory.centres_that_are_over(now) {
        let Some(to) = base.directory.successor(from, now) else { continue };
        let prefecture = base.directory.prefecture(to.prefecture);
        let mut tx = pool::begin_task(&base.pool).await?;
        let cases = case::lock_open_of(&mut tx, from, BATCH).await?;
        let ids: Vec<CaseId> = cases.iter().map(|case| case.id).collect();
        for mut case in cases {
            case.step(now);
            end_offer(&mut tx, &case).await?;
            case.responsible_centre = Some(to.id);
            let held = case::grants_of(&mut tx, &[case.id]).await?;
            let grants = taken_over(&case, &held, to.id, prefecture);
            case::save_one(&mut tx, &case, &grants).await?;
        }
        case::audit_heard::<OrganisationChanged>(&mut tx, "identity", Relation::ResponsibleCentre, &ids).await?;
        tx.commit().await?;
        taken += ids.len();
    }
    if taken > 0 {
        base.wake.relay();
    }
    Ok(taken)
}

/// An offer that waits for its answer is declined: who made it is gone.
async fn end_offer(conn: &mut PgConnection, case: &case::Case) -> sqlx::Result<()> {
    if let Some(mut offer) = latest_of(conn, &[case.id]).await?.pop().filter(super::Transfer::is_open) {
        offer.answer(case, TransferState::Declined, None);
        store::save(conn, &offer).await?;
    }
    Ok(())
}

fn taken_over(case: &case::Case, held: &[Grant], to: OrganisationId, prefecture: Option<OrganisationId>) -> Vec<Grant> {
    let incoming = held.iter().filter(|grant| grant.relation == Relation::IncomingCentre && grant.until.is_none());
    let mut grants: Vec<Grant> =
        incoming.map(|grant| Grant::ended(case, grant.organisation_id, Relation::IncomingCentre)).collect();
    let asked = |grant: &Grant| grant.relation == Relation::IncomingCentre;
    grants.extend(handed_over(case, held, to, prefecture).into_iter().filter(|grant| !asked(grant)));
    grants
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{Organisation, OrganisationKind as Kind, Role},
        registry::{Relation, TransferState},
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;

    use super::pass;
    use crate::{
        fixture::{Scene, accept, holders},
        transfer,
    };

    #[tokio::test]
    async fn the_open_cases_of_a_closed_centre_go_to_the_one_that_takes_the_rest() -> Outcome {
        let scene = Scene::new().await?;
        let rest = scene.world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        let id = scene.case().await?;
        scene.offer(id).await?;
        let until = |centre: &mut Organisation| centre.valid_until_date = "2020-06-01".to_owned();
        scene.world.change(scene.osaka, until).await?;
        assert_eq!(pass(&scene.registry).await?, 0, "it is open today");

        scene.world.clock.advance(Duration::days(1));
        assert_eq!((pass(&scene.registry).await?, pass(&scene.registry).await?), (1, 0));
        let case = scene.get(&rest.staff(Role::Nurse), id).await?;
        assert_eq!(holders(&case, Relation::ResponsibleCentre), [rest.id.to_string()]);
        assert_eq!(case.responsible_centre_id, rest.id.to_string());
        assert!(holders(&case, Relation::IncomingCentre).is_empty());
        assert_eq!(case.transfer.unwrap().state, i32::from(TransferState::Declined));
        let late = scene.ask(&scene.tokyo_nurse, accept(id), transfer::accept).await;
        assert!(late.refused().code() != tonic::Code::Ok);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_that_is_only_cut_off_keeps_its_cases() -> Outcome {
        let scene = Scene::new().await?;
        scene.world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        scene.case().await?;
        scene.world.change(scene.osaka, |centre: &mut Organisation| centre.suspended = true).await?;
        assert_eq!(pass(&scene.registry).await?, 0);
        Ok(())
    }
}
