//! Why events could not be handled, and what may be logged about it.

/// Why events could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something is down and a retry may work. The event is never set aside for this.
    #[error("{0}")]
    Retry(String),
    /// No retry will work. The event is set aside with this reason, which contains no personal data.
    #[error("{0}")]
    Dead(String),
    /// The database refused.
    #[error("database failure")]
    Database(#[from] sqlx::Error),
}

impl From<tonic::Status> for Failure {
    /// A failed claim check: the owner is down, or may answer differently later.
    fn from(status: tonic::Status) -> Self {
        Self::Retry(format!("the owner answered {:?}", status.code()))
    }
}

/// Whether the database refused what was written (a constraint, a malformed value). Otherwise it is down, or binary and
/// schema do not match during a rollout.
pub(super) fn is_of_the_data(error: &sqlx::Error) -> bool {
    let class = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .map(|code| code.chars().take(2).collect::<String>());
    matches!(class.as_deref(), Some("22" | "23"))
}

/// What may be kept of a database error: the constraint or the code, never the text, which can contain values.
pub(super) fn reason_of(error: &sqlx::Error) -> String {
    let database = error.as_database_error();
    match (database.and_then(|e| e.constraint()), database.and_then(sqlx::error::DatabaseError::code)) {
        (Some(constraint), _) => format!("violates {constraint}"),
        (None, Some(code)) => format!("database error {code}"),
        (None, None) => "database error".to_owned(),
    }
}

/// A failure in words that contain no values.
pub(super) fn chain(failure: &Failure) -> String {
    match failure {
        Failure::Retry(reason) | Failure::Dead(reason) => reason.clone(),
        Failure::Database(error) => reason_of(error),
    }
}
