//! The directory of organisations and the ended sessions, as identity announces them: a copy in the service's database,
//! and one in memory that follows it within a second.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use japan::date;
use proto::identity::{
    AccessRevoked, Contract, ContractChanged, ContractScope, Organisation, OrganisationChanged, OrganisationKind,
    Rights, Role,
};
use runtime::{Shutdown, clock};
use sqlx::{FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::{Caller, token};

/// How often the copy in memory looks for changes.
const FOLLOW: Duration = Duration::from_millis(500);

/// Beyond this silence of identity, revocations may be missing.
const SILENCE: time::Duration = time::Duration::seconds(10);
/// Then only tokens this young are good, except for filing.
const YOUNG: time::Duration = time::Duration::seconds(60);

/// An organisation, as far as services need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The organisation.
    pub id: Uuid,
    /// What it is.
    pub kind: OrganisationKind,
    /// Its name.
    pub name: String,
    /// Its prefecture, 0 for national bodies.
    pub prefecture: u8,
    /// What it may do.
    pub rights: Rights,
    /// The body that supervises it.
    pub parent_id: Option<Uuid>,
    /// The days it exists.
    pub exists: Days,
    /// The day it starts to use the system.
    pub opens_on: Option<Date>,
    /// Cut off.
    pub suspended: bool,
}

impl Entry {
    /// Whether people work in it on a day: it exists, has opened, and is not cut off.
    pub fn is_open(&self, day: Date) -> bool {
        !self.suspended && self.exists.contain(day) && self.opens_on.is_none_or(|opens| opens <= day)
    }

    /// What it may do on a day: nothing while cut off or outside of its dates; before it opens, only its administrator
    /// prepares.
    pub fn rights_on(&self, day: Date, role: Role) -> Rights {
        let closed = self.opens_on.is_some_and(|opens| day < opens) && role != Role::Administrator;
        if self.suspended || !self.exists.contain(day) || closed { Rights::None } else { self.rights }
    }
}

/// Days from one to another, both included; open where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub first: Option<Date>,
    /// The last one.
    pub last: Option<Date>,
}

impl Days {
    /// Whether a day is among them.
    pub fn contain(self, day: Date) -> bool {
        self.first.is_none_or(|first| first <= day) && self.last.is_none_or(|last| day <= last)
    }
}

/// A contract (委託) as far as services need it.
#[derive(Clone, Debug)]
struct Entrusted {
    principal: Uuid,
    contractors: Vec<Uuid>,
    scopes: Vec<ContractScope>,
    days: Days,
}

#[derive(Default)]
struct Snapshot {
    seq: i64,
    entries: HashMap<Uuid, Arc<Entry>>,
    centre_of: HashMap<String, Uuid>,
    claimed: HashMap<Uuid, Vec<String>>,
    catch_all: HashMap<u8, Uuid>,
    prefectures: HashMap<u8, Uuid>,
    contract_seq: i64,
    contracts: HashMap<Uuid, Arc<Entrusted>>,
    /// Contracts by those who are entrusted.
    entrusted: HashMap<Uuid, Vec<Arc<Entrusted>>>,
    revoked: HashMap<String, OffsetDateTime>,
    heard_at: Option<OffsetDateTime>,
}

/// The directory in memory.
#[derive(Clone, Default)]
pub struct Directory {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

#[derive(FromRow)]
struct Row {
    organisation_id: Uuid,
    seq: i64,
    kind: i16,
    name: String,
    prefecture: i16,
    jurisdiction: Vec<String>,
    catch_all: bool,
    rights: i16,
    parent_id: Option<Uuid>,
    valid_from: Option<Date>,
    valid_until: Option<Date>,
    opens_on: Option<Date>,
    suspended: bool,
}

#[derive(FromRow)]
struct ContractRow {
    contract_id: Uuid,
    seq: i64,
    principal: Uuid,
    contractors: Vec<Uuid>,
    scopes: Vec<i16>,
    first_day: Date,
    last_day: Date,
    ended: bool,
}

impl Directory {
    /// Loads the copy and follows it until the process is to stop.
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

    /// An organisation.
    pub fn get(&self, id: Uuid) -> Option<Arc<Entry>> {
        self.snapshot.load().entries.get(&id).cloned()
    }

    /// The health centre responsible for a municipality; without one, what catches the rest of the prefecture.
    ///
    /// A centre nobody can enter today receives nothing: what is its own goes on to whoever catches the rest.
    pub fn centre_for(&self, municipality: Option<&str>, prefecture: u8, now: OffsetDateTime) -> Option<Arc<Entry>> {
        let (snapshot, today) = (self.snapshot.load(), clock::day_in_japan(now));
        let open = |id: &Uuid| snapshot.entries.get(id).filter(|entry| entry.is_open(today)).cloned();
        municipality
            .and_then(|code| snapshot.centre_of.get(code))
            .and_then(open)
            .or_else(|| snapshot.catch_all.get(&prefecture).and_then(open))
    }

    /// The prefecture's own organisation.
    pub fn prefecture(&self, prefecture: u8) -> Option<Uuid> {
        self.snapshot.load().prefectures.get(&prefecture).copied()
    }

    /// What the caller's organisation may do now. An organisation we have not heard of may do nothing.
    pub fn rights(&self, caller: &Caller, now: OffsetDateTime) -> Rights {
        let today = clock::day_in_japan(now);
        self.get(caller.organisation_id).map_or(Rights::None, |entry| entry.rights_on(today, caller.role))
    }

    /// What contracts in force entrust to an organisation, and by whom.
    pub fn entrusted_to(&self, contractor: Uuid, now: OffsetDateTime) -> Vec<(Uuid, ContractScope)> {
        let snapshot = self.snapshot.load();
        let Some(contracts) = snapshot.entrusted.get(&contractor) else { return Vec::new() };
        let today = clock::day_in_japan(now);
        contracts
            .iter()
            .filter(|contract| contract.days.contain(today))
            // Who is cut off entrusts nobody.
            .filter(|contract| snapshot.entries.get(&contract.principal).is_none_or(|entry| entry.is_open(today)))
            .flat_map(|contract| contract.scopes.iter().map(|scope| (contract.principal, *scope)))
            .collect()
    }

    /// Whether a contract in force entrusts the contractor with the principal's follow-up (健康観察).
    pub fn follows_up_for(&self, contractor: Uuid, principal: Uuid, now: OffsetDateTime) -> bool {
        self.entrusted_to(contractor, now).contains(&(principal, ContractScope::Followup))
    }

    /// Whether a token still stands. With identity silent for long, only young tokens do, except for filing.
    pub fn still_good(&self, caller: &Caller, now: OffsetDateTime, filing: bool) -> bool {
        let snapshot = self.snapshot.load();
        let revoked = |subject: String| snapshot.revoked.get(&subject).is_some_and(|at| caller.issued_at <= *at);
        if revoked(format!("session:{}", caller.session_id)) || revoked(format!("user:{}", caller.user_id)) {
            return false;
        }
        // A cut-off reaches streams and refreshed tokens too.
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

    async fn refresh(&self, pool: &PgPool) -> anyhow::Result<()> {
        let old = self.snapshot.load_full();
        let heard_at: Option<OffsetDateTime> =
            sqlx::query_scalar("select nullif(watermark, '-infinity') from cursor where source = 'identity'")
                .fetch_optional(pool)
                .await?
                .flatten();
        let rows: Vec<Row> = sqlx::query_as(
            "select organisation_id, seq, kind, name, prefecture, jurisdiction, catch_all, rights, parent_id,
                    valid_from, valid_until, opens_on, suspended
             from directory where seq > $1 order by seq",
        )
        .bind(old.seq)
        .fetch_all(pool)
        .await?;
        let contracts: Vec<ContractRow> = sqlx::query_as(
            "select contract_id, seq, principal, contractors, scopes, first_day, last_day, ended
             from contract_copy where seq > $1 order by seq",
        )
        .bind(old.contract_seq)
        .fetch_all(pool)
        .await?;
        // A revocation matters as long as a token it hits can live.
        let revoked: Vec<(String, OffsetDateTime)> =
            sqlx::query_as("select subject, at from revocation where at > now() - interval '15 minutes'")
                .fetch_all(pool)
                .await?;
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
        for row in rows {
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
    fn take(&mut self, row: Row) {
        self.seq = self.seq.max(row.seq);
        let id = row.organisation_id;
        let prefecture = u8::try_from(row.prefecture).unwrap_or(0);
        let kind = OrganisationKind::try_from(i32::from(row.kind)).unwrap_or(OrganisationKind::Unspecified);
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
        let rights = Rights::try_from(i32::from(row.rights)).unwrap_or(Rights::None);
        let entry = Entry {
            id,
            kind,
            name: row.name,
            prefecture,
            rights,
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
                scopes: row.scopes.iter().filter_map(|n| ContractScope::try_from(i32::from(*n)).ok()).collect(),
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

/// Keeps the copy of the directory in the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hears;

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "identity"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        for event in events {
            match event.r#type.as_str() {
                "organisation.changed" => {
                    let changed: OrganisationChanged = event.decode()?;
                    let organisation =
                        changed.organisation.ok_or_else(|| Failure::Dead("carries no organisation".to_owned()))?;
                    store_organisation(tx, &organisation, changed.version, event.seq).await?;
                }
                "contract.changed" => {
                    let changed: ContractChanged = event.decode()?;
                    let contract = changed.contract.ok_or_else(|| Failure::Dead("carries no contract".to_owned()))?;
                    store_contract(tx, &contract, changed.version, event.seq).await?;
                }
                "access.revoked" => store_revocation(tx, &event.decode()?, event.seq).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query("delete from directory").execute(&mut *tx).await?;
        sqlx::query("delete from contract_copy").execute(&mut *tx).await?;
        sqlx::query("delete from revocation").execute(&mut *tx).await?;
        Ok(true)
    }
}

/// Stores a version of an organisation, unless a newer one is there.
///
/// # Errors
/// [`Failure::Dead`] for an organisation without a proper id; otherwise when the database refuses.
pub async fn store_organisation(
    conn: &mut PgConnection,
    organisation: &Organisation,
    version: i64,
    seq: i64,
) -> Result<(), Failure> {
    let id = Uuid::try_parse(&organisation.organisation_id)
        .map_err(|_| Failure::Dead("the organisation has no proper id".to_owned()))?;
    let codes: HashSet<&String> = organisation.jurisdiction.iter().collect();
    let small = |number: i32| i16::try_from(number).unwrap_or(0);
    sqlx::query(
        "insert into directory as d
             (organisation_id, version, seq, kind, name, prefecture, jurisdiction, catch_all, rights, parent_id,
              class, valid_from, valid_until, opens_on, suspended)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         on conflict (organisation_id) do update
         set version = excluded.version, seq = excluded.seq, kind = excluded.kind, name = excluded.name,
             prefecture = excluded.prefecture, jurisdiction = excluded.jurisdiction, catch_all = excluded.catch_all,
             rights = excluded.rights, parent_id = excluded.parent_id, class = excluded.class,
             valid_from = excluded.valid_from, valid_until = excluded.valid_until, opens_on = excluded.opens_on,
             suspended = excluded.suspended
         where d.version < excluded.version",
    )
    .bind(id)
    .bind(version)
    .bind(seq)
    .bind(small(organisation.kind))
    .bind(&organisation.name)
    .bind(small(organisation.prefecture))
    .bind(codes.into_iter().cloned().collect::<Vec<String>>())
    .bind(organisation.catch_all)
    .bind(small(organisation.rights))
    .bind(Uuid::try_parse(&organisation.parent_id).ok())
    .bind(small(organisation.class))
    .bind(date::parse(&organisation.valid_from).ok())
    .bind(date::parse(&organisation.valid_until).ok())
    .bind(date::parse(&organisation.opens_on).ok())
    .bind(organisation.suspended)
    .execute(conn)
    .await?;
    Ok(())
}

async fn store_contract(conn: &mut PgConnection, contract: &Contract, version: i64, seq: i64) -> Result<(), Failure> {
    let dead = || Failure::Dead("the contract is malformed".to_owned());
    let id = |text: &String| Uuid::try_parse(text).map_err(|_| dead());
    sqlx::query(
        "insert into contract_copy as c
             (contract_id, version, seq, principal, contractors, scopes, first_day, last_day, ended)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (contract_id) do update
         set version = excluded.version, seq = excluded.seq, contractors = excluded.contractors,
             scopes = excluded.scopes, first_day = excluded.first_day, last_day = excluded.last_day,
             ended = excluded.ended
         where c.version < excluded.version",
    )
    .bind(id(&contract.contract_id)?)
    .bind(version)
    .bind(seq)
    .bind(id(&contract.principal_id)?)
    .bind(contract.contractor_ids.iter().map(id).collect::<Result<Vec<_>, _>>()?)
    .bind(contract.scopes.iter().map(|n| i16::try_from(*n).unwrap_or(0)).collect::<Vec<_>>())
    .bind(date::parse(&contract.from).map_err(|_| dead())?)
    .bind(date::parse(&contract.until).map_err(|_| dead())?)
    .bind(contract.ended)
    .execute(conn)
    .await?;
    Ok(())
}

async fn store_revocation(conn: &mut PgConnection, revoked: &AccessRevoked, seq: i64) -> Result<(), Failure> {
    let at =
        revoked.at.as_ref().and_then(clock::from_proto).ok_or_else(|| Failure::Dead("carries no moment".to_owned()))?;
    let subject = if revoked.user_id.is_empty() {
        format!("session:{}", revoked.session_id)
    } else {
        format!("user:{}", revoked.user_id)
    };
    sqlx::query(
        "insert into revocation as r (subject, at, seq) values ($1, $2, $3)
         on conflict (subject) do update set at = greatest(r.at, excluded.at), seq = excluded.seq",
    )
    .bind(subject)
    .bind(at)
    .bind(seq)
    .execute(&mut *conn)
    .await?;
    // What no living token can meet any more.
    sqlx::query("delete from revocation where at < now() - make_interval(secs => $1)")
        .bind(6.0 * token::LIFETIME.as_seconds_f64())
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use proto::identity::{ContractScope, OrganisationKind, Rights, Role};
    use time::{
        Duration, OffsetDateTime,
        macros::{date, datetime},
    };
    use uuid::Uuid;

    use super::{ContractRow, Days, Directory, Entry, Snapshot};
    use crate::{Caller, caller::Hidden};

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    fn caller(age: Duration) -> Caller {
        Caller {
            user_id: Uuid::from_u128(1),
            organisation_id: Uuid::from_u128(2),
            kind: OrganisationKind::Clinic,
            prefecture: 27,
            role: Role::Physician,
            session_id: Uuid::from_u128(3),
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
        let (centre, association, other) = (Uuid::from_u128(7), Uuid::from_u128(8), Uuid::from_u128(9));
        let row = |ended| ContractRow {
            contract_id: Uuid::from_u128(1),
            seq: 1,
            principal: centre,
            contractors: vec![association],
            scopes: vec![3],
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
            id: Uuid::from_u128(1),
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
