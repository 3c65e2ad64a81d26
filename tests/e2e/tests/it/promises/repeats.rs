//! The same request, however often it is sent, takes effect once.

use e2e::{Refused as _, World, file, filing, form, person, register, request_id};
use futures::future::join_all;
use proto::{identity::Role, notification::ListInboxRequest, registry::RegisterCaseRequest};
use tonic::Code;

use crate::Outcome;

#[tokio::test]
async fn the_same_filing_three_times_at_once_is_one_filing_and_one_receipt() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let request = filing(form(&person()));
    let receipts: Vec<_> =
        join_all((0..3).map(|_| file(&clinic, request.clone()))).await.into_iter().collect::<Result<_, _>>()?;
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));

    let inbox = nurse.request(ListInboxRequest { page_size: 200, ..ListInboxRequest::default() });
    let inbox = nurse.inbox().list_inbox(inbox).await?.into_inner().notifications;
    assert_eq!(inbox.iter().filter(|n| n.number == receipts[0].number).count(), 1);

    // Two different ids are two filings: it is the id that makes them one.
    let other = filing(request.form.clone().unwrap());
    assert_ne!(file(&clinic, other).await?.number, receipts[0].number);
    Ok(())
}

#[tokio::test]
async fn another_body_under_the_same_id_is_refused() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let request = filing(form(&person()));
    file(&clinic, request.clone()).await?;
    let mut changed = request.clone();
    changed.form.as_mut().unwrap().subject.as_mut().unwrap().occupation = "教員".to_owned();
    let refused = file(&clinic, changed).await.refused();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("request_id"));

    // A colleague may have chosen the same id by chance: nobody is handed what somebody else was answered.
    let colleague = world.staff("clinic", Role::Physician).await?;
    let receipt = file(&colleague, request.clone()).await?;
    assert_ne!(receipt.number, file(&clinic, request).await?.number);
    Ok(())
}

#[tokio::test]
async fn a_repeated_registration_hands_out_the_same_access_id() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let request =
        RegisterCaseRequest { request_id: request_id(), person: Some(person()), ..RegisterCaseRequest::default() };
    let send = || async {
        clinic.cases().register_case(clinic.request(request.clone())).await.map(tonic::Response::into_inner)
    };
    let (first, second) = (send().await?, send().await?);
    assert!(first == second);
    assert_ne!(register(&clinic, person()).await?.access_id, first.access_id);
    Ok(())
}
