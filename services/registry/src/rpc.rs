//! The RPCs of the registry.

use std::collections::HashMap;

use access::{
    Caller, Door, Relations,
    audit::{self, Act, Actor},
    cases, classes,
};
use chassis::{Base, Error, behalf, once, page};
use japan::person;
use proto::{
    identity::Role,
    options::Group,
    registry::{
        AcceptTransferRequest, AgeBand, BreakGlassRequest, Case as CaseView, CaseRole, DeclineTransferRequest,
        GetCaseRequest, JudgeAdmissionRequest, ListBreakGlassRequest, ListBreakGlassResponse, ListCasesRequest,
        ListCasesResponse, OfferTransferRequest, Person, Placement, RecordOutcomeRequest, RecordPlacementRequest,
        RecordSeverityRequest, RecordTestRequest, ReferCaseRequest, RegisterCaseRequest, RegisterCaseResponse,
        ReissueAccessRequest, ReissueAccessResponse, Relation, Sex, UpdatePersonRequest,
        registry_service_server::RegistryService,
    },
};
use runtime::{
    Clock,
    problem::{Violation, text},
};
use sqlx::PgConnection;
use time::Date;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    change::optional_date,
    domain::{self, Case, CaseId},
    store, write,
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

    /// The caller's relations to a case that are in force. Without one the case does not exist for the caller.
    pub(crate) async fn relations(
        &self,
        conn: &mut PgConnection,
        caller: &Caller,
        case_id: Uuid,
    ) -> Result<Relations, Error> {
        let grants = store::grants_of(conn, &[case_id]).await?;
        let entrusted = !self.base.directory.entrusted_to(caller.organisation_id, self.clock.now()).is_empty();
        let resident = if caller.role == Role::LodgingOfficer || entrusted {
            let case = store::find_cases(conn, &[case_id]).await?.pop();
            case.is_some_and(|case| case.placement == Placement::Lodging)
        } else {
            false
        };
        let grants = grants.into_iter().map(|grant| (grant.organisation_id, grant.relation, grant.until));
        let held = cases::held(case_id, grants, caller, &self.base.directory, resident, self.clock.now());
        if held.is_empty() { Err(Error::NotFound("case")) } else { Ok(held) }
    }

    async fn register(&self, caller: Caller, request: RegisterCaseRequest) -> Result<RegisterCaseResponse, Error> {
        let key = once::key(&self.base.vault, &caller, "RegisterCase", &request.request_id, &request)?;
        let today = self.clock.today_in_japan();
        let consulted_on = optional_date("consulted_on", &request.consulted_on, today)?.unwrap_or(today);
        let (person, checked) = check_person(request.person.unwrap_or_default(), today)?;
        let role = CaseRole::try_from(request.role).unwrap_or_default();
        let last_contact_on = optional_date("last_contact_on", &request.last_contact_on, today)?;
        if role == CaseRole::CloseContact && last_contact_on.is_none() {
            return Err(Error::invalid(
                "last_contact_on",
                "濃厚接触者には最終接触日が必要です",
                "is required of a close contact",
            ));
        }
        let index_case_id = match request.index_case_id.as_str() {
            "" => None,
            id => Some(Uuid::try_parse(id).map_err(|_| Error::NotFound("case"))?),
        };
        let on_behalf_of = behalf::of(&self.base.directory, &caller, &request.on_behalf_of_id)?;

        let place = checked.municipality;
        let prefecture = place.map_or(caller.prefecture, |m| m.prefecture());
        let now = self.clock.now();
        let centre = self.base.directory.centre_for(
            place.as_ref().map(japan::municipality::Municipality::as_str),
            prefecture,
            now,
        );
        let case_id = CaseId::new();
        let (access_id, access_sealed, access_hash) = write::mint_access_id(&self.base.vault, case_id)?;

        let mut tx = self.base.pool.begin().await?;
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            return Ok(answer);
        }
        if let Some(index) = index_case_id {
            // Whoever names a case must be one of those who know it.
            self.relations(&mut tx, &caller, index).await?;
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
        if role != CaseRole::Unspecified {
            case.role = role;
        }
        (case.index_case_id, case.last_contact_on) = (index_case_id, last_contact_on);
        case.step(now);
        let mut grants = vec![write::grant(&case, caller.organisation_id, domain::relation_of_filer(caller.kind))];
        if let Some(institution) = on_behalf_of {
            grants.push(write::grant(&case, institution, Relation::Reporter));
        }
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
            on_behalf_of,
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
        if caller.is_citizen() {
            return Err(Error::Denied(text("患者は一覧を表示できません。", "Patients see their own case only.")));
        }
        let whose = self.base.whose(caller, &request.for_organisation_id, self.clock.now())?;
        let after = page::After::parse(&request.page_token)?;
        let size = page::size(request.page_size);
        let mut tx = self.base.pool.begin().await?;
        let rows = store::list(&mut tx, whose, request.relation, request.open_only, after, size).await?;
        let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|(id, _, at)| {
            let micros = i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(0);
            page::After { micros, id: *id }.token()
        });
        let ids: Vec<Uuid> = rows.iter().map(|(id, ..)| *id).collect();
        let mut cases: HashMap<Uuid, Case> =
            store::find_cases(&mut tx, &ids).await?.into_iter().map(|case| (case.id.uuid(), case)).collect();
        let mut seen: Vec<Relation> = Vec::new();
        let now = self.clock.now();
        let listed: Vec<(Case, Relations)> = rows
            .into_iter()
            .filter_map(|(id, relations, _)| {
                let case = cases.remove(&id)?;
                let grants =
                    relations.into_iter().filter_map(|n| Some((whose, Relation::try_from(i32::from(n)).ok()?, None)));
                let resident = case.placement == Placement::Lodging;
                let relations = cases::held(id, grants, caller, &self.base.directory, resident, now);
                seen.extend(relations.iter().copied());
                (!relations.is_empty()).then_some((case, relations))
            })
            .collect();
        let cases = self.views(&mut tx, listed).await?;
        seen.sort_unstable();
        seen.dedup();
        read_audit(&mut tx, caller, "ListCases", &Relations::new(seen, caller), &ids).await?;
        tx.commit().await?;
        Ok(ListCasesResponse { cases, next_page_token: next.unwrap_or_default() })
    }
}

/// One audit row per case shown.
pub(crate) async fn read_audit(
    conn: &mut PgConnection,
    caller: &Caller,
    rpc: &'static str,
    relations: &Relations,
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
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.add_test(caller, request).await }).await?))
    }

    async fn record_placement(&self, request: Request<RecordPlacementRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.place(caller, request).await }).await?))
    }

    async fn record_outcome(&self, request: Request<RecordOutcomeRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.end(caller, request).await }).await?))
    }

    async fn record_severity(&self, request: Request<RecordSeverityRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.add_state(caller, request).await }).await?))
    }

    async fn judge_admission(&self, request: Request<JudgeAdmissionRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.judge(caller, request).await }).await?))
    }

    async fn update_person(&self, request: Request<UpdatePersonRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.correct(caller, request).await }).await?))
    }

    async fn refer_case(&self, request: Request<ReferCaseRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.refer(caller, request).await }).await?))
    }

    async fn offer_transfer(&self, request: Request<OfferTransferRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.offer_transfer(caller, request).await }).await?))
    }

    async fn accept_transfer(&self, request: Request<AcceptTransferRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.accept_transfer(caller, request).await }).await?))
    }

    async fn break_glass(&self, request: Request<BreakGlassRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.break_glass(caller, request).await }).await?))
    }

    async fn list_break_glass(
        &self,
        request: Request<ListBreakGlassRequest>,
    ) -> Result<Response<ListBreakGlassResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.list_break_glass(&caller, &request).await }).await?))
    }

    async fn reissue_access(
        &self,
        request: Request<ReissueAccessRequest>,
    ) -> Result<Response<ReissueAccessResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.reissue_access(caller, request).await }).await?))
    }

    async fn decline_transfer(&self, request: Request<DeclineTransferRequest>) -> Result<Response<CaseView>, Status> {
        let (caller, request) = Door::enter(request)?;
        let this = self.clone();
        Ok(Response::new(self.base.write(async move { this.decline_transfer(caller, request).await }).await?))
    }
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

/// A field group as the audit trail keeps it.
pub(crate) fn group(group: Group) -> i16 {
    i16::try_from(i32::from(group)).unwrap_or(0)
}
