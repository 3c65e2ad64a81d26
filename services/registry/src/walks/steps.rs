//! The moves on a scene, as the doors and the bus bring them.

use std::collections::{BTreeMap, HashMap};

use access::{Caller, CaseId};
use anyhow::{Context as _, ensure};
use prost::Name;
use proto::{
    identity::Role,
    notification::{Form, NotificationAcknowledged, NotificationForwarded},
    registry::{
        AcceptTransferRequest, CaseChanged, DeclineTransferRequest, JoinCaseRequest, OfferTransferRequest, Outcome,
        Person, Placement, RecordOutcomeRequest, RecordPlacementRequest, RecordTestRequest, RegisterCaseRequest, Test,
        TestMethod, TestResult, WithdrawFactRequest,
    },
};
use testing::Body;
use tonic::{Code, Status};
use uuid::Uuid;

use super::moves::{Move, Who};
use crate::{
    case, course, duplicate, fact,
    fixture::{Scene, accept, decline, form, offer, person, registration, request_id},
    transfer,
};

/// How many walks; ten times as many where amounts are full.
#[expect(clippy::disallowed_methods, reason = "how `make soak` tells a test to use its full amount")]
pub(super) fn walks() -> u32 {
    if std::env::var("HERSYS_SOAK").is_ok_and(|set| set == "1") { 120 } else { 6 }
}

struct Filing {
    id: Uuid,
    reporter: Body,
    centre: Body,
    person: usize,
    version: i32,
    is_withdrawn: bool,
}

/// What was done.
#[derive(Default)]
pub(super) struct Steps {
    filings: Vec<Filing>,
    /// Audit rows that must be there, by RPC.
    done: BTreeMap<&'static str, usize>,
}

impl Steps {
    /// The number of a filing.
    pub(super) fn filing(&self, id: &str) -> usize {
        self.filings.iter().position(|filing| filing.id.to_string() == id).unwrap()
    }

    pub(super) fn filed(&self) -> usize {
        self.filings.len()
    }

    pub(super) fn done(&self) -> impl Iterator<Item = (&'static str, &usize)> {
        self.done.iter().map(|(rpc, done)| (*rpc, done))
    }

    pub(super) async fn take(&mut self, scene: &Scene, step: Move) -> anyhow::Result<()> {
        match step {
            Move::Register { who, person } => {
                let request = RegisterCaseRequest { person: Some(somebody(person)), ..registration() };
                let answer = scene.ask(&caller(scene, who), request, case::register).await;
                self.answered::<RegisterCaseRequest, _>(1, answer)
            }
            Move::File { .. }
            | Move::Amend { .. }
            | Move::Withdraw { .. }
            | Move::Forward { .. }
            | Move::Acknowledge { .. } => self.notified(scene, step).await,
            _ => match cases(scene).await?.as_slice() {
                [] => Ok(()),
                cases => self.worked(scene, step, cases).await,
            },
        }
    }

    async fn notified(&mut self, scene: &Scene, step: Move) -> anyhow::Result<()> {
        if let Move::File { hospital, tokyo, person, named } = step {
            let reporter = if hospital { scene.hospital } else { scene.clinic };
            let centre = if tokyo { scene.tokyo } else { scene.osaka };
            let case = if named { cases(scene).await?.last().copied() } else { None };
            let id = scene.file(reporter, centre, case, filled(person, 30)).await.ok().context("filed")?;
            self.filings.push(Filing { id, reporter, centre, person, version: 1, is_withdrawn: false });
            return Ok(());
        }
        let (Move::Amend { filing, .. }
        | Move::Withdraw { filing }
        | Move::Forward { filing }
        | Move::Acknowledge { filing }) = step
        else {
            return Ok(());
        };
        let number = self.filings.len().max(1);
        let Some(filing) = self.filings.get_mut(filing % number) else { return Ok(()) };
        let (id, notification_id) = (filing.id, filing.id.to_string());
        match step {
            Move::Withdraw { .. } => {
                filing.is_withdrawn = true;
                scene.withdraw(id).await.ok().context("withdrawn")
            }
            _ if filing.is_withdrawn => Ok(()),
            Move::Amend { day, .. } => {
                filing.version += 1;
                let form = filled(filing.person, day);
                scene.amend_in(filing.centre, id, filing.version, filing.reporter, form).await.ok().context("amended")
            }
            Move::Forward { .. } => {
                let from = filing.centre;
                filing.centre = if from.id == scene.osaka.id { scene.tokyo } else { scene.osaka };
                let event = NotificationForwarded {
                    notification_id,
                    from_centre_id: from.id.to_string(),
                    to_centre_id: filing.centre.id.to_string(),
                };
                let events = [scene.world.event(&event)?];
                scene.world.hear_with(&scene.filings(), &events, &HashMap::new()).await.ok().context("forwarded")
            }
            _ => {
                let event = NotificationAcknowledged { notification_id, centre_id: filing.centre.id.to_string() };
                let events = [scene.world.event(&event)?];
                scene.world.hear_with(&scene.filings(), &events, &HashMap::new()).await.ok().context("acknowledged")
            }
        }
    }

    async fn worked(&mut self, scene: &Scene, step: Move, cases: &[CaseId]) -> anyhow::Result<()> {
        let of = |number: usize| cases[number % cases.len()];
        let date = |day: u8| format!("2020-05-{day}");
        match step {
            Move::Offer { who, case } => {
                let to = if matches!(who, Who::TokyoNurse) { scene.osaka } else { scene.tokyo };
                let answer = scene.ask(&caller(scene, who), offer(of(case), to), transfer::offer).await;
                self.answered::<OfferTransferRequest, _>(1, answer)
            }
            Move::Answer { who, case, accepts: true } => {
                let answer = scene.ask(&caller(scene, who), accept(of(case)), transfer::accept).await;
                self.answered::<AcceptTransferRequest, _>(1, answer)
            }
            Move::Answer { who, case, accepts: false } => {
                let answer = scene.ask(&caller(scene, who), decline(of(case)), transfer::decline).await;
                self.answered::<DeclineTransferRequest, _>(1, answer)
            }
            Move::Test { who, case, day, positive } => {
                let result = if positive { TestResult::Positive } else { TestResult::Negative };
                let (method, sampled_date) = (TestMethod::NucleicAcid.into(), date(day));
                let request = RecordTestRequest {
                    request_id: request_id(),
                    case_id: of(case).to_string(),
                    test: Some(Test { method, result: result.into(), sampled_date, ..Test::default() }),
                    ..RecordTestRequest::default()
                };
                let answer = scene.ask(&caller(scene, who), request, course::record_test).await;
                self.answered::<RecordTestRequest, _>(1, answer)
            }
            Move::Place { who, case, day, hospital } => {
                let placement = if hospital { Placement::Hospital } else { Placement::Home };
                let facility_id = if hospital { scene.hospital.id.to_string() } else { String::new() };
                let request = RecordPlacementRequest {
                    request_id: request_id(),
                    case_id: of(case).to_string(),
                    placement: placement.into(),
                    since_date: date(day),
                    facility_id,
                    ..RecordPlacementRequest::default()
                };
                let answer = scene.ask(&caller(scene, who), request, course::record_placement).await;
                self.answered::<RecordPlacementRequest, _>(1, answer)
            }
            Move::End { who, case, died } => {
                let outcome = if died { Outcome::Died } else { Outcome::Released };
                let request = RecordOutcomeRequest {
                    request_id: request_id(),
                    case_id: of(case).to_string(),
                    outcome: outcome.into(),
                    ..RecordOutcomeRequest::default()
                };
                let answer = scene.ask(&caller(scene, who), request, course::record_outcome).await;
                self.answered::<RecordOutcomeRequest, _>(1, answer)
            }
            Move::Retract { who, case, fact } => {
                let mut conn = scene.world.base.pool.acquire().await?;
                let facts = fact::of_cases(&mut conn, &[of(case)]).await?;
                drop(conn);
                let request = WithdrawFactRequest {
                    request_id: request_id(),
                    case_id: of(case).to_string(),
                    fact_id: facts[fact % facts.len()].id.to_string(),
                    reason: "誤り".to_owned(),
                    ..WithdrawFactRequest::default()
                };
                let answer = scene.ask(&caller(scene, who), request, fact::withdraw).await;
                self.answered::<WithdrawFactRequest, _>(1, answer)
            }
            Move::Join { who, case, into } => {
                let request = JoinCaseRequest {
                    request_id: request_id(),
                    case_id: of(case).to_string(),
                    etag: String::new(),
                    into_case_id: of(into).to_string(),
                };
                let answer = scene.ask(&caller(scene, who), request, duplicate::join).await;
                self.answered::<JoinCaseRequest, _>(2, answer)
            }
            _ => Ok(()),
        }
    }

    /// Done, or refused for a reason; never anything else.
    fn answered<M: Name, T>(&mut self, rows: usize, answer: Result<T, Status>) -> anyhow::Result<()> {
        let rpc = M::NAME.trim_end_matches("Request");
        match answer {
            Ok(_) => *self.done.entry(rpc).or_default() += rows,
            Err(status) => {
                let refusals =
                    [Code::NotFound, Code::PermissionDenied, Code::FailedPrecondition, Code::InvalidArgument];
                ensure!(refusals.contains(&status.code()), "{rpc}: {status}");
            }
        }
        Ok(())
    }
}

/// Every case there is, oldest first.
async fn cases(scene: &Scene) -> anyhow::Result<Vec<CaseId>> {
    let announced: Vec<CaseChanged> = scene.world.announced().await?;
    let first = announced.iter().filter(|changed| changed.version == 1);
    first.map(|changed| Ok(CaseId::parse(&changed.case_id)?)).collect()
}

fn caller(scene: &Scene, who: Who) -> Caller {
    match who {
        Who::Nurse => scene.nurse.clone(),
        Who::TokyoNurse => scene.tokyo_nurse.clone(),
        Who::Physician => scene.physician.clone(),
        Who::Doctor => scene.hospital.staff(Role::Physician),
        Who::Coordinator => scene.prefecture.staff(Role::Coordinator),
    }
}

/// A few persons only, so that they meet again.
fn somebody(number: usize) -> Person {
    Person { phone: format!("0904000{number:04}"), ..person() }
}

fn filled(person: usize, day: u8) -> Form {
    let mut form = form();
    form.report_date = format!("2020-05-{day}");
    if let Some(subject) = form.subject.as_mut() {
        subject.phone = somebody(person).phone;
    }
    form
}
