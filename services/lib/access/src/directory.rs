//! The directory of organisations and the ended sessions, as identity announces them: a copy in the service's database,
//! and one in memory that follows it within a second.

mod entry;
mod hears;
mod snapshot;
mod store;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use proto::identity::{ContractScope, OrganisationKind, Rights};
use runtime::{
    Clock, Pulses, Shutdown, clock,
    problem::{self, Unproved},
};
use sqlx::PgPool;
use time::{Date, OffsetDateTime};
use tonic::Status;

use crate::{Caller, OrganisationId};

pub use entry::{Days, Entry};
pub use hears::Hears;
use snapshot::Snapshot;

/// How often the copy in memory looks for changes.
const FOLLOW: Duration = Duration::from_millis(500);

/// How long a look may take.
const STEP: Duration = Duration::from_secs(10);

/// If identity has been silent for longer than this, revocations may be missing.
const SILENCE: time::Duration = time::Duration::seconds(10);
/// Then only tokens younger than this are valid, except for filing.
const YOUNG: time::Duration = time::Duration::seconds(60);

/// Whether a token holds that identity has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// Its session has ended, or its organisation is cut off.
    Ended,
    /// Identity has been silent for too long to say. The caller should ask again, and not sign in again.
    Unknown,
}

impl Standing {
    /// Good, or the answer that fits.
    ///
    /// # Errors
    /// UNAUTHENTICATED where the session has ended; UNAVAILABLE, with a delay, where nobody can say.
    pub fn must_be_good(self) -> Result<(), Status> {
        match self {
            Self::Good => Ok(()),
            Self::Ended => Err(problem::unauthenticated(Unproved::SessionEnded)),
            Self::Unknown => Err(problem::unavailable()),
        }
    }
}

/// The directory in memory.
#[derive(Clone, Default)]
pub struct Directory {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Directory {
    /// Loads the copy.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load(pool: &PgPool) -> anyhow::Result<Self> {
        let directory = Self::default();
        directory.refresh(pool).await?;
        Ok(directory)
    }

    /// Follows the copy until shutdown.
    pub fn follow(&self, pool: PgPool, clock: Clock, pulses: Pulses, shutdown: &Shutdown) {
        let (this, stop) = (self.clone(), shutdown.clone());
        shutdown.spawn("directory", async move {
            loop {
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(FOLLOW) => {}
                }
                match tokio::time::timeout(STEP, this.refresh(&pool)).await {
                    Ok(Ok(())) => pulses.beat("directory"),
                    Ok(Err(error)) => tracing::warn!(%error, "Could not refresh the directory"),
                    Err(_elapsed) => tracing::warn!("The database does not answer"),
                }
                if let Ok(Ok(difference)) = tokio::time::timeout(STEP, store::clock_differs_by(&pool, &clock)).await {
                    pulses.clock_differs_by(difference);
                }
            }
        });
    }

    /// An organisation; `None` if identity has not announced it.
    pub fn get(&self, id: OrganisationId) -> Option<Arc<Entry>> {
        self.snapshot.load().entries.get(&id).cloned()
    }

    /// An organisation to which something may be addressed on a day: of a fitting kind, and open. What lies with a closed one,
    /// nobody reads.
    pub fn addressee(&self, id: &str, fits: impl Fn(OrganisationKind) -> bool, day: Date) -> Option<Arc<Entry>> {
        let entry = OrganisationId::parse(id).ok().and_then(|id| self.get(id))?;
        (fits(entry.kind) && entry.is_open(day)).then_some(entry)
    }

    /// Who takes over what a closed centre holds: the centre that takes the rest of its prefecture or, without one, the prefecture.
    pub fn successor(&self, of: OrganisationId, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let prefecture = self.get(of)?.prefecture;
        self.centre_for(None, prefecture, now)
            .or_else(|| self.open_prefecture(prefecture, now))
            .filter(|to| to.id != of)
    }

    /// The prefecture's own organisation, where it is open.
    pub fn open_prefecture(&self, prefecture: u8, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let entry = self.prefecture(prefecture).and_then(|id| self.get(id))?;
        entry.receives(clock::day_in_japan(now)).then_some(entry)
    }

    /// The centres and prefectures where nobody reads what arrives: closed, cut off, or without the right to enter.
    pub fn centres_that_do_not_receive(&self, now: OffsetDateTime) -> Vec<OrganisationId> {
        let today = clock::day_in_japan(now);
        self.centres(|entry| !entry.receives(today))
    }

    /// The centres and prefectures that are over. One that is only cut off keeps its cases: it may come back in an hour.
    pub fn centres_that_are_over(&self, now: OffsetDateTime) -> Vec<OrganisationId> {
        let today = clock::day_in_japan(now);
        self.centres(|entry| entry.exists.last.is_some_and(|last| last < today))
    }

    fn centres(&self, which: impl Fn(&Entry) -> bool) -> Vec<OrganisationId> {
        let holds = |kind| {
            matches!(kind, OrganisationKind::HealthCentre | OrganisationKind::City | OrganisationKind::Prefecture)
        };
        let snapshot = self.snapshot.load();
        snapshot.entries.values().filter(|entry| holds(entry.kind) && which(entry)).map(|entry| entry.id).collect()
    }

    /// The health centre responsible for a municipality or, if none is, the one for the rest of the prefecture.
    ///
    /// A centre that is not open today receives nothing: its share goes to the centre that takes the rest.
    pub fn centre_for(&self, municipality: Option<&str>, prefecture: u8, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let (snapshot, today) = (self.snapshot.load(), clock::day_in_japan(now));
        let open = |id: &OrganisationId| snapshot.entries.get(id).filter(|entry| entry.receives(today)).cloned();
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
            // An organisation that is cut off entrusts nobody, nor does one that was not announced yet.
            .filter(|contract| snapshot.entries.get(&contract.principal).is_some_and(|entry| entry.is_open(today)))
            .flat_map(|contract| contract.scopes.iter().map(|scope| (contract.principal, *scope)))
            .collect()
    }

    /// Whether a contract in force entrusts the contractor with the principal's follow-up (健康観察).
    pub fn follows_up_for(&self, contractor: OrganisationId, principal: OrganisationId, now: OffsetDateTime) -> bool {
        self.entrusted_to(contractor, now).contains(&(principal, ContractScope::Followup))
    }

    /// Whether a token still holds. If identity has been silent for long, a revocation may be missing: then nobody can say
    /// for an older token, except for filing, which goes on.
    pub fn standing(&self, caller: &Caller, now: OffsetDateTime, filing: bool) -> Standing {
        let snapshot = self.snapshot.load();
        let revoked = |subject: String| snapshot.revoked.get(&subject).is_some_and(|at| caller.issued_at <= *at);
        if revoked(format!("session:{}", caller.session_id)) || revoked(format!("user:{}", caller.user_id)) {
            return Standing::Ended;
        }
        // A cut-off also ends streams and refreshed tokens.
        let cut_off = snapshot
            .entries
            .get(&caller.organisation_id)
            .is_some_and(|entry| entry.suspended || !entry.exists.contain(clock::day_in_japan(now)));
        if cut_off {
            return Standing::Ended;
        }
        let silent = snapshot.heard_at.is_none_or(|at| now - at > SILENCE);
        if !silent || filing || now - caller.issued_at <= YOUNG { Standing::Good } else { Standing::Unknown }
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

    use super::{Days, Directory, Entry, Snapshot, Standing, store::ContractRow};
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
        assert_eq!(heard.standing(&old, NOW, false), Standing::Good);
        assert_eq!(silent.standing(&old, NOW, false), Standing::Unknown, "it may be good: nobody is told to sign in");
        assert_eq!(silent.standing(&young, NOW, false), Standing::Good);
        assert_eq!(silent.standing(&old, NOW, true), Standing::Good, "filing goes on");
        assert_eq!(Directory::default().standing(&old, NOW, false), Standing::Unknown, "before anything was heard");
    }

    #[test]
    fn what_was_revoked_stays_revoked_also_for_filing() {
        let session = "session:00000000-0000-0000-0000-000000000003";
        let caller = caller(Duration::minutes(1));
        for filing in [false, true] {
            assert_eq!(directory(Duration::ZERO, &[(session, NOW)]).standing(&caller, NOW, filing), Standing::Ended);
            // A session that began after the moment is another one.
            let earlier = [(session, NOW - Duration::minutes(2))];
            assert_eq!(directory(Duration::ZERO, &earlier).standing(&caller, NOW, filing), Standing::Good);
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
            snapshot.entries.insert(centre, Arc::new(entry(centre)));
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
        with(vec![ContractRow { principal: other, ..row(false) }]);
        assert!(!directory.follows_up_for(association, other, NOW), "nobody knows the principal yet");
    }

    fn entry(id: crate::OrganisationId) -> Entry {
        Entry {
            id,
            kind: OrganisationKind::HealthCentre,
            name: String::new(),
            prefecture: 27,
            rights: Rights::Entry,
            parent_id: None,
            exists: Days::default(),
            opens_on: None,
            suspended: false,
        }
    }

    #[test]
    fn an_organisation_has_rights_on_its_days_only_and_none_while_cut_off() {
        let entry = Entry {
            exists: Days { first: Some(date!(2020 - 05 - 01)), last: Some(date!(2020 - 05 - 31)) },
            opens_on: Some(date!(2020 - 05 - 15)),
            ..entry(id(1))
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
