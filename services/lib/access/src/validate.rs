//! The `buf.validate` rules of the contract, checked at the door. Browsers check the same rules from the same
//! annotations.
//!
//! A kind of rule that this file does not know fails the unit test below, so that none is silently ignored.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use prost::{Message, Name};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value,
};
use regex::Regex;
use runtime::problem::Violation;

#[derive(Clone, Debug)]
enum Rule {
    Required,
    MinLen(u64),
    MaxLen(u64),
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

type Rules = Arc<HashMap<u32, Vec<Rule>>>;

/// What the check of a request found, and the two fields that mean the same in every request that has them.
#[derive(Debug, Default)]
pub struct Checked {
    /// Every field that breaks a rule of the contract.
    pub violations: Vec<Violation>,
    /// `request_id`, empty where there is none.
    pub request_id: String,
    /// `etag`, empty where there is none.
    pub etag: String,
}

/// Checks a request against the rules of the contract.
pub fn check<M: Message + Name>(message: &M) -> Checked {
    let mut checked = Checked::default();
    let decoded = proto::pool()
        .get_message_by_name(&M::full_name())
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    let Some(dynamic) = decoded else {
        checked.violations.push(Violation::new("", "不明な形式です", "must be a message of the contract"));
        return checked;
    };
    check_message(&dynamic, "", &mut checked.violations);
    let text = |field| dynamic.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned));
    checked.request_id = text("request_id").unwrap_or_default();
    checked.etag = text("etag").unwrap_or_default();
    checked
}

fn check_message(message: &DynamicMessage, path: &str, found: &mut Vec<Violation>) {
    let rules = rules_of(&message.descriptor());
    for field in message.descriptor().fields() {
        let here = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let present = message.has_field(&field);
        let value = message.get_field(&field);
        // An absent optional field can only break the rule that it is required.
        let absent = field.supports_presence() && !present;
        let of_field = rules.get(&field.number()).into_iter().flatten();
        for rule in of_field.filter(|rule| !absent || matches!(rule, Rule::Required)) {
            check_rule(rule, &field, present, &value, &here, found);
        }
        match &*value {
            Value::String(text) => check_characters(text, &here, found),
            Value::Message(inner) if present => check_message(inner, &here, found),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    match item {
                        Value::Message(inner) => check_message(inner, &format!("{here}[{index}]"), found),
                        Value::String(text) => check_characters(text, &format!("{here}[{index}]"), found),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// No field may contain what PostgreSQL cannot store or what could rewrite a log line or a screen.
fn check_characters(text: &str, path: &str, found: &mut Vec<Violation>) {
    let bad = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().any(bad) {
        found.push(Violation::new(path, "使用できない制御文字が含まれています", "must not contain control characters"));
    }
}

fn check_rule(
    rule: &Rule,
    field: &FieldDescriptor,
    present: bool,
    value: &Value,
    path: &str,
    found: &mut Vec<Violation>,
) {
    let mut broken = |ja: String, en: String| found.push(Violation::new(path, ja, en));
    let length = || value.as_str().map_or(0, |text| u64::try_from(text.chars().count()).unwrap_or(u64::MAX));
    match rule {
        Rule::Required if !present => broken("必須です".to_owned(), "is required".to_owned()),
        Rule::MinLen(min) if length() < *min => {
            broken(format!("{min} 文字以上で入力してください"), format!("must have at least {min} characters"));
        }
        Rule::MaxLen(max) if length() > *max => {
            broken(format!("{max} 文字以内で入力してください"), format!("must have at most {max} characters"));
        }
        Rule::Len(len) if length() != *len => {
            broken(format!("{len} 文字で入力してください"), format!("must have exactly {len} characters"));
        }
        Rule::Pattern(pattern) if !value.as_str().is_some_and(|text| pattern.is_match(text)) => {
            broken("形式が正しくありません".to_owned(), format!("must match {}", pattern.as_str()));
        }
        Rule::Uuid if !value.as_str().is_some_and(|text| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()) => {
            broken("UUID を指定してください".to_owned(), "must be a UUID".to_owned());
        }
        Rule::AtLeast(min) if number(value) < *min => {
            broken(format!("{min} 以上の値を入力してください"), format!("must be at least {min}"));
        }
        Rule::AtMost(max) if number(value) > *max => {
            broken(format!("{max} 以下の値を入力してください"), format!("must be at most {max}"));
        }
        Rule::DefinedOnly => {
            let known = field
                .kind()
                .as_enum()
                .is_some_and(|e| i32::try_from(number(value)).ok().and_then(|n| e.get_value(n)).is_some());
            if !known {
                broken("未定義のコードです".to_owned(), "must be a defined code".to_owned());
            }
        }
        Rule::NotIn(excluded) if i32::try_from(number(value)).is_ok_and(|n| excluded.contains(&n)) => {
            broken("選択してください".to_owned(), "must be chosen".to_owned());
        }
        Rule::In(allowed) if !i32::try_from(number(value)).is_ok_and(|n| allowed.contains(&n)) => {
            broken("選択できない値です".to_owned(), "must be one of the allowed codes".to_owned());
        }
        Rule::MaxItems(max)
            if value.as_list().is_some_and(|items| u64::try_from(items.len()).is_ok_and(|n| n > *max)) =>
        {
            broken(format!("{max} 件以内で指定してください"), format!("must have at most {max} items"));
        }
        Rule::Unique => {
            let items = value.as_list().unwrap_or_default();
            if items.iter().enumerate().any(|(index, item)| items.iter().take(index).any(|other| other == item)) {
                broken("重複しないように指定してください".to_owned(), "must not contain duplicates".to_owned());
            }
        }
        Rule::Items(rules) => {
            for (index, item) in value.as_list().unwrap_or_default().iter().enumerate() {
                for rule in rules {
                    check_rule(rule, field, true, item, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::I32(n) | Value::EnumNumber(n) => i64::from(*n),
        Value::I64(n) => *n,
        _ => 0,
    }
}

fn rules_of(message: &MessageDescriptor) -> Rules {
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
fn read_rules(message: &MessageDescriptor) -> (HashMap<u32, Vec<Rule>>, Vec<String>) {
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
            ("string" | "enum" | "int32" | "int64" | "repeated", Value::Message(inner)) => {
                read_typed_rules(inner, rules, unknown);
            }
            (name, _) => unknown.push(name.to_owned()),
        }
    }
}

fn read_typed_rules(declared: &DynamicMessage, rules: &mut Vec<Rule>, unknown: &mut Vec<String>) {
    for (field, value) in declared.fields() {
        let numbers =
            || value.as_list().unwrap_or_default().iter().filter_map(|v| i32::try_from(number(v)).ok()).collect();
        let rule = match (field.name(), value) {
            ("min_len", Value::U64(n)) => Rule::MinLen(*n),
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

#[cfg(test)]
mod tests {
    use proto::{
        identity::IssueUserRequest,
        registry::{GetCaseRequest, Person, RecordTestRequest, RegisterCaseRequest, Test},
        statistics::QueryCasesRequest,
    };

    use super::{check, read_rules};

    fn fields(violations: &[runtime::problem::Violation]) -> Vec<&str> {
        violations.iter().map(|v| v.field.as_str()).collect()
    }

    #[test]
    fn every_rule_of_the_contract_is_understood() {
        for message in proto::pool().all_messages().filter(|m| m.package_name().starts_with("hersys.")) {
            let (_, unknown) = read_rules(&message);
            assert!(unknown.is_empty(), "{}: {unknown:?}", message.full_name());
        }
    }

    #[test]
    fn a_field_at_fault_is_named_by_its_path() {
        let request = RegisterCaseRequest {
            request_id: "x".to_owned(),
            person: Some(Person { name_kanji: String::new(), sex: 99, phone: "0".repeat(21), ..Person::default() }),
            ..RegisterCaseRequest::default()
        };
        let found = check(&request).violations;
        assert_eq!(fields(&found), ["request_id", "person.sex", "person.phone"]);
    }

    #[test]
    fn a_missing_message_a_nul_and_a_wrong_pattern_are_found() {
        let found = check(&RegisterCaseRequest::default()).violations;
        assert_eq!(fields(&found), ["request_id", "person"]);
        let found = check(&GetCaseRequest { case_id: "a\0".to_owned() }).violations;
        assert_eq!(fields(&found), ["case_id", "case_id"]);
        let request = IssueUserRequest { login: "Dr House".to_owned(), ..IssueUserRequest::default() };
        let found = check(&request).violations;
        assert_eq!(fields(&found), ["request_id", "organisation_id", "login", "role"]);
    }

    #[test]
    fn items_of_a_list_are_checked_one_by_one() {
        let request = QueryCasesRequest { dimensions: vec![1, 1, 77], ..QueryCasesRequest::default() };
        let found = check(&request).violations;
        assert_eq!(fields(&found), ["dimensions", "dimensions[2]"]);
    }

    #[test]
    fn what_keeps_every_rule_passes() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057".to_owned();
        let test = Test { method: 2, specimen: 9, result: 3, sampled_date: "2020-05-13".to_owned() };
        let request = RecordTestRequest { request_id: id.clone(), case_id: id, etag: String::new(), test: Some(test) };
        assert_eq!(fields(&check(&request).violations), Vec::<&str>::new());
    }
}
