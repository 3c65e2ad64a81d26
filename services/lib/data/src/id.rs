//! Ids that cannot be mistaken for each other.

use std::fmt::Display;

/// A text that is not an id, so there is no such record. Answered like an id that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such {0}")]
pub struct NoSuch(pub &'static str);

/// Declares an id newtype over a time-ordered UUID (version 7), with the noun that `NOT_FOUND` names.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name($crate::uuid::Uuid);

        impl $name {
            /// The id of no record.
            pub const NIL: Self = Self($crate::uuid::Uuid::nil());

            /// A new id, later than every one before.
            pub fn new() -> Self {
                Self($crate::uuid::Uuid::now_v7())
            }

            /// Reads an id.
            ///
            /// # Errors
            /// When the text is not a UUID: there is no such record.
            pub fn parse(text: &str) -> Result<Self, $crate::NoSuch> {
                $crate::uuid::Uuid::try_parse(text).map(Self).map_err(|_| $crate::NoSuch($noun))
            }

            /// Reads an id that may be left out: `None` if the text is empty.
            ///
            /// # Errors
            /// When the text is neither empty nor a UUID.
            pub fn optional(text: &str) -> Result<Option<Self>, $crate::NoSuch> {
                if text.is_empty() { Ok(None) } else { Self::parse(text).map(Some) }
            }

            /// The bare UUID, for SQL.
            pub fn uuid(self) -> $crate::uuid::Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<$crate::uuid::Uuid> for $name {
            fn from(id: $crate::uuid::Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for $crate::uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// An id as the contract carries it: empty if there is none.
pub fn text(id: Option<impl Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
