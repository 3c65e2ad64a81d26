//! Field classes: on the way out, every field that no relation shows is cleared; on the way in, it may not be written.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, Mutex},
};

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value};
use proto::{
    Rule,
    options::{Audit, Group},
};
use runtime::problem::Violation;

use crate::{
    Relations,
    policy::{Sight, sight, writes},
};

/// The groups that say something about a person.
const PERSONAL: [Group; 6] =
    [Group::Identity, Group::Contact, Group::Clinical, Group::Epidemiology, Group::Followup, Group::Administrative];

/// The class of a field: its group, and whether it is a code.
type Class = (Group, bool);
/// The classes of a message's fields, by number.
type Classes = Arc<HashMap<u32, Class>>;

/// A copy of a message without the fields that none of the relations shows.
///
/// # Errors
/// When the type is not part of the contract.
pub fn mask<M: Message + Name + Default>(message: &M, relations: &Relations) -> anyhow::Result<M> {
    let descriptor = proto::pool()
        .get_message_by_name(&M::full_name())
        .ok_or_else(|| anyhow::anyhow!("{} is not part of the contract", M::full_name()))?;
    let mut dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    clear_hidden(&mut dynamic, relations);
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

/// Every filled field of a request that none of the relations may write, by name. The policy lists writing apart from
/// seeing: a caller may see what it may not change.
pub fn unwritable<M: Message + Name>(message: &M, relations: &Relations) -> Vec<Violation> {
    let mut found = Vec::new();
    let decoded = proto::pool()
        .get_message_by_name(&M::full_name())
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    if let Some(dynamic) = decoded {
        find_unwritable(&dynamic, "", relations, &mut found);
    }
    found
}

/// Whether the relations may write anything about a person at all.
pub fn writes_anything(relations: &Relations) -> bool {
    PERSONAL.iter().any(|group| relations.iter().any(|relation| writes(*relation, *group)))
}

fn find_unwritable(message: &DynamicMessage, path: &str, relations: &Relations, found: &mut Vec<Violation>) {
    let classes = classes_of(&message.descriptor());
    for (field, value) in message.fields() {
        let here = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let (group, _) = classes.get(&field.number()).copied().unwrap_or((Group::Unspecified, false));
        match value {
            // What an update mask names is written too, even if only cleared.
            Value::Message(mask) if mask.descriptor().full_name() == "google.protobuf.FieldMask" => {
                find_masked(message, mask, &here, relations, found);
            }
            // A message is as writable as its fields are.
            Value::Message(inner) if is_ours(inner) => find_unwritable(inner, &here, relations, found),
            Value::List(items) if items.iter().any(|item| item.as_message().is_some_and(is_ours)) => {
                for (index, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        find_unwritable(inner, &format!("{here}[{index}]"), relations, found);
                    }
                }
            }
            _ => {
                if !may_write(relations, group) {
                    found.push(not_yours(here));
                }
            }
        }
    }
}

/// Finds the paths of an update mask that none of the relations may write, in the message beside the mask.
fn find_masked(
    message: &DynamicMessage,
    mask: &DynamicMessage,
    here: &str,
    relations: &Relations,
    found: &mut Vec<Violation>,
) {
    let paths = mask.get_field_by_name("paths");
    for path in paths.as_ref().and_then(|paths| paths.as_list()).unwrap_or_default().iter().filter_map(Value::as_str) {
        for beside in message.descriptor().fields().filter_map(|field| field.kind().as_message().cloned()) {
            let Some(named) = beside.get_field_by_name(path).filter(|_| beside.package_name().starts_with("hersys."))
            else {
                continue;
            };
            let (group, _) = classes_of(&beside).get(&named.number()).copied().unwrap_or((Group::Unspecified, false));
            if !may_write(relations, group) {
                found.push(not_yours(format!("{here}.{path}")));
            }
        }
    }
}

fn may_write(relations: &Relations, group: Group) -> bool {
    let hidden = group != Group::Technical && relations.hidden().hides(group);
    !hidden && relations.iter().any(|relation| writes(*relation, group))
}

fn not_yours(field: String) -> Violation {
    Violation::new(field, "この項目を入力する権限がありません", "must be left out: you may not write this field")
}

fn is_ours(message: &DynamicMessage) -> bool {
    message.descriptor().package_name().starts_with("hersys.")
}

/// The groups that the relations show at all, for the audit row.
pub fn groups_shown(relations: &Relations) -> Vec<i16> {
    PERSONAL.into_iter().filter(|group| best(relations, *group) != Sight::Hidden).map(number).collect()
}

/// What the audit row of an RPC says: the groups that its answer shows, as far as the relations show them, and if it changes
/// something, those that its request carries. `None` stands for a caller from whom nothing is hidden.
pub fn groups(rule: &Rule, relations: Option<&Relations>) -> Vec<i16> {
    let shown = |group: Group| relations.is_none_or(|relations| best(relations, group) != Sight::Hidden);
    let told = groups_of(&rule.answer);
    let taken = if rule.audit == Audit::Write { groups_of(&rule.request) } else { Arc::default() };
    PERSONAL
        .into_iter()
        .filter(|group| taken.contains(group) || (told.contains(group) && shown(*group)))
        .map(number)
        .collect()
}

/// The groups of a message's fields, including those of nested messages.
fn groups_of(message: &str) -> Arc<HashSet<Group>> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<HashSet<Group>>>>> = LazyLock::new(Mutex::default);
    if let Some(groups) = KNOWN.lock().ok().and_then(|known| known.get(message).cloned()) {
        return groups;
    }
    let (mut found, mut seen) = (HashSet::new(), HashSet::new());
    if let Some(descriptor) = proto::pool().get_message_by_name(message) {
        collect_groups(&descriptor, &mut found, &mut seen);
    }
    let found = Arc::new(found);
    if let Ok(mut known) = KNOWN.lock() {
        known.insert(message.to_owned(), Arc::clone(&found));
    }
    found
}

fn collect_groups(message: &MessageDescriptor, found: &mut HashSet<Group>, seen: &mut HashSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    found.extend(classes_of(message).values().map(|(group, _)| *group));
    for inner in message.fields().filter_map(|field| field.kind().as_message().cloned()) {
        if inner.package_name().starts_with("hersys.") {
            collect_groups(&inner, found, seen);
        }
    }
}

/// The number of a group, as the audit trail keeps it.
fn number(group: Group) -> i16 {
    i16::try_from(i32::from(group)).unwrap_or(i16::MAX)
}

fn clear_hidden(message: &mut DynamicMessage, relations: &Relations) {
    let classes = classes_of(&message.descriptor());
    let present: Vec<FieldDescriptor> = message.fields().map(|(field, _)| field).collect();
    for field in present {
        let (group, coded) = classes.get(&field.number()).copied().unwrap_or((Group::Unspecified, false));
        let shown = match best(relations, group) {
            Sight::Full => true,
            Sight::Coded => coded,
            Sight::Hidden => false,
        };
        if !shown {
            message.clear_field(&field);
            continue;
        }
        match message.get_field_mut(&field) {
            Value::Message(inner) => clear_hidden(inner, relations),
            Value::List(items) => {
                // The number of items would reveal what is hidden: items left without any field are removed.
                items.retain_mut(|item| match item {
                    Value::Message(inner) if inner.fields().next().is_some() => {
                        clear_hidden(inner, relations);
                        inner.fields().next().is_some()
                    }
                    _ => true,
                });
            }
            _ => {}
        }
    }
}

fn best(relations: &Relations, group: Group) -> Sight {
    if group == Group::Technical {
        return Sight::Full;
    }
    if relations.hidden().hides(group) {
        return Sight::Hidden;
    }
    relations.iter().map(|relation| sight(*relation, group)).max().unwrap_or(Sight::Hidden)
}

/// The classes of a message's fields by number, read once per type.
fn classes_of(message: &MessageDescriptor) -> Classes {
    static KNOWN: LazyLock<Mutex<HashMap<String, Classes>>> = LazyLock::new(Mutex::default);
    if let Some(classes) = KNOWN.lock().ok().and_then(|known| known.get(message.full_name()).cloned()) {
        return classes;
    }
    let pool = proto::pool();
    let class = pool.get_extension_by_name("hersys.options.v1.class");
    let default_class = pool.get_extension_by_name("hersys.options.v1.default_class");
    let read = |options: &DynamicMessage, extension: &Option<prost_reflect::ExtensionDescriptor>| {
        let extension = extension.as_ref().filter(|extension| options.has_extension(extension))?;
        let value = options.get_extension(extension);
        let class = value.as_message()?;
        let group = class.get_field_by_name("group").and_then(|v| v.as_enum_number()).unwrap_or(0);
        let coded = class.get_field_by_name("coded").and_then(|v| v.as_bool()).unwrap_or(false);
        Some((Group::try_from(group).unwrap_or(Group::Unspecified), coded))
    };
    // Messages from outside of the contract, such as Timestamp, are values: whoever sees the field sees them whole.
    let fallback = if message.package_name().starts_with("hersys.") {
        read(&message.options(), &default_class).unwrap_or((Group::Unspecified, false))
    } else {
        (Group::Technical, true)
    };
    let classes: Classes = Arc::new(
        message.fields().map(|field| (field.number(), read(&field.options(), &class).unwrap_or(fallback))).collect(),
    );
    if let Ok(mut known) = KNOWN.lock() {
        known.insert(message.full_name().to_owned(), Arc::clone(&classes));
    }
    classes
}

#[cfg(test)]
mod tests {
    use proto::registry::{Case, DiagnosisClass, Person, Relation, Sex};

    use super::mask;

    fn case() -> Case {
        Case {
            case_id: "c".to_owned(),
            person: Some(Person {
                name_kanji: "髙﨑".to_owned(),
                phone: "090".to_owned(),
                sex: Sex::Female.into(),
                ..Person::default()
            }),
            diagnosis_class: DiagnosisClass::Confirmed.into(),
            report_date: "2020-05-13".to_owned(),
            ..Case::default()
        }
    }

    #[test]
    fn a_centre_sees_everything() {
        let seen = mask(&case(), &vec![Relation::ReceivingCentre].into()).unwrap();
        assert!(seen == case());
    }

    #[test]
    fn a_contractor_sees_the_person_and_no_administration() {
        let seen = mask(&case(), &vec![Relation::Contractor].into()).unwrap();
        assert_eq!(seen.person.as_ref().unwrap().name_kanji, "髙﨑");
        assert_eq!(seen.diagnosis_class, i32::from(DiagnosisClass::Confirmed));
        assert_eq!(seen.report_date, "");
    }

    #[test]
    fn without_a_relation_nothing_is_left() {
        let seen = mask(&case(), &vec![].into()).unwrap();
        assert!(seen.person.is_none_or(|person| person == Person::default()));
        assert_eq!(seen.diagnosis_class, 0);
    }
}
