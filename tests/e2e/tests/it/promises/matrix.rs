//! The authorisation matrix, asked of the running mesh: every role of every kind of organisation against every RPC, and what
//! each relation shows of a case, field by field.

use std::{collections::BTreeSet, fmt::Write as _};

use access::policy::{self, Duty};
use anyhow::Context as _;
use client::Client;
use e2e::{World, eventually, file, filing, form, person, register, request_id};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use proto::{
    identity::{OrganisationKind as Kind, Rights, Role},
    options::Permission,
    registry::{
        Case, ClinicalState, GetCaseRequest, OpenInEmergencyRequest, RecordSeverityRequest, Severity,
        open_in_emergency_request,
    },
};
use tonic::{Code, Status, body::Body};

use crate::Outcome;

/// Who asks: organisation of the demo, what it is, its rights, the roles tried there.
const STAFF: &[(&str, Kind, Rights, &[Role])] = &[
    (
        "ministry",
        Kind::Ministry,
        Rights::Entry,
        &[Role::Administrator, Role::Analyst, Role::Operator, Role::Auditor, Role::IncidentReceiver],
    ),
    (
        "osaka",
        Kind::Prefecture,
        Rights::Entry,
        &[Role::Administrator, Role::Coordinator, Role::LodgingOfficer, Role::Analyst],
    ),
    ("osaka-city", Kind::City, Rights::Entry, &[Role::Nurse, Role::Administrator]),
    (
        "osaka-city-centre",
        Kind::HealthCentre,
        Rights::Entry,
        &[Role::Physician, Role::Nurse, Role::Clerk, Role::MigrationAssistant, Role::Administrator],
    ),
    ("clinic", Kind::Clinic, Rights::Entry, &[Role::Physician, Role::Clerk, Role::Administrator]),
    ("clinic-fax", Kind::Clinic, Rights::None, &[Role::Physician]),
    ("hospital", Kind::Hospital, Rights::Entry, &[Role::Physician]),
    ("lodging", Kind::LodgingFacility, Rights::Entry, &[Role::LodgingOfficer]),
    ("association", Kind::MedicalAssociation, Rights::Entry, &[Role::Nurse]),
    ("consultation", Kind::ConsultationCentre, Rights::Entry, &[Role::ConsultationOperator]),
];

/// RPCs that do something even with an empty request: where they are allowed they are tried elsewhere.
const EFFECTS: &[&str] =
    &["SignOut", "RebuildProjections", "RotateSigningKey", "RotateFieldKey", "ReencryptFields", "ReplaceRecoveryCodes"];

/// Calls an RPC with an empty message.
async fn call(client: &Client, path: &str) -> anyhow::Result<Code> {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("hersys-service", "registry");
    if let Some(session) = client.session() {
        request = request.header("authorization", format!("Bearer {}", session.access_token));
    }
    let empty_message = http_body_util::Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 0]));
    let response = client.channel().send(request.body(Body::new(empty_message))?).await?;
    Ok(Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()))
}

#[tokio::test]
async fn every_role_holds_what_the_table_says_at_every_rpc_and_nothing_else() -> Outcome {
    let world = World::shared()?;
    let (mut allowed, mut refused) = (0, 0);
    for (organisation, kind, rights, roles) in STAFF {
        for role in *roles {
            let client = world.at_work(organisation, *role).await?;
            for rule in proto::rules() {
                let method = rule.path.rsplit('/').next().unwrap_or_default();
                if matches!(rule.permission, Permission::Public | Permission::Internal) {
                    continue;
                }
                let duty = Duty { role: *role, kind: *kind, rights: *rights, entrusted: &[] };
                if policy::allows(rule.permission, duty) {
                    if !EFFECTS.contains(&method) {
                        let code = call(&client, &rule.path).await?;
                        let in_vain = matches!(code, Code::PermissionDenied | Code::Unauthenticated);
                        assert!(!in_vain, "{role:?} of {organisation}: {method} is {code:?}");
                        allowed += 1;
                    }
                } else {
                    let code = call(&client, &rule.path).await?;
                    assert_eq!(code, Code::PermissionDenied, "{role:?} of {organisation}: {method}");
                    refused += 1;
                }
            }
        }
    }
    assert!(allowed > 300 && refused > 1_000, "{allowed} allowed, {refused} refused");
    Ok(())
}

/// Every field that is filled, by its path; lists by their items.
fn filled(message: &DynamicMessage, path: &str, found: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        let here = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        match value {
            Value::Message(inner) if inner.descriptor().package_name().starts_with("hersys.") => {
                filled(inner, &here, found);
            }
            Value::List(items) if items.iter().any(|item| item.as_message().is_some()) => {
                for item in items {
                    if let Value::Message(inner) = item {
                        filled(inner, &here, found);
                    }
                }
            }
            _ => {
                found.insert(here);
            }
        }
    }
}

async fn fields_of(client: &Client, case_id: &str) -> anyhow::Result<BTreeSet<String>> {
    let request = client.request(GetCaseRequest { case_id: case_id.to_owned() });
    let case: Case = client.cases().get_case(request).await?.into_inner();
    let descriptor = proto::pool().get_message_by_name("hersys.registry.v1.Case").context("no Case")?;
    let mut found = BTreeSet::new();
    filled(&DynamicMessage::decode(descriptor, case.encode_to_vec().as_slice())?, "", &mut found);
    Ok(found)
}

/// The golden file holds, for each relation, what it shows of one and the same case.
#[tokio::test]
async fn each_relation_shows_the_fields_of_the_golden_file_and_no_other() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let coordinator = world.at_work("osaka", Role::Coordinator).await?;
    let stranger = world.at_work("clinic-tokyo", Role::Physician).await?;
    let association = world.at_work("association", Role::Nurse).await?;
    let somebody = person();
    let case_id = register(&clinic, somebody.clone()).await?.case_id;
    let mut filing = filing(form(&somebody));
    filing.case_id.clone_from(&case_id);
    file(&clinic, filing).await?;
    eventually("the case is notified", std::time::Duration::from_secs(10), || async {
        Ok(fields_of(&nurse, &case_id).await.is_ok_and(|fields| fields.contains("report_date")))
    })
    .await?;
    let state = ClinicalState {
        observation_date: "2020-06-01".to_owned(),
        severity: Severity::Severe.into(),
        icu: true,
        ..ClinicalState::default()
    };
    let severe = RecordSeverityRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        state: Some(state),
        ..RecordSeverityRequest::default()
    };
    nurse.course().record_severity(nurse.request(severe)).await?;

    // Without a relation there is no case; with an emergency, three hours of it.
    assert_eq!(fields_of(&stranger, &case_id).await.unwrap_err().downcast::<Status>()?.code(), Code::NotFound);
    assert_eq!(
        fields_of(&association, &case_id).await.unwrap_err().downcast::<Status>()?.code(),
        Code::PermissionDenied
    );
    let emergency = OpenInEmergencyRequest {
        request_id: request_id(),
        case: Some(open_in_emergency_request::Case::CaseId(case_id.clone())),
        reason: "救急搬送のため経過の確認が必要".to_owned(),
    };
    stranger.emergency().open_in_emergency(stranger.request(emergency)).await?;
    let mut seen = String::new();
    for (relation, client) in
        [("responsible centre", &nurse), ("reporter", &clinic), ("prefecture", &coordinator), ("emergency", &stranger)]
    {
        writeln!(seen, "[{relation}]")?;
        for field in fields_of(client, &case_id).await? {
            writeln!(seen, "{field}")?;
        }
    }
    assert_eq!(include_str!("../../../golden/case.txt"), seen, "got:\n{seen}");
    Ok(())
}
