//! Tests the one way through a call: what the contract asks of an RPC is done, in one order, also when a request is
//! repeated.

use access::{Caller, CaseId, Relations};
use chassis::{Call, Error, Held, Seen};
use proto::{
    identity::{OrganisationKind as Kind, Role},
    options::Group,
    registry::{Case, GetCaseRequest, JudgeAdmissionRequest, Person, Relation},
};
use sqlx::PgConnection;
use tonic::Code;
use uuid::Uuid;

use crate::{Outcome, Refused as _, World};

/// The state of the operations in these tests: the world's base, and how the caller stands to the case.
#[derive(Clone)]
struct Desk {
    base: chassis::Base,
    relations: Vec<Relation>,
}

async fn scene(relations: &[Relation]) -> anyhow::Result<(World, Desk, Caller)> {
    let world = World::new("registry", &[]).await?;
    let nurse = world.body(Kind::HealthCentre, 27).await?.staff(Role::Nurse);
    let desk = Desk { base: world.base.clone(), relations: relations.to_vec() };
    Ok((world, desk, nurse))
}

fn case() -> Case {
    let person = Person { name_kanji: "髙﨑".to_owned(), ..Person::default() };
    Case { person: Some(person), ..Case::default() }
}

/// Changes a case as `case::change` does, with `relations` to it.
async fn judge(desk: Desk, call: Call<JudgeAdmissionRequest>) -> Result<Case, Error> {
    let id = CaseId::parse(&call.request.case_id)?;
    let relations = Relations::new(desk.relations.clone(), &call.caller);
    let lock = async |_: &mut PgConnection| {
        if desk.relations.is_empty() {
            return Err(Error::NotFound("case"));
        }
        Ok(Held::new((), Seen::by(&relations, [id])).version(3))
    };
    call.change(&desk.base, lock, async |_| Ok(case())).await
}

fn judging() -> JudgeAdmissionRequest {
    JudgeAdmissionRequest {
        request_id: Uuid::now_v7().to_string(),
        case_id: Uuid::now_v7().to_string(),
        necessity: 1,
        ..JudgeAdmissionRequest::default()
    }
}

#[tokio::test]
async fn a_call_that_leaves_no_audit_row_or_no_answer_fails() -> Outcome {
    let (world, desk, nurse) = scene(&[]).await?;
    let forgetful = async |_: Desk, _: Call<GetCaseRequest>| Ok(Case::default());
    let get = GetCaseRequest { case_id: Uuid::now_v7().to_string() };
    assert_eq!(world.ask(&desk, &nurse, get.clone(), forgetful).await.refused().code(), Code::Internal);
    let careless = async |desk: Desk, call: Call<JudgeAdmissionRequest>| {
        let mut conn = desk.base.pool.acquire().await?;
        call.record(&mut conn, &Seen::records([Uuid::nil()])).await?;
        Ok(Case::default())
    };
    assert_eq!(world.ask(&desk, &nurse, judging(), careless).await.refused().code(), Code::Internal);
    // The control: an operation that does both is answered.
    let honest = async |desk: Desk, call: Call<GetCaseRequest>| {
        let mut conn = desk.base.pool.acquire().await?;
        call.record(&mut conn, &Seen::records([Uuid::nil()])).await?;
        Ok(Case::default())
    };
    world.ask(&desk, &nurse, get, honest).await?;
    Ok(())
}

#[tokio::test]
async fn a_repeated_answer_is_decided_anew_masked_anew_and_audited() -> Outcome {
    let (world, desk, nurse) = scene(&[Relation::ResponsibleCentre]).await?;
    let request = judging();
    let first = world.ask(&desk, &nurse, request.clone(), judge).await?;
    assert_eq!(first.person.as_ref().map(|person| person.name_kanji.as_str()), Some("髙﨑"));

    // Meanwhile the issuer has narrowed the ID.
    let narrowed = Caller { hidden: access::caller::Hidden::of([Group::Identity]), ..nurse.clone() };
    let again = world.ask(&desk, &narrowed, request.clone(), judge).await?;
    assert!(again.person.is_none_or(|person| person.name_kanji.is_empty()));
    let rows = world.audited("JudgeAdmission").await?;
    let identity = i16::try_from(i32::from(Group::Identity))?;
    assert_eq!(rows.iter().map(|row| row.groups.contains(&identity)).collect::<Vec<_>>(), [true, false]);

    // The relation has ended, and the earlier answer is gone with it.
    let ended = Desk { relations: Vec::new(), ..desk.clone() };
    assert_eq!(world.ask(&ended, &nurse, request.clone(), judge).await.refused().code(), Code::NotFound);

    // Request ids are per user: a colleague's request with the same id is a new one.
    let colleague = Caller { user_id: access::UserId::new(), ..nurse };
    world.ask(&desk, &colleague, request, judge).await?;
    assert_eq!(world.audited("JudgeAdmission").await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn another_body_and_a_stale_revision_are_refused() -> Outcome {
    let (world, desk, nurse) = scene(&[Relation::ResponsibleCentre]).await?;
    let stale = JudgeAdmissionRequest { etag: "2".to_owned(), ..judging() };
    assert_eq!(world.ask(&desk, &nurse, stale, judge).await.refused().code(), Code::Aborted);
    let request = JudgeAdmissionRequest { etag: "3".to_owned(), ..judging() };
    world.ask(&desk, &nurse, request.clone(), judge).await?;
    let other = JudgeAdmissionRequest { necessity: 2, ..request.clone() };
    assert_eq!(world.ask(&desk, &nurse, other, judge).await.refused().code(), Code::AlreadyExists);
    // A repeated request is older than its own change, so no etag is compared.
    world.ask(&desk, &nurse, request, judge).await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_or_a_role_that_may_not_never_reaches_an_operation() -> Outcome {
    let (world, desk, nurse) = scene(&[Relation::ResponsibleCentre]).await?;
    let unreachable = async |_: Desk, _: Call<JudgeAdmissionRequest>| Err::<Case, _>(Error::Unavailable);
    let broken = JudgeAdmissionRequest { request_id: "x".to_owned(), ..judging() };
    assert_eq!(world.ask(&desk, &nurse, broken, unreachable).await.refused().code(), Code::InvalidArgument);
    let analyst = Caller { role: Role::Analyst, ..nurse };
    assert_eq!(world.ask(&desk, &analyst, judging(), unreachable).await.refused().code(), Code::PermissionDenied);
    Ok(())
}
