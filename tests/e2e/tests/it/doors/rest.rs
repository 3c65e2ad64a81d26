//! REST and gRPC-Web at the gateway, as web frontends and other systems use them.

use anyhow::Context as _;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use client::Client;
use e2e::{World, eventually, file, filing, form, person, register, request_id};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prost::Message as _;
use proto::{
    identity::Role,
    registry::{GetCaseRequest, ListCasesRequest, ListCasesResponse},
};
use serde_json::{Value, json};
use tonic::body::Body;

use crate::Outcome;

async fn send(who: &Client, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Response<Incoming>> {
    let mut request = Request::builder().method(method).uri(path).header("accept-language", "en");
    if let Some(session) = who.session() {
        request = request.header("authorization", format!("Bearer {}", session.access_token));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(|json| json.to_string()).unwrap_or_default();
    Ok(who.channel().send(request.body(Body::new(Full::from(body)))?).await?)
}

async fn call(who: &Client, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, Value)> {
    let response = send(who, method, path, body).await?;
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    Ok((status, serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?))
}

fn registration() -> Value {
    let somebody = person();
    json!({
        "requestId": request_id(),
        "person": {
            "nameKanji": somebody.name_kanji,
            "nameKana": somebody.name_kana,
            "birthDate": "S55.1.31",
            "sex": "SEX_FEMALE",
            "phone": somebody.phone,
            "municipalityCode": "271004",
        },
    })
}

#[tokio::test]
async fn a_case_is_registered_read_listed_and_corrected_by_rest() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let body = registration();
    let (status, made) = call(&clinic, "POST", "/v1/cases", Some(body.clone())).await?;
    assert_eq!(status, 200, "{made}");
    let id = made["caseId"].as_str().unwrap_or_default().to_owned();
    // Repeated under its request id, it is the same case.
    assert_eq!(call(&clinic, "POST", "/v1/cases", Some(body.clone())).await?.1, made);

    let (status, read) = call(&clinic, "GET", &format!("/v1/cases/{id}"), None).await?;
    assert_eq!((status, &read["person"]["nameKanji"]), (StatusCode::OK, &body["person"]["nameKanji"]));
    assert_eq!(read["person"]["birthDate"], "1980-01-31");
    // The same thing natively: two doors, one answer.
    let native = clinic.cases().get_case(clinic.request(GetCaseRequest { case_id: id.clone() })).await?.into_inner();
    assert_eq!(read["etag"], native.etag);

    let (_, list) = call(&clinic, "GET", "/v1/cases?page_size=1&openOnly=true", None).await?;
    assert_eq!(list["cases"].as_array().map(Vec::len), Some(1));
    let token = list["nextPageToken"].as_str().unwrap_or_default();
    let (status, _) = call(&clinic, "GET", &format!("/v1/cases?pageSize=1&page_token={token}"), None).await?;
    assert_eq!(status, 200);

    let path = format!("/v1/cases/{id}/person?requestId={}&update_mask=phone", request_id());
    let (status, corrected) =
        call(&clinic, "PATCH", &path, Some(json!({ "phone": "06-6208-0001", "nameKanji": "x" }))).await?;
    assert_eq!(status, 200, "{corrected}");
    assert_eq!(corrected["person"]["phone"], "0662080001");
    assert_eq!(corrected["person"]["nameKanji"], body["person"]["nameKanji"], "only what the mask names");
    Ok(())
}

/// The first field at fault, and that the error says why in a word for programs.
fn fault(told: &Value) -> &str {
    let detail = |kind: &str| {
        let kind = format!("type.googleapis.com/google.rpc.{kind}");
        told["details"].as_array().and_then(|details| details.iter().find(|detail| detail["@type"] == json!(kind)))
    };
    assert!(detail("ErrorInfo").is_some_and(|info| info["reason"] == json!("INVALID_FIELDS")), "{told}");
    detail("BadRequest").and_then(|fault| fault.pointer("/fieldViolations/0/field")?.as_str()).unwrap_or_default()
}

#[tokio::test]
async fn errors_are_google_rpc_status_under_the_fitting_http_status() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nobody = world.stack.client()?;
    let mut wrong = registration();
    wrong["person"]["birthDate"] = json!("2020-02-30");
    let (status, told) = call(&clinic, "POST", "/v1/cases", Some(wrong)).await?;
    assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &json!(3)));
    assert_eq!(fault(&told), "person.birthDate");

    let mut wrong = registration();
    wrong["person"]["sex"] = json!("SEX_SECRET");
    let (status, told) = call(&clinic, "POST", "/v1/cases", Some(wrong)).await?;
    assert_eq!((status, fault(&told)), (StatusCode::BAD_REQUEST, "person.sex"));
    assert!(!told.to_string().contains("SECRET"), "what was sent is not repeated");

    let unknown = "/v1/cases/00000000-0000-0000-0000-000000000000";
    for (who, method, path, expected) in [
        (&nobody, "GET", "/v1/cases", 401),
        (&clinic, "GET", unknown, 404),
        (&clinic, "GET", "/v1/nothing", 404),
        (&clinic, "GET", "/v1/cases?colour=red", 400),
        (&clinic, "GET", "/v1/statistics/summary", 403),
        (&clinic, "DELETE", "/v1/cases", 405),
        (&clinic, "POST", "/v1/cases/1:nothing", 405),
        // An RPC between services is not told from what does not exist.
        (&clinic, "POST", "/hersys.registry.v1.RegistryInternalService/BatchGetCases", 415),
    ] {
        let response = send(who, method, path, None).await?;
        assert_eq!(response.status().as_u16(), expected, "{method} {path}");
        if expected == 405 {
            assert!(response.headers().contains_key("allow"), "{method} {path}");
        }
    }
    Ok(())
}

/// The lines of a stream.
struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame())
                .await?
                .context("the stream goes on")??;
            self.buffer.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn a_case_is_found_by_what_is_read_out_and_watched_by_rest() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let elsewhere = world.at_work("minato-centre", Role::Nurse).await?;
    let somebody = person();
    let receipt = file(&clinic, filing(form(&somebody))).await?;
    let search = |who, key: Value| call(who, "POST", "/v1/cases:search", Some(key));
    let by_receipt = || json!({ "receiptNumber": receipt.number.replace('-', "−") });
    eventually("the registry has taken the filing", Duration::from_secs(10), || async {
        let (status, found) = search(&nurse, by_receipt()).await?;
        assert_eq!(status, 200, "{found}");
        Ok(found["cases"].as_array().is_some_and(|cases| cases.len() == 1))
    })
    .await?;
    let (_, found) = search(&nurse, by_receipt()).await?;
    assert_eq!(found["cases"][0]["nameKanji"], somebody.name_kanji.as_str());
    for key in [
        json!({ "phone": format!("+81{}", somebody.phone.trim_start_matches('0')) }),
        json!({ "name": { "kana": somebody.name_kana, "birthDate": "昭和55年1月31日" } }),
    ] {
        assert_eq!(search(&nurse, key.clone()).await?.1["cases"], found["cases"]);
        let (status, nothing) = search(&elsewhere, key).await?;
        assert_eq!((status, nothing), (StatusCode::OK, json!({})), "others find nothing");
    }
    let (status, told) = search(&nurse, json!({})).await?;
    assert_eq!((status, fault(&told)), (StatusCode::BAD_REQUEST, "key"));

    let id = found["cases"][0]["caseId"].as_str().unwrap_or_default().to_owned();
    let response = send(&nurse, "GET", &format!("/v1/cases/{id}:watch"), None).await?;
    assert_eq!(response.status(), 200);
    let mut lines = Lines { body: response.into_body(), buffer: Vec::new() };
    assert_eq!(lines.next().await?, json!({}), "the watch stands");
    let judged = json!({ "requestId": request_id(), "necessity": "ADMISSION_NECESSITY_NEEDED" });
    let (status, seen) = call(&nurse, "POST", &format!("/v1/cases/{id}:judgeAdmission"), Some(judged)).await?;
    assert_eq!(status, 200, "{seen}");
    loop {
        let news = lines.next().await?;
        if news["etag"] == seen["etag"] {
            assert_eq!(news["parts"], json!(["CASE_PART_COURSE"]));
            assert!(!news.to_string().contains(&somebody.name_kanji));
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_stream_comes_as_ndjson_line_by_line() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let response = send(&nurse, "GET", "/v1/inbox:watch", None).await?;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/x-ndjson".parse()?)
    );
    let mut lines = Lines { body: response.into_body(), buffer: Vec::new() };
    assert_eq!(lines.next().await?, json!({}), "the watch stands");
    let receipt = file(&clinic, filing(form(&person()))).await?;
    loop {
        let arrived = lines.next().await?;
        let ids = arrived["notifications"].as_array().cloned().unwrap_or_default();
        if ids.iter().any(|n| n["notificationId"] == receipt.notification_id.as_str()) {
            break;
        }
    }
    nurse.sessions().sign_out(nurse.request(proto::identity::SignOutRequest {})).await?;
    loop {
        let last = lines.next().await?;
        if !last["error"].is_null() {
            assert_eq!(last["error"]["code"], 16, "the session is over, and the stream says so");
            return Ok(());
        }
    }
}

/// A gRPC-Web call: what a browser sends, and the messages and trailers it gets.
async fn grpc_web(who: &Client, text: bool, request: &ListCasesRequest) -> anyhow::Result<(Vec<Vec<u8>>, String)> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let payload = request.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(payload.len())?.to_be_bytes());
    frame.extend(payload);
    let kind = if text { "application/grpc-web-text" } else { "application/grpc-web+proto" };
    let body = if text { STANDARD.encode(&frame).into_bytes() } else { frame };
    let token = who.session().map(|session| session.access_token.clone()).unwrap_or_default();
    let call = Request::post("/hersys.registry.v1.CaseService/ListCases")
        .header("content-type", kind)
        .header("accept", kind)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(Full::from(body)))?;
    let response = who.channel().send(call).await?;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    let bytes = response.into_body().collect().await?.to_bytes();
    let mut bytes = if text {
        // Each chunk of the answer is padded by itself.
        let chunks = bytes.split_inclusive(|byte| *byte == b'=').filter(|chunk| *chunk != b"=");
        let mut plain = Vec::new();
        for chunk in chunks {
            let mut padded = chunk.to_vec();
            padded.resize(chunk.len().next_multiple_of(4), b'=');
            plain.extend(STANDARD.decode(padded)?);
        }
        Bytes::from(plain)
    } else {
        bytes
    };
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    if let Some(status) = headers.get("grpc-status") {
        trailers = format!("grpc-status:{}", status.to_str()?);
    }
    while bytes.remaining() >= 5 {
        let kind = bytes.get_u8();
        let length = usize::try_from(bytes.get_u32())?;
        let part = bytes.copy_to_bytes(length).to_vec();
        if kind & 0x80 == 0 { messages.push(part) } else { trailers = String::from_utf8(part)? }
    }
    Ok((messages, trailers))
}

#[tokio::test]
async fn a_browser_speaks_grpc_web_in_both_encodings() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    register(&clinic, person()).await?;
    for text in [false, true] {
        let (messages, trailers) =
            grpc_web(&clinic, text, &ListCasesRequest { page_size: 1, ..Default::default() }).await?;
        assert_eq!(ListCasesResponse::decode(messages[0].as_slice())?.cases.len(), 1);
        assert!(trailers.contains("grpc-status:0"), "{trailers}");
        let (_, trailers) = grpc_web(&clinic, text, &ListCasesRequest { page_size: 999, ..Default::default() }).await?;
        assert!(trailers.contains("grpc-status:3"), "{trailers}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_describes_itself() -> Outcome {
    let world = World::shared()?;
    let nobody = world.stack.client()?;
    let (status, document) = call(&nobody, "GET", "/openapi.json", None).await?;
    assert_eq!((status, &document["openapi"]), (StatusCode::OK, &json!("3.1.0")));
    let response = send(&nobody, "GET", "/docs", None).await?;
    assert!(response.headers()["content-security-policy"].to_str()?.starts_with("default-src 'none'"));
    let page = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
    assert!(page.contains("/v1/cases/{caseId}/reports"));
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_a_body_and_every_answer_can_be_found_again() -> Outcome {
    let world = World::shared()?;
    let nobody = world.stack.client()?;
    for (path, status) in
        [("/healthz", 200), ("/docs", 200), ("/openapi.json", 200), ("/v1/cases", 401), ("/nowhere", 404)]
    {
        for method in ["GET", "HEAD"] {
            let request = Request::builder().method(method).uri(path).header("x-request-id", "mine-1");
            let answer = nobody.channel().send(request.body(Body::empty())?).await?;
            let (parts, body) = answer.into_parts();
            assert_eq!(parts.status.as_u16(), status, "{method} {path}");
            assert_eq!(parts.headers["x-request-id"], "mine-1");
            assert_eq!(parts.headers["x-trace-id"].len(), 32);
            // Over HTTP/2 a body after HEAD breaks the stream.
            let body = body.collect().await?.to_bytes();
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
    // What could rewrite a log is not repeated.
    let odd = Request::get("/healthz").header("x-request-id", "a b\"c").body(Body::empty())?;
    let answer = nobody.channel().send(odd).await?;
    assert_eq!(answer.headers()["x-request-id"], answer.headers()["x-trace-id"]);
    Ok(())
}
