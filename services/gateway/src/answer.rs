//! Answers of the edge: JSON, plain text, and errors as `google.rpc.Status` under the HTTP status that fits.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

/// The contract, and the types that errors carry.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = proto::pool().clone();
    if let Err(error) = pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET) {
        tracing::error!(%error, "The error types are missing");
    }
    pool
});

/// An error status as an HTTP answer.
pub(crate) fn error(status: &Status) -> Response<Body> {
    let mut response = json(http_status(status.code()), error_body(status));
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    if let Some(wait) = wait
        && let Ok(value) = HeaderValue::from_str(&wait.as_secs().max(1).to_string())
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    if status.code() == Code::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// `{"code": 3, "message": "…", "details": [{"@type": "…"}]}`
pub(crate) fn error_body(status: &Status) -> Vec<u8> {
    let plain = || {
        let code = i32::from(status.code());
        serde_json::json!({ "code": code, "message": status.message() }).to_string().into_bytes()
    };
    let Some(descriptor) = POOL.get_message_by_name("google.rpc.Status") else { return plain() };
    let details = if status.details().is_empty() {
        let bare = tonic_types::pb::Status {
            code: i32::from(status.code()),
            message: status.message().to_owned(),
            details: Vec::new(),
        };
        bare.encode_to_vec()
    } else {
        status.details().to_vec()
    };
    DynamicMessage::decode(descriptor, details.as_slice()).map_or_else(|_| plain(), |message| to_json(&message))
}

/// The HTTP status of a code, as `google.rpc.Code` defines it.
pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A message as JSON.
pub(crate) fn to_json(message: &DynamicMessage) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut json);
    // Messages of the contract hold nothing that JSON cannot say; an empty object is the last resort.
    if message.serialize_with_options(&mut serializer, &SerializeOptions::new()).is_err() {
        return b"{}".to_vec();
    }
    json
}

/// A JSON answer that must not be cached.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    keep_private(headers);
    response
}

/// Headers of every answer of the edge: no caching, no guessing of the content type.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

pub(crate) fn not_found() -> Response<Body> {
    error(&Status::not_found("no such path"))
}

pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(text.into())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use runtime::problem::{Violation, invalid};
    use serde_json::{Value, json};
    use tonic::Status;

    use super::{error, error_body, to_json};

    #[test]
    fn an_error_carries_its_details() {
        let told: Value =
            serde_json::from_slice(&error_body(&invalid(&[Violation::new("person.sex", "あ", "a")]))).unwrap();
        assert_eq!(told["code"], json!(3));
        let detail = |kind: &str| {
            let of_kind = |detail: &&Value| detail["@type"] == json!(format!("type.googleapis.com/google.rpc.{kind}"));
            told["details"].as_array().unwrap().iter().find(of_kind).unwrap()
        };
        let violation = &detail("BadRequest")["fieldViolations"][0];
        assert_eq!(detail("ErrorInfo")["reason"], json!("INVALID_FIELDS"));
        assert_eq!((&violation["field"], &violation["description"]), (&json!("person.sex"), &json!("あ")));
    }

    #[test]
    fn a_bare_refusal_is_json_too() {
        let told: Value = serde_json::from_slice(&error_body(&Status::not_found("x"))).unwrap();
        assert_eq!(told, json!({ "code": 5, "message": "x" }));
        assert_eq!(error(&Status::not_found("x")).status(), 404);
    }

    #[test]
    fn an_answer_is_canonical_json() {
        let descriptor = proto::pool().get_message_by_name("hersys.statistics.v1.SummaryRow").unwrap();
        let mut row = prost_reflect::DynamicMessage::new(descriptor);
        row.set_field_by_name("tested", prost_reflect::Value::I64(5));
        assert_eq!(String::from_utf8_lossy(&to_json(&row)), r#"{"tested":"5"}"#);
    }
}
