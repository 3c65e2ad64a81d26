//! The `buf.validate` rules that the fields of a message declare, read once from the descriptors.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use prost_reflect::{DynamicMessage, ExtensionDescriptor, MessageDescriptor, Value};
use regex::Regex;

use super::number;

/// One rule of a field.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Required,
    MinLen(u64),
    MaxLen(u64),
    /// In bytes.
    MaxBytes(u64),
    Len(u64),
    Pattern(Regex),
    Uuid,
    AtLeast(i64),
    AtMost(i64),
    DefinedOnly,
    NotIn(Vec<i32>),
    In(Vec<i32>),
    MaxItems(u64),
    Unique,
    Items(Vec<Rule>),
}

/// The rules of a message's fields, by number of the field.
pub(super) type Rules = Arc<HashMap<u32, Vec<Rule>>>;

/// The rules of a message's fields.
pub(super) fn rules_of(message: &MessageDescriptor) -> Rules {
    static KNOWN: LazyLock<Mutex<HashMap<String, Rules>>> = LazyLock::new(Mutex::default);
    if let Some(rules) = KNOWN.lock().ok().and_then(|known| known.get(message.full_name()).cloned()) {
        return rules;
    }
    let (rules, _) = read_rules(message);
    let rules = Arc::new(rules);
    if let Ok(mut known) = KNOWN.lock() {
        known.insert(message.full_name().to_owned(), Arc::clone(&rules));
    }
    rules
}

/// The rules of a message's fields, and the rules that this file does not know.
pub(super) fn read_rules(message: &MessageDescriptor) -> (HashMap<u32, Vec<Rule>>, Vec<String>) {
    let (mut rules, mut unknown) = (HashMap::new(), Vec::new());
    let Some(extension): Option<ExtensionDescriptor> = proto::pool().get_extension_by_name("buf.validate.field") else {
        return (rules, unknown);
    };
    for field in message.fields() {
        let options = field.options();
        if options.has_extension(&extension)
            && let Some(declared) = options.get_extension(&extension).as_message()
        {
            let mut of_field = Vec::new();
            read_field_rules(declared, &mut of_field, &mut unknown);
            rules.insert(field.number(), of_field);
        }
    }
    (rules, unknown)
}

fn read_field_rules(declared: &DynamicMessage, rules: &mut Vec<Rule>, unknown: &mut Vec<String>) {
    for (field, value) in declared.fields() {
        match (field.name(), value) {
            ("required", Value::Bool(true)) => rules.push(Rule::Required),
            ("string" | "bytes" | "enum" | "int32" | "int64" | "repeated", Value::Message(inner)) => {
                read_typed_rules(field.name(), inner, rules, unknown);
            }
            (name, _) => unknown.push(name.to_owned()),
        }
    }
}

fn read_typed_rules(kind: &str, declared: &DynamicMessage, rules: &mut Vec<Rule>, unknown: &mut Vec<String>) {
    for (field, value) in declared.fields() {
        let numbers =
            || value.as_list().unwrap_or_default().iter().filter_map(|v| i32::try_from(number(v)).ok()).collect();
        let rule = match (field.name(), value) {
            ("min_len", Value::U64(n)) => Rule::MinLen(*n),
            ("max_len", Value::U64(n)) if kind == "bytes" => Rule::MaxBytes(*n),
            ("max_len", Value::U64(n)) => Rule::MaxLen(*n),
            ("len", Value::U64(n)) => Rule::Len(*n),
            ("pattern", Value::String(text)) => {
                if let Ok(pattern) = Regex::new(text) {
                    Rule::Pattern(pattern)
                } else {
                    unknown.push(format!("pattern {text}"));
                    continue;
                }
            }
            ("uuid", Value::Bool(true)) => Rule::Uuid,
            ("gte", value) => Rule::AtLeast(number(value)),
            ("lte", value) => Rule::AtMost(number(value)),
            ("defined_only", Value::Bool(true)) => Rule::DefinedOnly,
            ("not_in", _) => Rule::NotIn(numbers()),
            ("in", _) => Rule::In(numbers()),
            ("max_items", Value::U64(n)) => Rule::MaxItems(*n),
            ("unique", Value::Bool(true)) => Rule::Unique,
            ("items", Value::Message(inner)) => {
                let mut items = Vec::new();
                read_field_rules(inner, &mut items, unknown);
                Rule::Items(items)
            }
            (name, _) => {
                unknown.push(name.to_owned());
                continue;
            }
        };
        rules.push(rule);
    }
}
