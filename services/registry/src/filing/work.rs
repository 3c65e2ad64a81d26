//! A batch of filings at work: what it reads and what it will write, a fixed number of statements however many there are.

use std::collections::HashMap;

use access::{CaseId, Directory, OrganisationId};
use data::Failure;
use japan::date;
use proto::registry::Relation;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use vault::Vault;

use super::{
    model::{Filing, NotificationId, Notified},
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
    /// Organisations with a relation, by case.
    known_to: HashMap<CaseId, Vec<OrganisationId>>,
    known_tests: HashMap<CaseId, Vec<Test>>,
    persons: Vec<SealedPerson>,
    touched: Vec<CaseId>,
    versions: Vec<Version>,
    tests: Vec<(CaseId, i32, Test)>,
    grants: Vec<Grant>,
    links: Vec<(NotificationId, CaseId)>,
}

impl Work {
    pub(super) async fn load(tx: &mut PgConnection, filings: &[Filing]) -> Result<Self, Failure> {
        let indexes: Vec<Vec<u8>> = filings.iter().filter_map(|filing| filing.index.clone()).collect();
        let open: HashMap<Vec<u8>, CaseId> = store::open_cases(tx, &indexes).await?.into_iter().collect();
        let named = filings.iter().filter_map(|filing| filing.case_id);
        let mut ids: Vec<CaseId> = named.chain(open.values().copied()).collect();
        ids.sort_unstable();
        ids.dedup();

        let cases = case::lock_all(tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
        let mut known_to: HashMap<CaseId, Vec<OrganisationId>> = HashMap::new();
        // A relation that ended, and the three hours of an emergency, let nobody file into a case.
        for grant in case::grants_of(tx, &ids).await?.into_iter().filter(|grant| grant.until.is_none()) {
            known_to.entry(grant.case_id).or_default().push(grant.organisation_id);
        }
        let mut known_tests: HashMap<CaseId, Vec<Test>> = HashMap::new();
        for (case, test) in course::tests_of(tx, &ids).await? {
            known_tests.entry(case).or_default().push(test);
        }
        Ok(Self { cases, open, known_to, known_tests, ..Self::default() })
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

        let case_id = match self.find(filing) {
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

        self.grants.push(Grant::begun(case, filing.centre, Relation::ReceivingCentre));
        self.grants.push(Grant::begun(case, filing.reporter, case::relation_of_filer(filer.kind)));
        let prefecture = directory.prefecture(case.prefecture);
        self.grants.extend(prefecture.map(|prefecture| Grant::begun(case, prefecture, Relation::Prefecture)));
        self.versions.push(Version { case: case.clone(), traceparent: filing.traceparent.clone() });
        if !self.touched.contains(&case_id) {
            self.touched.push(case_id);
        }
        self.links.push((filing.notification_id, case_id));
        Ok(())
    }

    /// Stores and announces everything. Returns the cases that changed.
    pub(super) async fn save(self, tx: &mut PgConnection) -> Result<Vec<CaseId>, Failure> {
        person::insert(tx, &self.persons).await?;
        let last: Vec<Case> = self.touched.iter().filter_map(|id| self.cases.get(id).cloned()).collect();
        case::save_all(tx, &last, &self.versions, &self.grants).await?;
        course::insert_tests(tx, &self.tests).await?;
        store::link(tx, &self.links).await?;
        Ok(self.touched)
    }

    /// The case a filing belongs to: the one it names, if the filer has a relation to it; else the person's open one.
    fn find(&self, filing: &Filing) -> Option<CaseId> {
        let knows = |id: &CaseId| self.known_to.get(id).is_some_and(|known| known.contains(&filing.reporter));
        let named = filing.case_id.filter(|id| self.cases.contains_key(id) && knows(id));
        let matched = || {
            let id = self.open.get(filing.index.as_ref()?)?;
            self.cases.get(id).is_some_and(Case::is_open).then_some(*id)
        };
        named.or_else(matched)
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
