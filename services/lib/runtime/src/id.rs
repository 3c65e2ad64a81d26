//! Ids that cannot be mistaken for each other.

/// Declares an id newtype over a time-ordered UUID (version 7).
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($crate::uuid::Uuid);

        impl $name {
            /// A new id, later than every one before.
            pub fn new() -> Self {
                Self($crate::uuid::Uuid::now_v7())
            }

            /// Reads an id; `None` where the text is no UUID.
            pub fn parse(text: &str) -> Option<Self> {
                $crate::uuid::Uuid::try_parse(text).ok().map(Self)
            }

            /// The bare UUID, for the database.
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

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
