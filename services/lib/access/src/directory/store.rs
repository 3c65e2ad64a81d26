//! SQL of the directory's copy in the database.

use std::{collections::HashSet, time::Duration};

use data::{Code, Failure, code};
use japan::date;
use proto::identity::{
    AccessRevoked, Contract, ContractScope, Organisation, OrganisationClass, OrganisationKind, Rights,
    access_revoked::Subject,
};
use runtime::{Clock, clock};
use sqlx::{FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::{OrganisationId, token};

#[derive(FromRow)]
pub(super) struct OrganisationRow {
    pub organisation_id: OrganisationId,
    pub seq: i64,
    pub kind: Code<OrganisationKind>,
    pub name: String,
    #[sqlx(try_from = "i16")]
    pub prefecture: u8,
    pub jurisdiction: Vec<String>,
    pub catch_all: bool,
    pub rights: Code<Rights>,
    pub parent_id: Option<OrganisationId>,
    pub valid_from: Option<Date>,
    pub valid_until: Option<Date>,
    pub opens_on: Option<Date>,
    pub suspended: bool,
}

#[derive(FromRow)]
pub(super) struct ContractRow {
    pub contract_id: Uuid,
    pub seq: i64,
    pub principal: OrganisationId,
    pub contractors: Vec<OrganisationId>,
    pub scopes: Vec<Code<ContractScope>>,
    pub first_day: Date,
    pub last_day: Date,
    pub ended: bool,
}

/// The moment up to which identity's events have been handled; `None` if none have.
pub(super) async fn heard_at(pool: &PgPool) -> sqlx::Result<Option<OffsetDateTime>> {
    let at: Option<Option<OffsetDateTime>> =
        sqlx::query_scalar("select nullif(watermark, '-infinity') from cursor where source = 'identity'")
            .fetch_optional(pool)
            .await?;
    Ok(at.flatten())
}

/// How far the clock of this process is from the database's.
pub(super) async fn clock_differs_by(pool: &PgPool, clock: &Clock) -> sqlx::Result<Duration> {
    let asked = clock.now();
    let theirs: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()").fetch_one(pool).await?;
    let answered = clock.now();
    // It was read at some moment between the question and the answer.
    Ok((theirs - theirs.clamp(asked, answered.max(asked))).unsigned_abs())
}

/// Organisations that changed after a place in identity's log, in order.
pub(super) async fn organisations_since(pool: &PgPool, seq: i64) -> sqlx::Result<Vec<OrganisationRow>> {
    sqlx::query_as(
        "select organisation_id, seq, kind, name, prefecture, jurisdiction, catch_all, rights, parent_id,
                valid_from, valid_until, opens_on, suspended
         from directory where seq > $1 order by seq",
    )
    .bind(seq)
    .fetch_all(pool)
    .await
}

/// Contracts that changed after a place in identity's log, in order.
pub(super) async fn contracts_since(pool: &PgPool, seq: i64) -> sqlx::Result<Vec<ContractRow>> {
    sqlx::query_as(
        "select contract_id, seq, principal, contractors, scopes, first_day, last_day, ended
         from contract_copy where seq > $1 order by seq",
    )
    .bind(seq)
    .fetch_all(pool)
    .await
}

/// Revocations that can still concern a valid token. Their times come from the database, and so does the clock that
/// forgets them.
pub(super) async fn revocations(pool: &PgPool) -> sqlx::Result<Vec<(String, OffsetDateTime)>> {
    sqlx::query_as("select subject, at from revocation where at > now() - interval '15 minutes'").fetch_all(pool).await
}

/// Deletes every copy before a rebuild from identity's log.
pub(super) async fn forget_all(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from directory").execute(&mut *conn).await?;
    sqlx::query("delete from contract_copy").execute(&mut *conn).await?;
    sqlx::query("delete from revocation").execute(conn).await?;
    Ok(())
}

/// Stores a version of an organisation, unless a newer one is there.
///
/// # Errors
/// [`Failure::Dead`] for an organisation without a valid id; otherwise when the database refuses.
pub(super) async fn save_organisation(
    conn: &mut PgConnection,
    organisation: &Organisation,
    version: i64,
    seq: i64,
) -> Result<(), Failure> {
    let id = OrganisationId::parse(&organisation.organisation_id)
        .map_err(|_| Failure::Dead("the organisation has no valid id".to_owned()))?;
    let codes: HashSet<&String> = organisation.jurisdiction.iter().collect();
    let prefecture = i16::try_from(organisation.prefecture)
        .map_err(|_| Failure::Dead("the organisation has no valid prefecture".to_owned()))?;
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
    .bind(Code(code::<OrganisationKind>(organisation.kind)))
    .bind(&organisation.name)
    .bind(prefecture)
    .bind(codes.into_iter().cloned().collect::<Vec<String>>())
    .bind(organisation.catch_all)
    .bind(Code(code::<Rights>(organisation.rights)))
    .bind(OrganisationId::parse(&organisation.parent_id).ok())
    .bind(Code(code::<OrganisationClass>(organisation.class)))
    .bind(date::parse(&organisation.valid_from_date).ok())
    .bind(date::parse(&organisation.valid_until_date).ok())
    .bind(date::parse(&organisation.opening_date).ok())
    .bind(organisation.suspended)
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores a version of a contract, unless a newer one is there.
pub(super) async fn save_contract(
    conn: &mut PgConnection,
    contract: &Contract,
    version: i64,
    seq: i64,
) -> Result<(), Failure> {
    let dead = || Failure::Dead("the contract is malformed".to_owned());
    let id = |text: &String| OrganisationId::parse(text).map_err(|_| dead());
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
    .bind(Uuid::try_parse(&contract.contract_id).map_err(|_| dead())?)
    .bind(version)
    .bind(seq)
    .bind(id(&contract.principal_id)?)
    .bind(contract.contractor_ids.iter().map(id).collect::<Result<Vec<_>, _>>()?)
    .bind(contract.scopes.iter().map(|scope| Code(code::<ContractScope>(*scope))).collect::<Vec<_>>())
    .bind(date::parse(&contract.from_date).map_err(|_| dead())?)
    .bind(date::parse(&contract.until_date).map_err(|_| dead())?)
    .bind(contract.ended)
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores that a subject's tokens are revoked.
pub(super) async fn save_revocation(conn: &mut PgConnection, revoked: &AccessRevoked, seq: i64) -> Result<(), Failure> {
    let malformed = |what: &str| Failure::Dead(format!("carries no {what}"));
    let at = revoked.revoke_time.as_ref().and_then(clock::from_proto).ok_or_else(|| malformed("moment"))?;
    let subject = match revoked.subject.as_ref().ok_or_else(|| malformed("subject"))? {
        Subject::SessionId(session) => format!("session:{session}"),
        Subject::UserId(user) => format!("user:{user}"),
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
    // Those that can no longer concern a valid token.
    sqlx::query("delete from revocation where at < now() - make_interval(secs => $1)")
        .bind(6.0 * token::LIFETIME.as_seconds_f64())
        .execute(conn)
        .await?;
    Ok(())
}
