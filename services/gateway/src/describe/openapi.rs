//! `/openapi.json`: the REST surface described from the contract itself, with its comments.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use proto::options::Permission;
use serde_json::{Map, Value, json};
use tonic::body::Body;

use super::schema::{Comments, Rules, Schemas};
use crate::{answer, edge::SERVICE, rest::routes};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(describe().to_string()));

pub(crate) fn document() -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(DOCUMENT.clone())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer::keep_private(response.headers_mut());
    response
}

/// The document (OpenAPI 3.1).
pub(crate) fn describe() -> Value {
    let comments = Comments::read(proto::pool());
    let mut schemas = Schemas::new(&comments);
    let mut paths: Map<String, Value> = Map::new();
    for ((template, method), rpc) in routes::list() {
        let Some(operation) = operation(rpc, template, &comments, &mut schemas) else { continue };
        let path = paths.entry(camel_variables(template)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(method.to_lowercase(), operation);
        }
    }
    let mut components: Map<String, Value> = schemas.collected().into_iter().collect();
    components.insert("rpc.Status".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "HER-SYS",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Registration, notification, health follow-up, beds and statistics. Every change takes a \
                `requestId` chosen by the client: the same id and body give the same answer. Errors are \
                `google.rpc.Status`; texts are Japanese, or English by `accept-language`.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

fn operation(rpc: &'static str, template: &str, comments: &Comments, schemas: &mut Schemas<'_>) -> Option<Value> {
    let (rule, method) = (proto::rule(rpc)?, proto::method(rpc)?);
    let http = rule.http.as_ref()?;
    let input = method.input();
    let variables: Vec<String> = variables(template).map(str::to_owned).collect();
    let mut parameters = Vec::new();
    for field in input.fields() {
        let rules = Rules::of(&field);
        let in_path = variables.iter().any(|name| name == field.name());
        if !in_path && (http.body == "*" || http.body == field.name()) {
            continue;
        }
        parameters.push(json!({
            "name": field.json_name(),
            "in": if in_path { "path" } else { "query" },
            "required": in_path || rules.is_required(&field),
            "description": comments.of(field.full_name()),
            "schema": schemas.field(&field, &rules),
        }));
    }
    if rule.package == "operations" {
        parameters.push(json!({
            "name": SERVICE, "in": "header", "required": true,
            "description": "The service that the operation is for.", "schema": { "type": "string", "enum": proto::SERVICES },
        }));
    }
    let text = comments.of(method.full_name());
    let mut operation = json!({
        "operationId": method.name(),
        "summary": text.split(". ").next().unwrap_or_default().trim_end_matches('.'),
        "description": text,
        "tags": [rule.package],
        "parameters": parameters,
        "responses": responses(rule.streaming, &schemas.reference(&method.output())),
    });
    let fields = operation.as_object_mut()?;
    let body = match http.body.as_str() {
        "" => None,
        "*" => Some(schemas.message(&input, &variables)),
        name => {
            let field = input.get_field_by_name(name)?;
            Some(schemas.field(&field, &Rules::of(&field)))
        }
    };
    if let Some(schema) = body {
        let needed = http.body != "*" || schema.get("required").is_some();
        fields.insert(
            "requestBody".to_owned(),
            json!({ "required": needed, "content": { "application/json": { "schema": schema } } }),
        );
    }
    if rule.permission == Permission::Public {
        fields.insert("security".to_owned(), json!([]));
    }
    Some(operation)
}

fn responses(streaming: bool, output: &Value) -> Value {
    let error = |why: &str| {
        let schema = json!({ "$ref": "#/components/schemas/rpc.Status" });
        json!({ "description": why, "content": { "application/json": { "schema": schema } } })
    };
    let ok = if streaming {
        json!({
            "description": "One JSON object per line as it arrives; an error ends the stream as {\"error\": …}.",
            "content": { "application/x-ndjson": { "schema": { "type": "string" }, "x-line": output } },
        })
    } else {
        json!({ "description": "Done.", "content": { "application/json": { "schema": output } } })
    };
    json!({
        "200": ok,
        "400": error("A field breaks a rule, or the current state does not allow it."),
        "401": error("Not signed in, or the session has ended."),
        "403": error("The role or the relation does not allow it."),
        "404": error("There is no such record, or you may not see it."),
        "405": error("The path has no such method."),
        "409": error("The request id was used with another body, or somebody else changed the record first."),
        "429": error("Too many calls; see Retry-After."),
        "501": error("Not implemented."),
        "503": error("Temporarily unavailable; see Retry-After."),
        "504": error("The deadline has passed."),
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "google.rpc.Status",
        "properties": {
            "code": { "type": "integer", "description": "google.rpc.Code" },
            "message": { "type": "string", "description": "In Japanese, or in English if accept-language asks for it." },
            "details": { "type": "array", "items": { "type": "object", "properties": { "@type": { "type": "string" } } } },
        },
        "required": ["code"],
    })
}

/// The variables of a template.
fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split('}').next())
}

/// A template with its variables spelled as in JSON.
fn camel_variables(template: &str) -> String {
    variables(template).fold(template.to_owned(), |text, name| {
        let mut parts = name.split('_');
        let first = parts.next().unwrap_or_default().to_owned();
        let camel = parts.fold(first, |text, part| {
            let mut signs = part.chars();
            let head = signs.next().map(|sign| sign.to_uppercase().to_string()).unwrap_or_default();
            text + &head + signs.as_str()
        });
        text.replace(&format!("{{{name}}}"), &format!("{{{camel}}}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::describe;

    #[test]
    fn every_route_is_described_with_its_comment() {
        let document = describe();
        let mut operations = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations += 1;
                assert!(!operation["description"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
            }
        }
        assert_eq!(operations, proto::rules().filter(|rule| rule.http.is_some()).count());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, known: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                        let name = name.trim_start_matches("#/components/schemas/");
                        assert!(!known[name].is_null(), "{name}");
                    }
                    fields.values().for_each(|inner| walk(inner, known));
                }
                Value::Array(items) => items.iter().for_each(|inner| walk(inner, known)),
                _ => {}
            }
        }
        let document = describe();
        walk(&document, &document["components"]["schemas"]);
    }
}
