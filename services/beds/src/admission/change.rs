//! A change of an admission: who may make one, and what every one of them ends with.

use access::{CaseId, OrganisationId, Relations, caller::Hidden, cases};
use chassis::{Call, Change, Error, Held, Seen, behalf::Told};
use data::outbox;
use prost::{Message, Name};
use proto::{
    beds::{Admission as View, AdmissionChanged, AdmissionState, Capability, Destination},
    options::Group,
    registry::{CaseChanged, Outcome, Relation},
};
use runtime::{clock::to_proto, problem::why};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    As,
    answer::{self, Answer},
    changed,
    model::{Admission, AdmissionId},
    store, view,
};
use crate::{case, service::Beds, stay};

/// Who may make a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Those who look for a bed: centre and prefecture.
    Coordinator,
    /// The facility that was asked, or whom it told.
    Facility(Told),
}

/// An admission locked for a change.
pub(crate) struct Locked {
    pub admission: Admission,
    pub case: CaseChanged,
    pub seen: As,
    /// As of when the change counts.
    pub at: OffsetDateTime,
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
        let (facility, now) = (change.held.admission.facility_id, change.now);
        change.held.at = match who {
            Who::Coordinator => now,
            Who::Facility(told) => change.held.admission.counts_at(told.at, now).ok_or_else(told_too_early)?,
        };

        work(change).await?;

        let Change { tx, held, .. } = change;
        held.admission.recorded(now);
        if let (Who::Facility(told), Some(facility)) = (who, facility) {
            answer::insert_answer(tx, &answered(&held.admission, facility, call.caller.organisation_id, told, now))
                .await?;
        }
        store::save(tx, &held.admission).await?;
        let mut event = changed(&held.admission, held.at);
        if let Who::Facility(told) = who {
            event.entered_by_id = data::text(told.by.map(|_| call.caller.organisation_id));
            event.channel = told.channel.into();
            event.told_time = told.at.map(to_proto);
        }
        outbox::add(tx, &event).await?;
        view_of(beds, tx, held, now).await
    })
    .await
}

fn answered(
    admission: &Admission,
    facility_id: OrganisationId,
    entered_by: OrganisationId,
    told: Told,
    now: OffsetDateTime,
) -> Answer {
    Answer {
        admission_id: admission.id,
        version: admission.version,
        state: admission.state,
        facility_id,
        entered_by,
        channel: told.channel,
        told_at: told.at,
        entered_at: now,
    }
}

fn told_too_early() -> Error {
    Error::invalid(
        "entry.told_time",
        "前の段階（受入の回答、到着）より前の日時です",
        "must not be before the step before it: the acceptance, or the arrival",
    )
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
    let (case_id, version, now) = (admission.case_id, admission.version, beds.base.clock.now());
    let coordinator = || {
        let relations = cases::relations(&case, &call.caller, &beds.base.directory, now);
        if relations.is_empty() {
            return Err(Error::NotFound("admission"));
        }
        must_coordinate(&relations)?;
        Ok(As::Related(relations))
    };
    let facility = call.caller.organisation_id;
    let (seen, otherwise, told_by) = match who {
        Who::Coordinator => (coordinator()?, None, None),
        // What the facility told is entered by those who look for this person's bed, and nobody else.
        Who::Facility(Told { by: Some(told_by), .. }) => {
            let asked = admission.facility_id == Some(told_by);
            (coordinator()?, (!asked).then(not_the_one_asked), Some(told_by))
        }
        Who::Facility(_) => {
            let asked = admission.facility_id == Some(facility);
            // Who has left is no longer the facility's to follow, in a repeated answer either.
            let left = Hidden::of(Some(Group::Clinical).filter(|_| admission.state == AdmissionState::Left));
            let seen = As::Facility(facility, call.caller.hidden.and(left));
            (seen, (!asked).then_some(Error::NotFound("admission")), None)
        }
    };
    let relations = seen.relations(admission.capability);
    let locked = Locked { admission, case, seen, at: now };
    let held = Held::new(locked, Seen::by(&relations, [case_id]).on_behalf_of(told_by)).version(version);
    // A facility that repeats its request finds its answer also after the offer is over.
    Ok(match otherwise {
        Some(refusal) => held.only_repeats(refusal),
        None => held,
    })
}

fn not_the_one_asked() -> Error {
    Error::invalid(
        "entry.on_behalf_of_id",
        "打診を受けている機関を指定してください",
        "must be the facility that was asked for a bed",
    )
}

/// An admission as whoever changed it may see it now.
pub(crate) async fn view_of(
    beds: &Beds,
    conn: &mut PgConnection,
    locked: &Locked,
    now: OffsetDateTime,
) -> Result<View, Error> {
    let Locked { admission, case, seen, .. } = locked;
    let answers = answer::of(conn, &[admission.id]).await?;
    view::shown(&beds.base.vault, admission, Some(case), &answers, seen, now)
}

/// The bed a patient comes from is free, in the same transaction; where the person is, is the other bed's to tell.
pub(crate) async fn leave_origin(
    conn: &mut PgConnection,
    case_id: CaseId,
    to: Capability,
    (at, now): (OffsetDateTime, OffsetDateTime),
) -> Result<(), Error> {
    let Some(mut origin) = store::lock_present(conn, case_id).await? else { return Ok(()) };
    let destination = if to == Capability::LodgingRoom { Destination::Lodging } else { Destination::Hospital };
    // Nobody leaves a bed before lying in it, whatever was told.
    let at = at.max(origin.since);
    origin.leave(destination, at).map_err(Error::Precondition)?;
    origin.recorded(now);
    if let Some(id) = origin.stay_id {
        stay::end(conn, id, at).await?;
    }
    store::save(conn, &origin).await?;
    outbox::add(conn, &AdmissionChanged { moved_on: true, ..changed(&origin, at) }).await?;
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
