//! Bad input is answered with the field and the rule, or stored exactly; nothing panics.

use std::time::Duration;

use e2e::{Refused as _, World, file, filing, form, person, register};
use proto::{
    identity::Role,
    notification::{Form, GetNotificationRequest},
    registry::GetCaseRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use crate::Outcome;

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().map(|d| d.field_violations).unwrap_or_default();
    details.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn the_rule_is_told_in_the_language_asked_for() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let refuse = |language: Option<&'static str>| {
        let mut request = clinic.request(filing(Form { report_date: "x".to_owned(), ..form(&person()) }));
        if let Some(language) = language {
            request.metadata_mut().insert("accept-language", language.parse().unwrap());
        }
        let mut filing = clinic.filing();
        async move { filing.file_notification(request).await.refused().message().to_owned() }
    };
    assert!(refuse(None).await.contains("日付"));
    assert!(refuse(Some("en")).await.contains("date"));
    Ok(())
}

#[tokio::test]
async fn names_as_people_write_them_are_stored_exactly() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    for (kanji, kana) in [
        ("髙﨑 𠮷男", "ﾀｶｻｷ ﾖｼｵ"),
        ("葛\u{e0100}城　花子", "カツラギ　ハナコ"),
        ("SMITH O’BRIEN", ""),
        ("渡邉 (旧姓: 齋藤)", "ワタナベ"),
        ("'; drop table person; --", "ドロップ"),
    ] {
        let mut somebody = person();
        kanji.clone_into(&mut somebody.name_kanji);
        kana.clone_into(&mut somebody.name_kana);
        let case = register(&clinic, somebody.clone()).await?;
        let request = clinic.request(GetCaseRequest { case_id: case.case_id });
        let stored = clinic.cases().get_case(request).await?.into_inner().person.unwrap();
        assert_eq!((stored.name_kanji.as_str(), stored.name_kana.as_str()), (kanji, kana));

        let receipt = file(&clinic, filing(form(&somebody))).await?;
        let request = clinic.request(GetNotificationRequest { notification_id: receipt.notification_id });
        let stored = clinic.filing().get_notification(request).await?.into_inner();
        let subject = stored.form.unwrap().subject.unwrap();
        assert_eq!((subject.name_kanji.as_str(), subject.name_kana.as_str()), (kanji, kana));
    }
    Ok(())
}

#[tokio::test]
async fn a_body_of_five_mebibytes_and_broken_protobuf_are_refused() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let mut huge = form(&person());
    huge.care.get_or_insert_default().remarks = "あ".repeat(5 << 20);
    let status = file(&clinic, filing(huge)).await.refused();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");

    let token = clinic.session().unwrap().access_token.clone();
    for (name, garbage) in [
        ("no protobuf", vec![0, 0, 0, 0, 3, 0xff, 0xff, 0xff]),
        ("a frame cut short", vec![0, 0, 0, 0, 9, 1]),
        ("an unknown compression", vec![1, 0, 0, 0, 1, 0]),
        ("a length beyond all limits", vec![0, 0xff, 0xff, 0xff, 0xff, 0]),
    ] {
        let request = http::Request::post("/hersys.notification.v1.FilingService/FileNotification")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::new(http_body_util::Full::new(bytes::Bytes::from(garbage))))?;
        let response = clinic.channel().send(request).await?;
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status:?}");
        assert_eq!(fields(&status), ["body"], "{name}");
    }
    // Nothing of it harmed anybody.
    file(&clinic, filing(form(&person()))).await?;
    for service in world.stack.services.values() {
        assert!(!std::fs::read_to_string(&service.log)?.contains("panicked"), "{}", service.log.display());
    }
    Ok(())
}

#[tokio::test]
async fn a_long_list_is_refused_by_its_size_at_once() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let mut many = form(&person());
    many.findings.get_or_insert_default().symptoms = (1_000..600_000).collect();
    // Three of them stopped filing for eighty seconds; an honest one beside them does not notice.
    let began = tokio::time::Instant::now();
    let mut worst = JoinSet::new();
    for _ in 0..3 {
        let (clinic, request) = (clinic.clone(), filing(many.clone()));
        worst.spawn(async move { file(&clinic, request).await });
    }
    file(&clinic, filing(form(&person()))).await?;
    for answer in worst.join_all().await {
        let refused = answer.refused();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["body".to_owned()]));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    // A list that is a little too long is named, with its rule.
    let mut some = form(&person());
    some.findings.get_or_insert_default().symptoms = (1_000..1_100).collect();
    assert_eq!(fields(&file(&clinic, filing(some)).await.refused()), ["form.findings.symptoms"]);
    Ok(())
}
