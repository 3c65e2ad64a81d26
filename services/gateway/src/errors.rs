//! Errors as `google.rpc.Status` in JSON, under the HTTP status that fits.

use std::sync::LazyLock;

use http::{HeaderValue, Response, StatusCode, header};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use crate::{json, rest};

/// The contract, and the types that errors carry.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = proto::pool().clone();
    if let Err(error) = pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET) {
        tracing::error!(%error, "The types of errors are missing");
    }
    pool
});

/// The answer that tells a refusal.
pub(crate) fn response(status: &Status) -> Response<Body> {
    let mut response = rest::json_response(http_status(status.code()), body(status));
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
pub(crate) fn body(status: &Status) -> Vec<u8> {
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
    DynamicMessage::decode(descriptor, details.as_slice()).map_or_else(|_| plain(), |message| json::write(&message))
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

#[cfg(test)]
mod tests {
    use runtime::problem::{Violation, invalid};
    use serde_json::{Value, json};
    use tonic::Status;

    use super::{body, response};

    #[test]
    fn an_error_carries_its_details() {
        let told: Value = serde_json::from_slice(&body(&invalid(&[Violation::new("person.sex", "あ", "a")]))).unwrap();
        assert_eq!(told["code"], json!(3));
        let violation = &told["details"][0]["fieldViolations"][0];
        assert_eq!(told["details"][0]["@type"], json!("type.googleapis.com/google.rpc.BadRequest"));
        assert_eq!((&violation["field"], &violation["description"]), (&json!("person.sex"), &json!("あ")));
    }

    #[test]
    fn a_bare_refusal_is_json_too() {
        let told: Value = serde_json::from_slice(&body(&Status::not_found("x"))).unwrap();
        assert_eq!(told, json!({ "code": 5, "message": "x" }));
        assert_eq!(response(&Status::not_found("x")).status(), 404);
    }
}
