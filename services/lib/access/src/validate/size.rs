//! How large a request can be that keeps every limit of the contract.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::{
    MASK_PATH, MASK_PATHS,
    rules::{Rule, rules_of},
};

/// Tag and length of a field: more than either ever needs here.
const FRAME: usize = 8;
/// Room for fields of a newer contract, and for a text that is a little too long: its own rule is the better answer.
const ROOM: usize = 4 << 10;

/// The most bytes that a request of an RPC may have. Twice what its limits allow: whoever breaks one by a little is told
/// which; whoever sends more than that is not read.
pub fn largest(rpc: &str) -> usize {
    static KNOWN: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);
    if let Some(size) = KNOWN.lock().ok().and_then(|known| known.get(rpc).copied()) {
        return size;
    }
    let size = proto::method(rpc).map_or(0, |method| message(&method.input())).saturating_mul(2).saturating_add(ROOM);
    if let Ok(mut known) = KNOWN.lock() {
        known.insert(rpc.to_owned(), size);
    }
    size
}

fn message(descriptor: &MessageDescriptor) -> usize {
    match descriptor.full_name() {
        "google.protobuf.FieldMask" => return MASK_PATHS * (MASK_PATH + FRAME),
        "google.protobuf.Timestamp" | "google.protobuf.Duration" => return 2 * (10 + FRAME),
        _ => {}
    }
    let rules = rules_of(descriptor);
    descriptor.fields().fold(0, |size, field| {
        let of_field = rules.get(&field.number()).map(Vec::as_slice).unwrap_or_default();
        size.saturating_add(one_field(&field, of_field))
    })
}

fn one_field(field: &FieldDescriptor, rules: &[Rule]) -> usize {
    if field.cardinality() != Cardinality::Repeated {
        return value(field, rules).saturating_add(FRAME);
    }
    let most = rules.iter().find_map(|rule| match rule {
        Rule::MaxItems(most) => usize::try_from(*most).ok(),
        _ => None,
    });
    let of_items = rules.iter().find_map(|rule| match rule {
        Rule::Items(rules) => Some(rules.as_slice()),
        _ => None,
    });
    let item = value(field, of_items.unwrap_or_default()).saturating_add(FRAME);
    most.unwrap_or(usize::MAX).saturating_mul(item).saturating_add(FRAME)
}

fn value(field: &FieldDescriptor, rules: &[Rule]) -> usize {
    match field.kind() {
        Kind::Message(inner) => message(&inner),
        Kind::String | Kind::Bytes => rules.iter().find_map(text).unwrap_or(usize::MAX),
        _ => 10,
    }
}

/// The most bytes of a text under a rule.
fn text(rule: &Rule) -> Option<usize> {
    match rule {
        // Four bytes a character at most.
        Rule::MaxLen(most) | Rule::Len(most) => usize::try_from(*most).ok().map(|most| most.saturating_mul(4)),
        Rule::MaxBytes(most) => usize::try_from(*most).ok(),
        Rule::Uuid => Some(36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

    use super::{super::Walk, largest};

    /// The most that any request of the contract may cost to check: imports have a thousand rows of a dozen fields.
    const WORK: usize = 60_000;

    /// Every field below a message, as the way that leads to it.
    fn ways(message: &MessageDescriptor, before: &[FieldDescriptor], found: &mut Vec<Vec<FieldDescriptor>>) {
        for field in message.fields() {
            let way: Vec<_> = before.iter().cloned().chain([field.clone()]).collect();
            if let Kind::Message(inner) = field.kind()
                && !inner.full_name().starts_with("google.")
            {
                ways(&inner, &way, found);
            }
            found.push(way);
        }
    }

    /// A message with a value at the end of a way.
    fn filled(message: &MessageDescriptor, way: &[FieldDescriptor], value: Value) -> DynamicMessage {
        let mut dynamic = DynamicMessage::new(message.clone());
        if let [field, rest @ ..] = way {
            let inner = match field.kind() {
                Kind::Message(inner) if !rest.is_empty() => Value::Message(filled(&inner, rest, value)),
                _ => value,
            };
            let inner = if field.is_list() && !rest.is_empty() { Value::List(vec![inner]) } else { inner };
            dynamic.set_field(field, inner);
        }
        dynamic
    }

    /// What fills `size` bytes of a field: distinct items or one long text. `None` for what cannot be long.
    fn worst(field: &FieldDescriptor, size: usize) -> Option<Value> {
        let number = |index: usize| i32::try_from(index).unwrap() + 1_000;
        let item = |index: usize| match field.kind() {
            Kind::String => (Value::String(format!("x{index}")), 8),
            Kind::Bytes => (Value::Bytes(index.to_be_bytes().to_vec().into()), 10),
            Kind::Message(inner) => (Value::Message(DynamicMessage::new(inner)), 2),
            Kind::Enum(_) => (Value::EnumNumber(number(index)), 3),
            Kind::Int64 => (Value::I64(i64::from(number(index))), 3),
            _ => (Value::I32(number(index)), 3),
        };
        if field.is_list() {
            let count = size / item(0).1;
            return Some(Value::List((0..count).map(|index| item(index).0).collect()));
        }
        match field.kind() {
            Kind::String => Some(Value::String("あ".repeat(size / 3))),
            Kind::Bytes => Some(Value::Bytes(vec![0; size].into())),
            Kind::Message(inner) if inner.full_name() == "google.protobuf.FieldMask" => {
                let paths = inner.get_field_by_name("paths").unwrap();
                let mut mask = DynamicMessage::new(inner);
                mask.set_field(&paths, Value::List((0..size / 8).map(|i| Value::String(format!("f{i}"))).collect()));
                Some(Value::Message(mask))
            }
            _ => None,
        }
    }

    #[test]
    fn every_list_and_every_text_of_a_request_has_a_limit() {
        let mut without = Vec::new();
        for rule in proto::rules() {
            if largest(&rule.path) > 8 << 20 {
                without.push(&rule.request);
            }
        }
        assert!(without.is_empty(), "{without:?}");
    }

    #[test]
    fn the_largest_body_with_the_worst_content_is_refused_before_any_work_per_item() {
        for rule in proto::rules() {
            let input = proto::method(&rule.path).unwrap().input();
            let mut found = Vec::new();
            ways(&input, &[], &mut found);
            for way in found {
                let Some(field) = way.last() else { continue };
                let Some(value) = worst(field, largest(&rule.path)) else { continue };
                let message = filled(&input, &way, value);
                assert!(message.encoded_len() > 3 << 10, "{} {}", rule.name, field.full_name());
                let walk = Walk::over(&message);
                let empty = Walk::over(&filled(&message.descriptor(), &way, empty(field)));
                assert!(
                    walk.found.iter().any(|broken| broken.field.contains(field.name())),
                    "{} does not refuse {}",
                    rule.name,
                    field.full_name()
                );
                assert!(
                    walk.looked <= empty.looked + 2,
                    "{} looks {} times at {}",
                    rule.name,
                    walk.looked - empty.looked,
                    field.full_name()
                );
                assert!(walk.looked < WORK, "{}", rule.name);
            }
        }
    }

    fn empty(field: &FieldDescriptor) -> Value {
        if field.is_list() { Value::List(Vec::new()) } else { field.kind().default_value() }
    }
}
