//! The RPCs of the registry.

use std::collections::HashMap;

use access::{
    Caller, Door,
    audit::{self, Act, Actor},
    classes, policy,
};
use chassis::{Base, Error, once, page};
use japan::{date, person};
use proto::{
    identity::Role,
    options::Group,
    registry::{
        AgeBand, Case as CaseView, GetCaseRequest, Grant, ListCasesRequest, ListCasesResponse, Outcome, Person,
        Placement, RecordOutcomeRequest, RecordPlacementRequest, RecordTestRequest, RegisterCaseRequest,
        RegisterCaseResponse, Relation, Sex, Specimen, Test as TestView, TestMethod, TestResult,
        registry_service_server::RegistryService,
    },
};
use runtime::{
    Clock,
    clock::to_proto,
    problem::{Violation, text},
};
use sqlx::PgConnection;
use time::Date;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::{self, Case, CaseId, Test},
    store::{self, GrantRow},
    write,
};

/// The registry.
#[derive(Clone)]
pub(crate) struct Registry {
    pub base: Base,
    pub clock: Clock,
}

impl Registry {
    pub(crate) fn new(base: Base) -> Self {
        Self { base, clock: Clock }
    }

    /// Changes one case: relation, revision, audit, event, repeat protection are the same for every change.
    async fn change(
        &self,
        caller: Caller,
        key: data::request::Key,
        case_id: &str,
        etag: &str,
        change: impl FnOnce(&mut Case) -> Result<Option<Test>, Error> + Send,
    ) -> Result<CaseView, Error> {
        let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        // Before a repeated answer too: a relation may have ended since.
        let relations = self.relations(&mut tx, &caller, id).await?;
        let groups = classes::groups_shown(&relations);
        let act = Act {
            actor: Actor::Caller(&caller),
            rpc: key.rpc,
            groups: &groups,
            request_id: Some(key.request_id),
            on_behalf_of: None,
        };
        audit::record(&mut tx, &act, &[id]).await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            tx.commit().await?;
            return Ok(answer);
        }
        let mut case = store::lock_cases(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
        if !relations.iter().copied().any(may_record) {
            return Err(Error::Denied(text(
                "この症例を更新する権限がありません。",
                "Your relation to this case does not allow changes.",
            )));
        }
        if !etag.is_empty() && etag != case.version.to_string() {
            return Err(Error::StaleEtag);
        }
        let test = change(&mut case)?;
        case.step(self.clock.now());
        write::save_one(&mut tx, &case, &[]).await?;
        if let Some(test) = test {
            store::insert_tests(&mut tx, &[(case.id, case.test_count, test)]).await?;
        }
        let view = self.view(&mut tx, case, &relations).await?;
        once::answer(&mut tx, &self.base.vault, &key, &view).await?;
        tx.commit().await?;
        Ok(view)
    }

    /// The caller's relations to a case that are in force. Without one the case does not exist for the caller.
    async fn relations(&self, conn: &mut PgConnection, caller: &Caller, case_id: Uuid) -> Result<Vec<Relation>, Error> {
        if caller.role == Role::Patient {
            return if caller.case_id == Some(case_id) {
                Ok(vec![Relation::Patient])
            } else {
                Err(Error::NotFound("case"))
            };
        }
        let now = self.clock.now();
        let relations: Vec<Relation> = store::grants_of(conn, &[case_id])
            .await?
            .into_iter()
            .filter(|g| g.organisation_id == caller.organisation_id && g.until.is_none_or(|until| now < until))
            .map(|g| g.relation)
            .collect();
        if relations.is_empty() { Err(Error::NotFound("case")) } else { Ok(relations) }
    }

    async fn view(&self, conn: &mut PgConnection, case: Case, relations: &[Relation]) -> Result<CaseView, Error> {
        let mut views = self.views(conn, vec![(case, relations.to_vec())]).await?;
        views.pop().ok_or(Error::NotFound("case"))
    }

    /// Cases as their relations show them: one query per table, however many.
    async fn views(&self, conn: &mut PgConnection, cases: Vec<(Case, Vec<Relation>)>) -> Result<Vec<CaseView>, Error> {
        let ids: Vec<Uuid> = cases.iter().map(|(case, _)| case.id.uuid()).collect();
        let persons: HashMap<Uuid, (Uuid, Vec<u8>)> = store::persons_of(conn, &ids)
            .await?
            .into_iter()
            .map(|(case, person, sealed)| (case, (person, sealed)))
            .collect();
        let mut tests: HashMap<CaseId, Vec<Test>> = HashMap::new();
        for (case, test) in store::tests_of(conn, &ids).await? {
            tests.entry(case).or_default().push(test);
        }
        let mut notifications: HashMap<CaseId, Vec<Uuid>> = HashMap::new();
        for (case, notification) in store::notifications_of(conn, &ids).await? {
            notifications.entry(case).or_default().push(notification);
        }
        let mut grants: HashMap<CaseId, Vec<GrantRow>> = HashMap::new();
        for grant in store::grants_of(conn, &ids).await? {
            grants.entry(grant.case_id).or_default().push(grant);
        }
        cases
            .into_iter()
            .map(|(case, relations)| {
                let person = match persons.get(&case.id.uuid()) {
                    Some((id, sealed)) => Some(write::open_person(&self.base.vault, *id, sealed)?),
                    None => None,
                };
                let view = to_view(
                    &case,
                    person,
                    &tests.remove(&case.id).unwrap_or_default(),
                    &notifications.remove(&case.id).unwrap_or_default(),
                    grants.remove(&case.id).unwrap_or_default(),
                );
                classes::mask(&view, "hersys.registry.v1.Case", &relations).map_err(Error::Internal)
            })
            .collect()
    }

    async fn register(&self, caller: Caller, request: RegisterCaseRequest) -> Result<RegisterCaseResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "RegisterCase", &request.request_id, &request)?;
        let today = self.clock.today_in_japan();
        let consulted_on = optional_date("consulted_on", &request.consulted_on, today)?.unwrap_or(today);
        let (person, checked) = check_person(request.person.unwrap_or_default(), today)?;

        let place = checked.municipality;
        let prefecture = place.map_or(caller.prefecture, |m| m.prefecture());
        let centre =
            self.base.directory.centre_for(place.as_ref().map(japan::municipality::Municipality::as_str), prefecture);
        let now = self.clock.now();
        let case_id = CaseId::new();
        let (access_id, access_sealed, access_hash) = write::mint_access_id(&self.base.vault, case_id)?;

        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        let new = write::new_person(&self.base.vault, &person)?;
        store::insert_persons(&mut tx, std::slice::from_ref(&new)).await?;
        let mut case = Case::opened(case_id, new.id.into(), (access_sealed, access_hash), now);
        case.sex = Sex::try_from(person.sex).unwrap_or_default();
        case.age_band = domain::age_band(
            AgeBand::try_from(person.stated_age_band).unwrap_or_default(),
            checked.birth_date,
            consulted_on,
        );
        case.responsible_centre = centre.as_ref().map(|c| c.id);
        case.prefecture = centre.as_ref().map_or(prefecture, |c| c.prefecture);
        case.step(now);
        let mut grants = vec![write::grant(&case, caller.organisation_id, domain::relation_of_filer(caller.kind))];
        if let Some(centre) = &centre {
            grants.push(write::grant(&case, centre.id, Relation::ResponsibleCentre));
        }
        if let Some(prefecture) = self.base.directory.prefecture(case.prefecture) {
            grants.push(write::grant(&case, prefecture, Relation::Prefecture));
        }
        write::save_one(&mut tx, &case, &grants).await?;
        let act = Act {
            actor: Actor::Caller(&caller),
            rpc: key.rpc,
            groups: &[group(Group::Identity), group(Group::Contact)],
            request_id: Some(key.request_id),
            on_behalf_of: None,
        };
        audit::record(&mut tx, &act, &[case_id.uuid()]).await?;
        let answer = RegisterCaseResponse {
            case_id: case_id.to_string(),
            access_id: access_id.printed(),
            etag: "1".to_owned(),
            responsible_centre_id: centre.map(|c| c.id.to_string()).unwrap_or_default(),
        };
        once::answer(&mut tx, &self.base.vault, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn get(&self, caller: &Caller, request: &GetCaseRequest) -> Result<CaseView, Error> {
        let id = Uuid::try_parse(&request.case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        let case = store::find_cases(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
        let relations = self.relations(&mut tx, caller, id).await?;
        let view = self.view(&mut tx, case, &relations).await?;
        read_audit(&mut tx, caller, "GetCase", &relations, &[id]).await?;
        tx.commit().await?;
        Ok(view)
    }

    async fn list(&self, caller: &Caller, request: &ListCasesRequest) -> Result<ListCasesResponse, Error> {
        if caller.role == Role::Patient {
            return Err(Error::Denied(text("患者は一覧を表示できません。", "Patients see their own case only.")));
        }
        let after = page::After::parse(&request.page_token)?;
        let size = page::size(request.page_size);
        let mut tx = self.base.pool.begin().await?;
        let rows =
            store::list(&mut tx, caller.organisation_id, request.relation, request.open_only, after, size).await?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|(id, _, at)| {
            let micros = i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(0);
            page::After { micros, id: *id }.token()
        });
        let ids: Vec<Uuid> = rows.iter().map(|(id, ..)| *id).collect();
        let mut cases: HashMap<Uuid, Case> =
            store::find_cases(&mut tx, &ids).await?.into_iter().map(|case| (case.id.uuid(), case)).collect();
        let mut seen: Vec<Relation> = Vec::new();
        let listed: Vec<(Case, Vec<Relation>)> = rows
            .into_iter()
            .filter_map(|(id, relations, _)| {
                let relations: Vec<Relation> =
                    relations.into_iter().filter_map(|n| Relation::try_from(i32::from(n)).ok()).collect();
                seen.extend(&relations);
                Some((cases.remove(&id)?, relations))
            })
            .collect();
        let cases = self.views(&mut tx, listed).await?;
        seen.sort_unstable();
        seen.dedup();
        read_audit(&mut tx, caller, "ListCases", &seen, &ids).await?;
        tx.commit().await?;
        Ok(ListCasesResponse { cases, next_page_token: next.unwrap_or_default() })
    }
}

async fn read_audit(
    conn: &mut PgConnection,
    caller: &Caller,
    rpc: &'static str,
    relations: &[Relation],
    ids: &[Uuid],
) -> Result<(), Error> {
    let groups = classes::groups_shown(relations);
    let act = Act { actor: Actor::Caller(caller), rpc, groups: &groups, request_id: None, on_behalf_of: None };
    Ok(audit::record(conn, &act, ids).await?)
}

#[tonic::async_trait]
impl RegistryService for Registry {
    async fn register_case(
        &self,
        request: Request<RegisterCaseRequest>,
    ) -> Result<Response<RegisterCaseResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.register(caller, request).await }).await?))
    }

    async fn get_case(&self, request: Request<GetCaseRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.get(&caller, &request).await }).await?))
    }

    async fn list_cases(&self, request: Request<ListCasesRequest>) -> Result<Response<ListCasesResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.list(&caller, &request).await }).await?))
    }

    async fn record_test(&self, request: Request<RecordTestRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let key = once::key(&self.base.vault, &caller, "RecordTest", &request.request_id, &request)?;
        let given = request.test.unwrap_or_default();
        let test = Test {
            method: TestMethod::try_from(given.method).unwrap_or_default(),
            specimen: Specimen::try_from(given.specimen).unwrap_or_default(),
            result: TestResult::try_from(given.result).unwrap_or_default(),
            sampled_on: optional_date("test.sampled_on", &given.sampled_on, self.clock.today_in_japan())?,
        };
        let this = self.clone();
        let work = async move {
            this.change(caller, key, &request.case_id, &request.etag, |case| {
                case.take_test(&test);
                Ok(Some(test))
            })
            .await
        };
        Ok(Response::new(self.base.write(work).await?))
    }

    async fn record_placement(&self, request: Request<RecordPlacementRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let key = once::key(&self.base.vault, &caller, "RecordPlacement", &request.request_id, &request)?;
        let since = optional_date("since", &request.since, self.clock.today_in_japan())?;
        let this = self.clone();
        let work = async move {
            this.change(caller, key, &request.case_id, &request.etag, |case| {
                case.placement = Placement::try_from(request.placement).unwrap_or_default();
                case.placement_since = since;
                Ok(None)
            })
            .await
        };
        Ok(Response::new(self.base.write(work).await?))
    }

    async fn record_outcome(&self, request: Request<RecordOutcomeRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let key = once::key(&self.base.vault, &caller, "RecordOutcome", &request.request_id, &request)?;
        let date = optional_date("date", &request.date, self.clock.today_in_japan())?;
        let outcome = Outcome::try_from(request.outcome).unwrap_or_default();
        let this = self.clone();
        let work = async move {
            this.change(caller, key, &request.case_id, &request.etag, |case| {
                case.end(outcome, date).map_err(Error::Precondition)?;
                Ok(None)
            })
            .await
        };
        Ok(Response::new(self.base.write(work).await?))
    }
}

/// Relations that write clinical and administrative facts.
fn may_record(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ReceivingCentre | Relation::ResponsibleCentre | Relation::Reporter | Relation::TreatingInstitution
    ) && policy::sight(relation, Group::Clinical) == policy::Sight::Full
}

/// Checks the basic items and brings them to their stored form: dates in ISO, telephone in its normal form, names as typed.
pub(crate) fn check_person(mut given: Person, today: Date) -> Result<(Person, person::Checked), Error> {
    let typed = person::Typed {
        name_kanji: &given.name_kanji,
        name_kana: &given.name_kana,
        birth_date: &given.birth_date,
        phone: &given.phone,
        mail: &given.mail,
        municipality_code: &given.municipality_code,
        has_age_band: given.stated_age_band != 0,
    };
    let checked = person::check(&typed, today).map_err(|findings| {
        Error::Invalid(
            findings.into_iter().map(|f| Violation::new(format!("person.{}", f.field), f.ja, f.en)).collect(),
        )
    })?;
    given.birth_date = checked.birth_date.map(|date| date.to_string()).unwrap_or_default();
    given.phone.clone_from(&checked.phone);
    Ok((given, checked))
}

fn optional_date(field: &str, value: &str, today: Date) -> Result<Option<Date>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    match date::parse(value) {
        Ok(date) if date > today => Err(Error::invalid(field, "未来の日付です", "lies in the future")),
        Ok(date) => Ok(Some(date)),
        Err(why) => Err(Error::invalid(field, "日付が正しくありません（例: 2020-05-13、R2.5.13）", why)),
    }
}

fn to_view(
    case: &Case,
    person: Option<Person>,
    tests: &[Test],
    notifications: &[Uuid],
    grants: Vec<GrantRow>,
) -> CaseView {
    let day = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
    CaseView {
        case_id: case.id.to_string(),
        etag: case.version.to_string(),
        person,
        diagnosis_class: case.diagnosis_class.into(),
        report_date: day(case.report_date),
        onset_date: day(case.onset_date),
        diagnosis_date: day(case.diagnosis_date),
        placement: case.placement.into(),
        outcome: case.outcome.into(),
        outcome_date: day(case.outcome_date),
        tests: tests
            .iter()
            .map(|test| TestView {
                method: test.method.into(),
                specimen: test.specimen.into(),
                result: test.result.into(),
                sampled_on: day(test.sampled_on),
            })
            .collect(),
        notification_ids: notifications.iter().map(Uuid::to_string).collect(),
        grants: grants.into_iter().map(Grant::from).collect(),
        created_at: Some(to_proto(case.created_at)),
        updated_at: Some(to_proto(case.updated_at)),
    }
}

/// A field group as the audit trail keeps it.
pub(crate) fn group(group: Group) -> i16 {
    i16::try_from(i32::from(group)).unwrap_or(0)
}
