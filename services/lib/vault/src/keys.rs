//! The envelope: data keys in the database, wrapped by a key that is not.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use data::sqlx::{self, PgPool};

use crate::{Inner, Vault};

const KEY: usize = 32;

/// A new key is known to every process after this time: each reads the keys again three times within it.
pub(crate) const KNOWN_AFTER: Duration = Duration::from_secs(30);

/// A key from which others are derived. Has no `Debug`.
pub(crate) struct DataKey(hkdf::Prk);

impl DataKey {
    fn new(bytes: &[u8], context: &str) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, context.as_bytes()).extract(bytes))
    }

    /// The key for a purpose.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; KEY] {
        let mut key = [0; KEY];
        // Cannot fail: 32 bytes are far below HKDF's limit.
        if let Ok(okm) = self.0.expand(&[purpose], hkdf::HKDF_SHA256) {
            let _ = okm.fill(&mut key);
        }
        key
    }
}

/// The key that wraps the data keys. It is kept outside of the database.
pub(crate) struct Wrapping(LessSafeKey);

/// The data keys of a service as they stand now.
pub(crate) struct Keys {
    pub(crate) generations: HashMap<u32, DataKey>,
    pub(crate) current: u32,
    pub(crate) newest: u32,
    /// Whether every process has long been sealing with the newest generation.
    pub(crate) settled: bool,
}

impl Vault {
    /// Opens the vault of a service: reads the key-encryption key from its file and the data keys from the database,
    /// and creates the first ones if there are none.
    ///
    /// # Errors
    /// When the file is not a key, or does not open the keys in the database.
    pub async fn open_for(service: &'static str, kek_file: &Path, pool: &PgPool) -> anyhow::Result<Self> {
        let kek = fs::read(kek_file).with_context(|| format!("read the key-encryption key {}", kek_file.display()))?;
        ensure!(kek.len() == KEY, "{} is not a key of {KEY} bytes", kek_file.display());
        let wrapping =
            Wrapping(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &kek).context("use the key-encryption key")?));

        for generation in [0, 1] {
            let wrapped = wrap(&wrapping.0, service, generation)?;
            sqlx::query("insert into vault_key (generation, wrapped) values ($1, $2) on conflict do nothing")
                .bind(generation)
                .bind(wrapped)
                .execute(pool)
                .await
                .context("keep a data key")?;
        }
        let keys = read(&wrapping, service, pool).await?;
        Self::from_keys(service, wrapping, keys)
    }

    /// Rereads the data keys: another process may have created a generation, or a new one may have come into use.
    ///
    /// # Errors
    /// When the database does not answer or a key does not open.
    pub async fn refresh(&self, pool: &PgPool) -> anyhow::Result<()> {
        let keys = read(&self.inner.wrapping, self.inner.service, pool).await?;
        self.inner.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Creates a new generation, to be used once every process has read it. Returns its number.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn rotate(&self, pool: &PgPool) -> anyhow::Result<i32> {
        let mut tx = pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock(8)").execute(&mut *tx).await?;
        let newest: i32 = sqlx::query_scalar("select max(generation) from vault_key").fetch_one(&mut *tx).await?;
        let generation = newest + 1;
        let wrapped = wrap(&self.inner.wrapping.0, self.inner.service, generation)?;
        sqlx::query(
            "insert into vault_key (generation, wrapped, used_from) values ($1, $2, now() + make_interval(secs => $3))",
        )
        .bind(generation)
        .bind(wrapped)
        .bind(KNOWN_AFTER.as_secs_f64())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.refresh(pool).await?;
        Ok(generation)
    }

    /// A vault with fixed keys.
    #[cfg(test)]
    pub(crate) fn for_tests(service: &'static str) -> Self {
        let wrapping = Wrapping(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &[7; KEY]).unwrap()));
        let generations = HashMap::from([0_u8, 1].map(|n| (u32::from(n), DataKey::new(&[n; KEY], service))));
        Self::from_keys(service, wrapping, Keys { generations, current: 1, newest: 1, settled: true }).unwrap()
    }

    fn from_keys(service: &'static str, wrapping: Wrapping, mut keys: Keys) -> anyhow::Result<Self> {
        let index = keys.generations.remove(&0).context("the index key is missing")?;
        let keys = ArcSwap::from_pointee(keys);
        Ok(Self { inner: Arc::new(Inner { service, wrapping, keys, index, derived: RwLock::default() }) })
    }
}

async fn read(wrapping: &Wrapping, service: &str, pool: &PgPool) -> anyhow::Result<Keys> {
    let rows: Vec<(i32, Vec<u8>, bool, bool)> = sqlx::query_as(
        "select generation, wrapped, used_from <= now(), used_from <= now() - make_interval(secs => $1)
         from vault_key order by generation",
    )
    .bind(KNOWN_AFTER.as_secs_f64())
    .fetch_all(pool)
    .await
    .context("read the data keys")?;
    let mut keys = Keys { generations: HashMap::new(), current: 0, newest: 0, settled: false };
    for (generation, wrapped, in_use, settled) in rows {
        let key = unwrap(&wrapping.0, service, generation, &wrapped)?;
        let generation = u32::try_from(generation)?;
        keys.generations.insert(generation, DataKey::new(&key, service));
        (keys.newest, keys.settled) = (generation, settled);
        if in_use {
            keys.current = generation;
        }
    }
    ensure!(keys.current > 0, "no data key");
    Ok(keys)
}

fn wrap(wrapping: &LessSafeKey, service: &str, generation: i32) -> anyhow::Result<Vec<u8>> {
    let (mut nonce, mut key) = ([0; NONCE_LEN], vec![0; KEY]);
    getrandom::fill(&mut nonce).context("draw a nonce")?;
    getrandom::fill(&mut key).context("draw a key")?;
    let aad = Aad::from(format!("{service}|{generation}"));
    wrapping.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut key).context("wrap a data key")?;
    Ok([&nonce[..], &key].concat())
}

fn unwrap(wrapping: &LessSafeKey, service: &str, generation: i32, wrapped: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (nonce, key) = wrapped.split_at_checked(NONCE_LEN).context("a wrapped key is too short")?;
    let mut key = key.to_vec();
    let aad = Aad::from(format!("{service}|{generation}"));
    let length = wrapping
        .open_in_place(Nonce::try_assume_unique_for_key(nonce)?, aad, &mut key)
        .context("the key-encryption key does not open the data keys: is it the right file?")?
        .len();
    key.truncate(length);
    Ok(key)
}
