//! What the tests of this service begin with: two centres and their prefecture, institutions, and a case.

use std::sync::atomic::{AtomicUsize, Ordering};

use access::{Caller, CaseId};
use anyhow::Context as _;
use chassis::{Call, Error};
use prost::{Message, Name};
use proto::{
    identity::{OrganisationKind as Kind, Role},
    registry::{
        AcceptTransferRequest, Case, CaseChanged, DeclineTransferRequest, Entry, Fact as FactView, GetCaseRequest,
        ListFactsRequest, OfferTransferRequest, Person, RegisterCaseRequest, RegisterCaseResponse, Relation, Sex,
    },
};
use sqlx::Row as _;
use testing::{Body, Outcome, Refused as _, World};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    MIGRATIONS,
    case::{self, Grant},
    fact,
    service::Registry,
    transfer,
};

pub(crate) use crate::filing::{filed, form, held, receipt_number};

/// 大阪市.
pub(crate) const MUNICIPALITY: &str = "271004";

/// Osaka with its prefecture, a centre next to it, and the institutions where patients are.
pub(crate) struct Scene {
    pub world: World,
    pub registry: Registry,
    /// Responsible for whoever is in Osaka.
    pub osaka: Body,
    pub tokyo: Body,
    pub prefecture: Body,
    pub clinic: Body,
    pub hospital: Body,
    pub lodging: Body,
    /// A nurse of the centre in Osaka.
    pub nurse: Caller,
    /// A nurse of the centre in Tokyo.
    pub tokyo_nurse: Caller,
    /// A physician of the clinic.
    pub physician: Caller,
    registered: AtomicUsize,
}

impl Scene {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let world = World::new("registry", MIGRATIONS).await?;
        let registry = Registry::new(&world.base);
        let osaka = world
            .organisation(Kind::HealthCentre, 27, |centre| centre.jurisdiction = vec![MUNICIPALITY.to_owned()])
            .await?;
        let tokyo = world.organisation(Kind::HealthCentre, 13, |centre| centre.catch_all = true).await?;
        let prefecture = world.body(Kind::Prefecture, 27).await?;
        let clinic = world.body(Kind::Clinic, 27).await?;
        let hospital = world.body(Kind::Hospital, 27).await?;
        let lodging = world.body(Kind::LodgingFacility, 27).await?;
        let (nurse, tokyo_nurse) = (osaka.staff(Role::Nurse), tokyo.staff(Role::Nurse));
        let physician = clinic.staff(Role::Physician);
        Ok(Self {
            world,
            registry,
            osaka,
            tokyo,
            prefecture,
            clinic,
            hospital,
            lodging,
            nurse,
            tokyo_nurse,
            physician,
            registered: AtomicUsize::new(0),
        })
    }

    /// Asks as the door does.
    pub(crate) async fn ask<M, R, F>(
        &self,
        caller: &Caller,
        message: M,
        operation: impl FnOnce(Registry, Call<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        self.world.ask(&self.registry, caller, message, operation).await
    }

    /// Somebody registers a person in Osaka.
    pub(crate) async fn register(&self, caller: &Caller) -> Result<RegisterCaseResponse, Status> {
        self.ask(caller, registration(), case::register).await
    }

    /// A case that the clinic registered, and Osaka is responsible for: first of the person, then of namesakes with other telephones.
    pub(crate) async fn case(&self) -> anyhow::Result<CaseId> {
        let number = self.registered.fetch_add(1, Ordering::Relaxed);
        let person = Person { phone: format!("0901000{number:04}"), ..person() };
        let request = RegisterCaseRequest { person: Some(person), ..registration() };
        Ok(CaseId::parse(&self.ask(&self.physician, request, case::register).await?.case_id)?)
    }

    /// A case of somebody else altogether, registered by the centre.
    pub(crate) async fn unrelated(&self) -> anyhow::Result<CaseId> {
        self.unrelated_of(&self.nurse).await
    }

    pub(crate) async fn unrelated_of(&self, caller: &Caller) -> anyhow::Result<CaseId> {
        let number = self.registered.fetch_add(1, Ordering::Relaxed);
        let names = |name: &str| format!("{name} {}", ["一", "二", "三", "四", "五"][number % 5]);
        let person = Person {
            name_kanji: names("田中"),
            name_kana: "タナカ ハジメ".to_owned(),
            birth_date: format!("19{:02}-04-05", 50 + number % 40),
            phone: format!("0903000{number:04}"),
            municipality_code: if caller.organisation_id == self.osaka.id {
                MUNICIPALITY.to_owned()
            } else {
                String::new()
            },
            ..person()
        };
        let request = RegisterCaseRequest { person: Some(person), ..registration() };
        Ok(CaseId::parse(&self.ask(caller, request, case::register).await?.case_id)?)
    }

    pub(crate) async fn get(&self, caller: &Caller, case: CaseId) -> Result<Case, Status> {
        self.ask(caller, GetCaseRequest { case_id: case.to_string() }, case::get).await
    }

    /// Everything recorded about a case.
    pub(crate) async fn facts(&self, caller: &Caller, case: CaseId) -> Result<Vec<FactView>, Status> {
        let request = ListFactsRequest { case_id: case.to_string(), ..ListFactsRequest::default() };
        Ok(self.ask(caller, request, fact::list).await?.facts)
    }

    /// Osaka offers a case to Tokyo.
    pub(crate) async fn offer(&self, case: CaseId) -> Result<Case, Status> {
        self.ask(&self.nurse, offer(case, self.tokyo), transfer::offer).await
    }

    /// Tokyo accepts.
    pub(crate) async fn accept(&self, case: CaseId) -> Result<Case, Status> {
        self.ask(&self.tokyo_nurse, accept(case), transfer::accept).await
    }

    /// A case that Osaka handed over to Tokyo, and reads on as a former centre.
    pub(crate) async fn handed_over(&self) -> anyhow::Result<CaseId> {
        let case = self.case().await?;
        self.offer(case).await?;
        self.accept(case).await?;
        Ok(case)
    }

    /// A relation begins or ends by itself, outside of any operation.
    pub(crate) async fn regrant(&self, case: CaseId, grant: impl FnOnce(&case::Case) -> Grant) -> Outcome {
        let mut conn = self.world.base.pool.acquire().await?;
        let mut case = case::find(&mut conn, case).await?;
        case.step(self.world.clock.now());
        case::save_one(&mut conn, &case, &[grant(&case)]).await?;
        Ok(())
    }

    pub(crate) async fn end(&self, case: CaseId, of: Body, relation: Relation) -> Outcome {
        self.regrant(case, |case| Grant::ended(case, of.id, relation)).await
    }

    /// How the database answers a statement whatever its parameters are, while it knows nothing of its tables.
    pub(crate) async fn plan(&self, sql: &str) -> anyhow::Result<String> {
        let explain = sqlx::AssertSqlSafe(format!("explain (generic_plan, costs off) {sql}"));
        let lines = sqlx::raw_sql(explain).fetch_all(&self.world.base.pool).await?;
        let lines: Vec<String> = lines.iter().map(|line| line.try_get(0)).collect::<Result<_, _>>()?;
        Ok(lines.join("\n"))
    }

    /// The version of a case that was announced last.
    pub(crate) async fn last(&self) -> anyhow::Result<CaseChanged> {
        self.world.announced().await?.pop().context("nothing was announced")
    }

    /// What every change of a case refuses: a case that is not there, one of others, a stale etag, and whoever only reads on.
    /// `caller` may make the change of `case`.
    pub(crate) async fn refuses_as_every_change<M, F>(
        &self,
        (caller, case): (&Caller, CaseId),
        request: impl Fn(CaseId, &str) -> M,
        operation: fn(Registry, Call<M>) -> F,
    ) -> Outcome
    where
        M: Message + Name,
        F: Future<Output = Result<Case, Error>> + Send + 'static,
    {
        let stranger = self.world.body(Kind::HealthCentre, 14).await?.staff(Role::Nurse);
        let former = self.handed_over().await?;
        for (who, refused, code) in [
            (caller, request(CaseId::new(), ""), Code::NotFound),
            (&stranger, request(case, ""), Code::NotFound),
            (caller, request(case, "77"), Code::Aborted),
            (&self.nurse, request(former, ""), Code::PermissionDenied),
            (&self.lodging.staff(Role::Administrator), request(case, ""), Code::PermissionDenied),
        ] {
            assert_eq!(self.ask(who, refused, operation).await.refused().code(), code);
        }
        Ok(())
    }
}

/// Who is registered and filed for.
pub(crate) fn person() -> Person {
    Person {
        name_kanji: "山田 太郎".to_owned(),
        name_kana: "ヤマダ タロウ".to_owned(),
        birth_date: "S55.1.31".to_owned(),
        sex: Sex::Male.into(),
        phone: "090-1000-0000".to_owned(),
        municipality_code: MUNICIPALITY.to_owned(),
        ..Person::default()
    }
}

/// Somebody else, in Osaka, too.
pub(crate) fn another_person() -> Person {
    Person {
        name_kanji: "鈴木 花子".to_owned(),
        name_kana: "スズキ ハナコ".to_owned(),
        birth_date: "1990-12-24".to_owned(),
        phone: "09077770000".to_owned(),
        ..person()
    }
}

pub(crate) fn registration() -> RegisterCaseRequest {
    RegisterCaseRequest { request_id: request_id(), person: Some(person()), ..RegisterCaseRequest::default() }
}

pub(crate) fn offer(case: CaseId, to: Body) -> OfferTransferRequest {
    OfferTransferRequest {
        request_id: request_id(),
        case_id: case.to_string(),
        etag: String::new(),
        to_centre_id: to.id.to_string(),
        reason: "転居".to_owned(),
    }
}

pub(crate) fn accept(case: CaseId) -> AcceptTransferRequest {
    AcceptTransferRequest { request_id: request_id(), case_id: case.to_string(), etag: String::new() }
}

pub(crate) fn decline(case: CaseId) -> DeclineTransferRequest {
    DeclineTransferRequest {
        request_id: request_id(),
        case_id: case.to_string(),
        etag: String::new(),
        reason: "管轄外".to_owned(),
    }
}

/// The organisations in a relation to a case that is in force.
pub(crate) fn holders(case: &Case, relation: Relation) -> Vec<String> {
    let held = case.grants.iter().filter(|grant| grant.relation == i32::from(relation) && grant.until_time.is_none());
    held.map(|grant| grant.organisation_id.clone()).collect()
}

/// What an institution tells its centre.
pub(crate) fn entry(on_behalf_of_id: String) -> Entry {
    Entry { on_behalf_of_id, ..Entry::default() }
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}
