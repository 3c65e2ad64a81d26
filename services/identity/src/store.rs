//! All SQL of identity: signing in here, the rest by subject.

pub(crate) mod accounts;
pub(crate) mod contracts;
pub(crate) mod proxies;

use proto::identity::{Organisation, OrganisationKind};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::Body;

/// A user's account.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Account {
    pub user_id: Uuid,
    pub login: String,
    pub organisation_id: Uuid,
    pub role: i16,
    pub secret_hash: String,
    pub secret_is_initial: bool,
    pub secret_expires_at: Option<OffsetDateTime>,
    pub totp_sealed: Option<Vec<u8>>,
    pub next_try_at: Option<OffsetDateTime>,
    pub disabled_at: Option<OffsetDateTime>,
    /// Field groups this ID does not see, as bits.
    pub hidden: i32,
    pub terms_version: i32,
}

/// Counts an attempt before it is checked, and sets the rest it will cost in the same statement: parallel guesses all count,
/// and none slips through between counting and resting. `None` where there is no such log-in; `next_try_at` is as it was.
pub(crate) async fn count_attempt(
    conn: &mut PgConnection,
    login: &str,
    rests: (&[i32], &[f64]),
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "update account a
         set failures = a.failures + case when a.next_try_at <= now() then 1 else 0 end,
             next_try_at = case when a.next_try_at > now() then a.next_try_at else now() + make_interval(secs =>
                 (select coalesce(max(secs), 0) from unnest($2::int[], $3::float8[]) r (least, secs)
                  where least <= a.failures + 1)) end
         where login = $1
         returning user_id, login, organisation_id, role, secret_hash, secret_is_initial, secret_expires_at, totp_sealed,
                   nullif(old.next_try_at, '-infinity') as next_try_at, disabled_at, hidden, terms_version",
    )
    .bind(login)
    .bind(rests.0)
    .bind(rests.1)
    .fetch_optional(conn)
    .await
}

/// An account by its log-in, without counting: for an attempt on a known device, which is counted there.
pub(crate) async fn find_login(conn: &mut PgConnection, login: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "select user_id, login, organisation_id, role, secret_hash, secret_is_initial, secret_expires_at, totp_sealed,
                null::timestamptz as next_try_at, disabled_at, hidden, terms_version
         from account where login = $1",
    )
    .bind(login)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn find_account(conn: &mut PgConnection, user_id: Uuid) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "select user_id, login, organisation_id, role, secret_hash, secret_is_initial, secret_expires_at, totp_sealed,
                nullif(next_try_at, '-infinity') as next_try_at, disabled_at, hidden, terms_version
         from account where user_id = $1",
    )
    .bind(user_id)
    .fetch_optional(conn)
    .await
}

/// Both factors were right.
pub(crate) async fn clear_failures(conn: &mut PgConnection, user_id: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "update account set failures = 0, next_try_at = '-infinity', last_sign_in_at = now() where user_id = $1",
    )
    .bind(user_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lifts rest and hard stop.
pub(crate) async fn lift_stop(conn: &mut PgConnection, user_id: Uuid) -> sqlx::Result<()> {
    sqlx::query("update account set failures = 0, next_try_at = '-infinity' where user_id = $1")
        .bind(user_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Accepts a time step of a one-time code. `false` where it, or a later one, was accepted before.
pub(crate) async fn accept_step(conn: &mut PgConnection, user_id: Uuid, step: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("update account set totp_last_step = $2 where user_id = $1 and totp_last_step < $2")
        .bind(user_id)
        .bind(step)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) struct NewAccount<'a> {
    pub user_id: Uuid,
    pub login: &'a str,
    pub organisation_id: Uuid,
    pub role: i16,
    pub secret_hash: &'a str,
    pub expires_at: OffsetDateTime,
    pub issued_by: Option<Uuid>,
    pub holder_sealed: Option<&'a [u8]>,
    pub mail_sealed: Option<&'a [u8]>,
    pub hidden: i32,
}

pub(crate) async fn insert_account(conn: &mut PgConnection, new: &NewAccount<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into account (user_id, login, organisation_id, role, secret_hash, secret_expires_at, issued_by,
                              holder_sealed, mail_sealed, hidden)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(new.user_id)
    .bind(new.login)
    .bind(new.organisation_id)
    .bind(new.role)
    .bind(new.secret_hash)
    .bind(new.expires_at)
    .bind(new.issued_by)
    .bind(new.holder_sealed)
    .bind(new.mail_sealed)
    .bind(new.hidden)
    .execute(conn)
    .await?;
    Ok(())
}

/// The person has chosen a password and proved an authenticator.
pub(crate) async fn finish_enrolment(
    conn: &mut PgConnection,
    user_id: Uuid,
    secret_hash: &str,
    totp_sealed: &[u8],
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update account set secret_hash = $2, totp_sealed = $3, secret_is_initial = false, secret_expires_at = null
         where user_id = $1 and secret_is_initial",
    )
    .bind(user_id)
    .bind(secret_hash)
    .bind(totp_sealed)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Disables an account and ends its sessions. `false` where there is no such account in force.
pub(crate) async fn disable_account(conn: &mut PgConnection, user_id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query("update account set disabled_at = now() where user_id = $1 and disabled_at is null")
        .bind(user_id)
        .execute(&mut *conn)
        .await?;
    sqlx::query("update session set ended_at = now() where subject = $1 and ended_at is null")
        .bind(user_id)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether there is any account at all.
pub(crate) async fn any_account(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from account)").fetch_one(conn).await
}

/// A challenge between two factors.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Challenge {
    pub subject: Uuid,
    pub step: String,
    pub code_hash: Option<Vec<u8>>,
    pub totp_sealed: Option<Vec<u8>>,
    pub secret_hash: Option<String>,
    /// The known device it comes from.
    pub device_hash: Option<Vec<u8>>,
    /// Hashes of a new enrolment's recovery codes.
    pub recovery: Option<Vec<Vec<u8>>>,
    pub tries: i32,
}

pub(crate) async fn insert_challenge(
    conn: &mut PgConnection,
    hash: &[u8],
    subject: Uuid,
    step: &str,
    code_hash: Option<&[u8]>,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query("delete from challenge where expires_at < now()").execute(&mut *conn).await?;
    sqlx::query(
        "insert into challenge (challenge_hash, subject, step, code_hash, expires_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(hash)
    .bind(subject)
    .bind(step)
    .bind(code_hash)
    .bind(expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes on which known device a sign-in goes on.
pub(crate) async fn note_device(conn: &mut PgConnection, challenge: &[u8], device: &[u8]) -> sqlx::Result<()> {
    sqlx::query("update challenge set device_hash = $2 where challenge_hash = $1")
        .bind(challenge)
        .bind(device)
        .execute(conn)
        .await?;
    Ok(())
}

/// Counts a try before it is checked. `None` where the challenge is unknown, over, or tried too often.
pub(crate) async fn try_challenge(conn: &mut PgConnection, hash: &[u8], most: i32) -> sqlx::Result<Option<Challenge>> {
    sqlx::query_as(
        "update challenge set tries = tries + 1
         where challenge_hash = $1 and expires_at > now() and tries < $2
         returning subject, step, code_hash, totp_sealed, secret_hash, device_hash, recovery, tries",
    )
    .bind(hash)
    .bind(most)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn prepare_enrolment(
    conn: &mut PgConnection,
    hash: &[u8],
    totp_sealed: &[u8],
    secret_hash: &str,
    recovery: &[Vec<u8>],
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("update challenge set totp_sealed = $2, secret_hash = $3, recovery = $4 where challenge_hash = $1")
            .bind(hash)
            .bind(totp_sealed)
            .bind(secret_hash)
            .bind(recovery)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// What else was begun for a subject ends.
pub(crate) async fn drop_challenges(conn: &mut PgConnection, subject: Uuid) -> sqlx::Result<()> {
    sqlx::query("delete from challenge where subject = $1").bind(subject).execute(conn).await?;
    Ok(())
}

/// Uses a challenge up. `false` where a twin was faster.
pub(crate) async fn finish_challenge(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from challenge where challenge_hash = $1").bind(hash).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// A session.
#[derive(Clone, Debug, FromRow)]
#[expect(clippy::struct_field_names, reason = "fields are named as their columns")]
pub(crate) struct Session {
    pub session_id: Uuid,
    pub subject: Uuid,
    pub is_patient: bool,
    pub organisation_id: Uuid,
    pub role: i16,
    pub created_at: OffsetDateTime,
    pub used_at: OffsetDateTime,
    /// When both factors were last given.
    pub authenticated_at: OffsetDateTime,
    /// The case of a proxy.
    pub case_id: Option<Uuid>,
}

pub(crate) async fn insert_session(
    conn: &mut PgConnection,
    subject: Uuid,
    is_patient: bool,
    organisation_id: Uuid,
    role: i16,
    case_id: Option<Uuid>,
) -> sqlx::Result<Session> {
    sqlx::query_as(
        "insert into session (session_id, subject, is_patient, organisation_id, role, case_id)
         values ($1, $2, $3, $4, $5, $6)
         returning session_id, subject, is_patient, organisation_id, role, created_at, used_at, authenticated_at, case_id",
    )
    .bind(Uuid::now_v7())
    .bind(subject)
    .bind(is_patient)
    .bind(organisation_id)
    .bind(role)
    .bind(case_id)
    .fetch_one(conn)
    .await
}

/// A session that has not ended, locked against its twin, and noted as used now.
pub(crate) async fn lock_session(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Session>> {
    sqlx::query_as(
        "select session_id, subject, is_patient, organisation_id, role, created_at, used_at, authenticated_at, case_id
         from session where session_id = $1 and ended_at is null for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn touch_session(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("update session set used_at = now() where session_id = $1").bind(id).execute(conn).await?;
    Ok(())
}

/// Both factors were given again within the session.
pub(crate) async fn step_up(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Session>> {
    sqlx::query_as(
        "update session set authenticated_at = now(), used_at = now(), failures = 0
         where session_id = $1 and ended_at is null
         returning session_id, subject, is_patient, organisation_id, role, created_at, used_at, authenticated_at, case_id",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub(crate) async fn end_session(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("update session set ended_at = now() where session_id = $1 and ended_at is null")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A refresh token.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct RefreshToken {
    pub session_id: Uuid,
    pub used_at: Option<OffsetDateTime>,
    pub successor: Option<Vec<u8>>,
}

pub(crate) async fn insert_refresh(conn: &mut PgConnection, hash: &[u8], session_id: Uuid) -> sqlx::Result<()> {
    sqlx::query("insert into refresh_token (token_hash, session_id) values ($1, $2)")
        .bind(hash)
        .bind(session_id)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn lock_refresh(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<RefreshToken>> {
    sqlx::query_as("select session_id, used_at, successor from refresh_token where token_hash = $1 for update")
        .bind(hash)
        .fetch_optional(conn)
        .await
}

pub(crate) async fn use_refresh(conn: &mut PgConnection, hash: &[u8], successor: &[u8]) -> sqlx::Result<()> {
    sqlx::query("update refresh_token set used_at = now(), successor = $2 where token_hash = $1")
        .bind(hash)
        .bind(successor)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether a refresh token has been used.
pub(crate) async fn is_used(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from refresh_token where token_hash = $1 and used_at is not null)")
        .bind(hash)
        .fetch_one(conn)
        .await
}

pub(crate) async fn insert_organisation(
    conn: &mut PgConnection,
    content: &Organisation,
    body: &Body,
    responsible: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into organisation (organisation_id, version, content, kind, prefecture, parent_id, responsible_sealed)
         values ($1, 1, $2, $3, $4, $5, $6)",
    )
    .bind(body.id)
    .bind(prost::Message::encode_to_vec(content))
    .bind(i16::try_from(i32::from(body.kind)).unwrap_or(0))
    .bind(i16::from(body.prefecture))
    .bind(body.parent_id)
    .bind(responsible)
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims municipalities for a centre; `NN*` stands for the rest of a prefecture.
pub(crate) async fn claim_jurisdiction(conn: &mut PgConnection, id: Uuid, codes: &[String]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into jurisdiction (code, organisation_id) select distinct code, $2 from unnest($1::text[]) as c (code)",
    )
    .bind(codes)
    .bind(id)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn find_body(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Body>> {
    let row: Option<(i16, i16, Option<Uuid>)> =
        sqlx::query_as("select kind, prefecture, parent_id from organisation where organisation_id = $1")
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(kind, prefecture, parent_id)| Body {
        id,
        kind: OrganisationKind::try_from(i32::from(kind)).unwrap_or(OrganisationKind::Unspecified),
        prefecture: u8::try_from(prefecture).unwrap_or(0),
        parent_id,
    }))
}

/// A page of organisations by id.
pub(crate) async fn list_organisations(
    conn: &mut PgConnection,
    kind: i32,
    after: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Vec<u8>>> {
    if kind == 0 {
        sqlx::query_scalar(
            "select content from organisation where organisation_id > $1 order by organisation_id limit $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
    } else {
        sqlx::query_scalar(
            "select content from organisation where kind = $1 and organisation_id > $2 order by organisation_id limit $3",
        )
        .bind(i16::try_from(kind).unwrap_or(0))
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
    }
}

/// The credential of a patient or a proxy.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Patient {
    /// The case of a patient; the proxy.
    pub subject: Uuid,
    pub is_proxy: bool,
    pub birth_hash: Vec<u8>,
    pub contact: Vec<u8>,
    /// As it was before this attempt.
    pub next_try_at: Option<OffsetDateTime>,
    /// Revoked or dismissed.
    pub barred: bool,
}

/// Keeps a patient's credential. `true` where another access ID took the place of an old one.
pub(crate) async fn upsert_patient(
    conn: &mut PgConnection,
    case_id: Uuid,
    access_hash: &[u8],
    birth_hash: &[u8],
    contact: &[u8],
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "insert into patient as p (case_id, access_hash, birth_hash, contact) values ($1, $2, $3, $4)
         on conflict (case_id) do update
         set access_hash = excluded.access_hash, birth_hash = excluded.birth_hash, contact = excluded.contact,
             -- A new ID opens again what was revoked with the old one.
             revoked_at = case when p.access_hash = excluded.access_hash then p.revoked_at end,
             code_hash = case when p.access_hash = excluded.access_hash then p.code_hash end
         returning old.access_hash is not null and old.access_hash <> new.access_hash",
    )
    .bind(case_id)
    .bind(access_hash)
    .bind(birth_hash)
    .bind(contact)
    .fetch_one(conn)
    .await
}

/// Counts an attempt before it is checked, with the rest it will cost.
pub(crate) async fn count_patient_attempt(
    conn: &mut PgConnection,
    access_hash: &[u8],
    rests: (&[i32], &[f64]),
) -> sqlx::Result<Option<Patient>> {
    let patient = sqlx::query_as(
        "update patient p
         set failures = p.failures + case when p.next_try_at <= now() then 1 else 0 end,
             next_try_at = case when p.next_try_at > now() then p.next_try_at else now() + make_interval(secs =>
                 (select coalesce(max(secs), 0) from unnest($2::int[], $3::float8[]) r (least, secs)
                  where least <= p.failures + 1)) end
         where access_hash = $1
         returning case_id as subject, false as is_proxy, birth_hash, contact,
                   nullif(old.next_try_at, '-infinity') as next_try_at, revoked_at is not null as barred",
    )
    .bind(access_hash)
    .bind(rests.0)
    .bind(rests.1)
    .fetch_optional(&mut *conn)
    .await?;
    if patient.is_some() {
        return Ok(patient);
    }
    sqlx::query_as(
        "update proxy p
         set failures = p.failures + case when p.next_try_at <= now() then 1 else 0 end,
             next_try_at = case when p.next_try_at > now() then p.next_try_at else now() + make_interval(secs =>
                 (select coalesce(max(secs), 0) from unnest($2::int[], $3::float8[]) r (least, secs)
                  where least <= p.failures + 1)) end
         where access_hash = $1
         returning proxy_id as subject, true as is_proxy, birth_hash, contact,
                   nullif(old.next_try_at, '-infinity') as next_try_at, dismissed_at is not null as barred",
    )
    .bind(access_hash)
    .bind(rests.0)
    .bind(rests.1)
    .fetch_optional(conn)
    .await
}

/// Both factors were right. The case of a proxy, or nothing for a patient; `None` where access was barred meanwhile.
pub(crate) async fn let_patient_in(conn: &mut PgConnection, subject: Uuid) -> sqlx::Result<Option<Option<Uuid>>> {
    let patient = sqlx::query(
        "update patient set failures = 0, next_try_at = '-infinity' where case_id = $1 and revoked_at is null",
    )
    .bind(subject)
    .execute(&mut *conn)
    .await?;
    if patient.rows_affected() == 1 {
        return Ok(Some(None));
    }
    let case: Option<Uuid> = sqlx::query_scalar(
        "update proxy set failures = 0, next_try_at = '-infinity' where proxy_id = $1 and dismissed_at is null
         returning case_id",
    )
    .bind(subject)
    .fetch_optional(conn)
    .await?;
    Ok(case.map(Some))
}

/// The hash of a patient's printed code.
pub(crate) async fn printed_code(conn: &mut PgConnection, case_id: Uuid) -> sqlx::Result<Option<Vec<u8>>> {
    let found: Option<Option<Vec<u8>>> = sqlx::query_scalar("select code_hash from patient where case_id = $1")
        .bind(case_id)
        .fetch_optional(conn)
        .await?;
    Ok(found.flatten())
}

pub(crate) async fn insert_message(conn: &mut PgConnection, id: Uuid, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query("insert into message (message_id, sealed) values ($1, $2)").bind(id).bind(sealed).execute(conn).await?;
    Ok(())
}

/// Answers of more than ten minutes ago that hold a secret: initial secrets, printed codes, access IDs.
pub(crate) async fn forget_secret_answers(pool: &sqlx::PgPool) -> sqlx::Result<()> {
    sqlx::query(
        "update request set response = null
         where created_at < now() - interval '10 minutes' and response is not null
           and rpc in ('IssueUser', 'ResetUser', 'ImportUsers', 'IssuePatientCode', 'NameProxy')",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Takes the next message that is due, and sets its next try ahead: an hour after ten tries, sooner before.
pub(crate) async fn take_message(conn: &mut PgConnection, most: i32) -> sqlx::Result<Option<(Uuid, Vec<u8>, i32)>> {
    sqlx::query_as(
        "update message set tries = tries + 1, next_at = now() + make_interval(secs => least(3600, 5 * 2 ^ tries))
         where message_id = (select message_id from message
                             where next_at <= now() and tries < $1
                             order by next_at limit 1 for update skip locked)
         returning message_id, sealed, tries",
    )
    .bind(most)
    .fetch_optional(conn)
    .await
}

/// A message the provider took. Its content is no longer kept.
pub(crate) async fn delivered(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("delete from message where message_id = $1").bind(id).execute(conn).await?;
    Ok(())
}

pub(crate) async fn list_messages(
    conn: &mut PgConnection,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, Vec<u8>, OffsetDateTime)>> {
    sqlx::query_as("select message_id, sealed, created_at from message order by created_at desc, message_id limit $1")
        .bind(limit)
        .fetch_all(conn)
        .await
}
