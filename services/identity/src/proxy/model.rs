//! Proxies: who they are, and how many.

use access::{UserId, caller::Hidden, policy};
use proto::{identity::ProxyState, options::Group, registry::Relation};
use runtime::problem::{Why, why};

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
pub(super) fn may_add(there: i64) -> Result<(), Why> {
    if there < MOST {
        Ok(())
    } else {
        Err(why("TOO_MANY_PROXIES", "代理人は10人までです。", "At most ten proxies."))
    }
}

/// Nobody hands on what the own ID does not see.
pub(super) fn may_hand_on(hidden: Hidden) -> Result<(), Why> {
    let shown = [Group::Identity, Group::Contact, Group::Clinical, Group::Followup];
    if shown.into_iter().any(|group| hidden.hides(group)) {
        return Err(why(
            "NARROWED_SIGHT",
            "閲覧範囲が限られた ID では代理人を登録できません。",
            "An ID with narrowed sight names no proxies.",
        ));
    }
    Ok(())
}

/// Whether one of the relations shows every field group that a proxy sees, at least as far: nobody hands out more than that.
pub(super) fn shows_all_that_a_proxy_sees(relations: &[Relation]) -> bool {
    let groups = [Group::Identity, Group::Contact, Group::Clinical, Group::Epidemiology, Group::Followup];
    relations.iter().any(|relation| {
        groups.into_iter().all(|group| policy::sight(*relation, group) >= policy::sight(Relation::Proxy, group))
    })
}

pub(super) fn state(in_force: bool) -> ProxyState {
    if in_force { ProxyState::InForce } else { ProxyState::Proposed }
}

#[cfg(test)]
mod tests {
    use access::caller::Hidden;
    use proto::{options::Group, registry::Relation};

    use super::{may_add, may_hand_on, shows_all_that_a_proxy_sees};

    #[test]
    fn ten_are_the_most_and_nobody_hands_on_what_is_hidden() {
        assert!(may_add(9).is_ok() && may_add(10).is_err());
        assert!(may_hand_on(Hidden::of([Group::Epidemiology])).is_ok());
        assert!(may_hand_on(Hidden::of([Group::Clinical])).is_err());
    }

    #[test]
    fn whoever_sees_less_than_a_proxy_only_proposes_one() {
        for relation in [Relation::ReceivingCentre, Relation::ResponsibleCentre, Relation::Patient] {
            assert!(shows_all_that_a_proxy_sees(&[relation]), "{relation:?}");
        }
        for relation in [Relation::Reporter, Relation::ConsultationCentre, Relation::Prefecture] {
            assert!(!shows_all_that_a_proxy_sees(&[relation]), "{relation:?}");
        }
    }
}
