//! The directory of organisations and the ended sessions, as identity announces them: a copy in the service's database,
//! and one in memory that follows it within a second.

mod entry;
mod hears;
mod store;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use proto::identity::{ContractScope, OrganisationKind, Rights};
use runtime::{Shutdown, clock};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Caller, OrganisationId};

pub use entry::{Days, Entry};
pub use hears::Hears;
use store::{ContractRow, OrganisationRow};

/// How often the copy in memory looks for changes.
const FOLLOW: Duration = Duration::from_millis(500);

/// If identity has been silent for longer than this, revocations may be missing.
const SILENCE: time::Duration = time::Duration::seconds(10);
/// Then only tokens younger than this are valid, except for filing.
const YOUNG: time::Duration = time::Duration::seconds(60);

/// A contract (委託) as far as services need it.
#[derive(Clone, Debug)]
struct Entrusted {
    principal: OrganisationId,
    contractors: Vec<OrganisationId>,
    scopes: Vec<ContractScope>,
    days: Days,
}

#[derive(Default)]
struct Snapshot {
    seq: i64,
    entries: HashMap<OrganisationId, Arc<Entry>>,
    centre_of: HashMap<String, OrganisationId>,
    claimed: HashMap<OrganisationId, Vec<String>>,
    catch_all: HashMap<u8, OrganisationId>,
    prefectures: HashMap<u8, OrganisationId>,
    contract_seq: i64,
    contracts: HashMap<Uuid, Arc<Entrusted>>,
    /// Contracts, by contractor.
    entrusted: HashMap<OrganisationId, Vec<Arc<Entrusted>>>,
    revoked: HashMap<String, OffsetDateTime>,
    heard_at: Option<OffsetDateTime>,
}

/// The directory in memory.
#[derive(Clone, Default)]
pub struct Directory {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Directory {
    /// Loads the copy and follows it until shutdown.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn follow(pool: PgPool, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let directory = Self::default();
        directory.refresh(&pool).await?;
        let (this, stop) = (directory.clone(), shutdown.clone());
        shutdown.spawn("directory", async move {
            loop {
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(FOLLOW) => {}
                }
                if let Err(error) = this.refresh(&pool).await {
                    tracing::warn!(%error, "Could not refresh the directory");
                }
            }
        });
        Ok(directory)
    }

    /// An organisation; `None` if identity has not announced it.
    pub fn get(&self, id: OrganisationId) -> Option<Arc<Entry>> {
        self.snapshot.load().entries.get(&id).cloned()
    }

    /// The health centre responsible for a municipality or, if none is, the one for the rest of the prefecture.
    ///
    /// A centre that is not open today receives nothing: its share goes to the centre that takes the rest.
    pub fn centre_for(&self, municipality: Option<&str>, prefecture: u8, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let (snapshot, today) = (self.snapshot.load(), clock::day_in_japan(now));
        let open = |id: &OrganisationId| snapshot.entries.get(id).filter(|entry| entry.is_open(today)).cloned();
        municipality
            .and_then(|code| snapshot.centre_of.get(code))
            .and_then(open)
            .or_else(|| snapshot.catch_all.get(&prefecture).and_then(open))
    }

    /// The prefecture's own organisation.
    pub fn prefecture(&self, prefecture: u8) -> Option<OrganisationId> {
        self.snapshot.load().prefectures.get(&prefecture).copied()
    }

    /// What the caller's organisation may do now. An unknown organisation may do nothing.
    pub fn rights(&self, caller: &Caller, now: OffsetDateTime) -> Rights {
        let today = clock::day_in_japan(now);
        self.get(caller.organisation_id).map_or(Rights::None, |entry| entry.rights_on(today, caller.role))
    }

    /// What contracts in force entrust to an organisation, and by whom.
    pub fn entrusted_to(
        &self,
        contractor: OrganisationId,
        now: OffsetDateTime,
    ) -> Vec<(OrganisationId, ContractScope)> {
        let snapshot = self.snapshot.load();
        let Some(contracts) = snapshot.entrusted.get(&contractor) else { return Vec::new() };
        let today = clock::day_in_japan(now);
        contracts
            .iter()
            .filter(|contract| contract.days.contain(today))
            // An organisation that is cut off entrusts nobody.
            .filter(|contract| snapshot.entries.get(&contract.principal).is_none_or(|entry| entry.is_open(today)))
            .flat_map(|contract| contract.scopes.iter().map(|scope| (contract.principal, *scope)))
            .collect()
    }

    /// Whether a contract in force entrusts the contractor with the principal's follow-up (健康観察).
    pub fn follows_up_for(&self, contractor: OrganisationId, principal: OrganisationId, now: OffsetDateTime) -> bool {
        self.entrusted_to(contractor, now).contains(&(principal, ContractScope::Followup))
    }

    /// Whether a token is still valid. If identity has been silent for long, only young tokens are, except for filing.
    pub fn still_good(&self, caller: &Caller, now: OffsetDateTime, filing: bool) -> bool {
        let snapshot = self.snapshot.load();
        let revoked = |subject: String| snapshot.revoked.get(&subject).is_some_and(|at| caller.issued_at <= *at);
        if revoked(format!("session:{}", caller.session_id)) || revoked(format!("user:{}", caller.user_id)) {
            return false;
        }
        // A cut-off also ends streams and refreshed tokens.
        let cut_off = snapshot
            .entries
            .get(&caller.organisation_id)
            .is_some_and(|entry| entry.suspended || !entry.exists.contain(clock::day_in_japan(now)));
        if cut_off {
            return false;
        }
        let silent = snapshot.heard_at.is_none_or(|at| now - at > SILENCE);
        !silent || filing || now - caller.issued_at <= YOUNG
    }

    /// Loads what has changed since the last call.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(&self, pool: &PgPool) -> anyhow::Result<()> {
        let old = self.snapshot.load_full();
        let heard_at = store::heard_at(pool).await?;
        let organisations = store::organisations_since(pool, old.seq).await?;
        let contracts = store::contracts_since(pool, old.contract_seq).await?;
        let revoked = store::revocations(pool).await?;
        let mut new = Snapshot {
            seq: old.seq,
            entries: old.entries.clone(),
            centre_of: old.centre_of.clone(),
            claimed: old.claimed.clone(),
            catch_all: old.catch_all.clone(),
            prefectures: old.prefectures.clone(),
            contract_seq: old.contract_seq,
            contracts: old.contracts.clone(),
            entrusted: old.entrusted.clone(),
            revoked: revoked.into_iter().collect(),
            heard_at,
        };
        for row in organisations {
            new.take(row);
        }
        if !contracts.is_empty() {
            new.take_contracts(contracts);
        }
        self.snapshot.store(Arc::new(new));
        Ok(())
    }
}

impl Snapshot {
    fn take(&mut self, row: OrganisationRow) {
        self.seq = self.seq.max(row.seq);
        let id = row.organisation_id;
        let (kind, prefecture) = (row.kind.0, row.prefecture);
        for code in self.claimed.remove(&id).unwrap_or_default() {
            // Another centre may have it by now.
            if self.centre_of.get(&code) == Some(&id) {
                self.centre_of.remove(&code);
            }
        }
        self.catch_all.retain(|_, centre| *centre != id);
        for code in &row.jurisdiction {
            self.centre_of.insert(code.clone(), id);
        }
        self.claimed.insert(id, row.jurisdiction);
        if row.catch_all {
            self.catch_all.insert(prefecture, id);
        }
        if kind == OrganisationKind::Prefecture {
            self.prefectures.insert(prefecture, id);
        }
        let entry = Entry {
            id,
            kind,
            name: row.name,
            prefecture,
            rights: row.rights.0,
            parent_id: row.parent_id,
            exists: Days { first: row.valid_from, last: row.valid_until },
            opens_on: row.opens_on,
            suspended: row.suspended,
        };
        self.entries.insert(id, Arc::new(entry));
    }

    fn take_contracts(&mut self, rows: Vec<ContractRow>) {
        for row in rows {
            self.contract_seq = self.contract_seq.max(row.seq);
            if row.ended {
                self.contracts.remove(&row.contract_id);
                continue;
            }
            let contract = Entrusted {
                principal: row.principal,
                contractors: row.contractors,
                scopes: row.scopes.iter().map(|scope| scope.0).collect(),
                days: Days { first: Some(row.first_day), last: Some(row.last_day) },
            };
            self.contracts.insert(row.contract_id, Arc::new(contract));
        }
        self.entrusted.clear();
        for contract in self.contracts.values() {
            for contractor in &contract.contractors {
                self.entrusted.entry(*contractor).or_default().push(Arc::clone(contract));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use data::Code;
    use proto::identity::{ContractScope, OrganisationKind, Rights, Role};
    use time::{
        Duration, OffsetDateTime,
        macros::{date, datetime},
    };
    use uuid::Uuid;

    use super::{ContractRow, Days, Directory, Entry, Snapshot};
    use crate::{Caller, caller::Hidden};

    fn id(number: u128) -> crate::OrganisationId {
        Uuid::from_u128(number).into()
    }

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    fn caller(age: Duration) -> Caller {
        Caller {
            user_id: Uuid::from_u128(1).into(),
            organisation_id: Uuid::from_u128(2).into(),
            kind: OrganisationKind::Clinic,
            prefecture: 27,
            role: Role::Physician,
            session_id: Uuid::from_u128(3).into(),
            case_id: None,
            hidden: Hidden::default(),
            terms_due: false,
            authenticated_at: NOW - age,
            scopes: None,
            calls_per_second: 0,
            issued_at: NOW - age,
            expires_at: NOW + Duration::minutes(5),
        }
    }

    fn directory(heard: Duration, revoked: &[(&str, OffsetDateTime)]) -> Directory {
        let revoked: HashMap<_, _> = revoked.iter().map(|(subject, at)| ((*subject).to_owned(), *at)).collect();
        let directory = Directory::default();
        directory.snapshot.store(Arc::new(Snapshot { heard_at: Some(NOW - heard), revoked, ..Snapshot::default() }));
        directory
    }

    #[test]
    fn with_identity_silent_only_young_tokens_stand_except_for_filing() {
        let (old, young) = (caller(Duration::minutes(3)), caller(Duration::seconds(30)));
        let (heard, silent) = (directory(Duration::seconds(1), &[]), directory(Duration::minutes(1), &[]));
        assert!(heard.still_good(&old, NOW, false));
        assert!(!silent.still_good(&old, NOW, false));
        assert!(silent.still_good(&young, NOW, false));
        assert!(silent.still_good(&old, NOW, true), "filing goes on");
        assert!(!Directory::default().still_good(&old, NOW, false), "before anything was heard");
    }

    #[test]
    fn what_was_revoked_stays_revoked_also_for_filing() {
        let session = "session:00000000-0000-0000-0000-000000000003";
        let caller = caller(Duration::minutes(1));
        for filing in [false, true] {
            assert!(!directory(Duration::ZERO, &[(session, NOW)]).still_good(&caller, NOW, filing));
            // A session that began after the moment is another one.
            let earlier = [(session, NOW - Duration::minutes(2))];
            assert!(directory(Duration::ZERO, &earlier).still_good(&caller, NOW, filing));
        }
    }

    #[test]
    fn a_contract_entrusts_whom_it_names_between_its_days_and_nobody_else() {
        let (centre, association, other) = (id(7), id(8), id(9));
        let row = |ended| ContractRow {
            contract_id: Uuid::from_u128(1),
            seq: 1,
            principal: centre,
            contractors: vec![association],
            scopes: vec![Code(ContractScope::Followup)],
            first_day: date!(2020 - 06 - 01),
            last_day: date!(2020 - 06 - 30),
            ended,
        };
        let directory = Directory::default();
        let with = |rows| {
            let mut snapshot = Snapshot::default();
            snapshot.take_contracts(rows);
            directory.snapshot.store(Arc::new(snapshot));
        };
        with(vec![row(false)]);
        assert_eq!(directory.entrusted_to(association, NOW), [(centre, ContractScope::Followup)]);
        assert!(directory.follows_up_for(association, centre, NOW));
        assert!(!directory.follows_up_for(other, centre, NOW));
        assert!(!directory.follows_up_for(association, other, NOW));
        // The last day in Japan is over at 15:00 UTC.
        assert!(directory.follows_up_for(association, centre, datetime!(2020-06-30 14:59 UTC)));
        assert!(!directory.follows_up_for(association, centre, datetime!(2020-06-30 15:00 UTC)));
        with(vec![row(false), row(true)]);
        assert!(!directory.follows_up_for(association, centre, NOW));
    }

    #[test]
    fn an_organisation_has_rights_on_its_days_only_and_none_while_cut_off() {
        let entry = Entry {
            id: id(1),
            kind: OrganisationKind::Clinic,
            name: String::new(),
            prefecture: 27,
            rights: Rights::Entry,
            parent_id: None,
            exists: Days { first: Some(date!(2020 - 05 - 01)), last: Some(date!(2020 - 05 - 31)) },
            opens_on: Some(date!(2020 - 05 - 15)),
            suspended: false,
        };
        let nurse = |day| entry.rights_on(day, Role::Nurse);
        assert_eq!(nurse(date!(2020 - 05 - 14)), Rights::None);
        assert_eq!(entry.rights_on(date!(2020 - 05 - 14), Role::Administrator), Rights::Entry, "prepares");
        assert_eq!((nurse(date!(2020 - 05 - 15)), nurse(date!(2020 - 05 - 31))), (Rights::Entry, Rights::Entry));
        assert_eq!(nurse(date!(2020 - 06 - 01)), Rights::None);
        let cut_off = Entry { suspended: true, ..entry.clone() };
        assert_eq!(cut_off.rights_on(date!(2020 - 05 - 20), Role::Administrator), Rights::None);
    }
}
