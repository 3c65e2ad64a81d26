//! The envelope: data keys in the database, wrapped by a key that is not.

use std::{collections::HashMap, fs, path::Path, sync::Arc, sync::RwLock};

use anyhow::{Context as _, ensure};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};
use data::sqlx::{self, PgPool};

use crate::{Inner, Vault};

const KEY: usize = 32;

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

impl Vault {
    /// Opens the vault of a service: reads the key-encryption key from its file and the data keys from the database,
    /// making the first ones where there are none.
    ///
    /// # Errors
    /// When the file is no key, or does not open the keys in the database.
    pub async fn open_for(service: &'static str, kek_file: &Path, pool: &PgPool) -> anyhow::Result<Self> {
        let kek = fs::read(kek_file).with_context(|| format!("read the key-encryption key {}", kek_file.display()))?;
        ensure!(kek.len() == KEY, "{} is no key of {KEY} bytes", kek_file.display());
        let wrapping = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &kek).context("use the key-encryption key")?);

        for generation in [0, 1] {
            let wrapped = wrap(&wrapping, service, generation)?;
            sqlx::query("insert into vault_key (generation, wrapped) values ($1, $2) on conflict do nothing")
                .bind(generation)
                .bind(wrapped)
                .execute(pool)
                .await
                .context("keep a data key")?;
        }
        let rows: Vec<(i32, Vec<u8>)> = sqlx::query_as("select generation, wrapped from vault_key")
            .fetch_all(pool)
            .await
            .context("read the data keys")?;
        let mut generations = HashMap::new();
        for (generation, wrapped) in rows {
            let key = unwrap(&wrapping, service, generation, &wrapped)?;
            generations.insert(u32::try_from(generation)?, DataKey::new(&key, service));
        }
        Self::from_keys(service, generations)
    }

    /// A vault with fixed keys.
    #[cfg(test)]
    pub(crate) fn for_tests(service: &'static str) -> Self {
        let keys = [0_u8, 1].map(|n| (u32::from(n), DataKey::new(&[n; KEY], service)));
        Self::from_keys(service, HashMap::from(keys)).unwrap()
    }

    fn from_keys(service: &'static str, mut generations: HashMap<u32, DataKey>) -> anyhow::Result<Self> {
        let index = generations.remove(&0).context("the index key is missing")?;
        let current = generations.keys().copied().max().context("no data key")?;
        let derived = RwLock::default();
        Ok(Self { inner: Arc::new(Inner { service, generations, current, index, derived }) })
    }
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
