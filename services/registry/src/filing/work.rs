//! A batch of filings at work: what it reads and what it will write, a fixed number of statements however many there are.

use std::collections::HashMap;

use access::{CaseId, Directory};
use data::{Failure, outbox};
use proto::registry::{FilingDoubt, FilingToCheck, Person, PersonCorrected};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;
use vault::Vault;

use super::{
    model::{self, CheckId, Filing, NotificationId},
    store,
    told::told,
};
use crate::{
    access_id,
    case::{self, Case, Grant},
    fact::{self, Fact},
    person::{self, PersonId, SealedPerson},
    search::FormKeys,
};

/// A person of a case that goes on.
struct Known {
    id: PersonId,
    person: Person,
}

#[derive(Default)]
pub(super) struct Work {
    cases: HashMap<CaseId, Case>,
    /// By blind index: the person's open cases, the one that a filing joins before others first.
    open: HashMap<Vec<u8>, Vec<CaseId>>,
    /// Named cases that were joined, and where they go on.
    joined: HashMap<CaseId, CaseId>,
    /// By blind index: the person's last episode that ended.
    ended: HashMap<Vec<u8>, CaseId>,
    /// Relations by case, those that ended too.
    held: HashMap<CaseId, Vec<Grant>>,
    /// The persons of the cases that are there already.
    known: HashMap<CaseId, Known>,
    /// Every fact of a case, those of this batch too.
    facts: HashMap<CaseId, Vec<Fact>>,
    new_facts: Vec<Fact>,
    persons: Vec<SealedPerson>,
    supplied: HashMap<CaseId, SealedPerson>,
    touched: Vec<CaseId>,
    versions: Vec<case::Version>,
    grants: Vec<Grant>,
    links: Vec<(NotificationId, CaseId, FormKeys)>,
    checks: Vec<FilingToCheck>,
}

impl Work {
    pub(super) async fn load(tx: &mut PgConnection, vault: &Vault, filings: &[Filing]) -> Result<Self, Failure> {
        let indexes: Vec<Vec<u8>> = filings.iter().filter_map(|filing| filing.index.clone()).collect();
        let mut open: HashMap<Vec<u8>, Vec<CaseId>> = HashMap::new();
        for (index, case) in store::open_cases(tx, &indexes).await? {
            open.entry(index).or_default().push(case);
        }
        let ended: HashMap<Vec<u8>, CaseId> = case::ended_of(tx, &indexes).await?.into_iter().collect();
        let named: Vec<CaseId> = filings.iter().filter_map(|filing| filing.case_id).collect();
        let joined: HashMap<CaseId, CaseId> = store::joined_into(tx, &named).await?.into_iter().collect();
        let mut ids: Vec<CaseId> =
            named.iter().chain(open.values().flatten()).chain(joined.values()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Self { open, joined, ended, ..Self::default() });
        }

        let cases = case::lock_all(tx, &ids).await?.into_iter().map(|case| (case.id, case)).collect();
        let mut held: HashMap<CaseId, Vec<Grant>> = HashMap::new();
        for grant in case::grants_of(tx, &ids).await? {
            held.entry(grant.case_id).or_default().push(grant);
        }
        let known = person::of_cases(tx, &ids)
            .await?
            .into_iter()
            .map(|(case, sealed)| {
                let person = person::open(vault, &sealed).map_err(case::failure)?;
                Ok((case, Known { id: sealed.id, person }))
            })
            .collect::<Result<_, Failure>>()?;
        let mut facts: HashMap<CaseId, Vec<Fact>> = HashMap::new();
        for fact in fact::of_cases(tx, &ids).await? {
            facts.entry(fact.case_id).or_default().push(fact);
        }
        Ok(Self { cases, open, joined, ended, held, known, facts, ..Self::default() })
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
        let told = told(filing, filer.kind, centre.prefecture)?;

        // What was joined into another case is that case.
        let goes_on = |id: CaseId| self.joined.get(&id).copied().unwrap_or(id);
        let named = filing.case_id.map(goes_on).map(|id| self.named(id, filing, now));
        let mut doubt = named.and_then(Result::err);
        let case_id = match named.and_then(Result::ok).or_else(|| self.matched(filing, now)) {
            Some(id) => id,
            None => self.open_case(vault, filing, now)?,
        };
        let differs = self.supply(vault, case_id, filing)?;
        let vanished = || Failure::Retry("the case vanished".to_owned());
        let case = self.cases.get_mut(&case_id).ok_or_else(vanished)?;
        let held = self.held.get(&case_id).map(Vec::as_slice).unwrap_or_default();
        let facts = self.facts.entry(case_id).or_default();

        let is_new = case.version == 0;
        case.step(if is_new { case.created_at } else { now });
        let before = facts.clone();
        facts.extend(filing.speaks(case, held).replace(case, &before, told).facts);
        case.derive(facts);
        // Responsibility changes hands by a hand-over only: whoever files once more gives it to nobody.
        case.responsible_centre = case.responsible_centre.or(Some(filing.centre));
        self.new_facts.extend_from_slice(facts.get(before.len()..).unwrap_or_default());

        if case.responsible_centre != Some(filing.centre) {
            doubt = doubt.or(Some(FilingDoubt::AnotherCentre));
        }
        doubt = doubt.or(Some(FilingDoubt::PersonDiffers).filter(|_| differs));
        self.grants.extend(case::moved(case, &before, facts));
        // Who did not know of the case sees it once the centre has accepted the notification.
        if is_new || held.iter().any(|grant| model::may_go_on(grant, filing.reporter, now)) {
            self.grants.push(model::filed_by(case, held, filing.reporter, filer.kind));
        }
        // The centre's own relations last: it may be the filer, too.
        self.grants.extend(model::reached(case, filing.centre));
        self.grants.extend(case::prefectures(case, held, directory));
        self.versions.push(case::Version { case: case.clone(), traceparent: filing.traceparent.clone() });
        if !self.touched.contains(&case_id) {
            self.touched.push(case_id);
        }
        self.links.push((filing.notification_id, case_id, filing.keys.clone()));
        self.checks.extend(doubt.map(|doubt| to_check(case_id, filing.notification_id, doubt, now)));
        Ok(())
    }

    /// Stores and announces everything. Returns the cases that changed.
    pub(super) async fn save(self, tx: &mut PgConnection) -> Result<Vec<CaseId>, Failure> {
        person::insert(tx, &self.persons).await?;
        let corrected: Vec<PersonCorrected> =
            self.supplied.keys().map(|case| PersonCorrected { case_id: case.to_string() }).collect();
        for person in self.supplied.into_values() {
            person::replace(tx, &person).await?;
        }
        let last: Vec<Case> = self.touched.iter().filter_map(|id| self.cases.get(id).cloned()).collect();
        store::link(tx, &self.links).await?;
        case::save_all(tx, &last, &self.versions, &self.grants).await?;
        fact::insert(tx, &self.new_facts).await?;
        outbox::add_all(tx, &corrected).await?;
        outbox::add_all(tx, &self.checks).await?;
        Ok(self.touched)
    }

    /// The case that a filing names, where the filer may file into it and the form is about its person. A filing is decided as a
    /// call would be: by relations in force, and by no others.
    fn named(&self, id: CaseId, filing: &Filing, now: OffsetDateTime) -> Result<CaseId, FilingDoubt> {
        let may = |grant: &Grant| model::may_go_on(grant, filing.reporter, now);
        let related = self.cases.contains_key(&id) && self.held.get(&id).is_some_and(|held| held.iter().any(may));
        if !related {
            return Err(FilingDoubt::NotRelated);
        }
        let agrees = self.known.get(&id).is_some_and(|known| person::agrees(&known.person, &filing.person));
        if agrees { Ok(id) } else { Err(FilingDoubt::AnotherPerson) }
    }

    /// The open case of the person, found by the blind index: the one that whoever files knows, before those of others.
    fn matched(&self, filing: &Filing, now: OffsetDateTime) -> Option<CaseId> {
        let open = self.open.get(filing.index.as_ref()?)?;
        let is_open = |id: &&CaseId| self.cases.get(id).is_some_and(Case::is_open);
        let knows = |id: &&CaseId| {
            let held = self.held.get(id).map(Vec::as_slice).unwrap_or_default();
            held.iter().any(|grant| model::may_go_on(grant, filing.reporter, now))
        };
        open.iter().filter(is_open).find(knows).or_else(|| open.iter().find(is_open)).copied()
    }

    fn open_case(&mut self, vault: &Vault, filing: &Filing, now: OffsetDateTime) -> Result<CaseId, Failure> {
        let new = person::seal_new(vault, &filing.person).map_err(case::failure)?;
        let id = CaseId::new();
        let (_, access) = access_id::mint(vault, id).map_err(case::failure)?;
        let previous = filing.index.as_ref().and_then(|index| self.ended.get(index)).copied();
        self.cases.insert(id, Case { previous, ..Case::opened(id, new.id, access, now) });
        // The next filing of the batch may be about the same person.
        self.known.insert(id, Known { id: new.id, person: filing.person.clone() });
        self.persons.push(new);
        if let Some(index) = &filing.index {
            self.open.entry(index.clone()).or_default().push(id);
        }
        Ok(id)
    }

    /// What the form knows of a person and the registry does not, it learns. Tells whether the form says something else.
    fn supply(&mut self, vault: &Vault, case: CaseId, filing: &Filing) -> Result<bool, Failure> {
        let Some(known) = self.known.get_mut(&case) else { return Ok(false) };
        if let Some(more) = person::supplied(&known.person, &filing.person) {
            let sealed = person::seal_again(vault, known.id, &more).map_err(case::failure)?;
            self.supplied.insert(case, sealed);
            known.person = more;
        }
        Ok(person::differs(&known.person, &filing.person))
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
