//! `/docs`: the description of the API for people. One page, no script, nothing loaded from elsewhere.

#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not hold")]

use std::{fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use serde_json::Value;
use tonic::body::Body;

use super::openapi;
use crate::answer;

const STYLE: &str = "body{font:16px/1.6 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;color:#1a1a1c;background:#fff}\
h2{border-bottom:2px solid #0017c1;margin-top:3rem}details{border:1px solid #949494;border-radius:8px;margin:.5rem 0;padding:.5rem 1rem}\
summary{cursor:pointer}code,.method{font-family:ui-monospace,monospace}.method{display:inline-block;min-width:4.5rem;font-weight:700;color:#0017c1}\
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{border:1px solid #767676;padding:.25rem .5rem;text-align:left;vertical-align:top}\
th{background:#f1f1f4}a{color:#0017c1}.req{color:#b00}";

static PAGE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(render(&openapi::describe())));

pub(crate) fn page() -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(PAGE.clone())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    answer::keep_private(headers);
    response
}

fn render(document: &Value) -> String {
    let mut page = String::with_capacity(256 << 10);
    let schemas = &document["components"]["schemas"];
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>HER-SYS API</title><style>{STYLE}</style></head><body>\
         <h1>HER-SYS API</h1><p>{}</p><p>Machine-readable: <a href=\"/openapi.json\">/openapi.json</a>. \
         The same RPCs are served as gRPC and gRPC-Web.</p><nav><ul>",
        escaped(&document["info"]["description"])
    );
    let groups = groups(document);
    for (tag, _) in &groups {
        let _ = write!(page, "<li><a href=\"#{tag}\">{tag}</a></li>");
    }
    page.push_str("<li><a href=\"#schemas\">messages</a></li></ul></nav><main>");
    for (tag, operations) in &groups {
        let _ = write!(page, "<h2 id=\"{tag}\">{tag}</h2>");
        for (path, method, operation) in operations {
            render_operation(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2 id=\"schemas\">Messages</h2>");
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        let _ = write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code> {}</summary>",
            escaped(&schema["description"])
        );
        render_fields(&mut page, schema);
        page.push_str("</details>");
    }
    page.push_str("</main></body></html>");
    page
}

type Group<'a> = (String, Vec<(&'a str, &'a str, &'a Value)>);

fn groups(document: &Value) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            match groups.iter_mut().find(|(name, _)| name == tag) {
                Some((_, operations)) => operations.push((path, method, operation)),
                None => groups.push((tag.to_owned(), vec![(path, method, operation)])),
            }
        }
    }
    groups.sort_by(|one, other| one.0.cmp(&other.0));
    groups
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let open = if operation["security"].is_array() { " (no token)" } else { "" };
    let _ = write!(
        page,
        "<details id=\"{}\"><summary><span class=\"method\">{}</span> <code>{path}</code> {}{open}</summary><p>{}</p>",
        escaped(&operation["operationId"]),
        method.to_uppercase(),
        escaped(&operation["summary"]),
        escaped(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>Parameter</th><th>In</th><th>Type</th><th>Meaning</th></tr>");
        for parameter in parameters {
            let _ = write!(
                page,
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&parameter["name"]),
                required(parameter["required"] == Value::Bool(true)),
                escaped(&parameter["in"]),
                kind(&parameter["schema"]),
                escaped(&parameter["description"]),
            );
        }
        page.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if body["properties"].is_object() {
        page.push_str("<h4>Body</h4>");
        render_fields(page, body);
    } else if !body.is_null() {
        let _ = write!(page, "<h4>Body</h4><p>{}</p>", kind(body));
    }
    let content = &operation["responses"]["200"]["content"];
    let answer = match &content["application/x-ndjson"] {
        Value::Null => kind(&content["application/json"]["schema"]),
        stream => format!("one {} per line", kind(&stream["x-line"])),
    };
    let _ = write!(page, "<h4>Answer</h4><p>{answer}</p></details>");
}

fn render_fields(page: &mut String, schema: &Value) {
    page.push_str("<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let needed = schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let mut meaning = escaped(&field["description"]);
        for line in field["x-values"].as_array().into_iter().flatten() {
            let _ = write!(meaning, "<br>{}", escaped(line));
        }
        let _ = write!(
            page,
            "<tr><td><code>{name}</code>{}</td><td>{}</td><td>{meaning}</td></tr>",
            required(needed),
            kind(field)
        );
    }
    page.push_str("</table>");
}

fn required(yes: bool) -> &'static str {
    if yes { " <span class=\"req\" title=\"required\">*</span>" } else { "" }
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{name}\"><code>{name}</code></a>");
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    if schema["enum"].is_array() {
        return "code".to_owned();
    }
    let format = schema["format"].as_str().map(|format| format!(" ({format})")).unwrap_or_default();
    let most = schema["maxLength"].as_u64().map(|most| format!(", at most {most} characters")).unwrap_or_default();
    format!("{}{format}{most}", escaped(&schema["type"]))
}

fn escaped(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn the_page_shows_operations_and_messages_and_runs_nothing() {
        let page = render(&crate::describe::openapi::describe());
        for part in ["/v1/cases/{caseId}:offerTransfer", "スマホ入力ID", "id=\"registry.Case\"", "SPECIMEN_SALIVA"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script"));
    }
}
