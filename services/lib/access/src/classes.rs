//! Field classes on the way out: what a relation does not show is cleared, field by field, as the contract classifies it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value};
use proto::{options::Group, registry::Relation};

use crate::policy::{Sight, sight};

/// The class of a field: its group, and whether it is a code.
type Class = (Group, bool);
/// The classes of a message's fields, by number.
type Classes = Arc<HashMap<u32, Class>>;

/// Clears what none of the relations shows.
///
/// # Errors
/// When the type is not part of the contract.
pub fn mask<M: Message + Default>(message: &M, type_name: &str, relations: &[Relation]) -> anyhow::Result<M> {
    let descriptor = proto::pool()
        .get_message_by_name(type_name)
        .ok_or_else(|| anyhow::anyhow!("{type_name} is not part of the contract"))?;
    let mut dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    clear_hidden(&mut dynamic, relations);
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

/// The groups that the relations show at all, for the audit row.
pub fn groups_shown(relations: &[Relation]) -> Vec<i16> {
    let groups =
        [Group::Identity, Group::Contact, Group::Clinical, Group::Epidemiology, Group::Followup, Group::Administrative];
    let shown = |group: &Group| best(relations, *group) != Sight::Hidden;
    groups.iter().filter(|group| shown(group)).map(|group| i16::try_from(i32::from(*group)).unwrap_or(0)).collect()
}

fn clear_hidden(message: &mut DynamicMessage, relations: &[Relation]) {
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
                for item in items {
                    if let Value::Message(inner) = item {
                        clear_hidden(inner, relations);
                    }
                }
            }
            _ => {}
        }
    }
}

fn best(relations: &[Relation], group: Group) -> Sight {
    if group == Group::Technical {
        return Sight::Full;
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
        let seen = mask(&case(), "hersys.registry.v1.Case", &[Relation::ReceivingCentre]).unwrap();
        assert!(seen == case());
    }

    #[test]
    fn a_contractor_sees_the_person_and_no_administration() {
        let seen = mask(&case(), "hersys.registry.v1.Case", &[Relation::Contractor]).unwrap();
        assert_eq!(seen.person.as_ref().unwrap().name_kanji, "髙﨑");
        assert_eq!(seen.diagnosis_class, i32::from(DiagnosisClass::Confirmed));
        assert_eq!(seen.report_date, "");
    }

    #[test]
    fn without_a_relation_nothing_is_left() {
        let seen = mask(&case(), "hersys.registry.v1.Case", &[]).unwrap();
        assert!(seen.person.is_none_or(|person| person == Person::default()));
        assert_eq!(seen.diagnosis_class, 0);
    }
}
