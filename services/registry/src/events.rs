//! What the registry hears: a notification was filed, so there is a person and a case; it was forwarded, so another centre
//! is responsible.

use std::collections::HashMap;

use access::{
    Directory,
    audit::{self, Act, Actor},
    classes,
};
use async_trait::async_trait;
use chassis::{Base, Error};
use data::{Event, Failure, Projection};
use japan::date;
use proto::{
    notification::{
        BatchGetFormsRequest, Form, NotificationFiled, NotificationForwarded,
        notification_internal_service_client::NotificationInternalServiceClient,
    },
    registry::{AgeBand, DiagnosisClass, Person, Relation, Sex, Specimen, TestMethod, TestResult},
};
use runtime::{Clock, mesh::Channel};
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;
use vault::Vault;

use crate::{
    domain::{self, Case, CaseId, Notified, PersonId, Test},
    store::{self, GrantRow, NewPerson},
    write::{self, Version},
};

/// Hears notification.
pub(crate) struct Hears {
    vault: Vault,
    directory: Directory,
    clock: Clock,
    notification: NotificationInternalServiceClient<Channel>,
}

impl Hears {
    pub(crate) fn new(base: &Base) -> anyhow::Result<Self> {
        let notification =
            NotificationInternalServiceClient::new(base.channel("notification")?).max_decoding_message_size(16 << 20);
        Ok(Self { vault: base.vault.clone(), directory: base.directory.clone(), clock: Clock, notification })
    }
}

/// A filed notification with its form.
struct Filing {
    notification_id: Uuid,
    reporter: Uuid,
    centre: Uuid,
    case_id: Option<Uuid>,
    /// The trace of the filing, carried on by what the registry announces.
    traceparent: String,
    form: Form,
    person: Person,
    index: Option<Vec<u8>>,
}

#[async_trait]
impl Projection for Hears {
    type Fetched = HashMap<String, Form>;

    fn source(&self) -> &'static str {
        "notification"
    }

    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure> {
        let mut notification_ids = Vec::new();
        for event in events.iter().filter(|event| event.r#type == "notification.filed") {
            notification_ids.push(event.decode::<NotificationFiled>()?.notification_id);
        }
        if notification_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let request = BatchGetFormsRequest { notification_ids };
        let forms = self.notification.clone().batch_get_forms(request).await?.into_inner().forms;
        Ok(forms.into_iter().filter_map(|filed| Some((filed.notification_id, filed.form?))).collect())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], forms: &Self::Fetched) -> Result<(), Failure> {
        let mut filings = Vec::new();
        for event in events {
            match event.r#type.as_str() {
                "notification.filed" => filings.push(self.filing(event, forms)?),
                "notification.forwarded" => {
                    // In the order of the log: what was filed before must be there.
                    self.take_filings(tx, &std::mem::take(&mut filings)).await?;
                    self.take_forward(tx, &event.decode()?).await?;
                }
                _ => {}
            }
        }
        self.take_filings(tx, &filings).await
    }

    /// Persons and cases are the registry's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}

impl Hears {
    fn filing(&self, event: &Event, forms: &HashMap<String, Form>) -> Result<Filing, Failure> {
        let malformed = |what: &str| Failure::Dead(format!("{what} is malformed"));
        let filed: NotificationFiled = event.decode()?;
        let form = forms
            .get(&filed.notification_id)
            .cloned()
            .ok_or_else(|| Failure::Dead("notification has no form that can be read".to_owned()))?;
        let subject = form.subject.clone().unwrap_or_default();
        let person = Person {
            name_kanji: subject.name_kanji,
            name_kana: subject.name_kana,
            birth_date: subject.birth_date,
            sex: subject.sex,
            address: if subject.address.is_empty() { subject.whereabouts } else { subject.address },
            phone: subject.phone,
            mail: subject.mail,
            municipality_code: subject.whereabouts_code,
            stated_age_band: subject.stated_age_band,
        };
        Ok(Filing {
            notification_id: Uuid::try_parse(&filed.notification_id).map_err(|_| malformed("notification_id"))?,
            reporter: Uuid::try_parse(&filed.reporter_id).map_err(|_| malformed("reporter_id"))?,
            centre: Uuid::try_parse(&filed.receiving_centre_id).map_err(|_| malformed("receiving_centre_id"))?,
            case_id: Uuid::try_parse(&filed.case_id).ok(),
            traceparent: event.traceparent.clone(),
            index: write::match_index(&self.vault, &person),
            form,
            person,
        })
    }

    /// Many filings with a fixed number of statements.
    async fn take_filings(&self, tx: &mut PgConnection, filings: &[Filing]) -> Result<(), Failure> {
        if filings.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut work = Work::load(tx, filings).await?;
        for filing in filings {
            self.take_filing(&mut work, filing, now)?;
        }
        store::insert_persons(tx, &work.persons).await?;
        let last: Vec<Case> = work.touched.iter().filter_map(|id| work.cases.get(id).cloned()).collect();
        write::save_and_announce(tx, &last, &work.versions, &work.grants).await.map_err(failure)?;
        store::insert_tests(tx, &work.tests).await?;
        store::link_notifications(tx, &work.links).await?;
        let touched: Vec<Uuid> = work.touched.iter().copied().map(CaseId::uuid).collect();
        audit_heard(tx, "notification.filed", &touched).await
    }

    fn take_filing(&self, work: &mut Work, filing: &Filing, now: OffsetDateTime) -> Result<(), Failure> {
        let report_date = day(&filing.form.report_date)?
            .ok_or_else(|| Failure::Dead("the form carries no report date".to_owned()))?;
        let findings = filing.form.findings.clone().unwrap_or_default();
        let diagnosis_date = day(&findings.diagnosed_on)?;
        // A moment behind on the directory is no reason to count a case nowhere.
        let unknown = || Failure::Retry("the directory does not know an organisation yet".to_owned());
        let centre = self.directory.get(filing.centre).ok_or_else(unknown)?;
        let filer = self.directory.get(filing.reporter).ok_or_else(unknown)?;
        let notified = Notified {
            diagnosis_class: DiagnosisClass::try_from(filing.form.diagnosis_class).unwrap_or_default(),
            report_date,
            onset_date: day(&findings.onset_on)?,
            diagnosis_date,
            died_on: day(&findings.died_on)?,
            sex: Sex::try_from(filing.person.sex).unwrap_or_default(),
            age_band: domain::age_band(
                AgeBand::try_from(filing.person.stated_age_band).unwrap_or_default(),
                day(&filing.person.birth_date)?,
                diagnosis_date.unwrap_or(report_date),
            ),
            receiving_centre: filing.centre,
            prefecture: centre.prefecture,
        };

        let case_id = match work.find(filing) {
            Some(id) => id,
            None => self.open_case(work, filing, now)?,
        };
        let Some(case) = work.cases.get_mut(&case_id) else {
            return Err(Failure::Retry("the case vanished".to_owned()));
        };
        let is_new = case.version == 0;
        case.take_notification(&notified);
        for diagnosis in &findings.diagnoses {
            let test = Test {
                method: TestMethod::try_from(diagnosis.method).unwrap_or_default(),
                specimen: Specimen::try_from(diagnosis.specimen).unwrap_or_default(),
                result: TestResult::try_from(diagnosis.result).unwrap_or_default(),
                sampled_on: day(&diagnosis.sampled_on)?,
            };
            // The test site may have recorded the same test already.
            let known = work.known_tests.entry(case_id).or_default();
            if !known.contains(&test) {
                known.push(test);
                case.take_test(&test);
                work.tests.push((case_id, case.test_count, test));
            }
        }
        case.step(if is_new { case.created_at } else { now });
        work.grants.push(write::grant(case, filing.centre, Relation::ReceivingCentre));
        let relation = domain::relation_of_filer(filer.kind);
        work.grants.push(write::grant(case, filing.reporter, relation));
        if let Some(prefecture) = self.directory.prefecture(case.prefecture) {
            work.grants.push(write::grant(case, prefecture, Relation::Prefecture));
        }
        work.versions.push(Version { case: case.clone(), traceparent: filing.traceparent.clone() });
        if !work.touched.contains(&case_id) {
            work.touched.push(case_id);
        }
        work.links.push((filing.notification_id, case_id));
        Ok(())
    }

    fn open_case(&self, work: &mut Work, filing: &Filing, now: OffsetDateTime) -> Result<CaseId, Failure> {
        let new = write::new_person(&self.vault, &filing.person).map_err(failure)?;
        let person_id = PersonId::from(new.id);
        work.persons.push(new);
        let id = CaseId::new();
        let (_, access_sealed, access_hash) = write::mint_access_id(&self.vault, id).map_err(failure)?;
        let case = Case::opened(id, person_id, (access_sealed, access_hash), now);
        if let Some(index) = &filing.index {
            work.open.insert(index.clone(), id);
        }
        work.cases.insert(id, case);
        Ok(id)
    }

    async fn take_forward(&self, tx: &mut PgConnection, forwarded: &NotificationForwarded) -> Result<(), Failure> {
        let id = |text: &str| Uuid::try_parse(text).map_err(|_| Failure::Dead("carries a malformed id".to_owned()));
        let (from, to) = (id(&forwarded.from_centre_id)?, id(&forwarded.to_centre_id)?);
        let case_id = store::case_of_notification(tx, id(&forwarded.notification_id)?)
            .await?
            .ok_or_else(|| Failure::Dead("belongs to no case".to_owned()))?;
        let mut case = store::lock_cases(tx, &[case_id])
            .await?
            .pop()
            .ok_or_else(|| Failure::Dead("belongs to no case".to_owned()))?;
        case.responsible_centre = Some(to);
        let centre = self
            .directory
            .get(to)
            .ok_or_else(|| Failure::Retry("the directory does not know an organisation yet".to_owned()))?;
        // Counted where it belongs: the centre that was wrongly addressed never was its receiving centre. One that
        // received another notification of the case before stays.
        if case.receiving_centre == Some(from) {
            case.receiving_centre = Some(to);
            case.prefecture = centre.prefecture;
        }
        case.step(self.clock.now());
        let ended = |relation| GrantRow { until: Some(case.updated_at), ..write::grant(&case, from, relation) };
        let mut grants = vec![
            ended(Relation::ReceivingCentre),
            write::grant(&case, from, Relation::FormerCentre),
            write::grant(&case, to, Relation::ReceivingCentre),
            write::grant(&case, to, Relation::ResponsibleCentre),
        ];
        let held = store::grants_of(tx, &[case_id]).await?;
        if held.iter().any(|g| g.organisation_id == from && g.relation == Relation::ResponsibleCentre) {
            grants.push(ended(Relation::ResponsibleCentre));
        }
        if let Some(prefecture) = self.directory.prefecture(case.prefecture) {
            grants.push(write::grant(&case, prefecture, Relation::Prefecture));
        }
        write::save_one(tx, &case, &grants).await.map_err(failure)?;
        audit_heard(tx, "notification.forwarded", &[case_id]).await
    }
}

/// What a batch of filings reads and will write.
struct Work {
    cases: HashMap<CaseId, Case>,
    /// By blind index: the person's open case.
    open: HashMap<Vec<u8>, CaseId>,
    /// Organisations with a relation, by case.
    known_to: HashMap<CaseId, Vec<Uuid>>,
    known_tests: HashMap<CaseId, Vec<Test>>,
    persons: Vec<NewPerson>,
    touched: Vec<CaseId>,
    versions: Vec<Version>,
    tests: Vec<(CaseId, i32, Test)>,
    grants: Vec<GrantRow>,
    links: Vec<(Uuid, CaseId)>,
}

impl Work {
    async fn load(tx: &mut PgConnection, filings: &[Filing]) -> Result<Self, Failure> {
        let indexes: Vec<Vec<u8>> = filings.iter().filter_map(|filing| filing.index.clone()).collect();
        let open: HashMap<Vec<u8>, CaseId> =
            store::match_cases(tx, &indexes).await?.into_iter().map(|(index, case)| (index, case.into())).collect();
        let named = filings.iter().filter_map(|filing| filing.case_id);
        let mut ids: Vec<Uuid> = named.chain(open.values().copied().map(CaseId::uuid)).collect();
        ids.sort_unstable();
        ids.dedup();
        let cases = store::lock_cases(tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
        let mut known_to: HashMap<CaseId, Vec<Uuid>> = HashMap::new();
        for grant in store::grants_of(tx, &ids).await? {
            known_to.entry(grant.case_id).or_default().push(grant.organisation_id);
        }
        let mut known_tests: HashMap<CaseId, Vec<Test>> = HashMap::new();
        for (case, test) in store::tests_of(tx, &ids).await? {
            known_tests.entry(case).or_default().push(test);
        }
        Ok(Self {
            cases,
            open,
            known_to,
            known_tests,
            persons: Vec::new(),
            touched: Vec::new(),
            versions: Vec::new(),
            tests: Vec::new(),
            grants: Vec::new(),
            links: Vec::new(),
        })
    }

    /// The case a filing belongs to: the one it names, if the filer has a relation to it; else the person's open one.
    fn find(&self, filing: &Filing) -> Option<CaseId> {
        let named = filing.case_id.map(CaseId::from).filter(|id| {
            self.cases.contains_key(id) && self.known_to.get(id).is_some_and(|known| known.contains(&filing.reporter))
        });
        let matched = || {
            let id = self.open.get(filing.index.as_ref()?)?;
            self.cases.get(id).is_some_and(Case::is_open).then_some(*id)
        };
        named.or_else(matched)
    }
}

/// One audit row per case that an event changed, in the transaction of the change.
async fn audit_heard(tx: &mut PgConnection, event: &'static str, cases: &[Uuid]) -> Result<(), Failure> {
    let groups = classes::groups_shown(&vec![Relation::ReceivingCentre].into());
    let actor = Actor::Service("notification");
    let act = Act { actor, rpc: event, groups: &groups, request_id: None, on_behalf_of: None };
    Ok(audit::record(tx, &act, cases).await?)
}

/// A stored date; notification has brought it to ISO before.
fn day(text: &str) -> Result<Option<Date>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    date::parse(text).map(Some).map_err(|_| Failure::Dead("the form carries an impossible date".to_owned()))
}

pub(crate) fn failure(error: Error) -> Failure {
    match error {
        Error::Database(error) => Failure::Database(error),
        other => Failure::Retry(other.to_string()),
    }
}
