//! The terms of use (利用規約) and the security leaflet, as dated data. Everybody accepts the version of the day once.

use std::sync::LazyLock;

use access::Caller;
use chassis::Error;
use japan::date;
use proto::identity::{AcceptTermsRequest, RefreshTokensRequest, Role, Terms, Tokens};
use serde::Deserialize;
use time::Date;

use crate::{rpc::Identity, sessions, store};

/// A version.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "version")]
    number: i32,
    in_force_from: String,
    terms: String,
    security_leaflet: String,
}

static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(|| {
    // The unit test below reads it: a file that does not parse never leaves this repository.
    serde_json::from_str(include_str!("../terms/terms.json")).unwrap_or_default()
});

/// The version in force on a day.
fn on(day: Date) -> Option<&'static Version> {
    VERSIONS.iter().rfind(|version| date::parse(&version.in_force_from).is_ok_and(|from| from <= day))
}

/// The version a person of this role must still accept; 0 where none is due. Patients and other systems accept none.
pub(crate) fn due(role: Role, accepted: i32, today: Date) -> i32 {
    if matches!(role, Role::Patient | Role::Proxy | Role::System) {
        return 0;
    }
    on(today).map(|version| version.number).filter(|version| accepted < *version).unwrap_or(0)
}

pub(crate) fn get(identity: &Identity) -> Result<Terms, Error> {
    let version = on(identity.clock.today_in_japan()).ok_or(Error::NotFound("terms"))?;
    Ok(Terms {
        version: version.number,
        in_force_from: version.in_force_from.clone(),
        terms: version.terms.clone(),
        security_leaflet: version.security_leaflet.clone(),
    })
}

pub(crate) async fn accept(identity: &Identity, caller: &Caller, request: AcceptTermsRequest) -> Result<Tokens, Error> {
    if on(identity.clock.today_in_japan()).is_none_or(|version| version.number != request.version) {
        return Err(Error::invalid("version", "現在の版ではありません", "is not the version in force"));
    }
    let mut conn = identity.base.pool.acquire().await?;
    store::accounts::accept_terms(&mut conn, caller.user_id, request.version).await?;
    drop(conn);
    sessions::refresh(identity, &RefreshTokensRequest { refresh_token: request.refresh_token }).await
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
