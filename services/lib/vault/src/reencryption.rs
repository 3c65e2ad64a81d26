//! Re-encryption: after a rotation, what older generations sealed is sealed again, in small steps in key order. A step
//! that is interrupted is repeated. A value that changed meanwhile is skipped: its writer used the new key.

use anyhow::Context as _;
use data::sqlx::{self, AssertSqlSafe, PgPool, Row as _};
use uuid::Uuid;

use crate::{Place, Vault};

/// Rows looked at in one step.
const STEP: i64 = 500;

/// What binds a ciphertext to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A UUID column.
    Uuid(&'static str),
    /// A bytea column.
    Bytes(&'static str),
    /// A text column.
    Text(&'static str),
}

impl Key {
    fn column(self) -> &'static str {
        match self {
            Self::Uuid(column) | Self::Bytes(column) | Self::Text(column) => column,
        }
    }

    /// The type that a key kept as text is read back as.
    fn r#type(self) -> &'static str {
        match self {
            Self::Uuid(_) => "uuid",
            Self::Bytes(_) => "bytea",
            Self::Text(_) => "text",
        }
    }
}

/// A column of ciphertexts, and the column that binds each to its row. The key column is indexed.
#[derive(Clone, Copy, Debug)]
pub struct Sealed {
    /// The table and column of the ciphertexts.
    pub place: Place,
    /// The column each ciphertext is bound to.
    pub key: Key,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Values sealed again.
    pub reencrypted: u64,
    /// Whether values of older generations may remain.
    pub more: bool,
}

impl Vault {
    /// Goes one step further over these columns.
    ///
    /// # Errors
    /// When the database refuses or a value does not open.
    pub async fn reencrypt(&self, pool: &PgPool, columns: &[Sealed]) -> anyhow::Result<Progress> {
        let (current, _) = self.generations();
        if !self.inner.keys.load().settled {
            // Another process may still seal with the old key, or commit what it sealed: this pass would miss that.
            return Ok(Progress { reencrypted: 0, more: true });
        }
        let generation = i32::try_from(current)?;
        for column in columns {
            let name = format!("{}.{}", column.place.table, column.place.column);
            let mut tx = pool.begin().await?;
            let started: Option<(i32, Option<String>, bool)> = sqlx::query_as(
                "select generation, last_key, finished from vault_reencryption where sealed_column = $1 for update",
            )
            .bind(&name)
            .fetch_optional(&mut *tx)
            .await?;
            let last_key = match started {
                Some((at, _, true)) if at == generation => continue,
                Some((at, last, false)) if at == generation => last,
                _ => None,
            };
            let (reencrypted, last, finished) = self.step(&mut tx, *column, last_key.as_deref(), current).await?;
            sqlx::query(
                "insert into vault_reencryption (sealed_column, generation, last_key, finished) values ($1, $2, $3, $4)
                 on conflict (sealed_column) do update
                 set generation = excluded.generation, last_key = excluded.last_key, finished = excluded.finished",
            )
            .bind(&name)
            .bind(generation)
            .bind(last)
            .bind(finished)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            return Ok(Progress { reencrypted, more: true });
        }
        Ok(Progress::default())
    }

    async fn step(
        &self,
        conn: &mut sqlx::PgConnection,
        Sealed { place, key }: Sealed,
        after: Option<&str>,
        current: u32,
    ) -> anyhow::Result<(u64, Option<String>, bool)> {
        let (table, column, by, r#type) = (place.table, place.column, key.column(), key.r#type());
        // Names come from the code, never from a caller.
        let select = format!(
            "select {by}::text, {column} from {table}
             where {column} is not null and ($1::text is null or {by} > $1::{type}) order by {by}
             fetch first {STEP} rows with ties"
        );
        let update = format!("update {table} set {column} = $3 where {by} = $1::{type} and {column} = $2");
        let rows = sqlx::query(AssertSqlSafe(select)).bind(after).fetch_all(&mut *conn).await?;
        let mut reencrypted = 0;
        for row in &rows {
            let (id, sealed): (String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            if Self::generation_of(&sealed) == Some(current) {
                continue;
            }
            let bound = bound_to(key, &id)?;
            let plain = self.open(place, &bound, &sealed).with_context(|| format!("open {table}.{column}"))?;
            let fresh = self.seal(place, &bound, &plain)?;
            let done = sqlx::query(AssertSqlSafe(update.clone()))
                .bind(&id)
                .bind(&sealed)
                .bind(fresh)
                .execute(&mut *conn)
                .await?;
            reencrypted += done.rows_affected();
        }
        let finished = i64::try_from(rows.len()).is_ok_and(|n| n < STEP);
        let last = rows.last().map(|row| row.try_get(0)).transpose()?.or_else(|| after.map(str::to_owned));
        Ok((reencrypted, last, finished))
    }
}

/// The bytes that bind a ciphertext to its row, from the key as PostgreSQL writes it.
fn bound_to(key: Key, text: &str) -> anyhow::Result<Vec<u8>> {
    Ok(match key {
        Key::Uuid(_) => Uuid::try_parse(text).context("a key is not a UUID")?.as_bytes().to_vec(),
        Key::Text(_) => text.as_bytes().to_vec(),
        Key::Bytes(_) => {
            let digits = text.strip_prefix("\\x").context("a key is not a bytea")?;
            (0..digits.len())
                .step_by(2)
                .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
                .collect::<Option<_>>()
                .context("a key is not a bytea")?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Key, bound_to};

    #[test]
    fn a_key_binds_as_the_writer_bound_it() {
        assert_eq!(bound_to(Key::Bytes("hash"), "\\x00ff10").unwrap(), [0, 255, 16]);
        assert_eq!(bound_to(Key::Text("kid"), "abc").unwrap(), b"abc");
        let id = uuid::Uuid::from_u128(7);
        assert_eq!(bound_to(Key::Uuid("id"), &id.to_string()).unwrap(), id.as_bytes());
        assert!(bound_to(Key::Uuid("id"), "7").is_err());
    }
}
