//! Every id of every request, swapped with another tenant's: nothing of it exists for the stranger.

use std::collections::BTreeSet;

use client::Client;
use e2e::{World, file, filing, form, patient, person, request_id};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use proto::{
    beds::{Capability, RequestAdmissionRequest},
    followup::{HealthReport, SubmitReportRequest},
    identity::{
        Contract, ContractScope, CreateContractRequest, CreateServiceAccountRequest, ListSessionsRequest,
        NameProxyRequest, Role, name_proxy_request::Contact,
    },
    notification::SaveDraftRequest,
    registry::ListFactsRequest,
};
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body};
use uuid::Uuid;

use crate::Outcome;

/// Calls an RPC with a message given as JSON.
async fn call(client: &Client, method: &str, request: &Value) -> anyhow::Result<Code> {
    let path = proto::rules()
        .find(|rule| rule.path.ends_with(&format!("/{method}")))
        .map(|rule| rule.path.clone())
        .ok_or_else(|| anyhow::anyhow!("there is no {method}"))?;
    let descriptor = proto::method(&path).ok_or_else(|| anyhow::anyhow!("{path} is not described"))?.input();
    let message = DynamicMessage::deserialize(descriptor, request)?.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    let framed = [&[0_u8][..], &length, &message].concat();
    let token = client.session().map(|session| session.access_token.clone()).unwrap_or_default();
    let http = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(http_body_util::Full::new(bytes::Bytes::from(framed))))?;
    let response = client.channel().send(http).await?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Ok(status.code());
    }
    let body = response.into_body().collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Status::from_header_map(&trailers).map_or(Code::Ok, |status| status.code()))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one line per RPC that takes an id")]
async fn nothing_of_another_tenant_exists_whatever_id_is_put_into_whatever_request() -> Outcome {
    let world = World::shared()?;
    // What belongs to Osaka.
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let centre_admin = world.at_work("osaka-city-centre", Role::Administrator).await?;
    let osaka_admin = world.at_work("osaka", Role::Administrator).await?;
    let (_, user) = world.staff_with_id("osaka-city-centre", Role::Clerk).await?;
    let case = patient(&clinic, &nurse).await?;
    let notification = file(&clinic, filing(form(&person()))).await?.notification_id;
    let draft =
        SaveDraftRequest { request_id: request_id(), form: Some(form(&person())), ..SaveDraftRequest::default() };
    let draft = clinic.drafts().save_draft(clinic.request(draft)).await?.into_inner().draft_id;
    let admission = RequestAdmissionRequest {
        request_id: request_id(),
        case_id: case.clone(),
        capability: Capability::General.into(),
    };
    let admission = nurse.admissions().request_admission(nurse.request(admission)).await?.into_inner().admission_id;
    let report = SubmitReportRequest {
        request_id: request_id(),
        case_id: case.clone(),
        report: Some(HealthReport { spo2_percent: Some(88), ..HealthReport::default() }),
        form_version: String::new(),
    };
    let alert = nurse.reports().submit_report(nurse.request(report)).await?.into_inner().alert_id;
    let contract = Contract {
        contractor_ids: vec![world.organisation("hospital")?],
        scopes: vec![ContractScope::Entry.into()],
        from_date: "2020-01-01".to_owned(),
        until_date: "2020-01-02".to_owned(),
        ..Contract::default()
    };
    let contract = CreateContractRequest { request_id: request_id(), contract: Some(contract) };
    let contract =
        centre_admin.contracts().create_contract(centre_admin.request(contract)).await?.into_inner().contract_id;
    let proxy = NameProxyRequest {
        request_id: request_id(),
        case_id: case.clone(),
        birth_date: "1950-01-01".to_owned(),
        contact: Some(Contact::Phone(person().phone)),
    };
    let proxy = clinic.proxies().name_proxy(clinic.request(proxy)).await?.into_inner().proxy_id;
    let jwk = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }] });
    let account = CreateServiceAccountRequest {
        request_id: request_id(),
        organisation_id: world.organisation("osaka-city-centre")?,
        name: "連携".to_owned(),
        scopes: vec!["hersys.registry.v1.CaseService/ListCases".to_owned()],
        jwks_json: jwk.to_string(),
        calls_per_second: 0,
    };
    let account = osaka_admin
        .service_accounts()
        .create_service_account(osaka_admin.request(account))
        .await?
        .into_inner()
        .service_account_id;
    let session = nurse.sessions().list_sessions(nurse.request(ListSessionsRequest::default())).await?.into_inner();
    let session = session.sessions.first().map(|session| session.session_id.clone()).unwrap_or_default();
    let centre = world.organisation("osaka-city-centre")?;
    let hospital = world.organisation("hospital")?;
    let third_centre = world.organisation("ibaraki-centre")?;
    let id = || request_id();

    // Who is not there: of the same kinds, in another prefecture.
    let nurse_there = world.at_work("minato-centre", Role::Nurse).await?;
    let clinic_there = world.at_work("clinic-tokyo", Role::Physician).await?;
    let coordinator_there = world.at_work("tokyo", Role::Coordinator).await?;
    let admin_there = world.at_work("tokyo", Role::Administrator).await?;
    let hospital_there = world.at_work("hospital-north", Role::Physician).await?;
    let strangers = [&nurse_there, &clinic_there, &coordinator_there, &admin_there, &hospital_there];

    let facts = ListFactsRequest { case_id: case.clone(), ..ListFactsRequest::default() };
    let fact =
        nurse.facts().list_facts(nurse.request(facts)).await?.into_inner().facts.pop().unwrap_or_default().fact_id;
    let c = || json!(case);
    let chained = person();
    let amended = json!({ "purpose": 1, "report_date": "2020-06-01", "diagnosis_class": 1,
        "subject": { "name_kanji": chained.name_kanji, "name_kana": chained.name_kana, "sex": 1,
            "birth_date": chained.birth_date, "whereabouts_code": "271004" },
        "findings": { "diagnoses": [{ "method": 2, "result": 2, "sampled_date": "2020-05-30" }] } });
    let requests: Vec<(&str, Value)> = vec![
        ("GetCase", json!({ "case_id": c() })),
        ("ListCases", json!({ "for_organisation_id": centre })),
        (
            "RecordTest",
            json!({ "request_id": id(), "case_id": c(), "test": { "method": 1, "specimen": 1, "result": 1 } }),
        ),
        ("RecordPlacement", json!({ "request_id": id(), "case_id": c(), "placement": 1, "since_date": "2020-06-01" })),
        ("RecordOutcome", json!({ "request_id": id(), "case_id": c(), "outcome": 1, "outcome_date": "2020-06-10" })),
        (
            "RecordSeverity",
            json!({ "request_id": id(), "case_id": c(), "state": { "observation_date": "2020-06-01", "severity": 2 } }),
        ),
        ("JudgeAdmission", json!({ "request_id": id(), "case_id": c(), "necessity": 1 })),
        (
            "UpdatePerson",
            json!({ "request_id": id(), "case_id": c(), "person": { "name_kanji": "別 人", "sex": 1 }, "update_mask": "nameKanji" }),
        ),
        (
            "ReferCase",
            json!({ "request_id": id(), "case_id": c(), "institution_id": world.organisation("clinic-tokyo")? }),
        ),
        (
            "RecordExposure",
            json!({ "request_id": id(), "case_id": c(), "exposure": { "last_contact_date": "2020-06-01" } }),
        ),
        ("ListContacts", json!({ "case_id": c() })),
        ("WatchCase", json!({ "case_id": c() })),
        ("SearchCases", json!({ "phone": "09012345678", "for_organisation_id": centre })),
        ("AssignNotification", json!({ "request_id": id(), "notification_id": notification })),
        ("GetReceiptPlace", json!({ "notification_id": notification })),
        ("JoinCase", json!({ "request_id": id(), "case_id": c(), "into_case_id": Uuid::now_v7().to_string() })),
        (
            "OfferTransfer",
            json!({ "request_id": id(), "case_id": c(), "to_centre_id": third_centre, "reason": "移動" }),
        ),
        ("AcceptTransfer", json!({ "request_id": id(), "case_id": c() })),
        ("DeclineTransfer", json!({ "request_id": id(), "case_id": c(), "reason": "管轄外" })),
        ("ReissueAccessId", json!({ "request_id": id(), "case_id": c() })),
        ("ListEmergencyOpenings", json!({ "case_id": c() })),
        (
            "RegisterCase",
            json!({ "request_id": id(), "person": { "name_kanji": chained.name_kanji, "name_kana": chained.name_kana, "sex": 1, "birth_date": chained.birth_date, "phone": chained.phone, "address": chained.address }, "role": 2, "last_contact_date": "2020-05-20", "index_case_id": c() }),
        ),
        ("GetNotification", json!({ "notification_id": notification })),
        ("AcknowledgeNotification", json!({ "request_id": id(), "notification_id": notification })),
        (
            "ForwardNotification",
            json!({ "request_id": id(), "notification_id": notification, "centre_id": third_centre }),
        ),
        ("ReturnNotification", json!({ "request_id": id(), "notification_id": notification, "reason": "住所不明" })),
        ("AmendNotification", json!({ "request_id": id(), "notification_id": notification, "form": amended })),
        ("WithdrawNotification", json!({ "request_id": id(), "notification_id": notification, "reason": "誤り" })),
        ("ListVersions", json!({ "notification_id": notification })),
        ("SaveDraft", json!({ "request_id": id(), "draft_id": draft, "form": amended })),
        ("GetDraft", json!({ "draft_id": draft })),
        ("DiscardDraft", json!({ "request_id": id(), "draft_id": draft })),
        ("GetAccessId", json!({ "case_id": c() })),
        ("ListFacts", json!({ "case_id": c() })),
        (
            "CorrectFact",
            json!({ "request_id": id(), "case_id": c(), "fact_id": fact, "reason": "誤り",
                "content": { "ending": { "outcome": 1, "outcome_date": "2020-06-10" } } }),
        ),
        ("WithdrawFact", json!({ "request_id": id(), "case_id": c(), "fact_id": fact, "reason": "誤り" })),
        (
            "UpdateSection",
            json!({ "request_id": id(), "case_id": c(), "section_id": "background",
                "answers": [{ "item": "employer", "values": ["甲社"] }] }),
        ),
        ("SubmitReport", json!({ "request_id": id(), "case_id": c(), "report": { "temperature_decicelsius": 365 } })),
        ("GetFollowup", json!({ "case_id": c() })),
        ("AdjustPlan", json!({ "request_id": id(), "case_id": c(), "times_of_day": ["09:00"] })),
        ("ListWorklist", json!({ "for_organisation_id": centre })),
        ("AcknowledgeAlert", json!({ "request_id": id(), "alert_id": alert })),
        ("AssignTask", json!({ "request_id": id(), "task_id": alert })),
        ("CompleteTask", json!({ "request_id": id(), "task_id": alert })),
        ("RecordContactAttempt", json!({ "request_id": id(), "case_id": c(), "reached": true, "channel": 1 })),
        (
            "RecordCareVisit",
            json!({ "request_id": id(), "case_id": c(), "visit": { "visit_date": "2020-06-01", "institution": "医院", "note": "受診" } }),
        ),
        ("EvaluateRelease", json!({ "case_id": c(), "release_date": "2020-06-20" })),
        (
            "ReportCapacity",
            json!({ "request_id": id(), "facility_id": hospital, "capability": 1, "secured": 1, "ready": 1 }),
        ),
        ("RequestAdmission", json!({ "request_id": id(), "case_id": c(), "capability": 1 })),
        ("GetAdmission", json!({ "admission_id": admission })),
        ("OfferBed", json!({ "request_id": id(), "admission_id": admission, "facility_id": hospital })),
        ("CancelAdmission", json!({ "request_id": id(), "admission_id": admission })),
        ("AcceptAdmission", json!({ "request_id": id(), "admission_id": admission })),
        ("DeclineAdmission", json!({ "request_id": id(), "admission_id": admission, "reason": "満床" })),
        ("ConfirmArrival", json!({ "request_id": id(), "admission_id": admission })),
        ("RecordLeave", json!({ "request_id": id(), "admission_id": admission, "destination": 1 })),
        ("DisableUser", json!({ "request_id": id(), "user_id": user })),
        ("UpdateUser", json!({ "request_id": id(), "user_id": user, "user": { "role": 3 }, "update_mask": "role" })),
        ("UnlockUser", json!({ "request_id": id(), "user_id": user })),
        ("ResetUser", json!({ "request_id": id(), "user_id": user })),
        ("ListUsers", json!({ "organisation_id": centre })),
        (
            "IssueUser",
            json!({ "request_id": id(), "organisation_id": centre, "login": format!("t{}", Uuid::now_v7().simple()), "role": 3 }),
        ),
        ("GetOrganisation", json!({ "organisation_id": centre })),
        (
            "UpdateOrganisation",
            json!({ "request_id": id(), "organisation_id": centre, "organisation": { "name": "x" }, "update_mask": "name" }),
        ),
        ("EndContract", json!({ "request_id": id(), "contract_id": contract })),
        (
            "CreateServiceAccount",
            json!({ "request_id": id(), "organisation_id": centre, "name": "x", "scopes": [], "jwks_json": jwk.to_string() }),
        ),
        (
            "ReplaceServiceKeys",
            json!({ "request_id": id(), "service_account_id": account, "jwks_json": jwk.to_string() }),
        ),
        ("DisableServiceAccount", json!({ "request_id": id(), "service_account_id": account })),
        ("EndSession", json!({ "session_id": session })),
        ("IssuePatientCode", json!({ "request_id": id(), "case_id": c() })),
        ("RevokePatientAccess", json!({ "request_id": id(), "case_id": c() })),
        (
            "NameProxy",
            json!({ "request_id": id(), "case_id": c(), "birth_date": "1950-01-01", "phone": "09012345678" }),
        ),
        ("ListProxies", json!({ "case_id": c() })),
        ("ConfirmProxy", json!({ "request_id": id(), "case_id": c(), "proxy_id": proxy })),
        ("DismissProxy", json!({ "request_id": id(), "case_id": c(), "proxy_id": proxy })),
    ];
    let mut leaks = Vec::new();
    for (method, request) in &requests {
        let mut codes = BTreeSet::new();
        for stranger in strangers {
            let code = call(stranger, method, request).await?;
            let refused = matches!(code, Code::NotFound | Code::PermissionDenied);
            // Who reports beds for somebody else's house is told that the house is not the own one.
            let own_house = *method == "ReportCapacity" && code == Code::InvalidArgument;
            if !(refused || own_house) {
                leaks.push(format!("{method}: {code:?}"));
            }
            codes.insert(format!("{code:?}"));
        }
        assert!(codes.contains("NotFound") || codes.contains("PermissionDenied"), "{method}");
    }

    assert_eq!(leaks, Vec::<String>::new(), "with another tenant's id");

    // A request with an id that is not among these fails here before it ships.
    let tried: BTreeSet<&str> = requests.iter().map(|(method, _)| *method).collect();
    // A filter by a colleague names nobody's record.
    let own = ["request_id", "on_behalf_of_id", "principal_id", "assigned_user_id"];
    for rule in proto::rules().filter(|rule| rule.http.is_some() && rule.package != "operations") {
        let input = proto::method(&rule.path).map(|method| method.input());
        let carries = input.is_some_and(|input| {
            input.fields().any(|field| field.name().ends_with("_id") && !own.contains(&field.name()))
        });
        let method = rule.path.rsplit('/').next().unwrap_or_default();
        // These open what one has no relation to, on purpose, or prove who one is.
        // Figures are nobody's.
        let apart = ["OpenInEmergency", "FileNotification", "SignInPatient", "QueryCases"].contains(&method);
        assert!(!carries || apart || tried.contains(method), "{method} takes an id and is not tried");
    }
    Ok(())
}
