//! SQL of local items.

use access::{OrganisationId, UserId};
use const_format::formatcp;
use data::Code;
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use time::{Date, OffsetDateTime};

use super::model::{Choice, LocalItem, LocalItemId};

const COLUMNS: &str =
    "item_id, organisation_id, from_date, until_date, revision, type, ja, en, choice_codes, choice_ja, choice_en";

impl FromRow<'_, PgRow> for LocalItem {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let Code(r#type) = row.try_get("type")?;
        let (codes, ja, en): (Vec<String>, Vec<String>, Vec<String>) =
            (row.try_get("choice_codes")?, row.try_get("choice_ja")?, row.try_get("choice_en")?);
        let choices = codes.into_iter().zip(ja).zip(en).map(|((code, ja), en)| Choice { code, ja, en });
        Ok(Self {
            id: row.try_get("item_id")?,
            organisation: row.try_get("organisation_id")?,
            from: row.try_get("from_date")?,
            until: row.try_get("until_date")?,
            revision: row.try_get("revision")?,
            r#type,
            ja: row.try_get("ja")?,
            en: row.try_get("en")?,
            choices: choices.collect(),
        })
    }
}

/// The items of some organisations that are in force on a day, in the order they were defined in.
pub(crate) async fn in_force(conn: &mut PgConnection, of: &[OrganisationId], on: Date) -> sqlx::Result<Vec<LocalItem>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from (
             select distinct on (item_id) {COLUMNS} from local_item
             where organisation_id = any($1) and from_date <= $2
             order by item_id, from_date desc
         ) as latest
         where until_date is null or until_date >= $2 order by item_id"
    ))
    .bind(of)
    .bind(on)
    .fetch_all(conn)
    .await
}

/// Every version of the items of an organisation, by item and day.
pub(super) async fn history(conn: &mut PgConnection, of: OrganisationId, limit: i64) -> sqlx::Result<Vec<LocalItem>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from local_item where organisation_id = $1 order by item_id desc, from_date desc limit $2"
    ))
    .bind(of)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// The newest version of an item of an organisation, locked for a change.
pub(super) async fn lock(
    conn: &mut PgConnection,
    id: LocalItemId,
    of: OrganisationId,
) -> sqlx::Result<Option<LocalItem>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from local_item where item_id = $1 and organisation_id = $2
         order by from_date desc limit 1 for update"
    ))
    .bind(id)
    .bind(of)
    .fetch_optional(conn)
    .await
}

/// Whoever counts the items of an organisation waits for whoever is defining one.
pub(super) async fn lock_items_of(conn: &mut PgConnection, of: OrganisationId) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('local items ' || $1::text, 0))")
        .bind(of)
        .execute(conn)
        .await
        .map(|_| ())
}

/// As many other items of its organisation are in force at once on one of the days of an item, at most.
pub(super) async fn most_beside(conn: &mut PgConnection, item: &LocalItem) -> sqlx::Result<i64> {
    // The number rises only on the first day of a version. One version ends where the next of the same item begins.
    sqlx::query_scalar(
        "with period as (
             select from_date as begins,
                    least(until_date, lead(from_date) over (partition by item_id order by from_date) - 1) as ends
             from local_item where organisation_id = $1 and item_id <> $2
         ), busy as (
             select $3::date as today
             union
             select begins from period where begins > $3 and ($4::date is null or begins <= $4)
         ), asked as (
             select count(*) as items from busy join period on begins <= today and (ends is null or ends >= today)
             group by today
         )
         select coalesce(max(items), 0) from asked",
    )
    .bind(item.organisation)
    .bind(item.id)
    .bind(item.from)
    .bind(item.until)
    .fetch_one(conn)
    .await
}

/// Stores a version of an item. One that begins on the same day takes its place.
pub(super) async fn put(conn: &mut PgConnection, item: &LocalItem, by: UserId, at: OffsetDateTime) -> sqlx::Result<()> {
    let texts = |of: fn(&Choice) -> &String| item.choices.iter().map(of).cloned().collect::<Vec<String>>();
    sqlx::query(
        "insert into local_item
             (item_id, organisation_id, from_date, until_date, revision, type, ja, en, choice_codes, choice_ja,
              choice_en, defined_by, defined_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (item_id, from_date) do update
         set until_date = excluded.until_date, revision = excluded.revision, ja = excluded.ja, en = excluded.en,
             choice_codes = excluded.choice_codes, choice_ja = excluded.choice_ja, choice_en = excluded.choice_en,
             defined_by = excluded.defined_by, defined_at = excluded.defined_at",
    )
    .bind(item.id)
    .bind(item.organisation)
    .bind(item.from)
    .bind(item.until)
    .bind(item.revision)
    .bind(Code(item.r#type))
    .bind(&item.ja)
    .bind(&item.en)
    .bind(texts(|choice| &choice.code))
    .bind(texts(|choice| &choice.ja))
    .bind(texts(|choice| &choice.en))
    .bind(by)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}
