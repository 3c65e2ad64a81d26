//! Random people do random things in any order, and some things hold at every moment: one centre is responsible, nothing is an orphan, no
//! revision is lost, everything that was done is on the trail, and what was announced is what a recount finds.

mod moves;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use access::CaseId;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use proto::registry::{CaseChanged, ListCasesRequest, Relation};
use testing::Body;
use tokio::runtime::Runtime;

use crate::{
    case::{self, Case},
    course::Course,
    fact,
    fixture::Scene,
    walks::{
        moves::{Move, Walk},
        steps::Steps,
    },
};

/// A scene on its way, and what was done in it.
struct Way {
    runtime: Runtime,
    scene: Scene,
    steps: Steps,
}

impl StateMachineTest for Way {
    type SystemUnderTest = Self;
    type Reference = Walk;

    fn init_test(_: &<Walk as ReferenceStateMachine>::State) -> Self {
        let runtime = Runtime::new().unwrap();
        let scene = runtime.block_on(Scene::new()).unwrap();
        Self { runtime, scene, steps: Steps::default() }
    }

    fn apply(mut way: Self, _: &<Walk as ReferenceStateMachine>::State, step: Move) -> Self {
        way.scene.world.clock.advance(time::Duration::seconds(1));
        way.runtime.block_on(way.steps.take(&way.scene, step)).unwrap();
        way
    }

    fn check_invariants(way: &Self, walk: &<Walk as ReferenceStateMachine>::State) {
        way.runtime.block_on(way.holds(walk)).unwrap();
    }
}

impl Way {
    async fn holds(&self, walk: &moves::State) -> anyhow::Result<()> {
        let announced: Vec<CaseChanged> = self.scene.world.announced().await?;
        let mut versions: BTreeMap<CaseId, Vec<CaseChanged>> = BTreeMap::new();
        for changed in announced {
            versions.entry(CaseId::parse(&changed.case_id)?).or_default().push(changed);
        }
        let mut belongs: BTreeMap<String, usize> = BTreeMap::new();
        for (id, versions) in &versions {
            let case = self.case_holds(*id, versions).await?;
            let last = versions.last().unwrap();
            // What counts is what was filed and still stands.
            let stands = last.notification_ids.iter().any(|id| walk.stands(self.steps.filing(id)));
            assert_eq!(!last.report_date.is_empty(), stands, "a case counts as long as a notification of it stands");
            assert_eq!(case.receiving_centre().is_some(), stands);
            for notification in &last.notification_ids {
                *belongs.entry(notification.clone()).or_default() += 1;
            }
        }
        assert!(belongs.values().all(|cases| *cases == 1), "a notification belongs to one case");
        assert_eq!(belongs.len(), self.steps.filed(), "and none is an orphan");
        self.trail_holds().await?;
        self.lists_hold(&versions).await
    }

    async fn case_holds(&self, id: CaseId, versions: &[CaseChanged]) -> anyhow::Result<Case> {
        let mut conn = self.scene.world.base.pool.acquire().await?;
        let case = case::find(&mut conn, id).await?;
        let numbers: Vec<i64> = versions.iter().map(|changed| changed.version).collect();
        assert_eq!(numbers, (1..=case.version).collect::<Vec<_>>(), "every revision was announced, once and in order");
        let facts = fact::of_cases(&mut conn, &[id]).await?;
        assert!(Course::of(&facts) == case.course, "the case is what its facts say");
        let last = versions.last().unwrap();
        let recount = case.changed(last.grants.clone(), last.notification_ids.clone());
        assert!(&recount == last, "what was announced last is what is there");

        let grants = case::grants_of(&mut conn, &[id]).await?;
        let holds = |relation: Relation| {
            let held = grants.iter().filter(move |grant| grant.relation == relation && grant.until.is_none());
            held.map(|grant| grant.organisation_id).collect::<BTreeSet<_>>()
        };
        assert_eq!(
            holds(Relation::ResponsibleCentre).into_iter().collect::<Vec<_>>(),
            [case.responsible_centre.unwrap()]
        );
        assert!(holds(Relation::IncomingCentre).len() <= 1, "at most one offer is open");
        Ok(case)
    }

    /// Everything that was done is on the trail, and nothing else is.
    async fn trail_holds(&self) -> anyhow::Result<()> {
        for (rpc, done) in self.steps.done() {
            assert_eq!(self.scene.world.audited(rpc).await?.len(), *done, "{rpc}");
        }
        Ok(())
    }

    /// An organisation lists the cases that it has a relation to, each once.
    async fn lists_hold(&self, versions: &BTreeMap<CaseId, Vec<CaseChanged>>) -> anyhow::Result<()> {
        let scene = &self.scene;
        for (body, caller) in
            [(scene.osaka, &scene.nurse), (scene.tokyo, &scene.tokyo_nurse), (scene.clinic, &scene.physician)]
        {
            let request = ListCasesRequest { page_size: 200, ..ListCasesRequest::default() };
            let listed = scene.ask(caller, request, case::list).await?.cases;
            let listed: Vec<String> = listed.into_iter().map(|case| case.case_id).collect();
            let related =
                versions.values().filter_map(|versions| versions.last()).filter(|changed| sees(changed, body));
            let related: BTreeSet<String> = related.map(|changed| changed.case_id.clone()).collect();
            assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), related);
            assert_eq!(listed.len(), related.len());
        }
        Ok(())
    }
}

fn sees(changed: &CaseChanged, body: Body) -> bool {
    let id = body.id.to_string();
    changed.grants.iter().any(|grant| grant.organisation_id == id && grant.until_time.is_none())
}

prop_state_machine! {
    #![proptest_config(Config { failure_persistence: None, cases: steps::walks(), max_shrink_iters: 64, ..Config::default() })]

    #[test]
    fn whoever_does_whatever_in_whatever_order(sequential 1..40 => Way);
}
