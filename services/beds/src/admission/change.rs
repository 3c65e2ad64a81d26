//! A change of an admission: who may make one, and what every one of them ends with.

use access::{CaseId, Relations, caller::Hidden, cases};
use chassis::{Call, Change, Error, Held, Seen};
use data::outbox;
use prost::{Message, Name};
use proto::{
    beds::{Admission as View, AdmissionChanged, AdmissionState, Capability, Destination},
    options::Group,
    registry::{CaseChanged, Outcome, Relation},
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    As, changed,
    model::{Admission, AdmissionId},
    store, view,
};
use crate::{case, service::Beds, stay};

/// Who may make a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Those who look for a bed: centre and prefecture.
    Coordinator,
    /// The facility that was asked.
    Facility,
}

/// An admission locked for a change.
pub(crate) struct Locked {
    pub admission: Admission,
    pub case: CaseChanged,
    pub seen: As,
}

impl Locked {
    /// A bed is for somebody whose episode goes on: whoever died or was released waits for none.
    ///
    /// # Errors
    /// When the episode has ended.
    pub(crate) fn must_go_on(&self) -> Result<(), Error> {
        if self.case.outcome == i32::from(Outcome::Unspecified) {
            return Ok(());
        }
        Err(Error::Precondition(why("EPISODE_ENDED", "既に転帰が登録されています。", "The episode has ended.")))
    }
}

/// Changes an admission, stores and announces it, and answers with the admission as the caller may see it now.
pub(crate) async fn change<M: Message + Name>(
    beds: &Beds,
    call: &Call<M>,
    admission_id: &str,
    who: Who,
    work: impl AsyncFnOnce(&mut Change<Locked>) -> Result<(), Error>,
) -> Result<View, Error> {
    let id = AdmissionId::parse(admission_id)?;
    let mut conn = beds.base.pool.acquire().await?;
    let case_id = store::find(&mut conn, id).await?.map(|admission| admission.case_id);
    drop(conn);
    let case = case::find(beds, &call.caller, case_id.ok_or(Error::NotFound("admission"))?, call.now).await?;

    let lock = async |conn: &mut PgConnection| lock(beds, call, conn, id, case, who).await;
    call.change(&beds.base, lock, async |change| {
        work(change).await?;
        let Change { tx, held, now, .. } = change;
        store::save(tx, &held.admission).await?;
        outbox::add(tx, &changed(&held.admission, *now)).await?;
        view_of(beds, tx, held, *now).await
    })
    .await
}

async fn lock<M>(
    beds: &Beds,
    call: &Call<M>,
    conn: &mut PgConnection,
    id: AdmissionId,
    case: CaseChanged,
    who: Who,
) -> Result<Held<Locked, View>, Error> {
    let admission = store::lock(conn, id).await?.ok_or(Error::NotFound("admission"))?;
    let (case_id, version) = (admission.case_id, admission.version);
    let (seen, asked) = match who {
        Who::Coordinator => {
            let relations = cases::relations(&case, &call.caller, &beds.base.directory, beds.base.clock.now());
            if relations.is_empty() {
                return Err(Error::NotFound("admission"));
            }
            must_coordinate(&relations)?;
            (As::Related(relations), true)
        }
        Who::Facility => {
            let asked = admission.facility_id == Some(call.caller.organisation_id);
            // Who has left is no longer the facility's to follow, in a repeated answer either.
            let left = Hidden::of(Some(Group::Clinical).filter(|_| admission.state == AdmissionState::Left));
            (As::Facility(call.caller.hidden.and(left)), asked)
        }
    };
    let relations = seen.relations(admission.capability);
    let held = Held::new(Locked { admission, case, seen }, Seen::by(&relations, [case_id])).version(version);
    // A facility that repeats its request finds its answer also after the offer is over.
    Ok(if asked { held } else { held.only_repeats(Error::NotFound("admission")) })
}

/// An admission as whoever changed it may see it now.
pub(crate) async fn view_of(
    beds: &Beds,
    conn: &mut PgConnection,
    locked: &Locked,
    now: time::OffsetDateTime,
) -> Result<View, Error> {
    let Locked { admission, case, seen } = locked;
    let refusals = store::refusals(conn, &[admission.id]).await?;
    view::shown(&beds.base.vault, admission, Some(case), &refusals, seen, now)
}

/// The bed a patient comes from is free, in the same transaction; where the person is, is the other bed's to tell.
pub(crate) async fn leave_origin(
    conn: &mut PgConnection,
    case_id: CaseId,
    to: Capability,
    now: time::OffsetDateTime,
) -> Result<(), Error> {
    let Some(mut origin) = store::lock_present(conn, case_id).await? else { return Ok(()) };
    let destination = if to == Capability::LodgingRoom { Destination::Lodging } else { Destination::Hospital };
    origin.leave(destination, now).map_err(Error::Precondition)?;
    if let Some(id) = origin.stay_id {
        stay::end(conn, id, now).await?;
    }
    store::save(conn, &origin).await?;
    outbox::add(conn, &AdmissionChanged { moved_on: true, ..changed(&origin, now) }).await?;
    Ok(())
}

/// Goes on only where one of the relations looks for a bed.
pub(crate) fn must_coordinate(relations: &Relations) -> Result<(), Error> {
    match &**relations {
        [] => Err(Error::NotFound("case")),
        list if list.iter().copied().any(coordinates) => Ok(()),
        _ => Err(Error::Denied(why(
            "NOT_A_COORDINATOR",
            "入院調整を行う権限がありません。",
            "Your organisation may not look for a bed for this person.",
        ))),
    }
}

/// Relations that look for a bed.
pub(crate) fn coordinates(relation: Relation) -> bool {
    matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre | Relation::Prefecture)
}
