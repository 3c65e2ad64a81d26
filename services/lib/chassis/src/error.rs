//! What can go wrong in a handler, and how it is told to the caller: the only place that makes a `Status` of it.

use runtime::{
    layers::INTERNAL,
    problem::{self, Text, Violation},
};
use tonic::Status;

/// What can go wrong in a handler. `Display` never contains the source: it is for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break rules.
    #[error("invalid argument")]
    Invalid(Vec<Violation>),
    /// There is no such record, or it is not the caller's to see: the two are told alike.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The caller may see it, and may not do that.
    #[error("denied")]
    Denied(Text),
    /// The state of things does not allow it.
    #[error("failed precondition")]
    Precondition(Text),
    /// The proof of who one is does not hold.
    #[error("unauthenticated")]
    Unauthenticated,
    /// Too much at once.
    #[error("exhausted")]
    Exhausted,
    /// Another service does not answer; worth trying again.
    #[error("unavailable")]
    Unavailable,
    /// The request id was used for something else.
    #[error("request id reused")]
    RequestIdReused,
    /// Somebody else changed the record first.
    #[error("stale etag")]
    StaleEtag,
    /// The database refused or does not answer.
    #[error("database failure")]
    Database(#[from] sqlx::Error),
    /// A secret does not open.
    #[error("vault failure")]
    Vault(#[from] vault::Error),
    /// The rest.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// One field that breaks a rule.
    pub fn invalid(field: impl Into<String>, ja: impl std::fmt::Display, en: impl std::fmt::Display) -> Self {
        Self::Invalid(vec![Violation::new(field, ja, en)])
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
            Error::Unauthenticated => problem::unauthenticated(),
            Error::Exhausted => problem::exhausted(std::time::Duration::from_secs(2)),
            Error::Unavailable => problem::unavailable(),
            Error::RequestIdReused => problem::request_id_reused(),
            Error::StaleEtag => problem::stale_etag(),
            Error::Database(source) => {
                // The text of a database error can hold values; its code and constraint cannot.
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
                Status::internal(INTERNAL)
            }
            Error::Internal(source) => {
                tracing::error!(error = %format!("{source:#}"), "Handler failed");
                Status::internal(INTERNAL)
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
