//! Secrets at rest: field encryption with envelope keys, blind indexes for searching what is encrypted, signing keys.
//!
//! Each service's key-encryption key is kept in a file outside of the database. It wraps the data keys in `vault_key`;
//! from those, HKDF derives one key per table and column. AES-256-GCM-SIV tolerates a repeated nonce. The additional
//! data bind a ciphertext to its service, table, column and row, so that none can be moved.

mod keys;
mod reencryption;
mod signing;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, RwLock},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};

pub use reencryption::{Key, Progress, Sealed};
pub use signing::{Jwks, KEYS as SIGNING_KEYS, Signer};

/// The tables of the vault.
pub static MIGRATOR: LazyLock<sqlx::migrate::Migrator> = LazyLock::new(|| {
    data::migrations![
        "0001_keys.sql" => include_str!("../migrations/0001_keys.sql"),
        "0002_rotation.sql" => include_str!("../migrations/0002_rotation.sql"),
    ]
});

/// First byte of every ciphertext: the format.
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 4 + NONCE_LEN;

/// The place of a ciphertext. A ciphertext opens only in its own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The table's name in SQL.
    pub table: &'static str,
    /// The column's name in SQL.
    pub column: &'static str,
}

/// What can go wrong with a secret. Reveals nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not a ciphertext, or were moved or changed.
    #[error("ciphertext does not open here")]
    DoesNotOpen,
    /// The ciphertext was sealed with a generation of the key that was never read.
    #[error("key generation is not known")]
    UnknownGeneration,
    /// The cryptography library refused.
    #[error("cryptography failed")]
    Crypto,
}

/// The encryption keys of one service, and what is done with them.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    service: &'static str,
    wrapping: keys::Wrapping,
    keys: ArcSwap<keys::Keys>,
    index: keys::DataKey,
    derived: RwLock<HashMap<(u32, Place), Arc<LessSafeKey>>>,
}

impl Vault {
    /// Encrypts a value for its place in a row.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the library refuses.
    pub fn seal(&self, place: Place, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let generation = self.inner.keys.load().current;
        let key = self.key(generation, place)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| Error::Crypto)?;
        let mut sealed = Vec::with_capacity(HEADER + plain.len() + 16);
        sealed.push(FORMAT);
        sealed.extend(generation.to_be_bytes());
        sealed.extend(nonce);
        let mut body = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(self.bound_to(generation, place, row)),
            &mut body,
        )
        .map_err(|_| Error::Crypto)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Decrypts a value in its place.
    ///
    /// # Errors
    /// When it was sealed elsewhere, under an unknown key, or was changed.
    pub fn open(&self, place: Place, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(Error::DoesNotOpen)?;
        let (format, rest) = header.split_first().ok_or(Error::DoesNotOpen)?;
        let (generation, nonce) = rest.split_at(4);
        if *format != FORMAT {
            return Err(Error::DoesNotOpen);
        }
        let generation = u32::from_be_bytes(generation.try_into().map_err(|_| Error::DoesNotOpen)?);
        let key = self.key(generation, place)?;
        let mut body = body.to_vec();
        let plain = key
            .open_in_place(
                Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::DoesNotOpen)?,
                Aad::from(self.bound_to(generation, place, row)),
                &mut body,
            )
            .map_err(|_| Error::DoesNotOpen)?
            .len();
        body.truncate(plain);
        Ok(body)
    }

    /// A blind index: equal values give equal bytes, and nobody can test guesses without the key.
    pub fn blind(&self, place: Place, normalised: &str) -> Vec<u8> {
        let mut tag = self.keyed_hash(&format!("blind|{}|{}", place.table, place.column), normalised.as_bytes());
        tag.truncate(16);
        tag
    }

    /// A keyed hash for a purpose, 32 bytes.
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.inner.index.derive(purpose.as_bytes()));
        hmac::sign(&key, bytes).as_ref().to_vec()
    }

    /// The generation that seals now, and the newest one there is.
    pub fn generations(&self) -> (u32, u32) {
        let keys = self.inner.keys.load();
        (keys.current, keys.newest)
    }

    /// The generation that sealed a value.
    pub fn generation_of(sealed: &[u8]) -> Option<u32> {
        sealed.get(1..5)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn key(&self, generation: u32, place: Place) -> Result<Arc<LessSafeKey>, Error> {
        if let Some(key) = self.inner.derived.read().ok().and_then(|keys| keys.get(&(generation, place)).cloned()) {
            return Ok(key);
        }
        let keys = self.inner.keys.load();
        let data_key = keys.generations.get(&generation).ok_or(Error::UnknownGeneration)?;
        let derived = data_key.derive(format!("field|{}|{}", place.table, place.column).as_bytes());
        let key = Arc::new(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &derived).map_err(|_| Error::Crypto)?));
        if let Ok(mut keys) = self.inner.derived.write() {
            keys.insert((generation, place), Arc::clone(&key));
        }
        Ok(key)
    }

    fn bound_to(&self, generation: u32, place: Place, row: &[u8]) -> Vec<u8> {
        let mut aad = format!("{}|{}|{}|{generation}|", self.inner.service, place.table, place.column).into_bytes();
        aad.extend(row);
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Place, Vault};

    const NAME: Place = Place { table: "person", column: "name" };
    const PHONE: Place = Place { table: "person", column: "phone" };

    fn vault() -> Vault {
        Vault::for_tests("registry")
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let vault = vault();
        let sealed = vault.seal(NAME, b"row 1", "山田".as_bytes()).unwrap();
        assert_eq!(vault.open(NAME, b"row 1", &sealed).unwrap(), "山田".as_bytes());
        assert_eq!(vault.open(NAME, b"row 2", &sealed), Err(Error::DoesNotOpen));
        assert_eq!(vault.open(PHONE, b"row 1", &sealed), Err(Error::DoesNotOpen));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let vault = vault();
        let sealed = vault.seal(NAME, b"row", b"value").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(vault.open(NAME, b"row", &changed).is_err(), "byte {place}");
        }
        for length in 0..sealed.len() {
            assert!(vault.open(NAME, b"row", &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_blind_index_depends_on_value_and_column() {
        let vault = vault();
        assert_eq!(vault.blind(NAME, "ヤマダ"), vault.blind(NAME, "ヤマダ"));
        assert_ne!(vault.blind(NAME, "ヤマダ"), vault.blind(NAME, "ヤマタ"));
        assert_ne!(vault.blind(NAME, "ヤマダ"), vault.blind(PHONE, "ヤマダ"));
        assert_ne!(vault.blind(NAME, "ヤマダ"), Vault::for_tests("identity").blind(NAME, "ヤマダ"));
    }
}
