//! SQL of drafts.

use access::OrganisationId;
use const_format::formatcp;
use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use vault::{Key, Place, Sealed};

use super::model::{Draft, DraftId};

/// The form as it was typed.
pub(super) const FORM: Place = Place { table: "draft", column: "form_sealed" };

pub(crate) const SEALED: [Sealed; 1] = [Sealed { place: FORM, key: Key::Uuid("draft_id") }];

const COLUMNS: &str = "draft_id, organisation_id, user_id, form_sealed, case_id, revision, created_at, updated_at";

impl FromRow<'_, PgRow> for Draft {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("draft_id")?,
            organisation: row.try_get("organisation_id")?,
            user: row.try_get("user_id")?,
            form: row.try_get("form_sealed")?,
            case_id: row.try_get("case_id")?,
            revision: row.try_get("revision")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

pub(super) async fn insert(conn: &mut PgConnection, draft: &Draft) -> sqlx::Result<()> {
    sqlx::query(formatcp!("insert into draft ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)"))
        .bind(draft.id)
        .bind(draft.organisation)
        .bind(draft.user)
        .bind(&draft.form)
        .bind(draft.case_id)
        .bind(draft.revision)
        .bind(draft.created_at)
        .bind(draft.updated_at)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn update(conn: &mut PgConnection, draft: &Draft) -> sqlx::Result<()> {
    sqlx::query(
        "update draft set user_id = $2, form_sealed = $3, case_id = $4, revision = $5, updated_at = $6
         where draft_id = $1",
    )
    .bind(draft.id)
    .bind(draft.user)
    .bind(&draft.form)
    .bind(draft.case_id)
    .bind(draft.revision)
    .bind(draft.updated_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A draft of an organisation.
pub(super) async fn find(conn: &mut PgConnection, id: DraftId, of: OrganisationId) -> sqlx::Result<Option<Draft>> {
    sqlx::query_as(formatcp!("select {COLUMNS} from draft where draft_id = $1 and organisation_id = $2"))
        .bind(id)
        .bind(of)
        .fetch_optional(conn)
        .await
}

/// A draft of an organisation, locked for a change.
pub(super) async fn lock(conn: &mut PgConnection, id: DraftId, of: OrganisationId) -> sqlx::Result<Option<Draft>> {
    sqlx::query_as(formatcp!("select {COLUMNS} from draft where draft_id = $1 and organisation_id = $2 for update"))
        .bind(id)
        .bind(of)
        .fetch_optional(conn)
        .await
}

/// A page of an organisation's drafts, newest first.
pub(super) async fn page(
    conn: &mut PgConnection,
    of: OrganisationId,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Draft>> {
    sqlx::query_as(formatcp!(
        "select {COLUMNS} from draft where organisation_id = $1 and (created_at, draft_id) < ($2, $3)
         order by created_at desc, draft_id desc limit $4"
    ))
    .bind(of)
    .bind(after.moment())
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Deletes a draft of an organisation.
pub(super) async fn delete(conn: &mut PgConnection, id: DraftId, of: OrganisationId) -> sqlx::Result<()> {
    sqlx::query("delete from draft where draft_id = $1 and organisation_id = $2")
        .bind(id)
        .bind(of)
        .execute(conn)
        .await
        .map(|_| ())
}
