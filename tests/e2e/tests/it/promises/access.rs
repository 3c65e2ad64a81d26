//! Nobody sees what is not theirs, and nobody gets in who should not.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use client::Client;
use e2e::{Refused as _, World, eventually, file, filing, form, person, register, request_id};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey};
use proto::{
    identity::{
        DisableUserRequest, EnrolRequest, IssueUserRequest, RefreshTokensRequest, Role, SignInRequest, SignOutRequest,
        VerifyOtpRequest,
    },
    notification::{AcknowledgeNotificationRequest, BatchGetFormsRequest, GetNotificationRequest, ListInboxRequest},
    options::Permission,
    registry::{GetCaseRequest, ListCasesRequest},
};
use runtime::mesh::Channel;
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body};
use uuid::Uuid;

use crate::Outcome;

/// Sends an empty message to an RPC by its path, with or without a token, and returns the status.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> anyhow::Result<Code> {
    let mut request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let empty_message = http_body_util::Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 0]));
    let response = channel.send(request.body(Body::new(empty_message))?).await?;
    Ok(Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()))
}

#[tokio::test]
async fn without_a_token_every_rpc_but_sign_in_and_keys_is_refused() -> Outcome {
    let world = World::shared()?;
    let client = world.stack.client()?;
    let mut open = Vec::new();
    for rule in proto::rules() {
        let code = call(client.channel(), &rule.path, None).await?;
        match rule.permission {
            Permission::Internal => assert_eq!(code, Code::Unimplemented, "{} is not the gateway's", rule.path),
            Permission::Public => {
                assert!(matches!(code, Code::Ok | Code::InvalidArgument), "{}: {code:?}", rule.path);
                open.push(rule.path.rsplit('/').next().unwrap_or_default());
            }
            _ => assert_eq!(code, Code::Unauthenticated, "{}", rule.path),
        }
    }
    open.sort_unstable();
    // The list may only shrink: what is here proves who one is, or is for everybody to read.
    let allowed = [
        "Enrol",
        "ExchangeAssertion",
        "GetJwks",
        "GetReceiptKeys",
        "GetTerms",
        "RefreshTokens",
        "SignIn",
        "SignInPatient",
        "VerifyOtp",
        "VerifyPatientCode",
        "VerifyRecoveryCode",
    ];
    assert_eq!(open, allowed);
    for path in ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/x.Y/Z"]
    {
        assert_eq!(call(client.channel(), path, None).await?, Code::Unimplemented, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_asks_only_what_it_was_declared_to_ask_and_nobody_walks_past_the_gateway() -> Outcome {
    let world = World::shared()?;
    let forms = |from: &str| {
        let channel = world.stack.direct("notification", from);
        async move {
            let mut client =
                proto::notification::notification_internal_service_client::NotificationInternalServiceClient::new(
                    channel?,
                );
            let answer = client.batch_get_forms(BatchGetFormsRequest::default()).await;
            Ok::<_, anyhow::Error>(answer.map_or_else(|status| status.code(), |_| Code::Ok))
        }
    };
    assert_eq!(forms("registry").await?, Code::Ok);
    for other in ["statistics", "identity", "gateway", "ops"] {
        assert_eq!(forms(other).await?, Code::PermissionDenied, "{other}");
    }
    // A person's call must come through the gateway, even with a good token.
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let token = clinic.session().unwrap().access_token.clone();
    let path = "/hersys.registry.v1.CaseService/ListCases";
    assert_eq!(call(&world.stack.direct("registry", "statistics")?, path, Some(&token)).await?, Code::PermissionDenied);
    assert_eq!(call(&world.stack.direct("registry", "gateway")?, path, Some(&token)).await?, Code::Ok);
    Ok(())
}

#[tokio::test]
async fn anothers_record_does_not_exist_by_text_and_by_status() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let stranger = world.at_work("clinic-tokyo", Role::Physician).await?;
    let case = register(&clinic, person()).await?;
    let receipt = file(&clinic, filing(form(&person()))).await?;

    let case_answer = |id: String| {
        let (mut cases, request) = (stranger.cases(), stranger.request(GetCaseRequest { case_id: id }));
        async move { cases.get_case(request).await.refused() }
    };
    let notification_answer = |id: String| {
        let request = stranger.request(GetNotificationRequest { notification_id: id });
        let mut filing = stranger.filing();
        async move { filing.get_notification(request).await.refused() }
    };
    let nothing = Uuid::now_v7().to_string();
    for (theirs, none) in [
        (case_answer(case.case_id).await, case_answer(nothing.clone()).await),
        (notification_answer(receipt.notification_id.clone()).await, notification_answer(nothing).await),
    ] {
        assert_eq!((theirs.code(), theirs.message(), theirs.details()), (none.code(), none.message(), none.details()));
        assert_eq!(theirs.code(), Code::NotFound);
    }
    let request = AcknowledgeNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
    };
    let foreign_nurse = world.at_work("minato-centre", Role::Nurse).await?;
    let refused = foreign_nurse.inbox().acknowledge_notification(foreign_nurse.request(request)).await.refused();
    assert_eq!(refused.code(), Code::NotFound);
    // The one who filed it sees it: the refusal above is about the stranger, not about the record.
    let own = clinic.request(GetNotificationRequest { notification_id: receipt.notification_id });
    clinic.filing().get_notification(own).await?;
    Ok(())
}

#[tokio::test]
async fn a_disabled_id_and_a_signed_out_session_end_everywhere_within_five_seconds() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let (nurse, user_id) = world.staff_with_id("osaka-city-centre", Role::Nurse).await?;
    let other = world.staff("osaka-city-centre", Role::Nurse).await?;
    let works = |client: &Client| {
        let inbox = client.request(ListInboxRequest { page_size: 1, ..ListInboxRequest::default() });
        let cases = client.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
        let client = client.clone();
        async move { (client.inbox().list_inbox(inbox).await.is_ok(), client.cases().list_cases(cases).await.is_ok()) }
    };
    assert_eq!(works(&nurse).await, (true, true));
    let request = DisableUserRequest { request_id: request_id(), user_id, etag: String::new() };
    admin.users().disable_user(admin.request(request)).await?;
    other.sessions().sign_out(other.request(SignOutRequest {})).await?;
    for client in [&nurse, &other] {
        eventually("the session ends everywhere", Duration::from_secs(5), || async {
            Ok(works(client).await == (false, false))
        })
        .await?;
        let refresh = RefreshTokensRequest { refresh_token: client.session().unwrap().refresh_token.clone() };
        assert_eq!(client.sessions().refresh_tokens(refresh).await.refused().code(), Code::Unauthenticated);
    }
    Ok(())
}

#[tokio::test]
async fn a_one_time_code_works_once_even_fifty_times_at_once() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let login = format!("t{}", Uuid::now_v7().simple());
    let request = IssueUserRequest {
        request_id: request_id(),
        organisation_id: world.organisation("clinic")?,
        login: login.clone(),
        role: Role::Physician.into(),
        ..IssueUserRequest::default()
    };
    let issued = admin.users().issue_user(admin.request(request)).await?.into_inner();
    let client = world.stack.client()?;
    let sign_in = SignInRequest { login, password: issued.initial_secret, ..SignInRequest::default() };
    let first = client.sign_ins().sign_in(sign_in.clone()).await?.into_inner();
    let easy = EnrolRequest { challenge: first.challenge.clone(), new_password: "hersys-password".to_owned() };
    assert_eq!(client.sign_ins().enrol(easy).await.refused().code(), Code::InvalidArgument);
    let enrol = EnrolRequest { challenge: first.challenge.clone(), new_password: Uuid::now_v7().to_string() };
    let enrolled = client.sign_ins().enrol(enrol).await?.into_inner();
    let code = client::code(&enrolled.otp_secret, runtime::Clock::system().now())?;
    let verify = VerifyOtpRequest { challenge: first.challenge, code };
    // One challenge allows five tries; of all that get through, one wins.
    let answers = join_all((0..50).map(|_| {
        let (mut sign_ins, request) = (client.sign_ins(), verify.clone());
        async move { sign_ins.verify_otp(request).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    // The initial secret died with its use.
    assert_eq!(client.sign_ins().sign_in(sign_in).await.refused().code(), Code::Unauthenticated);
    Ok(())
}

#[tokio::test]
async fn no_forged_token_is_accepted() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let good = clinic.session().unwrap().access_token.clone();
    let path = "/hersys.registry.v1.CaseService/ListCases";
    assert_eq!(call(clinic.channel(), path, Some(&good)).await?, Code::Ok);

    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let bytes64 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let b64 = |text: &str| bytes64(text.as_bytes());
    let decoded = |part: &str| -> Value {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    let mut forged = vec![
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{head}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{head}.{claims}.{signature}.{signature}"),
        format!("{head}.{claims}.{signature}x"),
        format!("{head}.{claims}.{signature}="),
        format!("{head}.{claims}.{signature} "),
        format!("{good},{good}"),
        clinic.session().unwrap().refresh_token.clone(),
        clinic.session().unwrap().device_token.clone(),
        String::new(),
        "x".repeat(8_000),
    ];
    let kid = decoded(head)["kid"].as_str().unwrap_or_default().to_owned();
    // Another algorithm, another key, another type, or a key brought along, under our claims and our signature.
    for alg in ["none", "None", "nOnE", "NONE", "HS256", "HS384", "HS512", "RS256", "PS256", "ES384", "EdDSA", ""] {
        for r#type in ["at+jwt", "JWT", "receipt+jwt", "audit+jwt"] {
            let header = json!({ "alg": alg, "typ": r#type, "kid": kid });
            forged.push(format!("{}.{claims}.", b64(&header.to_string())));
            forged.push(format!("{}.{claims}.{signature}", b64(&header.to_string())));
        }
    }
    for r#type in ["JWT", "receipt+jwt", "audit+jwt", "AT+JWT", ""] {
        let header = json!({ "alg": "ES256", "typ": r#type, "kid": kid });
        forged.push(format!("{}.{claims}.{signature}", b64(&header.to_string())));
    }
    for kid in ["../../etc/passwd", "' or 1=1 --", "https://evil.example/jwks", "", "\u{0}", "0", &"k".repeat(500)] {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
        forged.push(format!("{}.{claims}.{signature}", b64(&header.to_string())));
    }
    // Signed properly, by a stranger, with the stranger's key named in every way there is.
    let stranger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let secret = EncodingKey::from_ec_der(stranger.to_pkcs8v1()?.as_ref());
    let point = stranger.public_key().as_ref();
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": bytes64(&point[1..33]), "y": bytes64(&point[33..]) });
    let body = decoded(claims);
    let sign = |header: &Value, body: &Value| {
        let text = format!("{}.{}", b64(&header.to_string()), b64(&body.to_string()));
        let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &secret, Algorithm::ES256).unwrap_or_default();
        format!("{text}.{signature}")
    };
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
    forged.push(sign(&header, &body));
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = header.clone();
        header[name] = value;
        forged.push(sign(&header, &body));
        forged.push(format!("{}.{claims}.{signature}", b64(&header.to_string())));
    }
    // Our signature under other claims.
    let far = runtime::Clock::system().now().unix_timestamp() + 1_000_000_000;
    for (name, value) in [
        ("exp", json!(far)),
        ("exp", json!("9999999999")),
        ("exp", Value::Null),
        ("iat", json!(0)),
        ("aud", json!("other")),
        ("aud", json!(["hersys", "other"])),
        ("iss", json!("https://evil.example")),
        ("sub", json!(Uuid::now_v7())),
        ("org", json!(world.organisation("ministry")?)),
        ("rol", json!(1)),
        ("rol", json!(10)),
        ("knd", json!(1)),
        ("prf", json!(13)),
        ("hid", json!(0)),
        ("due", json!(false)),
        ("auth_time", json!(far)),
        ("scp", json!(["*"])),
    ] {
        let mut changed = body.clone();
        changed[name] = value;
        forged.push(format!("{head}.{}.{signature}", b64(&changed.to_string())));
        forged.push(sign(&header, &changed));
    }
    // A receipt is signed too, by another service's key, and is no token.
    forged.push(file(&clinic, filing(form(&person()))).await?.signature);
    for place in (0..good.len()).filter(|place| good.as_bytes()[*place] != b'.') {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes)?);
    }
    let count = forged.len();
    for token in forged {
        // The last characters of a base64 text can be spare bits: the same signature written differently is refused as well.
        assert_eq!(call(clinic.channel(), path, Some(&token)).await?, Code::Unauthenticated, "{token}");
    }
    assert!(count > 700, "{count} forgeries");
    Ok(())
}

#[tokio::test]
async fn a_client_of_another_authority_gets_no_connection() -> Outcome {
    let world = World::shared()?;
    let folder = std::env::temp_dir().join(format!("hersys-foreign-{}", Uuid::now_v7()));
    let foreign = devstack::certs::Authority::open(&folder)?;
    let files = foreign.issue("registry")?;
    // The stranger trusts us; we must not trust the stranger.
    let tls = runtime::tls::Tls::load(&runtime::config::TlsFiles::new(
        world.stack.certs.join("ca.pem"),
        files.cert,
        files.key,
    ))?;
    let address = &world.stack.services["notification"].address;
    let config: Arc<ArcSwap<rustls::ClientConfig>> = Arc::clone(&tls.client);
    let channel = Channel::new(address, "notification.hersys.internal", config)?;
    let path = "/hersys.notification.v1.NotificationInternalService/BatchGetForms";
    assert!(call(&channel, path, None).await.is_err());
    // The same call with our own authority's certificate is answered.
    assert_eq!(call(&world.stack.direct("notification", "registry")?, path, None).await?, Code::Ok);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
