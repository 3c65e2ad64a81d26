//! JSON Schemas of the contract's messages: types, comments, and the rules that the annotations declare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    Value as Reflected,
};
use serde_json::{Map, Value, json};

/// Comments of the contract by full name.
pub(crate) struct Comments(HashMap<String, String>);

impl Comments {
    /// Reads the comments of every file.
    pub(crate) fn read(pool: &DescriptorPool) -> Self {
        let mut found = HashMap::new();
        for file in pool.files().filter(|file| file.package_name().starts_with("hersys.")) {
            read_file(&file, &mut found);
        }
        Self(found)
    }

    /// The comment on something, in one paragraph.
    pub(crate) fn of(&self, full_name: &str) -> String {
        self.0.get(full_name).cloned().unwrap_or_default()
    }
}

fn read_file(file: &FileDescriptor, found: &mut HashMap<String, String>) {
    let mut by_path: HashMap<Vec<i32>, String> = HashMap::new();
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    for location in source.into_iter().flat_map(|info| &info.location) {
        let text = location.leading_comments().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if !text.trim().is_empty() {
            by_path.insert(location.path.clone(), text.trim().to_owned());
        }
    }
    let mut take = |name: &str, path: &[i32]| {
        if let Some(text) = by_path.get(path) {
            found.insert(name.to_owned(), text.clone());
        }
    };
    for message in file.messages() {
        take(message.full_name(), message.path());
        for field in message.fields() {
            take(field.full_name(), field.path());
        }
    }
    for list in file.enums() {
        take(list.full_name(), list.path());
        for value in list.values() {
            take(value.full_name(), value.path());
        }
    }
    for service in file.services() {
        take(service.full_name(), service.path());
        for method in service.methods() {
            take(method.full_name(), method.path());
        }
    }
}

/// Collects the schemas of messages and of everything they contain.
pub(crate) struct Schemas<'a> {
    comments: &'a Comments,
    done: BTreeMap<String, Value>,
    asked: BTreeSet<String>,
}

impl<'a> Schemas<'a> {
    pub(crate) fn new(comments: &'a Comments) -> Self {
        Self { comments, done: BTreeMap::new(), asked: BTreeSet::new() }
    }

    /// A reference to the schema of a message, which will be among the collected ones.
    pub(crate) fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = short(message.full_name());
        if self.asked.insert(name.clone()) {
            let schema = self.message(message, &[]);
            self.done.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of a message without some of its fields: those that come by path.
    pub(crate) fn message(&mut self, message: &MessageDescriptor, without: &[String]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !without.iter().any(|name| name == field.name())) {
            let rules = Rules::of(&field);
            if rules.is_required(&field) {
                required.push(Value::from(field.json_name()));
            }
            properties.insert(field.json_name().to_owned(), self.field(&field, &rules));
        }
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        self.describe(&mut schema, message.full_name());
        if !required.is_empty() {
            set(&mut schema, "required", Value::Array(required));
        }
        schema
    }

    /// The schema of a field.
    pub(crate) fn field(&mut self, field: &FieldDescriptor, rules: &Rules) -> Value {
        let mut schema = if field.is_list() {
            let items = rules.items();
            let one = self.kind(&field.kind(), &items);
            let mut list = json!({ "type": "array", "items": one });
            for (name, key) in [("max_items", "maxItems"), ("min_items", "minItems")] {
                if let Some(number) = rules.number("repeated", name) {
                    set(&mut list, key, number);
                }
            }
            if rules.flag("repeated", "unique") {
                set(&mut list, "uniqueItems", Value::Bool(true));
            }
            list
        } else {
            self.kind(&field.kind(), rules)
        };
        self.describe(&mut schema, field.full_name());
        if behaves(field, OUTPUT_ONLY) {
            set(&mut schema, "readOnly", Value::Bool(true));
        }
        schema
    }

    fn kind(&mut self, kind: &Kind, rules: &Rules) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => rules.string(),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$" })
            }
            Kind::Enum(list) => self.list(list, rules),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.FieldMask" => {
                    json!({ "type": "string", "pattern": "^[A-Za-z_.,]*$", "description": "a,b.c" })
                }
                _ => self.reference(message),
            },
            _ => rules.integer(),
        }
    }

    /// A code list: names with what they mean.
    fn list(&self, list: &EnumDescriptor, rules: &Rules) -> Value {
        let excluded = rules.numbers("enum", "not_in");
        let only = rules.numbers("enum", "in");
        let values = list
            .values()
            .filter(|value| !excluded.contains(&value.number()) && (only.is_empty() || only.contains(&value.number())));
        let (names, lines): (Vec<Value>, Vec<String>) = values
            .map(|value| {
                let meaning = self.comments.of(value.full_name());
                (Value::from(value.name()), format!("- `{}`: {meaning}", value.name()))
            })
            .unzip();
        json!({ "type": "string", "enum": names, "title": self.comments.of(list.full_name()), "x-values": lines })
    }

    fn describe(&self, schema: &mut Value, full_name: &str) {
        let text = self.comments.of(full_name);
        if !text.is_empty() {
            set(schema, "description", Value::from(text));
        }
    }

    pub(crate) fn collected(self) -> BTreeMap<String, Value> {
        self.done
    }
}

fn set(schema: &mut Value, key: &str, value: Value) {
    if let Some(object) = schema.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// Values of `google.api.FieldBehavior`.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;

/// Whether a field is declared to behave so (`google.api.field_behavior`).
fn behaves(field: &FieldDescriptor, behavior: i32) -> bool {
    let options = field.options();
    let extension = proto::pool().get_extension_by_name("google.api.field_behavior");
    extension.filter(|extension| options.has_extension(extension)).is_some_and(|extension| {
        let declared = options.get_extension(&extension);
        declared.as_list().is_some_and(|list| list.iter().any(|value| value.as_enum_number() == Some(behavior)))
    })
}

/// `hersys.registry.v1.Case` is `registry.Case`.
fn short(full_name: &str) -> String {
    full_name.trim_start_matches("hersys.").replace(".v1.", ".")
}

/// No text may contain what PostgreSQL cannot store or what could rewrite a line.
const CLEAN: &str = "^[^\\u0000-\\u0008\\u000B\\u000C\\u000E-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$";

/// The `buf.validate` rules of a field.
pub(crate) struct Rules(Option<DynamicMessage>);

impl Rules {
    pub(crate) fn of(field: &FieldDescriptor) -> Self {
        let extension = proto::pool().get_extension_by_name("buf.validate.field");
        let options = field.options();
        Self(
            extension
                .filter(|extension| options.has_extension(extension))
                .and_then(|extension| options.get_extension(&extension).as_message().cloned()),
        )
    }

    fn inner(&self, kind: &str) -> Option<DynamicMessage> {
        let rules = self.0.as_ref()?;
        rules.has_field_by_name(kind).then(|| rules.get_field_by_name(kind)?.as_message().cloned()).flatten()
    }

    fn value(&self, kind: &str, name: &str) -> Option<Reflected> {
        let inner = self.inner(kind)?;
        inner.has_field_by_name(name).then(|| inner.get_field_by_name(name).map(std::borrow::Cow::into_owned)).flatten()
    }

    fn items(&self) -> Self {
        Self(self.value("repeated", "items").and_then(|value| value.as_message().cloned()))
    }

    fn number(&self, kind: &str, name: &str) -> Option<Value> {
        match self.value(kind, name)? {
            Reflected::U64(number) => Some(Value::from(number)),
            Reflected::I32(number) => Some(Value::from(number)),
            Reflected::I64(number) => Some(Value::from(number)),
            _ => None,
        }
    }

    fn numbers(&self, kind: &str, name: &str) -> Vec<i32> {
        let list = self.value(kind, name);
        list.and_then(|value| value.as_list().map(|items| items.iter().filter_map(Reflected::as_i32).collect()))
            .unwrap_or_default()
    }

    fn flag(&self, kind: &str, name: &str) -> bool {
        self.value(kind, name).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    /// Whether the field must be given: it is declared so, or its rules refuse an empty value. Rules of an optional
    /// field do not count.
    pub(crate) fn is_required(&self, field: &FieldDescriptor) -> bool {
        let required = self.0.as_ref().and_then(|r| r.get_field_by_name("required")?.as_bool()).unwrap_or(false);
        if required || behaves(field, REQUIRED) {
            return true;
        }
        if field.supports_presence() {
            return false;
        }
        let filled = self.number("string", "min_len").is_some_and(|n| n.as_u64() > Some(0));
        filled
            || self.flag("string", "uuid")
            || self.value("string", "len").is_some()
            || self.value("string", "pattern").is_some()
            || self.numbers("enum", "not_in").contains(&0)
    }

    fn string(&self) -> Value {
        if self.flag("string", "uuid") {
            return json!({ "type": "string", "format": "uuid" });
        }
        let mut schema = json!({ "type": "string", "pattern": CLEAN });
        for (name, key) in [("min_len", "minLength"), ("max_len", "maxLength")] {
            if let Some(number) = self.number("string", name) {
                set(&mut schema, key, number);
            }
        }
        if let Some(number) = self.number("string", "len") {
            set(&mut schema, "minLength", number.clone());
            set(&mut schema, "maxLength", number);
        }
        if let Some(Reflected::String(pattern)) = self.value("string", "pattern") {
            set(&mut schema, "pattern", Value::from(pattern));
        }
        schema
    }

    fn integer(&self) -> Value {
        let mut schema = json!({ "type": "integer", "format": "int32" });
        for (name, key) in [("gte", "minimum"), ("lte", "maximum")] {
            if let Some(number) = self.number("int32", name) {
                set(&mut schema, key, number);
            }
        }
        schema
    }
}
