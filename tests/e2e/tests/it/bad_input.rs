//! Bad input is answered with the field and the rule, or stored exactly; nothing panics.

use e2e::{Refused as _, World, file, filing, form, person, register};
use proto::{
    identity::Role,
    notification::{Form, GetNotificationRequest},
    registry::GetCaseRequest,
};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use crate::Outcome;

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().map(|d| d.field_violations).unwrap_or_default();
    details.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn each_fault_of_a_form_is_named_by_its_field() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let spoil = |change: fn(&mut Form)| {
        let mut form = form(&person());
        change(&mut form);
        form
    };
    let cases: [(&str, Form); 9] = [
        ("form.subject.name_kanji", spoil(|f| f.subject.as_mut().unwrap().name_kanji.clear())),
        ("form.subject.birth_date", spoil(|f| f.subject.as_mut().unwrap().birth_date = "2021-02-29".to_owned())),
        ("form.subject.phone", spoil(|f| f.subject.as_mut().unwrap().phone = "call me".to_owned())),
        (
            "form.subject.whereabouts_code",
            spoil(|f| f.subject.as_mut().unwrap().whereabouts_code = "271005".to_owned()),
        ),
        ("form.report_date", spoil(|f| f.report_date = "2020-02-30".to_owned())),
        ("form.diagnosis_class", spoil(|f| f.diagnosis_class = 99)),
        ("form.findings.diagnoses[0].method", spoil(|f| f.findings.as_mut().unwrap().diagnoses[0].method = 77)),
        ("form.subject.occupation", spoil(|f| f.subject.as_mut().unwrap().occupation = "a\0b".to_owned())),
        ("form.subject.name_kanji", spoil(|f| f.subject.as_mut().unwrap().name_kanji = "\u{e001}".to_owned())),
    ];
    for (field, form) in cases {
        let status = file(&clinic, filing(form)).await.refused();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert!(fields(&status).contains(&field.to_owned()), "{field}: {:?}", fields(&status));
    }
    // What is refused is refused for its fault: without one it is taken.
    file(&clinic, filing(form(&person()))).await?;
    Ok(())
}

#[tokio::test]
async fn the_rule_is_told_in_the_language_asked_for() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let refuse = |language: Option<&'static str>| {
        let mut request = clinic.request(filing(Form { report_date: "x".to_owned(), ..form(&person()) }));
        if let Some(language) = language {
            request.metadata_mut().insert("accept-language", language.parse().unwrap());
        }
        let mut notification = clinic.notification();
        async move { notification.file_notification(request).await.refused().message().to_owned() }
    };
    assert!(refuse(None).await.contains("日付が正しくありません"));
    assert!(refuse(Some("en")).await.contains("not a date"));
    Ok(())
}

#[tokio::test]
async fn names_as_people_write_them_are_stored_exactly() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
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
        let stored = clinic.registry().get_case(request).await?.into_inner().person.unwrap();
        assert_eq!((stored.name_kanji.as_str(), stored.name_kana.as_str()), (kanji, kana));

        let receipt = file(&clinic, filing(form(&somebody))).await?;
        let request = clinic.request(GetNotificationRequest { notification_id: receipt.notification_id });
        let stored = clinic.notification().get_notification(request).await?.into_inner();
        let subject = stored.form.unwrap().subject.unwrap();
        assert_eq!((subject.name_kanji.as_str(), subject.name_kana.as_str()), (kanji, kana));
    }
    Ok(())
}

#[tokio::test]
async fn a_body_of_five_mebibytes_and_broken_protobuf_are_refused() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
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
        let request = http::Request::post("/hersys.notification.v1.NotificationService/FileNotification")
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
