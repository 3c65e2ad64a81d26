//! Field classes on the way out: what a relation does not show is cleared, field by field, as the contract classifies it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value};
use proto::options::Group;
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

/// Clears what none of the relations shows.
///
/// # Errors
/// When the type is not part of the contract.
pub fn mask<M: Message + Default>(message: &M, type_name: &str, relations: &Relations) -> anyhow::Result<M> {
    let descriptor = proto::pool()
        .get_message_by_name(type_name)
        .ok_or_else(|| anyhow::anyhow!("{type_name} is not part of the contract"))?;
    let mut dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    clear_hidden(&mut dynamic, relations);
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

/// Every filled field of a request that none of the relations may write, by name. What a relation writes is a column of its
/// own in the policy: one may see what one may not change.
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

/// Whether the relations write anything of a person at all.
pub fn writes_anything(relations: &Relations) -> bool {
    PERSONAL.iter().any(|group| relations.iter().any(|relation| writes(*relation, *group)))
}

fn find_unwritable(message: &DynamicMessage, path: &str, relations: &Relations, found: &mut Vec<Violation>) {
    let classes = classes_of(&message.descriptor());
    for (field, value) in message.fields() {
        let here = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let (group, _) = classes.get(&field.number()).copied().unwrap_or((Group::Unspecified, false));
        match value {
            // What a mask names is written too, be it with nothing.
            Value::Message(mask) if mask.descriptor().full_name() == "google.protobuf.FieldMask" => {
                find_masked(message, mask, &here, relations, found);
            }
            // A message is as writable as its fields.
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

/// The paths of a mask that name a field of a message beside it which none of the relations may write.
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
    Violation::new(field, "この項目を入力する権限がありません", "is not yours to write in this case")
}

fn is_ours(message: &DynamicMessage) -> bool {
    message.descriptor().package_name().starts_with("hersys.")
}

/// The groups that the relations show at all, for the audit row.
pub fn groups_shown(relations: &Relations) -> Vec<i16> {
    let shown = |group: &Group| best(relations, *group) != Sight::Hidden;
    PERSONAL.iter().filter(|group| shown(group)).map(|group| i16::try_from(i32::from(*group)).unwrap_or(0)).collect()
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
                // How many there are would tell of what is hidden: what is left without a field is left out.
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
        let seen = mask(&case(), "hersys.registry.v1.Case", &vec![Relation::ReceivingCentre].into()).unwrap();
        assert!(seen == case());
    }

    #[test]
    fn a_contractor_sees_the_person_and_no_administration() {
        let seen = mask(&case(), "hersys.registry.v1.Case", &vec![Relation::Contractor].into()).unwrap();
        assert_eq!(seen.person.as_ref().unwrap().name_kanji, "髙﨑");
        assert_eq!(seen.diagnosis_class, i32::from(DiagnosisClass::Confirmed));
        assert_eq!(seen.report_date, "");
    }

    #[test]
    fn without_a_relation_nothing_is_left() {
        let seen = mask(&case(), "hersys.registry.v1.Case", &vec![].into()).unwrap();
        assert!(seen.person.is_none_or(|person| person == Person::default()));
        assert_eq!(seen.diagnosis_class, 0);
    }
}
