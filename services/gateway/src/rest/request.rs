//! The request message of a REST call: from JSON (canonical proto3), path and query.

use percent_encoding::percent_decode_str;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use runtime::problem::{self, Violation};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::routes::Route;

/// The request message of a REST call. Path variables win over the body; fields outside of the body come from the
/// query.
pub(crate) fn request(
    route: &Route,
    variables: &[(&str, &str)],
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, Status> {
    let input = route.method.input();
    let mut message = if route.body == "*" {
        if !query.is_empty() {
            return Err(invalid("query", "クエリは使用できません", "must be empty: every field is in the body"));
        }
        parse(&input, if body.is_empty() { b"{}" } else { body })?
    } else {
        let mut fields = of_query(&input, query)?;
        if let Some(field) = input.get_field_by_name(route.body)
            && !body.is_empty()
        {
            // Read as its own type first, so that an error names the place in the body.
            if let Kind::Message(message) = field.kind() {
                parse(&message, body)?;
            }
            let value = serde_json::from_slice(body).map_err(|error| syntax(&error))?;
            fields.insert(field.json_name().to_owned(), value);
        }
        from_value(&input, Value::Object(fields))?
    };
    for (name, raw) in variables {
        let value = decoded(raw).ok_or_else(|| invalid(name, "文字コードが不正です", "must be UTF-8"))?;
        let _ = message.try_set_field_by_name(name, prost_reflect::Value::String(value));
    }
    Ok(message)
}

fn parse(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Status> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let read = DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &DeserializeOptions::new());
    let message = read.map_err(|error| fault(&error, &track.path().to_string()))?;
    deserializer.end().map_err(|error| syntax(&error))?;
    Ok(message)
}

fn from_value(descriptor: &MessageDescriptor, value: Value) -> Result<DynamicMessage, Status> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &DeserializeOptions::new())
        .map_err(|error| fault(&error, &track.path().to_string()))
}

/// What is wrong with a value, by its path. The parser's text may repeat the input; ours does not.
fn fault(error: &serde_json::Error, path: &str) -> Status {
    if error.is_syntax() || error.is_eof() {
        return syntax(error);
    }
    let field = if path.is_empty() || path == "." { "body" } else { path };
    let text = error.to_string();
    if let Some(rest) = text.strip_prefix("unrecognized field name '") {
        // The name of a field may be repeated, so that the caller finds the mistake: it is not a value.
        let name = rest.split('\'').next().unwrap_or_default();
        let field = if field == "body" { name.to_owned() } else { format!("{field}.{name}") };
        return invalid(&field, "未定義の項目です", "must be a field of this request");
    }
    invalid(field, "値の形式が正しくありません", "must have a value of the right format")
}

fn syntax(error: &serde_json::Error) -> Status {
    let (line, column) = (error.line(), error.column());
    invalid(
        "body",
        format!("JSON の構文が正しくありません（{line} 行 {column} 文字目）"),
        format!("must be valid JSON (line {line}, column {column})"),
    )
}

fn invalid(field: &str, ja: impl std::fmt::Display, en: impl std::fmt::Display) -> Status {
    problem::invalid(&[Violation::new(field, ja, en)])
}

fn decoded(raw: &str) -> Option<String> {
    percent_decode_str(raw).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Query parameters as the JSON they stand for: `page_size=5`, `pageSize=5`, `dimensions=A&dimensions=B`, `a.b=c`.
fn of_query(descriptor: &MessageDescriptor, query: &str) -> Result<Map<String, Value>, Status> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name).ok_or_else(|| invalid("query", "文字コードが不正です", "must be UTF-8"))?;
        let value =
            decoded(&value.replace('+', " ")).ok_or_else(|| invalid(&name, "文字コードが不正です", "must be UTF-8"))?;
        let mut path: Vec<FieldDescriptor> = Vec::new();
        let mut inside = Some(descriptor.clone());
        for part in name.split('.') {
            let field = inside
                .take()
                .and_then(|message| message.get_field_by_name(part).or_else(|| message.get_field_by_json_name(part)))
                .ok_or_else(|| invalid(&name, "未定義のパラメータです", "must be a parameter of this request"))?;
            if let Kind::Message(message) = field.kind()
                && !field.is_list()
            {
                inside = Some(message);
            }
            path.push(field);
        }
        put(&mut fields, &path, &value)
            .ok_or_else(|| invalid(&name, "値の形式が正しくありません", "must have a value of the right format"))?;
    }
    Ok(fields)
}

/// Puts a value at its place; `None` if it does not fit the field or is given twice.
fn put(fields: &mut Map<String, Value>, path: &[FieldDescriptor], value: &str) -> Option<()> {
    let (field, rest) = path.split_first()?;
    let key = field.json_name().to_owned();
    if !rest.is_empty() {
        return put(fields.entry(key).or_insert_with(|| json!({})).as_object_mut()?, rest, value);
    }
    let value = of_kind(&field.kind(), value)?;
    if field.is_list() {
        fields.entry(key).or_insert_with(|| json!([])).as_array_mut()?.push(value);
        return Some(());
    }
    fields.insert(key, value).is_none().then_some(())
}

fn of_kind(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Bool => text.parse().ok().map(Value::Bool),
        Kind::Enum(_) => Some(text.parse::<i32>().map_or_else(|_| Value::from(text), Value::from)),
        Kind::Message(message) if message.full_name() == "google.protobuf.FieldMask" => Some(Value::from(camel(text))),
        _ => Some(Value::from(text)),
    }
}

/// A field mask in snake or camel case, in the camel case of JSON.
fn camel(mask: &str) -> String {
    let mut spelled = String::with_capacity(mask.len());
    let mut raise = false;
    for sign in mask.chars() {
        match sign {
            '_' => raise = true,
            sign if raise => {
                spelled.extend(sign.to_uppercase());
                raise = false;
            }
            sign => spelled.push(sign),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DynamicMessage, ReflectMessage as _};
    use tonic::Status;

    use super::request;
    use crate::rest::routes::Route;

    fn route(rpc: &'static str) -> Route {
        let rule = proto::rule(rpc).unwrap();
        let http = rule.http.as_ref().unwrap();
        Route { rpc: &rule.path, method: proto::method(rpc).unwrap(), body: &http.body, streaming: rule.streaming }
    }

    fn field(message: &DynamicMessage, name: &str) -> String {
        format!("{:?}", message.get_field_by_name(name).unwrap())
    }

    fn fault(result: Result<DynamicMessage, Status>) -> String {
        result.err().map(|status| status.message().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_request_comes_from_path_query_and_body() {
        let list = route("/hersys.registry.v1.CaseService/ListCases");
        let read = request(&list, &[], "page_size=7&openOnly=true&relation=RELATION_REPORTER", b"").unwrap();
        assert_eq!(
            (field(&read, "page_size"), field(&read, "open_only")),
            ("I32(7)".to_owned(), "Bool(true)".to_owned())
        );
        assert_eq!(field(&read, "relation"), "EnumNumber(6)");

        let update = route("/hersys.registry.v1.PersonService/UpdatePerson");
        let query = "update_mask=phone,name_kana&request_id=r";
        let read = request(&update, &[("case_id", "a%2Fb")], query, br#"{"phone": "1", "nameKana": "X"}"#).unwrap();
        assert_eq!(field(&read, "case_id"), "String(\"a/b\")");
        let mask = read.get_field_by_name("update_mask").unwrap();
        let paths = mask.as_message().unwrap().get_field_by_name("paths").unwrap().into_owned();
        assert_eq!(paths.as_list().unwrap().len(), 2);
        assert_eq!(read.descriptor().name(), "UpdatePersonRequest");
    }

    #[test]
    fn a_fault_is_told_by_its_path_and_without_its_value() {
        let register = route("/hersys.registry.v1.CaseService/RegisterCase");
        let told = |body: &[u8]| fault(request(&register, &[], "", body));
        assert!(told(br#"{"person": {"sex": "SECRET"}}"#).starts_with("person.sex:"));
        assert!(!told(br#"{"person": {"sex": "SECRET"}}"#).contains("SECRET"));
        assert!(told(br#"{"persom": {}}"#).contains("persom"));
        assert!(told(b"{\"person\": ").starts_with("body:"));
        assert!(told(b"{} {}").starts_with("body:"));
        assert!(!told(&[b"[".repeat(100_000), b"]".repeat(100_000)].concat()).is_empty());
        let list = route("/hersys.registry.v1.CaseService/ListCases");
        let told = |query: &str| fault(request(&list, &[], query, b""));
        for query in ["x=1", "page_size=many", "open_only=perhaps", "page_size=1&page_size=2", "page_size=%ff"] {
            assert!(!told(query).is_empty(), "{query}");
        }
    }
}
