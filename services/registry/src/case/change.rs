//! A change of a case: who may make one, and what every one of them ends with.

use access::{CaseId, Relations, classes, policy};
use chassis::{Call, Change, Error, Held, Seen, behalf};
use prost::{Message, Name};
use proto::{
    options::Group,
    registry::{Case as View, Relation},
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    grants::{self, Grant},
    model::Case,
    save::save_one,
    store,
    view::view,
};
use crate::{
    course,
    fact::{self, Fact},
    service::Registry,
};

/// A case locked for a change.
pub(crate) struct Locked {
    /// The case. While a change works on it, it already carries its next version: what begins or ends is dated by that.
    pub case: Case,
    /// The relations that begin or end with the change.
    pub grants: Vec<Grant>,
    /// What is recorded about the case, and at the end what the change records.
    pub facts: Vec<Fact>,
    /// How many were there before.
    known: usize,
}

impl Locked {
    /// Records a fact with this change. It comes after every fact of the case, whatever the clocks say: the case is locked.
    pub(crate) fn record(&mut self, fact: Fact) {
        let last = self.facts.iter().map(|fact| fact.id).max();
        self.facts.push(match last {
            Some(last) if fact.id <= last => fact.renamed(last.next()),
            _ => fact,
        });
    }

    /// Brings case and relations to what the facts say now.
    fn settle(&mut self) -> Result<&[Fact], Error> {
        let (before, new) = self.facts.split_at(self.known);
        if new.is_empty() {
            return Ok(new);
        }
        course::check_order(before, &self.facts)?;
        self.case.derive(&self.facts);
        self.grants.extend(moved(&self.case, before, &self.facts));
        Ok(new)
    }
}

/// What new facts do to the relations of the facilities where the person is and was: who is named as carer sees the case, and does
/// no more once the stay was none.
pub(crate) fn moved(case: &Case, before: &[Fact], after: &[Fact]) -> Vec<Grant> {
    let (before, after) = (course::facilities(before), course::facilities(after));
    let relation = |lodging| if lodging { Relation::LodgingFacility } else { Relation::TreatingInstitution };
    let gone = before.iter().filter(|facility| !after.contains(facility));
    let new = after.iter().filter(|facility| !before.contains(facility));
    gone.map(|(facility, lodging)| Grant::ended(case, *facility, relation(*lodging)))
        .chain(new.map(|(facility, lodging)| Grant::begun(case, *facility, relation(*lodging))))
        .collect()
}

/// Changes a case, stores and announces its next version, and answers with the case as the caller may see it now.
///
/// `may` says which relations make this change; without one of them the caller hears only what it was answered before.
pub(crate) async fn change<M: Message + Name>(
    registry: &Registry,
    call: &Call<M>,
    case_id: &str,
    may: fn(Relation) -> bool,
    work: impl AsyncFnOnce(&mut Change<Locked>) -> Result<(), Error>,
) -> Result<View, Error> {
    let nobody = behalf::Told::default();
    change_as(registry, call, (case_id, nobody), may, work).await
}

/// Changes a case with what an institution told (代行入力): both names are on the record.
pub(crate) async fn change_as<M: Message + Name>(
    registry: &Registry,
    call: &Call<M>,
    (case_id, told): (&str, behalf::Told),
    may: fn(Relation) -> bool,
    work: impl AsyncFnOnce(&mut Change<Locked>) -> Result<(), Error>,
) -> Result<View, Error> {
    let id = CaseId::parse(case_id)?;
    let held = async |conn: &mut PgConnection| Ok(lock(registry, call, conn, id, may).await?.on_behalf_of(told.by));
    call.change(&registry.base, held, async |change| {
        change.held.case.step(change.now);
        let counted = change.held.case.prefecture;

        work(change).await?;

        let Change { tx, held, relations, .. } = change;
        let new = held.settle()?;
        fact::insert(tx, new).await?;
        if held.case.prefecture != counted {
            let known = grants::of_cases(tx, &[id]).await?;
            held.grants.extend(grants::prefectures(&held.case, &known, &registry.base.directory));
        }
        save_one(tx, &held.case, &held.grants).await?;
        view(&registry.base.vault, tx, held.case.clone(), relations).await
    })
    .await
}

/// Locks a case for somebody who wants to write about it.
///
/// The lock comes first: a hand-over that commits while this waits has ended the relation it would have gone on with.
pub(crate) async fn lock<M: Message + Name, R>(
    registry: &Registry,
    call: &Call<M>,
    conn: &mut PgConnection,
    id: CaseId,
    may: fn(Relation) -> bool,
) -> Result<Held<Locked, R>, Error> {
    let case = store::lock_all(conn, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
    let relations = grants::relations(registry, conn, &case, &call.caller, registry.base.clock.now()).await?;
    must_write(&call.request, &relations)?;

    let (version, allowed) = (case.version, relations.iter().copied().any(may));
    let facts = fact::of_cases(conn, &[id]).await?;
    let locked = Locked { case, grants: Vec::new(), known: facts.len(), facts };
    let joined = locked.case.joined_into().is_some();
    let held = Held::new(locked, Seen::by(&relations, [id])).version(version);
    Ok(match (allowed, joined) {
        (true, false) => held,
        (true, true) => held.only_repeats(Error::Precondition(why(
            "JOINED",
            "この症例は他の症例に統合されています。統合先の症例に入力してください。",
            "This case was joined into another one. Enter it there.",
        ))),
        (false, _) => held.only_repeats(denied()),
    })
}

fn must_write(request: &impl Name, relations: &Relations) -> Result<(), Error> {
    if !classes::writes_anything(relations) {
        return Err(denied());
    }
    let refused = classes::unwritable(request, relations);
    if refused.is_empty() { Ok(()) } else { Err(Error::Invalid(refused)) }
}

pub(super) fn denied() -> Error {
    Error::Denied(why(
        "RELATION_DOES_NOT_ALLOW",
        "この症例に対してこの操作を行う権限がありません。",
        "Your relation to this case does not allow this.",
    ))
}

/// Relations that say how an episode ended: who looks after the person, not who once reported it.
pub(crate) fn may_end(relation: Relation) -> bool {
    may_record(relation) && relation != Relation::Reporter
}

/// Relations that enter facts: those that record, and the prefecture (都道府県の入力, N1 ⑤), which enters its own and corrects nobody's.
pub(crate) fn may_enter(relation: Relation) -> bool {
    may_record(relation) || relation == Relation::Prefecture
}

/// Relations that write clinical and administrative facts.
pub(crate) fn may_record(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ReceivingCentre
            | Relation::ResponsibleCentre
            | Relation::Reporter
            | Relation::TreatingInstitution
            | Relation::AttendingInstitution
    ) && policy::sight(relation, Group::Clinical) == policy::Sight::Full
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        options::Group,
        registry::{AdmissionNecessity, CaseChanged, JudgeAdmissionRequest, Relation},
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        course::judge_admission,
        fixture::{Scene, request_id},
    };

    fn judged(case: CaseId) -> JudgeAdmissionRequest {
        JudgeAdmissionRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            necessity: AdmissionNecessity::Needed.into(),
            ..JudgeAdmissionRequest::default()
        }
    }

    #[tokio::test]
    async fn a_change_is_one_version_and_one_event_and_one_audit_row() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.world.clock.advance(Duration::minutes(1));
        let changed = scene.ask(&scene.nurse, judged(id), judge_admission).await?;
        assert_eq!(changed.etag, "2");
        assert_eq!(changed.update_time.unwrap().seconds - changed.create_time.unwrap().seconds, 60);
        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        assert_eq!(announced.iter().map(|changed| changed.version).collect::<Vec<_>>(), [1, 2]);
        let audited = scene.world.audited("JudgeAdmission").await?;
        assert_eq!((audited.len(), audited[0].record), (1, id.uuid()));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_change_is_answered_as_before_as_far_as_the_caller_still_sees_it() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let request = judged(id);
        let again = |caller| scene.ask(caller, request.clone(), judge_admission);
        let answer = again(&scene.nurse).await?;
        assert!(again(&scene.nurse).await? == answer);
        assert_eq!(scene.world.audited("JudgeAdmission").await?.len(), 2);
        let other = JudgeAdmissionRequest { necessity: AdmissionNecessity::NotNeeded.into(), ..request.clone() };
        assert_eq!(scene.ask(&scene.nurse, other, judge_admission).await.refused().code(), Code::AlreadyExists);

        let mut narrowed = scene.nurse.clone();
        narrowed.hidden = access::caller::Hidden::of([Group::Identity]);
        assert_eq!(again(&narrowed).await?.person.unwrap().name_kanji, "", "masked for the ID as it is now");
        assert_eq!(again(&scene.physician).await?.etag, "3", "another user's request is another");

        scene.end(id, scene.osaka, Relation::ResponsibleCentre).await?;
        assert_eq!(again(&scene.nurse).await.refused().code(), Code::NotFound, "after the relation ended");
        Ok(())
    }

    #[tokio::test]
    async fn a_group_that_the_id_does_not_see_is_not_written_either() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let narrowed = scene.osaka.narrowed(Role::Clerk, [Group::Clinical]);
        let status = scene.ask(&narrowed, judged(id), judge_admission).await.refused();
        assert_eq!((status.code(), status.message().starts_with("necessity")), (Code::InvalidArgument, true));
        Ok(())
    }

    #[tokio::test]
    async fn who_read_along_before_a_hand_over_was_answered_writes_nothing_of_the_course() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.offer(id).await?;
        let status = scene.ask(&scene.tokyo_nurse, judged(id), judge_admission).await.refused();
        assert_eq!(status.code(), Code::InvalidArgument, "the necessity is not the incoming centre's to write");
        Ok(())
    }
}
