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
use proto::identity::{AccessRevoked, Organisation, OrganisationChanged, OrganisationKind, Rights};
use runtime::{Shutdown, clock};
use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
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
}

#[derive(Default)]
struct Snapshot {
    seq: i64,
    entries: HashMap<Uuid, Arc<Entry>>,
    centre_of: HashMap<String, Uuid>,
    claimed: HashMap<Uuid, Vec<String>>,
    catch_all: HashMap<u8, Uuid>,
    prefectures: HashMap<u8, Uuid>,
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
    pub fn centre_for(&self, municipality: Option<&str>, prefecture: u8) -> Option<Arc<Entry>> {
        let snapshot = self.snapshot.load();
        let id = municipality
            .and_then(|code| snapshot.centre_of.get(code))
            .or_else(|| snapshot.catch_all.get(&prefecture))?;
        snapshot.entries.get(id).cloned()
    }

    /// The prefecture's own organisation.
    pub fn prefecture(&self, prefecture: u8) -> Option<Uuid> {
        self.snapshot.load().prefectures.get(&prefecture).copied()
    }

    /// What the caller's organisation may do. An organisation we have not heard of may do nothing.
    pub fn rights(&self, caller: &Caller) -> Rights {
        self.get(caller.organisation_id).map_or(Rights::None, |entry| entry.rights)
    }

    /// Whether a token still stands. With identity silent for long, only young tokens do, except for filing.
    pub fn still_good(&self, caller: &Caller, now: OffsetDateTime, filing: bool) -> bool {
        let snapshot = self.snapshot.load();
        let revoked = |subject: String| snapshot.revoked.get(&subject).is_some_and(|at| caller.issued_at <= *at);
        if revoked(format!("session:{}", caller.session_id)) || revoked(format!("user:{}", caller.user_id)) {
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
            "select organisation_id, seq, kind, name, prefecture, jurisdiction, catch_all, rights, parent_id
             from directory where seq > $1 order by seq",
        )
        .bind(old.seq)
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
            revoked: revoked.into_iter().collect(),
            heard_at,
        };
        for row in rows {
            new.take(row);
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
            self.centre_of.remove(&code);
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
        let entry = Entry { id, kind, name: row.name, prefecture, rights, parent_id: row.parent_id };
        self.entries.insert(id, Arc::new(entry));
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
                "access.revoked" => store_revocation(tx, &event.decode()?, event.seq).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query("delete from directory").execute(&mut *tx).await?;
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
             (organisation_id, version, seq, kind, name, prefecture, jurisdiction, catch_all, rights, parent_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (organisation_id) do update
         set version = excluded.version, seq = excluded.seq, kind = excluded.kind, name = excluded.name,
             prefecture = excluded.prefecture, jurisdiction = excluded.jurisdiction, catch_all = excluded.catch_all,
             rights = excluded.rights, parent_id = excluded.parent_id
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

    use proto::identity::{OrganisationKind, Role};
    use time::{Duration, OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{Directory, Snapshot};
    use crate::Caller;

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
}
