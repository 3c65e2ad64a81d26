//! A batch of filings at work: what it reads and what it will write, a fixed number of statements however many there are.

use std::collections::HashMap;

use access::{CaseId, Directory};
use data::{Failure, outbox};
use japan::date;
use proto::registry::{FilingDoubt, FilingToCheck, Person, Relation};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use vault::Vault;

use super::{
    model::{self, CheckId, Filing, NotificationId, Notified},
    store,
};
use crate::{
    access_id,
    case::{self, Case, Grant, Version},
    course::{self, Test},
    person::{self, SealedPerson},
};

#[derive(Default)]
pub(super) struct Work {
    cases: HashMap<CaseId, Case>,
    /// By blind index: the person's open case.
    open: HashMap<Vec<u8>, CaseId>,
    /// Relations by case, those that ended too.
    held: HashMap<CaseId, Vec<Grant>>,
    /// The persons of the cases that filers named.
    named: HashMap<CaseId, Person>,
    known_tests: HashMap<CaseId, Vec<Test>>,
    persons: Vec<SealedPerson>,
    touched: Vec<CaseId>,
    versions: Vec<Version>,
    tests: Vec<(CaseId, i32, Test)>,
    grants: Vec<Grant>,
    links: Vec<(NotificationId, CaseId)>,
    checks: Vec<FilingToCheck>,
}

impl Work {
    pub(super) async fn load(tx: &mut PgConnection, vault: &Vault, filings: &[Filing]) -> Result<Self, Failure> {
        let indexes: Vec<Vec<u8>> = filings.iter().filter_map(|filing| filing.index.clone()).collect();
        let open: HashMap<Vec<u8>, CaseId> = store::open_cases(tx, &indexes).await?.into_iter().collect();
        let named: Vec<CaseId> = filings.iter().filter_map(|filing| filing.case_id).collect();
        let mut ids: Vec<CaseId> = named.iter().chain(open.values()).copied().collect();
        ids.sort_unstable();
        ids.dedup();

        let cases = case::lock_all(tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
        let mut held: HashMap<CaseId, Vec<Grant>> = HashMap::new();
        for grant in case::grants_of(tx, &ids).await? {
            held.entry(grant.case_id).or_default().push(grant);
        }
        let persons = if named.is_empty() { Vec::new() } else { person::of_cases(tx, &named).await? };
        let named = persons
            .into_iter()
            .map(|(id, sealed)| Ok((id, person::open(vault, &sealed).map_err(case::failure)?)))
            .collect::<Result<_, Failure>>()?;
        let mut known_tests: HashMap<CaseId, Vec<Test>> = HashMap::new();
        for (case, test) in course::tests_of(tx, &ids).await? {
            known_tests.entry(case).or_default().push(test);
        }
        Ok(Self { cases, open, held, named, known_tests, ..Self::default() })
    }

    /// Takes one filing into account: its case, found or opened, goes one version on.
    pub(super) fn take(
        &mut self,
        vault: &Vault,
        directory: &Directory,
        filing: &Filing,
        now: OffsetDateTime,
    ) -> Result<(), Failure> {
        // A moment behind on the directory is no reason to count a case nowhere.
        let centre = directory.get(filing.centre).ok_or_else(unknown)?;
        let filer = directory.get(filing.reporter).ok_or_else(unknown)?;
        let notified = notified(filing, centre.prefecture)?;
        let tests = tests(filing)?;

        let named = filing.case_id.map(|id| self.named(id, filing, now));
        let mut doubt = named.and_then(Result::err);
        let case_id = match named.and_then(Result::ok).or_else(|| self.matched(filing)) {
            Some(id) => id,
            None => self.open_case(vault, filing, now)?,
        };
        let vanished = || Failure::Retry("the case vanished".to_owned());
        let case = self.cases.get_mut(&case_id).ok_or_else(vanished)?;
        let is_new = case.version == 0;
        case.take_notification(&notified);
        for test in tests {
            // The test site may have recorded the same test already.
            let known = self.known_tests.entry(case_id).or_default();
            if !known.contains(&test) {
                known.push(test);
                case.take_test(&test);
                self.tests.push((case_id, case.test_count, test));
            }
        }
        case.step(if is_new { case.created_at } else { now });

        if case.responsible_centre != Some(filing.centre) {
            doubt = doubt.or(Some(FilingDoubt::AnotherCentre));
        }
        let held = self.held.get(&case_id).map(Vec::as_slice).unwrap_or_default();
        self.grants.push(model::filed_by(case, held, filing.reporter, filer.kind));
        // The centre's own relations last: it may be the filer, too.
        self.grants.extend(model::reached(case, filing.centre));
        let prefecture = directory.prefecture(case.prefecture);
        self.grants.extend(prefecture.map(|prefecture| Grant::begun(case, prefecture, Relation::Prefecture)));
        self.versions.push(Version { case: case.clone(), traceparent: filing.traceparent.clone() });
        if !self.touched.contains(&case_id) {
            self.touched.push(case_id);
        }
        self.links.push((filing.notification_id, case_id));
        self.checks.extend(doubt.map(|doubt| to_check(case_id, filing.notification_id, doubt, now)));
        Ok(())
    }

    /// Stores and announces everything. Returns the cases that changed.
    pub(super) async fn save(self, tx: &mut PgConnection) -> Result<Vec<CaseId>, Failure> {
        person::insert(tx, &self.persons).await?;
        let last: Vec<Case> = self.touched.iter().filter_map(|id| self.cases.get(id).cloned()).collect();
        case::save_all(tx, &last, &self.versions, &self.grants).await?;
        course::insert_tests(tx, &self.tests).await?;
        store::link(tx, &self.links).await?;
        outbox::add_all(tx, &self.checks).await?;
        Ok(self.touched)
    }

    /// The case that a filing names, where the filer may file into it and the form is about its person. A filing is decided as a
    /// call would be: by relations in force, and by no others.
    fn named(&self, id: CaseId, filing: &Filing, now: OffsetDateTime) -> Result<CaseId, FilingDoubt> {
        let may = |grant: &Grant| {
            grant.organisation_id == filing.reporter
                && grant.until.is_none_or(|until| now < until)
                && model::may_name_it(grant.relation)
        };
        let related = self.cases.contains_key(&id) && self.held.get(&id).is_some_and(|held| held.iter().any(may));
        if !related {
            return Err(FilingDoubt::NotRelated);
        }
        let agrees = self.named.get(&id).is_some_and(|known| person::agrees(known, &filing.person));
        if agrees { Ok(id) } else { Err(FilingDoubt::AnotherPerson) }
    }

    /// The open case of the person, found by the blind index.
    fn matched(&self, filing: &Filing) -> Option<CaseId> {
        let id = self.open.get(filing.index.as_ref()?)?;
        self.cases.get(id).is_some_and(Case::is_open).then_some(*id)
    }

    fn open_case(&mut self, vault: &Vault, filing: &Filing, now: OffsetDateTime) -> Result<CaseId, Failure> {
        let new = person::seal_new(vault, &filing.person).map_err(case::failure)?;
        let id = CaseId::new();
        let (_, access) = access_id::mint(vault, id).map_err(case::failure)?;
        self.cases.insert(id, Case::opened(id, new.id, access, now));
        self.persons.push(new);
        if let Some(index) = &filing.index {
            self.open.insert(index.clone(), id);
        }
        Ok(id)
    }
}

/// Tells that somebody should look whether a notification belongs to the case it was taken into.
pub(super) fn to_check(
    case_id: CaseId,
    notification_id: NotificationId,
    doubt: FilingDoubt,
    now: OffsetDateTime,
) -> FilingToCheck {
    FilingToCheck {
        check_id: CheckId::new().to_string(),
        case_id: case_id.to_string(),
        notification_id: notification_id.to_string(),
        doubt: doubt.into(),
        take_time: Some(to_proto(now)),
    }
}

/// The organisation will be known in a moment.
pub(super) fn unknown() -> Failure {
    Failure::Retry("the directory does not know an organisation yet".to_owned())
}

fn notified(filing: &Filing, prefecture: u8) -> Result<Notified, Failure> {
    let report_date =
        day(&filing.form.report_date)?.ok_or_else(|| Failure::Dead("the form carries no report date".to_owned()))?;
    let findings = filing.form.findings.clone().unwrap_or_default();
    let diagnosis_date = day(&findings.diagnosis_date)?;
    let stated = data::code(filing.person.stated_age_band);
    Ok(Notified {
        diagnosis_class: data::code(filing.form.diagnosis_class),
        report_date,
        onset_date: day(&findings.onset_date)?,
        diagnosis_date,
        died_on: day(&findings.death_date)?,
        sex: data::code(filing.person.sex),
        age_band: case::age_band(stated, day(&filing.person.birth_date)?, diagnosis_date.unwrap_or(report_date)),
        receiving_centre: filing.centre,
        prefecture,
    })
}

fn tests(filing: &Filing) -> Result<Vec<Test>, Failure> {
    let diagnoses = filing.form.findings.iter().flat_map(|findings| &findings.diagnoses);
    let test = |diagnosis: &proto::notification::Diagnosis| {
        Ok(Test {
            method: data::code(diagnosis.method),
            specimen: data::code(diagnosis.specimen),
            result: data::code(diagnosis.result),
            sampled_on: day(&diagnosis.sampled_date)?,
        })
    };
    diagnoses.map(test).collect()
}

/// A stored date; notification has brought it to ISO before.
fn day(text: &str) -> Result<Option<Date>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    date::parse(text).map(Some).map_err(|_| Failure::Dead("the form carries an impossible date".to_owned()))
}
