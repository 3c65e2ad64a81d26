//! What can go wrong in a handler, and the only place that turns it into a `Status` for the caller.

use runtime::problem::{self, Unproved, Violation, Why};
use tonic::Status;

/// What can go wrong in a handler. `Display` never contains the source: it is for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break rules.
    #[error("invalid argument")]
    Invalid(Vec<Violation>),
    /// There is no such record, or the caller may not see it: both get the same answer.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The caller may see the record, but not do this.
    #[error("denied")]
    Denied(Why),
    /// The current state does not allow it.
    #[error("failed precondition")]
    Precondition(Why),
    /// The token, password or code is missing or wrong.
    #[error("unauthenticated")]
    Unauthenticated(Unproved),
    /// Too many calls at once.
    #[error("exhausted")]
    Exhausted,
    /// Another service does not answer; a retry may work.
    #[error("unavailable")]
    Unavailable,
    /// The request id was used with another body.
    #[error("request id reused")]
    RequestIdReused,
    /// The request was carried out; its answer is no longer kept.
    #[error("answer forgotten")]
    AnswerForgotten,
    /// Somebody else changed the record first.
    #[error("stale etag")]
    StaleEtag,
    /// The database refused or does not answer.
    #[error("database failure")]
    Database(#[from] sqlx::Error),
    /// The vault could not encrypt or decrypt.
    #[error("vault failure")]
    Vault(#[from] vault::Error),
    /// Anything else: a failure the caller can do nothing about.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// One field that breaks a rule.
    pub fn invalid(field: impl Into<String>, ja: impl std::fmt::Display, en: impl std::fmt::Display) -> Self {
        Self::Invalid(vec![Violation::new(field, ja, en)])
    }

    /// A page token that is not one of ours.
    pub fn page_token() -> Self {
        Self::invalid("page_token", "不正なページトークンです", "must be the next_page_token of the previous page")
    }
}

impl From<data::NoSuch> for Error {
    fn from(no: data::NoSuch) -> Self {
        Self::NotFound(no.0)
    }
}

impl From<access::cases::Silent> for Error {
    fn from(_: access::cases::Silent) -> Self {
        Self::Unavailable
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(violations) => problem::invalid(&violations),
            Error::NotFound(what) => problem::not_found(what),
            Error::Denied(why) => problem::denied(&why),
            Error::Precondition(why) => problem::precondition(&why),
            Error::Unauthenticated(unproved) => problem::unauthenticated(unproved),
            Error::Exhausted => problem::exhausted(std::time::Duration::from_secs(2)),
            Error::Unavailable => problem::unavailable(),
            Error::RequestIdReused => problem::request_id_reused(),
            Error::AnswerForgotten => problem::answer_forgotten(),
            Error::StaleEtag => problem::stale_etag(),
            Error::Database(source) => {
                // The text of a database error can contain values; its code and constraint cannot.
                let database = source.as_database_error();
                tracing::error!(
                    code = database.and_then(sqlx::error::DatabaseError::code).as_deref(),
                    constraint = database.and_then(|e| e.constraint()),
                    kind = kind(&source),
                    "Database failed"
                );
                problem::unavailable()
            }
            Error::Vault(source) => {
                tracing::error!(error = %source, "Vault failed");
                problem::internal()
            }
            Error::Internal(source) => {
                tracing::error!(error = %format!("{source:#}"), "Handler failed");
                problem::internal()
            }
        }
    }
}

fn kind(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Database(_) => "database",
        sqlx::Error::Io(_) => "io",
        sqlx::Error::Tls(_) => "tls",
        sqlx::Error::PoolTimedOut => "pool timed out",
        sqlx::Error::PoolClosed => "pool closed",
        sqlx::Error::RowNotFound => "row not found",
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "decode",
        _ => "other",
    }
}
