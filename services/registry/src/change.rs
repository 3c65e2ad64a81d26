//! Changes of one case: relation, revision, audit, event and repeat protection are the same for every one of them.

use access::{
    Caller, Relations,
    audit::{self, Act, Actor},
    classes, policy,
};
use chassis::{Error, once};
use japan::date;
use prost::Name;
use proto::{
    identity::OrganisationKind as Kind,
    options::Group,
    registry::{
        AdmissionNecessity, AgeBand, Case as CaseView, JudgeAdmissionRequest, Outcome, Person, PersonCorrected,
        Placement, RecordOutcomeRequest, RecordPlacementRequest, RecordSeverityRequest, RecordTestRequest, Relation,
        Severity, Specimen, TestMethod, TestResult, UpdatePersonRequest,
    },
};
use runtime::problem::{Violation, text};
use sqlx::{Postgres, Transaction};
use time::Date;
use uuid::Uuid;

use crate::{
    domain::{self, Case, ClinicalState, Stay, Test},
    history,
    rpc::{Registry, check_person},
    store::{self, GrantRow},
    write,
};

/// A change under way: the case is locked, the caller's relations are known, the audit row is written.
pub(crate) struct Change {
    pub tx: Transaction<'static, Postgres>,
    pub case: Case,
    pub relations: Relations,
    pub grants: Vec<GrantRow>,
    pub caller: Caller,
    key: data::request::Key,
}

/// A change begins, or was made before.
pub(crate) enum Begun {
    Now(Box<Change>),
    Before(Box<CaseView>),
}

impl Change {
    /// Goes on only where one of the caller's relations may.
    pub(crate) fn must(&self, may: impl Fn(Relation) -> bool) -> Result<(), Error> {
        if self.relations.iter().copied().any(may) {
            return Ok(());
        }
        Err(denied())
    }

    /// Adds a relation, or ends it.
    pub(crate) fn grant(&mut self, organisation: Uuid, relation: Relation) {
        self.grants.push(write::grant(&self.case, organisation, relation));
    }

    /// Ends a relation with this change.
    pub(crate) fn end_grant(&mut self, organisation: Uuid, relation: Relation) {
        let until = Some(self.case.updated_at);
        self.grants.push(GrantRow { until, ..write::grant(&self.case, organisation, relation) });
    }
}

impl Registry {
    /// Opens a change. The case already carries its next version.
    pub(crate) async fn begin(
        &self,
        caller: Caller,
        key: data::request::Key,
        (case_id, etag): (&str, &str),
        request: &impl Name,
    ) -> Result<Begun, Error> {
        let id = Uuid::try_parse(case_id).map_err(|_| Error::NotFound("case"))?;
        let mut tx = self.base.pool.begin().await?;
        // Locked first: a hand-over that commits while this waits has ended the relation it would have gone on with.
        let mut case = store::lock_cases(&mut tx, &[id]).await?.pop().ok_or(Error::NotFound("case"))?;
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
        if !classes::writes_anything(&relations) {
            return Err(denied());
        }
        let refused = classes::unwritable(request, &relations);
        if !refused.is_empty() {
            return Err(Error::Invalid(refused));
        }
        if let Some(answer) = once::claim(&mut tx, &self.base.vault, &key).await? {
            tx.commit().await?;
            return Ok(Begun::Before(Box::new(answer)));
        }
        if !etag.is_empty() && etag != case.version.to_string() {
            return Err(Error::StaleEtag);
        }
        case.step(self.clock.now());
        Ok(Begun::Now(Box::new(Change { tx, case, relations, grants: Vec::new(), caller, key })))
    }

    /// Stores and announces a change, and answers with the case as the caller may see it now.
    pub(crate) async fn finish(&self, change: Change) -> Result<CaseView, Error> {
        let Change { mut tx, case, relations, grants, key, .. } = change;
        write::save_one(&mut tx, &case, &grants).await?;
        let view = self.view(&mut tx, case, &relations).await?;
        once::answer(&mut tx, &self.base.vault, &key, &view).await?;
        tx.commit().await?;
        Ok(view)
    }

    pub(crate) async fn add_test(&self, caller: Caller, request: RecordTestRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordTest", &request.request_id, &request)?;
        let given = request.test.clone().unwrap_or_default();
        let test = Test {
            method: TestMethod::try_from(given.method).unwrap_or_default(),
            specimen: Specimen::try_from(given.specimen).unwrap_or_default(),
            result: TestResult::try_from(given.result).unwrap_or_default(),
            sampled_on: optional_date("test.sampled_on", &given.sampled_on, self.clock.today_in_japan())?,
        };
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(may_record)?;
        change.case.take_test(&test);
        let (id, number) = (change.case.id, change.case.test_count);
        store::insert_tests(&mut change.tx, &[(id, number, test)]).await?;
        self.finish(*change).await
    }

    pub(crate) async fn place(&self, caller: Caller, request: RecordPlacementRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordPlacement", &request.request_id, &request)?;
        let stay = Stay {
            placement: Placement::try_from(request.placement).unwrap_or_default(),
            since: required_date("since", &request.since, self.clock.today_in_japan())?,
            facility_id: self.facility(&request.facility_id)?,
        };
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(may_record)?;
        change.case.place(&stay);
        let id = change.case.id;
        history::add_stay(&mut change.tx, id, &stay).await?;
        self.finish(*change).await
    }

    pub(crate) async fn add_state(&self, caller: Caller, request: RecordSeverityRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordSeverity", &request.request_id, &request)?;
        let given = request.state.clone().unwrap_or_default();
        let state = ClinicalState {
            on: required_date("state.on", &given.on, self.clock.today_in_japan())?,
            severity: Severity::try_from(given.severity).unwrap_or_default(),
            icu: given.icu,
            ventilator: given.ventilator,
            ecmo: given.ecmo,
        };
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(may_record)?;
        let id = change.case.id;
        let latest = history::states_of(&mut change.tx, &[id.uuid()]).await?.iter().map(|(_, state)| state.on).max();
        change.case.take_state(&state, latest).map_err(Error::Precondition)?;
        history::add_state(&mut change.tx, id, &state).await?;
        self.finish(*change).await
    }

    pub(crate) async fn judge(&self, caller: Caller, request: JudgeAdmissionRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "JudgeAdmission", &request.request_id, &request)?;
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(may_record)?;
        change.case.admission_necessity = AdmissionNecessity::try_from(request.necessity).unwrap_or_default();
        self.finish(*change).await
    }

    pub(crate) async fn end(&self, caller: Caller, request: RecordOutcomeRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "RecordOutcome", &request.request_id, &request)?;
        let date = optional_date("date", &request.date, self.clock.today_in_japan())?;
        let outcome = Outcome::try_from(request.outcome).unwrap_or_default();
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(may_record)?;
        change.case.end(outcome, date).map_err(Error::Precondition)?;
        self.finish(*change).await
    }

    /// Corrects basic items. What is not named in the mask stays as it is.
    pub(crate) async fn correct(&self, caller: Caller, request: UpdatePersonRequest) -> Result<CaseView, Error> {
        let key = once::key(&self.base.vault, &caller, "UpdatePerson", &request.request_id, &request)?;
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        let given = request.person.clone().unwrap_or_default();
        let mut change = match self.begin(caller, key, (&request.case_id, &request.etag), &request).await? {
            Begun::Now(change) => change,
            Begun::Before(view) => return Ok(*view),
        };
        change.must(|relation| may_record(relation) && relation != Relation::TreatingInstitution)?;
        let id = change.case.id.uuid();
        let rows = store::persons_of(&mut change.tx, &[id]).await?;
        let (_, person_id, sealed) = rows.into_iter().next().ok_or(Error::NotFound("case"))?;
        let held = write::open_person(&self.base.vault, person_id, &sealed)?;
        let today = self.clock.today_in_japan();
        let (person, checked) = check_person(masked(held, &given, &paths)?, today)?;
        write::replace_person(&mut change.tx, &self.base.vault, person_id, &person).await?;
        let on = change.case.diagnosis_date.or(change.case.report_date).unwrap_or(today);
        let stated = AgeBand::try_from(person.stated_age_band).unwrap_or_default();
        change.case.age_band = domain::age_band(stated, checked.birth_date, on);
        change.case.sex = proto::registry::Sex::try_from(person.sex).unwrap_or_default();
        data::outbox::add(&mut change.tx, "person.corrected", &PersonCorrected { case_id: id.to_string() }).await?;
        self.finish(*change).await
    }

    /// A hospital or lodging of the directory; empty where none is given.
    fn facility(&self, id: &str) -> Result<Option<Uuid>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        self.organisation("facility_id", id, |kind| matches!(kind, Kind::Hospital | Kind::LodgingFacility)).map(Some)
    }
}

fn denied() -> Error {
    Error::Denied(text(
        "この症例に対してこの操作を行う権限がありません。",
        "Your relation to this case does not allow this.",
    ))
}

/// The held person with the items of the mask replaced.
fn masked(mut held: Person, given: &Person, paths: &[String]) -> Result<Person, Error> {
    if paths.is_empty() {
        return Err(Error::invalid("update_mask", "更新する項目を指定してください", "must name at least one item"));
    }
    for path in paths {
        match path.as_str() {
            "name_kanji" => held.name_kanji.clone_from(&given.name_kanji),
            "name_kana" => held.name_kana.clone_from(&given.name_kana),
            "birth_date" => held.birth_date.clone_from(&given.birth_date),
            "sex" => held.sex = given.sex,
            "address" => held.address.clone_from(&given.address),
            "phone" => held.phone.clone_from(&given.phone),
            "mail" => held.mail.clone_from(&given.mail),
            "municipality_code" => held.municipality_code.clone_from(&given.municipality_code),
            "stated_age_band" => held.stated_age_band = given.stated_age_band,
            _ => {
                return Err(Error::Invalid(vec![Violation::new(
                    "update_mask",
                    "基本情報にない項目です",
                    "names an item that is not one of the basic items",
                )]));
            }
        }
    }
    Ok(held)
}

/// Relations that write clinical and administrative facts.
pub(crate) fn may_record(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ReceivingCentre | Relation::ResponsibleCentre | Relation::Reporter | Relation::TreatingInstitution
    ) && policy::sight(relation, Group::Clinical) == policy::Sight::Full
}

/// A date that may be missing.
pub(crate) fn optional_date(field: &str, value: &str, today: Date) -> Result<Option<Date>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    match date::parse(value) {
        Ok(date) if date > today => Err(Error::invalid(field, "未来の日付です", "lies in the future")),
        Ok(date) => Ok(Some(date)),
        Err(why) => Err(Error::invalid(field, "日付が正しくありません（例: 2020-05-13、R2.5.13）", why)),
    }
}

fn required_date(field: &str, value: &str, today: Date) -> Result<Date, Error> {
    optional_date(field, value, today)?.ok_or_else(|| Error::invalid(field, "必須です", "is required"))
}
