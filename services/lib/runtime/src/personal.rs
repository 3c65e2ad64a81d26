//! A wrapper that keeps personal data out of logs.

use std::fmt;

/// Personal data: its `Debug` prints a mark instead of the value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, taken out on purpose.
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// The value, taken out on purpose.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::Personal;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Personal::new("canary")), "…");
    }
}
