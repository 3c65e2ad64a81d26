//! The versions of the terms, and who must accept which.

use std::sync::LazyLock;

use japan::date;
use proto::identity::Role;
use serde::Deserialize;
use time::Date;

#[derive(Deserialize)]
pub(super) struct Version {
    #[serde(rename = "version")]
    pub number: i32,
    pub in_force_from: String,
    pub terms: String,
    pub security_leaflet: String,
}

static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(|| {
    // The test below reads it: a file that does not parse never leaves this repository.
    serde_json::from_str(include_str!("../../terms/terms.json")).unwrap_or_default()
});

/// The version in force on a day.
pub(super) fn on(day: Date) -> Option<&'static Version> {
    VERSIONS.iter().rfind(|version| date::parse(&version.in_force_from).is_ok_and(|from| from <= day))
}

/// The version a person of this role must still accept; 0 where none is due. Patients, proxies and other systems accept none.
pub(crate) fn due(role: Role, accepted: i32, today: Date) -> i32 {
    if matches!(role, Role::Patient | Role::Proxy | Role::System) {
        return 0;
    }
    on(today).map(|version| version.number).filter(|version| accepted < *version).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proto::identity::Role;
    use time::macros::date;

    use super::{VERSIONS, due};

    #[test]
    fn a_person_at_work_accepts_each_version_once() {
        assert!(!VERSIONS.is_empty(), "the file parses");
        let today = date!(2026 - 01 - 01);
        assert_eq!(due(Role::Nurse, 0, today), 1);
        assert_eq!(due(Role::Nurse, 1, today), 0);
        assert_eq!(due(Role::Patient, 0, today), 0);
        assert_eq!(due(Role::Nurse, 0, date!(2019 - 01 - 01)), 0, "none was in force");
    }
}
