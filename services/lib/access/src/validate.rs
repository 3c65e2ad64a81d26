//! The `buf.validate` rules of the contract, checked at the door. Browsers check the same rules from the same
//! annotations.
//!
//! Limits come before work: a list that is too long is not looked into, a text that is too long is not searched, and
//! after twenty violations the check ends. A kind of rule that [`rules`] does not know fails a unit test, so that none is
//! silently ignored.

mod rules;
mod size;

use std::{
    collections::HashSet,
    ops::ControlFlow::{self, Break, Continue},
};

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};
use runtime::problem::Violation;

use rules::{Rule, rules_of};
pub use size::largest;

/// The most violations that one answer names.
const MOST: usize = 20;

/// The most paths in a field mask: no resource has as many fields.
const MASK_PATHS: usize = 64;
/// The most characters in a path of a field mask.
const MASK_PATH: usize = 64;

/// What the check of a request found, and the two fields that mean the same in every request that has them.
#[derive(Debug, Default)]
pub struct Checked {
    /// Fields that break a rule of the contract, the first twenty.
    pub violations: Vec<Violation>,
    /// `request_id`, empty where there is none.
    pub request_id: String,
    /// `etag`, empty where there is none.
    pub etag: String,
}

/// Checks a request against the rules of the contract.
pub fn check<M: Message + Name>(message: &M) -> Checked {
    let decoded = proto::pool()
        .get_message_by_name(&M::full_name())
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    let Some(dynamic) = decoded else {
        let violations = vec![Violation::new("", "不明な形式です", "must be a message of the contract")];
        return Checked { violations, ..Checked::default() };
    };
    let text = |field| dynamic.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned));
    Checked {
        violations: Walk::over(&dynamic).found,
        request_id: text("request_id").unwrap_or_default(),
        etag: text("etag").unwrap_or_default(),
    }
}

/// A walk over a message, and what it found.
#[derive(Default)]
struct Walk {
    found: Vec<Violation>,
    /// Fields and items looked at, and characters read: what the check cost.
    looked: usize,
}

impl Walk {
    fn over(message: &DynamicMessage) -> Self {
        let mut walk = Self::default();
        // Broken off or not, what it found is what is told.
        let _ = walk.message(message, "");
        walk
    }

    fn broken(&mut self, path: &str, ja: impl std::fmt::Display, en: impl std::fmt::Display) -> ControlFlow<()> {
        self.found.push(Violation::new(path, ja, en));
        if self.found.len() < MOST { Continue(()) } else { Break(()) }
    }

    fn message(&mut self, message: &DynamicMessage, path: &str) -> ControlFlow<()> {
        let rules = rules_of(&message.descriptor());
        for field in message.descriptor().fields() {
            self.looked += 1;
            let present = message.has_field(&field);
            let of_field = rules.get(&field.number()).map(Vec::as_slice).unwrap_or_default();
            let here = || if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
            if !present && of_field.iter().any(|rule| matches!(rule, Rule::Required)) {
                self.broken(&here(), "必須です", "is required")?;
            }
            // An absent optional field can only break the rule that it is required.
            if present || !field.supports_presence() {
                self.field(of_field, &field, &message.get_field(&field), &here())?;
            }
        }
        Continue(())
    }

    fn field(&mut self, rules: &[Rule], field: &FieldDescriptor, value: &Value, path: &str) -> ControlFlow<()> {
        let Value::List(items) = value else { return self.value(rules, field, value, path) };
        for rule in rules {
            match rule {
                Rule::MaxItems(max) if u64::try_from(items.len()).unwrap_or(u64::MAX) > *max => {
                    let (ja, en) =
                        (format!("{max} 件以内で指定してください"), format!("must have at most {max} items"));
                    return self.broken(path, ja, en);
                }
                Rule::Unique if has_duplicates(items) => {
                    self.broken(path, "重複しないように指定してください", "must not contain duplicates")?;
                }
                _ => {}
            }
        }
        let of_items = rules.iter().find_map(|rule| match rule {
            Rule::Items(rules) => Some(rules.as_slice()),
            _ => None,
        });
        for (index, item) in items.iter().enumerate() {
            self.looked += 1;
            self.value(of_items.unwrap_or_default(), field, item, &format!("{path}[{index}]"))?;
        }
        Continue(())
    }

    /// A single value. Of a text only the first broken rule is told: the others would read it in vain.
    fn value(&mut self, rules: &[Rule], field: &FieldDescriptor, value: &Value, path: &str) -> ControlFlow<()> {
        match value {
            Value::String(text) => return self.text(rules, text, path),
            Value::Message(inner) if inner.descriptor().full_name() == "google.protobuf.FieldMask" => {
                return self.mask(inner, path);
            }
            Value::Message(inner) => return self.message(inner, path),
            _ => {}
        }
        let as_i32 = || i32::try_from(number(value));
        for rule in rules {
            match rule {
                Rule::MaxBytes(max) if value.as_bytes().is_some_and(|bytes| exceeds(bytes.len(), *max)) => {
                    let ja = format!("{max} バイト以内で指定してください");
                    return self.broken(path, ja, format!("must have at most {max} bytes"));
                }
                Rule::AtLeast(min) if number(value) < *min => {
                    self.broken(path, format!("{min} 以上の値を入力してください"), format!("must be at least {min}"))?;
                }
                Rule::AtMost(max) if number(value) > *max => {
                    self.broken(path, format!("{max} 以下の値を入力してください"), format!("must be at most {max}"))?;
                }
                Rule::DefinedOnly => {
                    let known =
                        field.kind().as_enum().is_some_and(|e| as_i32().ok().and_then(|n| e.get_value(n)).is_some());
                    if !known {
                        self.broken(path, "未定義のコードです", "must be a defined code")?;
                    }
                }
                Rule::NotIn(excluded) if as_i32().is_ok_and(|n| excluded.contains(&n)) => {
                    self.broken(path, "選択してください", "must be chosen")?;
                }
                Rule::In(allowed) if !as_i32().is_ok_and(|n| allowed.contains(&n)) => {
                    self.broken(path, "選択できない値です", "must be one of the allowed codes")?;
                }
                _ => {}
            }
        }
        Continue(())
    }

    fn text(&mut self, rules: &[Rule], text: &str, path: &str) -> ControlFlow<()> {
        let most = rules.iter().find_map(|rule| match rule {
            Rule::MaxLen(most) | Rule::Len(most) => Some(*most),
            Rule::Uuid => Some(36),
            _ => None,
        });
        // A character has four bytes at most: what is longer than that need not be counted.
        let length = match most {
            Some(most) if exceeds(text.len(), most.saturating_mul(4)) => u64::MAX,
            _ => {
                self.looked += text.len() / 64;
                u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
            }
        };
        for rule in rules {
            match rule {
                Rule::MinLen(min) if length < *min => {
                    let ja = format!("{min} 文字以上で入力してください");
                    return self.broken(path, ja, format!("must have at least {min} characters"));
                }
                Rule::MaxLen(max) if length > *max => {
                    let ja = format!("{max} 文字以内で入力してください");
                    return self.broken(path, ja, format!("must have at most {max} characters"));
                }
                Rule::Len(len) if length != *len => {
                    let ja = format!("{len} 文字で入力してください");
                    return self.broken(path, ja, format!("must have exactly {len} characters"));
                }
                Rule::Uuid if text.len() != 36 || uuid::Uuid::try_parse(text).is_err() => {
                    return self.broken(path, "UUID を指定してください", "must be a UUID");
                }
                Rule::Pattern(pattern) if !pattern.is_match(text) => {
                    return self.broken(path, "形式が正しくありません", format!("must match {}", pattern.as_str()));
                }
                _ => {}
            }
        }
        if text.chars().any(is_forbidden) {
            return self.broken(path, "使用できない制御文字が含まれています", "must not contain control characters");
        }
        Continue(())
    }

    fn mask(&mut self, mask: &DynamicMessage, path: &str) -> ControlFlow<()> {
        let paths = mask.get_field_by_name("paths");
        let paths = paths.as_deref().and_then(Value::as_list).unwrap_or_default();
        let too_long = |path: &Value| path.as_str().is_none_or(|path| path.len() > MASK_PATH);
        if paths.len() > MASK_PATHS || paths.iter().any(too_long) {
            return self.broken(path, "更新する項目名を指定してください", "must name fields of the resource");
        }
        Continue(())
    }
}

fn exceeds(length: usize, most: u64) -> bool {
    u64::try_from(length).map_or(true, |length| length > most)
}

/// What PostgreSQL cannot store or what could rewrite a log line or a screen.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn has_duplicates(items: &[Value]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().any(|item| {
        let key = match item {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Bytes(bytes) => bytes.to_vec(),
            Value::Message(message) => message.encode_to_vec(),
            other => number(other).to_be_bytes().to_vec(),
        };
        !seen.insert(key)
    })
}

fn number(value: &Value) -> i64 {
    match value {
        Value::I32(n) | Value::EnumNumber(n) => i64::from(*n),
        Value::I64(n) => *n,
        Value::U32(n) => i64::from(*n),
        Value::U64(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{CreateServiceAccountRequest, IssueUserRequest},
        registry::{GetCaseRequest, Person, RecordTestRequest, RegisterCaseRequest, Test},
        statistics::QueryCasesRequest,
    };

    use super::{check, rules::read_rules};

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
        assert_eq!(fields(&found), ["case_id"]);
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
        let test = Test { method: 2, specimen: 9, result: 3, sampled_date: "2020-05-13".to_owned(), ..Test::default() };
        let (request_id, case_id) = (id.clone(), id);
        let request = RecordTestRequest { request_id, case_id, test: Some(test), ..RecordTestRequest::default() };
        assert_eq!(fields(&check(&request).violations), Vec::<&str>::new());
    }

    #[test]
    fn a_list_that_is_too_long_is_not_looked_into_and_twenty_violations_are_enough() {
        let long = QueryCasesRequest { dimensions: (1_000..61_000).collect(), ..QueryCasesRequest::default() };
        assert_eq!(fields(&check(&long).violations), ["dimensions"]);
        let scopes = (0..30).map(|n| n.to_string()).collect();
        let many = CreateServiceAccountRequest { scopes, ..CreateServiceAccountRequest::default() };
        assert_eq!(check(&many).violations.len(), 20);
    }
}
