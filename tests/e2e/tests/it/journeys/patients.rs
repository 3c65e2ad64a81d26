//! The access of patients: printed codes, new IDs, revocation, proxies.

use std::time::Duration;

use client::{Client, patiently};
use e2e::{Refused as _, World, eventually, person, register, request_id};
use proto::{
    followup::{HealthReport, SubmitReportRequest},
    identity::{
        ConfirmProxyRequest, DismissProxyRequest, IssuePatientCodeRequest, ListMessagesRequest, ListProxiesRequest,
        NameProxyRequest, ProxyState, RevokePatientAccessRequest, Role, SignInPatientRequest, VerifyPatientCodeRequest,
        name_proxy_request::Contact,
    },
    registry::{GetCaseRequest, ReissueAccessIdRequest},
};
use tonic::Code;

use crate::Outcome;

const AT_ONCE: Duration = Duration::from_secs(5);

/// The first factor; the code is sent, printed, or nowhere.
async fn challenge(client: &Client, access_id: &str, birth_date: &str) -> anyhow::Result<String> {
    let request = SignInPatientRequest { access_id: access_id.to_owned(), birth_date: birth_date.to_owned() };
    Ok(client.sign_ins().sign_in_patient(request).await?.into_inner().challenge)
}

async fn verify(client: &mut Client, challenge: String, code: &str) -> bool {
    let request = VerifyPatientCodeRequest { challenge, code: code.to_owned() };
    match client.sign_ins().verify_patient_code(request).await {
        Ok(tokens) => {
            client.keep(tokens.into_inner());
            true
        }
        Err(_) => false,
    }
}

/// The code that was sent to a destination last.
async fn sent(operator: &Client, to: &str) -> anyhow::Result<String> {
    let mut code = String::new();
    eventually("the message is there", AT_ONCE, || {
        let request = operator.request(ListMessagesRequest { page_size: 200, ..ListMessagesRequest::default() });
        let mut messages = operator.messages();
        async move {
            let messages = messages.list_messages(request).await?.into_inner().messages;
            Ok(messages.iter().any(|message| message.destination.replace('-', "") == to.replace('-', "")))
        }
    })
    .await?;
    let request = operator.request(ListMessagesRequest { page_size: 200, ..ListMessagesRequest::default() });
    for message in operator.messages().list_messages(request).await?.into_inner().messages {
        if code.is_empty() && message.destination.replace('-', "") == to.replace('-', "") {
            code = message.text.chars().filter(char::is_ascii_digit).take(6).collect();
        }
    }
    Ok(code)
}

async fn sees(client: &Client, case_id: &str) -> Code {
    let request = client.request(GetCaseRequest { case_id: case_id.to_owned() });
    client.cases().get_case(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn somebody_with_neither_phone_nor_mail_gets_in_with_the_printed_code() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let somebody = proto::registry::Person { phone: String::new(), mail: String::new(), ..person() };
    let case = register(&clinic, somebody.clone()).await?;
    let issue = || {
        let request = IssuePatientCodeRequest { request_id: request_id(), case_id: case.case_id.clone() };
        patiently(move || {
            let (mut access, request) = (clinic.patient_access(), clinic.request(request.clone()));
            async move { access.issue_patient_code(request).await }
        })
    };
    let first = issue.clone()().await?.code;
    let mut patient = world.stack.client()?;
    let challenged = challenge(&patient, &case.access_id, &somebody.birth_date).await?;
    assert!(!verify(&mut patient, challenged, "ZZZZZZ-ZZZZZZ").await);
    let challenged = challenge(&patient, &case.access_id, &somebody.birth_date).await?;
    assert!(verify(&mut patient, challenged, &first.to_lowercase()).await);
    assert_eq!(sees(&patient, &case.case_id).await, Code::Ok);
    // A new one ends the old one; the code alone, without the birth date, opens nothing.
    let second = issue().await?.code;
    let wrong_day = challenge(&patient, &case.access_id, "1999-09-09").await?;
    assert!(!verify(&mut patient, wrong_day, &second).await);
    let challenged = challenge(&patient, &case.access_id, &somebody.birth_date).await?;
    assert!(!verify(&mut patient, challenged.clone(), &first).await);
    assert!(verify(&mut patient, challenged, &second).await);
    Ok(())
}

#[tokio::test]
async fn a_lost_id_is_replaced_and_a_revoked_one_opens_nothing() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let operator = world.at_work("ministry", Role::Operator).await?;
    let somebody = person();
    let case = register(&clinic, somebody.clone()).await?;
    let enter = |access_id: String| {
        let (operator, somebody, client) = (operator.clone(), somebody.clone(), world.stack.client());
        async move {
            let mut client = client?;
            let challenged = challenge(&client, &access_id, &somebody.birth_date).await?;
            // Nothing is sent for an ID that is barred, or not known yet.
            let code = sent(&operator, &somebody.phone).await.unwrap_or_default();
            Ok::<_, anyhow::Error>(verify(&mut client, challenged, &code).await.then_some(client))
        }
    };
    let mut patient = None;
    for _ in 0..3 {
        if patient.is_none() {
            patient = enter(case.access_id.clone()).await?;
        }
    }
    let patient = patient.unwrap();
    assert_eq!(sees(&patient, &case.case_id).await, Code::Ok);

    let revoke =
        RevokePatientAccessRequest { request_id: request_id(), case_id: case.case_id.clone(), keep_proxies: false };
    clinic.patient_access().revoke_patient_access(clinic.request(revoke)).await?;
    eventually("the session ends", AT_ONCE, || async {
        Ok(sees(&patient, &case.case_id).await == Code::Unauthenticated)
    })
    .await?;
    assert!(enter(case.access_id.clone()).await?.is_none(), "the old ID is barred");

    let reissue = ReissueAccessIdRequest { request_id: request_id(), case_id: case.case_id.clone() };
    let new = clinic.access_ids().reissue_access_id(clinic.request(reissue)).await?.into_inner().access_id;
    assert_ne!(new, case.access_id);
    eventually("the new ID opens", Duration::from_secs(15), || async { Ok(enter(new.clone()).await?.is_some()) })
        .await?;
    assert!(enter(case.access_id).await?.is_none(), "the old one never again");
    Ok(())
}

#[tokio::test]
async fn a_proxy_reports_for_the_patient_and_is_dismissed_by_the_patient() -> Outcome {
    let world = World::shared()?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let operator = world.at_work("ministry", Role::Operator).await?;
    let somebody = person();
    let case = register(&clinic, somebody).await?;
    let other = register(&clinic, person()).await?;
    let phone = person().phone;
    let name = NameProxyRequest {
        request_id: request_id(),
        case_id: case.case_id.clone(),
        birth_date: "1955-05-05".to_owned(),
        contact: Some(Contact::Phone(phone.clone())),
    };
    let named = clinic.proxies().name_proxy(clinic.request(name)).await?.into_inner();
    let mut proxy = world.stack.client()?;
    // The clinic sees less than a proxy would: the centre has the last word.
    assert_eq!(named.state(), ProxyState::Proposed);
    let confirm = ConfirmProxyRequest {
        request_id: request_id(),
        case_id: case.case_id.clone(),
        proxy_id: named.proxy_id.clone(),
    };
    let own = clinic.proxies().confirm_proxy(clinic.request(confirm.clone())).await;
    assert_eq!(own.refused().code(), Code::PermissionDenied);
    nurse.proxies().confirm_proxy(nurse.request(confirm)).await?;
    let challenged = challenge(&proxy, &named.access_id, "1955-05-05").await?;
    let code = sent(&operator, &phone).await?;
    assert!(verify(&mut proxy, challenged, &code).await);

    assert_eq!(sees(&proxy, &case.case_id).await, Code::Ok);
    assert_eq!(sees(&proxy, &other.case_id).await, Code::NotFound);
    let report = SubmitReportRequest {
        request_id: request_id(),
        case_id: case.case_id.clone(),
        report: Some(HealthReport { temperature_decicelsius: Some(368), ..HealthReport::default() }),
        form_version: String::new(),
    };
    patiently(|| {
        let (mut reports, request) = (proxy.reports(), proxy.request(report.clone()));
        async move { reports.submit_report(request).await }
    })
    .await?;
    let list = ListProxiesRequest { case_id: case.case_id.clone(), ..ListProxiesRequest::default() };
    let proxies = clinic.proxies().list_proxies(clinic.request(list)).await?.into_inner().proxies;
    assert_eq!(proxies.len(), 1);
    let dismiss =
        DismissProxyRequest { request_id: request_id(), case_id: case.case_id.clone(), proxy_id: named.proxy_id };
    clinic.proxies().dismiss_proxy(clinic.request(dismiss)).await?;
    eventually("the proxy is out", AT_ONCE, || async {
        Ok(sees(&proxy, &case.case_id).await == Code::Unauthenticated)
    })
    .await?;
    Ok(())
}
