//! `JoinCase`: a registration too many is joined into the case of the person. What was recorded about it, and by whom and when, is
//! recorded about the other from now on. A case that is more than a registration is not joined: that one is looked at by people.

use std::collections::HashMap;

use access::{CaseId, Relations};
use chassis::{Call, Error, Held, Seen};
use proto::registry::{Authority, Case as View, CaseRole, JoinCaseRequest, Outcome, Person, Relation};
use runtime::{problem::why, trace};
use sqlx::PgConnection;

use super::store;
use crate::{
    case::{self, Case, Grant},
    fact::{self, Content, Exposure, Fact, Recorder},
    person,
    service::Registry,
    transfer,
};

/// The two, and how the caller stands to each.
struct Pair {
    one: Case,
    other: Case,
    relations: Relations,
}

pub(crate) async fn join(registry: Registry, call: Call<JoinCaseRequest>) -> Result<View, Error> {
    let (id, into) = (CaseId::parse(&call.request.case_id)?, CaseId::parse(&call.request.into_case_id)?);
    if id == into {
        return Err(Error::invalid("into_case_id", "別の症例を指定してください", "must be another case"));
    }
    let lock = async |conn: &mut PgConnection| lock(&registry, &call, conn, (id, into)).await;
    call.change(&registry.base, lock, async |change| {
        let (tx, now) = (&mut change.tx, change.now);
        let Pair { one, other, relations } = &mut change.held;
        let (before, known) = (fact::of_cases(tx, &[id]).await?, fact::of_cases(tx, &[into]).await?);
        let held = case::grants_of(tx, &[id, into]).await?;
        let (registered, _) = must_be_one(&registry, tx, one, other).await?;
        must_be_a_registration(tx, one, &before, &held).await?;

        one.step(now);
        other.step(now);
        if one.registered_as == CaseRole::Patient {
            other.registered_as = CaseRole::Patient;
        }
        other.referred_to = other.referred_to.or(one.referred_to);
        let moved: Vec<Fact> = before
            .iter()
            .filter(|fact| !is_exposure_to(fact, into))
            .map(|fact| Fact { case_id: into, ..fact.clone() })
            .collect();
        other.derive(&[known, moved.clone()].concat());
        let recorder = Recorder::of(&call.caller, one, relations, now);
        let ended = taken_back(&recorder, one, &before);
        one.derive(&[before, ended.clone()].concat());
        one.same_person = Some(into);

        let grants = see_the_other(other, &held, id);
        store::list_contacts_of(tx, id, into).await?;
        let traceparent = trace::current().header();
        let version = |case: &Case| case::Version { case: case.clone(), traceparent: traceparent.clone() };
        let versions = [version(one), version(other)];
        case::save_all(tx, &[one.clone(), other.clone()], &versions, &grants).await?;
        fact::insert(tx, &[moved, ended].concat()).await?;
        person::supply(&registry.base.vault, tx, into, &registered).await?;
        case::view(&registry.base.vault, tx, other.clone(), relations).await
    })
    .await
}

/// Both, in the order of their ids so that nobody waits in a circle, for a centre that works on both. Their persons first, as whoever
/// opens a case of them does.
async fn lock(
    registry: &Registry,
    call: &Call<JoinCaseRequest>,
    conn: &mut PgConnection,
    (id, into): (CaseId, CaseId),
) -> Result<Held<Pair, View>, Error> {
    let persons = person::of_cases(conn, &[id, into]).await?;
    let indexes: Vec<Vec<u8>> = persons.into_iter().filter_map(|(_, person)| person.match_index).collect();
    store::lock_persons(conn, &indexes).await?;
    let mut cases: HashMap<CaseId, Case> =
        case::lock_all(conn, &[id, into]).await?.into_iter().map(|case| (case.id, case)).collect();
    let mut taken = |id| cases.remove(&id).ok_or(Error::NotFound("case"));
    let (one, other) = (taken(id)?, taken(into)?);
    let now = registry.base.clock.now();
    let of_one = case::relations(registry, conn, &one, &call.caller, now).await?;
    let relations = case::relations(registry, conn, &other, &call.caller, now).await?;

    let allowed = of_one.iter().copied().any(works) && relations.iter().copied().any(works);
    let (seen, version) = (Seen::by(&relations, [id, into]), one.version);
    let held = Held::new(Pair { one, other, relations }, seen).version(version);
    Ok(if allowed {
        held
    } else {
        held.only_repeats(Error::Denied(why(
            "RELATION_DOES_NOT_ALLOW",
            "統合できるのは、両方の症例を担当する保健所だけです。",
            "Only a centre that works on both cases joins them.",
        )))
    })
}

fn works(relation: Relation) -> bool {
    matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre)
}

/// The persons of both, who must be one.
async fn must_be_one(
    registry: &Registry,
    conn: &mut PgConnection,
    one: &Case,
    other: &Case,
) -> Result<(Person, Person), Error> {
    if !one.is_open() || !other.is_open() {
        return Err(Error::Precondition(why(
            "EPISODE_ENDED",
            "転帰の記録された症例は統合できません。",
            "An episode that has ended is not joined.",
        )));
    }
    let mut persons: HashMap<CaseId, Person> = HashMap::new();
    for (case, sealed) in person::of_cases(conn, &[one.id, other.id]).await? {
        persons.insert(case, person::open(&registry.base.vault, &sealed)?);
    }
    match (persons.remove(&one.id), persons.remove(&other.id)) {
        (Some(one), Some(other)) if person::agrees(&one, &other) => Ok((one, other)),
        _ => Err(Error::Precondition(why(
            "ANOTHER_PERSON",
            "氏名と生年月日が一致しません。基本情報を確認してください。",
            "Name and birth date do not agree. Check the basic items of both.",
        ))),
    }
}

/// Nothing that others rely on, or that would be lost: it was never notified, nobody cares or cared for the person under it, nothing of it
/// was corrected, nobody was asked to take it over, and it has neither sections nor contacts of its own.
async fn must_be_a_registration(
    conn: &mut PgConnection,
    one: &Case,
    facts: &[Fact],
    held: &[Grant],
) -> Result<(), Error> {
    let recorded = |fact: &Fact| {
        matches!(
            fact.content,
            Some(
                Content::Description(..)
                    | Content::Test(_)
                    | Content::Exposure(_)
                    | Content::Day(..)
                    | Content::Need(_)
            )
        ) && fact.reason.is_none()
            && fact.source == fact::Source::Record
    };
    let registered = |grant: &Grant| {
        matches!(
            grant.relation,
            Relation::Reporter | Relation::ConsultationCentre | Relation::ResponsibleCentre | Relation::Prefecture
        )
    };
    let plain = facts.iter().all(recorded)
        && held.iter().filter(|grant| grant.case_id == one.id).all(registered)
        && transfer::latest_of(conn, &[one.id]).await?.is_empty()
        && !store::has_more(conn, one.id).await?;
    if plain {
        return Ok(());
    }
    Err(Error::Precondition(why(
        "MORE_THAN_A_REGISTRATION",
        "届出・入院・移管などの記録がある症例は統合できません。登録と検査だけの症例を統合してください。",
        "A case with a notification, a stay, a hand-over or sections is not joined: only one that is a registration with its tests.",
    )))
}

fn is_exposure_to(fact: &Fact, case: CaseId) -> bool {
    matches!(&fact.content, Some(Content::Exposure(Exposure { index, .. })) if *index == Some(case))
}

/// Nothing of it counts any more, and it was entered in error. Whatever the clocks say, this was said last.
fn taken_back(recorder: &Recorder, case: &Case, before: &[Fact]) -> Vec<Fact> {
    let mut last = before.iter().map(|fact| fact.id).max();
    let mut next = |fact: Fact| {
        let fact = match last {
            Some(last) if fact.id <= last => fact.renamed(last.next()),
            _ => fact,
        };
        last = Some(fact.id);
        Fact { authority: Authority::ResponsibleCentre, ..fact }
    };
    let mut ended: Vec<Fact> =
        fact::standing(before).into_iter().map(|held| next(recorder.instead(case, held, None))).collect();
    ended.push(next(recorder.fact(case, Content::Ending(Outcome::EnteredInError, None))));
    ended
}

/// Who registered or reported the one sees the other from now on.
fn see_the_other(other: &Case, held: &[Grant], one: CaseId) -> Vec<Grant> {
    let lasts = |grant: &&Grant| grant.until.is_none();
    let reported = |grant: &&Grant| matches!(grant.relation, Relation::Reporter | Relation::ConsultationCentre);
    let sees = |grant: &Grant| {
        held.iter().filter(lasts).any(|has| has.case_id == other.id && has.organisation_id == grant.organisation_id)
    };
    held.iter()
        .filter(|grant| grant.case_id == one)
        .filter(lasts)
        .filter(reported)
        .filter(|grant| !sees(grant))
        .map(|grant| Grant::begun(other, grant.organisation_id, grant.relation))
        .collect()
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::{
        identity::Role,
        registry::{
            CaseChanged, JoinCaseRequest, Outcome as Ended, Placement, RecordOutcomeRequest, RecordPlacementRequest,
            RecordTestRequest, Relation, Test,
        },
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::join;
    use crate::{
        course,
        fixture::{Scene, form, holders, request_id},
    };

    fn joined(one: CaseId, into: CaseId) -> JoinCaseRequest {
        JoinCaseRequest {
            request_id: request_id(),
            case_id: one.to_string(),
            etag: String::new(),
            into_case_id: into.to_string(),
        }
    }

    /// The centre registered a person, and then the hospital did, which knew nothing of it.
    async fn twice(scene: &Scene) -> anyhow::Result<(CaseId, CaseId)> {
        let known = CaseId::parse(&scene.register(&scene.nurse).await?.case_id)?;
        let again = CaseId::parse(&scene.register(&scene.hospital.staff(Role::Physician)).await?.case_id)?;
        Ok((again, known))
    }

    #[tokio::test]
    async fn what_was_recorded_about_both_is_one_case_that_its_institutions_see() -> Outcome {
        let scene = Scene::new().await?;
        let (again, known) = twice(&scene).await?;
        let doctor = scene.hospital.staff(Role::Physician);
        let test = RecordTestRequest {
            request_id: request_id(),
            case_id: again.to_string(),
            test: Some(Test { method: 2, result: 2, sampled_date: "2020-05-30".to_owned(), ..Test::default() }),
            ..RecordTestRequest::default()
        };
        scene.ask(&doctor, test.clone(), course::record_test).await?;
        assert_eq!(scene.get(&doctor, known).await.refused().code(), Code::NotFound);

        let request = joined(again, known);
        let case = scene.ask(&scene.nurse, request.clone(), join).await?;
        assert_eq!((case.case_id.as_str(), case.tests.len()), (known.to_string().as_str(), 1));
        assert_eq!(holders(&case, Relation::Reporter), [scene.hospital.id.to_string()]);
        assert_eq!(scene.get(&doctor, known).await?.tests.len(), 1);
        let facts = scene.facts(&scene.nurse, known).await?;
        let by_hospital = facts.iter().filter(|fact| fact.organisation_id == scene.hospital.id.to_string());
        assert!(by_hospital.count() >= 2, "who recorded it is kept");

        // The other one never was: it leaves the counts.
        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        let over = announced.iter().rfind(|changed| changed.case_id == again.to_string()).unwrap();
        assert_eq!((over.outcome(), over.report_date.as_str(), over.test_count), (Ended::EnteredInError, "", 0));
        let written =
            scene.ask(&doctor, RecordTestRequest { request_id: request_id(), ..test }, course::record_test).await;
        assert_eq!(written.refused().code(), Code::FailedPrecondition, "what is known now is entered there");
        assert_eq!(scene.get(&scene.nurse, again).await?.same_person_case_id, known.to_string());

        assert!(scene.ask(&scene.nurse, request, join).await? == case, "once");
        assert_eq!(scene.world.audited("JoinCase").await?.len(), 4, "both, twice");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_filed_for_it_later_belongs_to_the_case_that_goes_on() -> Outcome {
        let scene = Scene::new().await?;
        let (again, known) = twice(&scene).await?;
        scene.ask(&scene.nurse, joined(again, known), join).await?;
        // The hospital's slip still shows the case that it registered.
        scene.file(scene.hospital, scene.osaka, Some(again), form()).await?;
        let last = scene.last().await?;
        assert_eq!((last.case_id, last.report_date.as_str()), (known.to_string(), "2020-06-01"));
        scene.file(scene.hospital, scene.osaka, None, form()).await?;
        assert_eq!(scene.get(&scene.nurse, known).await?.notification_ids.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_more_than_a_registration_is_not_joined() -> Outcome {
        let scene = Scene::new().await?;
        let (again, known) = twice(&scene).await?;
        scene.file(scene.hospital, scene.osaka, Some(again), form()).await?;
        let notified = scene.ask(&scene.nurse, joined(again, known), join).await.refused();
        assert_eq!(notified.code(), Code::FailedPrecondition);
        let (again, known) = (known, again);
        let placed = RecordPlacementRequest {
            request_id: request_id(),
            case_id: again.to_string(),
            placement: Placement::Home.into(),
            since_date: "2020-06-01".to_owned(),
            ..RecordPlacementRequest::default()
        };
        scene.ask(&scene.nurse, placed, course::record_placement).await?;
        let placed = scene.ask(&scene.nurse, joined(again, known), join).await.refused();
        assert_eq!(placed.code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (again, known) = twice(&scene).await?;
        let (stranger, handed_over) = (scene.unrelated().await?, scene.unrelated().await?);
        scene.offer(handed_over).await?;
        scene.accept(handed_over).await?;
        let ended = scene.unrelated().await?;
        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: ended.to_string(),
            outcome: Ended::Released.into(),
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        let doctor = scene.hospital.staff(Role::Physician);
        let stale = JoinCaseRequest { etag: "77".to_owned(), ..joined(again, known) };
        for (caller, refused, code) in [
            (&scene.nurse, joined(again, again), Code::InvalidArgument),
            (&scene.nurse, joined(again, CaseId::new()), Code::NotFound),
            (&scene.nurse, joined(CaseId::new(), known), Code::NotFound),
            (&doctor, joined(again, known), Code::PermissionDenied),
            (&scene.tokyo_nurse, joined(again, known), Code::NotFound),
            (&scene.nurse, joined(again, stranger), Code::FailedPrecondition),
            (&scene.nurse, joined(again, handed_over), Code::PermissionDenied),
            (&scene.nurse, joined(again, ended), Code::FailedPrecondition),
            (&scene.nurse, stale, Code::Aborted),
        ] {
            assert_eq!(scene.ask(caller, refused, join).await.refused().code(), code);
        }
        Ok(())
    }
}
