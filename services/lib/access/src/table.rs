//! Prints the policy as tables for people to read. A test compares them with `docs/security/access.md`.

use std::fmt::Write as _;

use proto::{
    identity::{ContractScope, OrganisationKind as Kind, Rights, Role},
    options::{Audit, Group, Permission},
    registry::Relation,
};

use crate::policy::{Duty, Sight, allows, sight, writes};

const GROUPS: [Group; 6] =
    [Group::Identity, Group::Contact, Group::Clinical, Group::Epidemiology, Group::Followup, Group::Administrative];
const SCOPES: [ContractScope; 4] =
    [ContractScope::Consultation, ContractScope::Testing, ContractScope::Followup, ContractScope::Entry];

/// The whole policy in Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Who may what\n\n\
         Generated from `services/lib/access/src/policy.rs` and the contract (`hersysctl policy`). What is not listed is \
         refused. A test compares this file with the code, and another one asks the running mesh.\n\n\
         A call is decided in this order: the RPC's permission against role, kind of organisation, its rights and its \
         contracts; then the relation of the organisation to the record, without which the record does not exist for the \
         caller; then field by field, on the way in and on the way out. What an issuer narrowed (閲覧範囲) is taken away from \
         what these tables show.\n",
    );
    permissions(&mut text);
    contracts(&mut text);
    relations(&mut text);
    rpcs(&mut text);
    text
}

fn permissions(text: &mut String) {
    text.push_str(
        "\n## Permissions by role and kind of organisation\n\nWith rights to enter (`entry`). `view` leaves what \
                   only reads; `none` leaves signing in and out.\n\n| permission | held by |\n|---|---|\n",
    );
    for permission in all::<Permission>(1..=40) {
        if matches!(permission, Permission::Public | Permission::Internal) {
            continue;
        }
        let mut held = Vec::new();
        for role in all::<Role>(1..=40) {
            let kinds: Vec<Kind> = all::<Kind>(1..=40)
                .filter(|kind| allows(permission, Duty { role, kind: *kind, rights: Rights::Entry, entrusted: &[] }))
                .collect();
            let every = kinds.len() == all::<Kind>(1..=40).count();
            if every {
                held.push(format!("**{}**", name(role.as_str_name(), "ROLE_")));
            } else if !kinds.is_empty() {
                let kinds: Vec<String> =
                    kinds.iter().map(|kind| name(kind.as_str_name(), "ORGANISATION_KIND_")).collect();
                held.push(format!("**{}** of {}", name(role.as_str_name(), "ROLE_"), kinds.join(", ")));
            }
        }
        let viewed = allows(
            permission,
            Duty { role: Role::Analyst, kind: Kind::Ministry, rights: Rights::View, entrusted: &[] },
        ) || all::<Role>(1..=40).any(|role| {
            all::<Kind>(1..=40)
                .any(|kind| allows(permission, Duty { role, kind, rights: Rights::View, entrusted: &[] }))
        });
        let mark = if viewed { "" } else { " (entry)" };
        let _ = writeln!(text, "| {}{mark} | {} |", name(permission.as_str_name(), "PERMISSION_"), held.join("; "));
    }
}

fn contracts(text: &mut String) {
    text.push_str(
        "\n## What a contract (委託) adds\n\nFor the roles physician, nurse, clerk, consultation operator and \
                   lodging officer of whom it names, between its days. Shown for a medical association.\n\n\
                   | scope | adds |\n|---|---|\n",
    );
    for scope in SCOPES {
        let added: Vec<String> = all::<Permission>(1..=40)
            .filter(|permission| {
                let may = |entrusted: &[ContractScope]| {
                    let (role, kind) = (Role::Nurse, Kind::MedicalAssociation);
                    allows(*permission, Duty { role, kind, rights: Rights::Entry, entrusted })
                };
                may(&[scope]) && !may(&[])
            })
            .map(|permission| name(permission.as_str_name(), "PERMISSION_"))
            .collect();
        let _ = writeln!(text, "| {} | {} |", name(scope.as_str_name(), "CONTRACT_SCOPE_"), added.join(", "));
    }
}

fn relations(text: &mut String) {
    text.push_str(
        "\n## Field groups by relation\n\n`r` everything is shown, `c` codes, numbers and dates only, `w` may be \
                   written, `–` nothing.\n\n| relation |",
    );
    for group in GROUPS {
        let _ = write!(text, " {} |", name(group.as_str_name(), "GROUP_"));
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for relation in all::<Relation>(1..=40) {
        let _ = write!(text, "| {} |", name(relation.as_str_name(), "RELATION_"));
        for group in GROUPS {
            let seen = match sight(relation, group) {
                Sight::Full => "r",
                Sight::Coded => "c",
                Sight::Hidden => "–",
            };
            let written = if writes(relation, group) { "w" } else { "" };
            let _ = write!(text, " {seen}{written} |");
        }
        text.push('\n');
    }
}

fn rpcs(text: &mut String) {
    text.push_str(
        "\n## RPCs\n\n`step-up` asks for a second factor of the last quarter of an hour.\n\n\
                   | RPC | permission | audit | |\n|---|---|---|---|\n",
    );
    let mut rules: Vec<&proto::Rule> = proto::rules().collect();
    rules.sort_by(|a, b| a.path.cmp(&b.path));
    for rule in rules {
        let permission = if rule.permission == Permission::Internal {
            format!("services: {}", rule.peers.join(", "))
        } else {
            name(rule.permission.as_str_name(), "PERMISSION_")
        };
        let audit = match rule.audit {
            Audit::Read => "read",
            Audit::Write => "write",
            Audit::None | Audit::Unspecified => "–",
        };
        let mark = if rule.step_up { "step-up" } else { "" };
        let _ = writeln!(text, "| {} | {permission} | {audit} | {mark} |", rule.path.trim_start_matches("/hersys."));
    }
}

/// Every value of an enumeration but the one that is never valid.
fn all<E: TryFrom<i32>>(numbers: std::ops::RangeInclusive<i32>) -> impl Iterator<Item = E> {
    numbers.filter_map(|number| E::try_from(number).ok())
}

fn name(full: &str, prefix: &str) -> String {
    full.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::markdown;

    /// The tables are committed: whoever changes a rule changes what lawyers read, in the same commit.
    #[test]
    fn the_table_for_reading_is_the_policy() {
        let kept = include_str!("../../../../docs/security/access.md");
        let now = markdown();
        for (line, (kept, now)) in kept.lines().zip(now.lines()).enumerate() {
            assert_eq!(kept, now, "docs/security/access.md, line {}", line + 1);
        }
        assert_eq!(kept.lines().count(), now.lines().count());
    }
}
