//! SQL of challenges.

use access::UserId;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

/// What a challenge waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new password, then the first code of a new authenticator.
    Enrol,
    /// A one-time or recovery code.
    Otp,
    /// The code that was sent to a patient or proxy, or printed.
    Patient,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Otp => "otp",
            Self::Patient => "patient",
        }
    }
}

impl TryFrom<String> for Step {
    type Error = sqlx::Error;

    fn try_from(name: String) -> sqlx::Result<Self> {
        [Self::Enrol, Self::Otp, Self::Patient]
            .into_iter()
            .find(|step| step.name() == name)
            .ok_or_else(|| sqlx::Error::Decode(format!("{name} is no step").into()))
    }
}

#[derive(Clone, Debug, FromRow)]
pub(crate) struct Challenge {
    pub subject: UserId,
    #[sqlx(try_from = "String")]
    pub step: Step,
    /// Patients: the hash of the code that was sent.
    pub code_hash: Option<Vec<u8>>,
    /// A new authenticator's secret, until its first code proves it.
    pub totp_sealed: Option<Vec<u8>>,
    /// The hash of the password chosen with it.
    pub secret_hash: Option<String>,
    /// The known device that the first factor came from.
    pub device_hash: Option<Vec<u8>>,
    /// Hashes of a new enrolment's recovery codes.
    pub recovery: Option<Vec<Vec<u8>>>,
    pub tries: i32,
}

pub(crate) struct NewChallenge<'a> {
    pub hash: &'a [u8],
    pub subject: UserId,
    pub step: Step,
    pub code_hash: Option<&'a [u8]>,
    pub device_hash: Option<&'a [u8]>,
    pub expires_at: OffsetDateTime,
}

/// Stores a challenge. Those that have expired are forgotten.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewChallenge<'_>, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query("delete from challenge where expires_at < $1").bind(now).execute(&mut *conn).await?;
    sqlx::query(
        "insert into challenge (challenge_hash, subject, step, code_hash, device_hash, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.hash)
    .bind(new.subject)
    .bind(new.step.name())
    .bind(new.code_hash)
    .bind(new.device_hash)
    .bind(new.expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts a try before it is checked. `None` where the challenge is unknown, over, or tried too often.
pub(crate) async fn attempt(
    conn: &mut PgConnection,
    hash: &[u8],
    most: i32,
    now: OffsetDateTime,
) -> sqlx::Result<Option<Challenge>> {
    sqlx::query_as(
        "update challenge set tries = tries + 1
         where challenge_hash = $1 and expires_at > $3 and tries < $2
         returning subject, step, code_hash, totp_sealed, secret_hash, device_hash, recovery, tries",
    )
    .bind(hash)
    .bind(most)
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Keeps what a new enrolment will bring into force. `false` where the challenge is gone.
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

/// What was begun for a subject ends.
pub(crate) async fn drop_all(conn: &mut PgConnection, subject: UserId) -> sqlx::Result<()> {
    sqlx::query("delete from challenge where subject = $1").bind(subject).execute(conn).await?;
    Ok(())
}

/// Uses a challenge up. `false` where a twin was faster.
pub(crate) async fn finish(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from challenge where challenge_hash = $1").bind(hash).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
