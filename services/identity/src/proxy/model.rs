//! Proxies: who they are, and how many.

use access::{UserId, caller::Hidden};
use proto::options::Group;
use runtime::problem::{Text, text};

data::id!(
    /// A proxy of a patient.
    ProxyId,
    "proxy"
);

/// Its sessions and calls are its own.
impl From<ProxyId> for UserId {
    fn from(id: ProxyId) -> Self {
        id.uuid().into()
    }
}

/// Proxies of one case.
const MOST: i64 = 10;

/// Whether a case may have one more.
pub(super) fn may_add(there: i64) -> Result<(), Text> {
    if there < MOST { Ok(()) } else { Err(text("代理人は10人までです。", "At most ten proxies.")) }
}

/// Nobody hands on what the own ID does not see.
pub(super) fn may_hand_on(hidden: Hidden) -> Result<(), Text> {
    let shown = [Group::Identity, Group::Contact, Group::Clinical, Group::Followup];
    if shown.into_iter().any(|group| hidden.hides(group)) {
        return Err(text(
            "閲覧範囲が限られた ID では代理人を登録できません。",
            "An ID with narrowed sight names no proxies.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use access::caller::Hidden;
    use proto::options::Group;

    use super::{may_add, may_hand_on};

    #[test]
    fn ten_are_the_most_and_nobody_hands_on_what_is_hidden() {
        assert!(may_add(9).is_ok() && may_add(10).is_err());
        assert!(may_hand_on(Hidden::of([Group::Epidemiology])).is_ok());
        assert!(may_hand_on(Hidden::of([Group::Clinical])).is_err());
    }
}
