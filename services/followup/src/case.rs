//! The registry's cases, as far as follow-up knows them, and who may do what with them. The trunk of this service.

mod hears;
mod on_changed;
mod on_filing_to_check;
mod on_opened_in_emergency;

use access::{
    Caller, CaseId, Relations, cases, classes,
    policy::{Sight, sight},
};
use chassis::{Call, Error, Seen};
use proto::{
    options::Group,
    registry::{CaseChanged, Relation},
};
use runtime::problem::why;
use time::OffsetDateTime;

use crate::service::Followup;

pub(crate) use hears::Hears;
pub(crate) use on_changed::is_void;

/// A case and how the caller stands to it.
#[derive(Clone)]
pub(crate) struct Known {
    pub id: CaseId,
    pub case: CaseChanged,
    pub relations: Relations,
}

impl Known {
    /// `None` where the caller has no relation to it.
    pub(crate) fn of(
        followup: &Followup,
        caller: &Caller,
        id: CaseId,
        case: CaseChanged,
        now: OffsetDateTime,
    ) -> Option<Self> {
        let relations = cases::relations(&case, caller, &followup.base.directory, now);
        (!relations.is_empty()).then_some(Self { id, case, relations })
    }

    /// Goes on only where one of the caller's relations may.
    pub(crate) fn must(&self, may: impl Fn(Relation) -> bool) -> Result<(), Error> {
        self.must_see()?;
        if self.relations.iter().copied().any(may) {
            return Ok(());
        }
        Err(Error::Denied(why(
            "RELATION_DOES_NOT_ALLOW",
            "この方の健康観察に対してこの操作を行う権限がありません。",
            "Your relation to this person does not allow this.",
        )))
    }

    /// Refuses by name what none of the relations may write.
    pub(crate) fn may_write(&self, request: &impl prost::Name) -> Result<(), Error> {
        let refused = classes::unwritable(request, &self.relations);
        if refused.is_empty() { Ok(()) } else { Err(Error::Invalid(refused)) }
    }

    /// What an audit row says, and what a repeated answer shows.
    pub(crate) fn seen(&self) -> Seen {
        Seen::by(&self.relations, [self.id])
    }

    /// Where no relation shows anything of the follow-up, there is none for the caller.
    fn must_see(&self) -> Result<(), Error> {
        let hidden = self.relations.iter().all(|relation| sight(*relation, Group::Followup) == Sight::Hidden);
        if hidden { Err(Error::NotFound("case")) } else { Ok(()) }
    }
}

/// A case, asked for once where it was not heard of yet.
///
/// # Errors
/// Where there is none for the caller.
pub(crate) async fn known<M>(followup: &Followup, call: &Call<M>, case_id: &str) -> Result<Known, Error> {
    let id = CaseId::parse(case_id)?;
    let mut conn = followup.base.pool.acquire().await?;
    let held = cases::find(&mut conn, &[id]).await?.remove(&id);
    // Nobody keeps a connection while asking somebody else.
    drop(conn);

    let known = |case| Known::of(followup, &call.caller, id, case, call.now);
    // A relation given a moment ago may be on its way too.
    let known = if let Some(known) = held.and_then(known) {
        known
    } else {
        let case = cases::ask(&followup.registry, id).await?.ok_or(Error::NotFound("case"))?;
        let mut tx = followup.base.pool.begin().await?;
        on_changed::take(&mut tx, std::slice::from_ref(&case), followup.base.clock.now()).await?;
        tx.commit().await?;
        known(case).ok_or(Error::NotFound("case"))?
    };
    known.must_see()?;
    Ok(known)
}

/// Relations that report for a person or as the person.
pub(crate) fn may_report(relation: Relation) -> bool {
    may_work(relation) || matches!(relation, Relation::Patient | Relation::Proxy)
}

/// Relations that look after a person.
pub(crate) fn may_work(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ResponsibleCentre | Relation::ReceivingCentre | Relation::LodgingFacility | Relation::Contractor
    ) && sight(relation, Group::Followup) == Sight::Full
}
