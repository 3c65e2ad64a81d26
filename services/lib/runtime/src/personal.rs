//! A wrapper that keeps personal data out of logs.

use std::fmt;

/// Personal data. Its `Debug` prints `…` instead of the value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Marks a value as personal data.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Borrows the value. Every place that reads personal data calls this or [`Personal::into_inner`].
    pub fn reveal(&self) -> &T {
        &self.0
    }

    /// Takes the value out of the wrapper.
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
