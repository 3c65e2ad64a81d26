//! The audit trail: sealed, signed, searched; and keys and certificates that rotate while the mesh works.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use client::{Client, patiently};
use ctl::audit::{self, Question, Seen};
use e2e::{Refused as _, World, amount, eventually, file, filing, form, patient, person, register, request_id};
use proto::{
    followup::{AcknowledgeAlertRequest, ListWorklistRequest, TaskKind},
    identity::Role,
    operations::{ReencryptFieldsRequest, RotateFieldKeyRequest, RotateSigningKeyRequest, SearchAuditRequest},
    registry::{GetCaseRequest, ListEmergencyOpeningsRequest, OpenInEmergencyRequest, open_in_emergency_request},
};
use sqlx::Connection as _;
use tonic::Code;
use uuid::Uuid;

use crate::Outcome;

/// At least so many rows are sealed, and there is a signature.
async fn sealed(client: &Client, service: &str, rows: i64) -> Outcome {
    eventually("the trail is sealed and signed", Duration::from_secs(45), || async {
        let verified = audit::verify(&mut client.clone(), service, &mut Seen::default()).await?;
        Ok(verified.is_ok_and(|verified| verified.rows >= rows && verified.signed > 0))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_the_trail_behind_its_back_is_found_and_named() -> Outcome {
    let world = World::private().await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    for _ in 0..30 {
        register(&clinic, person()).await?;
    }
    let mut auditor = world.at_work("ministry", Role::Auditor).await?;
    sealed(&auditor, "registry", 30).await?;
    let mut seen = Seen::default();
    let whole = audit::verify(&mut auditor, "registry", &mut seen).await?.unwrap();
    assert!(whole.rows >= 30);

    let mut tables = world.sql("registry").await?;
    let row: i64 = sqlx::query_scalar("select audit_id from audit_seal where place = 7").fetch_one(&mut tables).await?;
    // Each is done, found, and undone.
    for (what, act, undo, place) in [
        (
            "another user",
            "update audit set user_id = gen_random_uuid() where id = $1",
            "update audit set user_id = null where id = $1",
            7,
        ),
        ("another time", "update audit set at = at - interval '1 s' where id = $1", "select $1::bigint", 7),
    ] {
        let before: (Option<Uuid>, time::OffsetDateTime) =
            sqlx::query_as("select user_id, at from audit where id = $1").bind(row).fetch_one(&mut tables).await?;
        sqlx::query(act).bind(row).execute(&mut tables).await?;
        let broken = audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.unwrap_err();
        assert_eq!((broken.place, broken.row), (place, Some(row)), "{what}");
        sqlx::query(undo).bind(row).execute(&mut tables).await?;
        sqlx::query("update audit set user_id = $2, at = $3 where id = $1")
            .bind(row)
            .bind(before.0)
            .bind(before.1)
            .execute(&mut tables)
            .await?;
        assert!(audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.is_ok(), "{what} undone");
    }
    // A row that is gone; the whole chain computed again without it has other seals than those that were signed.
    sqlx::query("create table kept as select * from audit where id = $1").bind(row).execute(&mut tables).await?;
    sqlx::query("delete from audit where id = $1").bind(row).execute(&mut tables).await?;
    let broken = audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.unwrap_err();
    assert_eq!((broken.place, broken.row), (7, None));
    let columns =
        "id, at, user_id, organisation_id, service, on_behalf_of, rpc, record, field_groups, request_id, trace_id, xid";
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into audit ({columns}) overriding system value select {columns} from kept"
    )))
    .execute(&mut tables)
    .await?;
    assert!(audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.is_ok());
    // A row put in among the old ones is never sealed, and that shows.
    sqlx::query(
        "insert into audit (at, rpc, record, field_groups, trace_id, xid)
         values (now() - interval '1 hour', 'GetCase', gen_random_uuid(), '{2}', '', '1')",
    )
    .execute(&mut tables)
    .await?;
    let broken = audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.unwrap_err();
    assert!(broken.why.contains("never sealed"), "{}", broken.why);
    sqlx::query("delete from audit where xid = '1'").execute(&mut tables).await?;
    // The chain thrown away from the row on, cursor set back, for the service to make it anew without that row: it does not.
    // With the sealer's own lock: one in the middle of a round would otherwise go on from the old end.
    let mut tx = tables.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(9)").execute(&mut *tx).await?;
    for table in ["audit_checkpoint", "audit_seal"] {
        let copy = format!("create table {table}_kept as select * from {table} where place >= 7");
        sqlx::query(sqlx::AssertSqlSafe(copy)).execute(&mut *tx).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table} where place >= 7"))).execute(&mut *tx).await?;
    }
    sqlx::query("create table sealed_kept as select * from audit_sealed").execute(&mut *tx).await?;
    sqlx::query(
        "update audit_sealed s set xid = a.xid, audit_id = a.id
         from audit a join audit_seal p on p.audit_id = a.id where p.place = 6",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    register(&clinic, person()).await?;
    let log = &world.stack.services.get("registry").unwrap().log;
    eventually("the sealer says that it does not go on", Duration::from_secs(10), || async {
        Ok(std::fs::read_to_string(log)?.contains("the chain was changed"))
    })
    .await?;
    let places: i64 = sqlx::query_scalar("select max(place) from audit_seal").fetch_one(&mut tables).await?;
    assert_eq!(places, 6, "nothing is sealed on top of a chain that was changed");
    assert!(audit::verify(&mut auditor, "registry", &mut seen.clone()).await?.is_err());
    for table in ["audit_seal", "audit_checkpoint"] {
        let back = format!("insert into {table} select * from {table}_kept");
        sqlx::query(sqlx::AssertSqlSafe(back)).execute(&mut tables).await?;
    }
    sqlx::query("update audit_sealed s set xid = k.xid, audit_id = k.audit_id from sealed_kept k")
        .execute(&mut tables)
        .await?;
    // The end cut off, seals and signatures and all: whoever saw it before knows.
    let end = whole.rows - 3;
    for table in ["audit_checkpoint", "audit_seal"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table} where place > $1")))
            .bind(end)
            .execute(&mut tables)
            .await?;
    }
    let broken = audit::verify(&mut auditor, "registry", &mut seen).await?.unwrap_err();
    assert!(broken.place > end, "{broken:?}");
    Ok(())
}

#[tokio::test]
async fn who_saw_a_patient_and_what_an_account_saw_is_answered_and_itself_on_record() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let (nurse, nurse_id) = world.staff_with_id("osaka-city-centre", Role::Nurse).await?;
    let case_id = patient(&clinic, &nurse).await?;
    let auditor = world.at_work("ministry", Role::Auditor).await?;
    let rows = audit::search(&auditor, &Question { record: case_id.clone(), ..Question::default() }).await?;
    let by_nurse = rows.iter().filter(|(_, row)| row.user_id == nurse_id && row.rpc == "GetCase").count();
    assert!(by_nurse >= 1, "one row per reading");
    assert!(rows.iter().all(|(_, row)| row.record_id == case_id));
    let rows = audit::search(&auditor, &Question { user: nurse_id.clone(), ..Question::default() }).await?;
    assert!(rows.iter().all(|(_, row)| row.user_id == nurse_id) && !rows.is_empty());
    let report = audit::incident(&auditor, &Question { user: nurse_id.clone(), ..Question::default() }).await?;
    assert!(report.contains(&case_id) && report.contains(&nurse_id) && report.contains("clinical"), "{report}");
    // The search is on record too.
    let again = audit::search(&auditor, &Question { record: case_id, ..Question::default() }).await?;
    assert!(again.iter().any(|(_, row)| row.rpc == "SearchAudit"));
    let operator = world.at_work("ministry", Role::Operator).await?;
    let request =
        operator.operation("registry", SearchAuditRequest { user_id: nurse_id, ..SearchAuditRequest::default() });
    assert_eq!(operator.audit().search_audit(request).await.refused().code(), Code::PermissionDenied);
    Ok(())
}

#[tokio::test]
async fn an_emergency_opens_a_case_for_three_hours_and_the_centre_is_told_at_once() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let case_id = patient(&clinic, &nurse).await?;
    let (physician, physician_id) = world.staff_with_id("hospital-north", Role::Physician).await?;
    let get = |client: &Client| {
        let request = client.request(GetCaseRequest { case_id: case_id.clone() });
        let mut cases = client.cases();
        async move { cases.get_case(request).await.map(tonic::Response::into_inner) }
    };
    assert_eq!(get(&physician).await.refused().code(), Code::NotFound);
    let open = |client: &Client, reason: &str| {
        let request = OpenInEmergencyRequest {
            request_id: request_id(),
            case: Some(open_in_emergency_request::Case::CaseId(case_id.clone())),
            reason: reason.to_owned(),
        };
        let (mut emergency, request) = (client.emergency(), client.request(request));
        async move { emergency.open_in_emergency(request).await.map(tonic::Response::into_inner) }
    };
    let shown = open(&physician, "救急搬送のため経過の確認が必要").await?;
    assert!(!shown.person.unwrap_or_default().name_kanji.is_empty());
    get(&physician).await?;

    // The centre has it on its worklist, reads why, and settles it.
    let mut task = String::new();
    eventually("the centre is told", Duration::from_secs(5), || {
        let request = nurse.request(ListWorklistRequest { page_size: 200, ..ListWorklistRequest::default() });
        let (mut worklist, case_id) = (nurse.worklist(), case_id.clone());
        async move {
            let tasks = worklist.list_worklist(request).await?.into_inner().tasks;
            let kind = i32::from(TaskKind::EmergencyAccess);
            Ok(tasks.iter().any(|task| task.kind == kind && task.case_id == case_id))
        }
    })
    .await?;
    let request = nurse.request(ListWorklistRequest { page_size: 200, ..ListWorklistRequest::default() });
    for found in nurse.worklist().list_worklist(request).await?.into_inner().tasks {
        if found.kind == i32::from(TaskKind::EmergencyAccess) && found.case_id == case_id {
            task = found.task_id;
        }
    }
    let list = nurse
        .request(ListEmergencyOpeningsRequest { case_id: case_id.clone(), ..ListEmergencyOpeningsRequest::default() });
    let openings = nurse.emergency().list_emergency_openings(list).await?.into_inner().openings;
    assert_eq!((openings.len(), openings[0].user_id.as_str()), (1, physician_id.as_str()));
    assert!(openings[0].reason.contains("救急"));
    let settle = AcknowledgeAlertRequest {
        request_id: request_id(),
        alert_id: task.clone(),
        ..AcknowledgeAlertRequest::default()
    };
    nurse.alerts().acknowledge_alert(nurse.request(settle)).await?;
    let request = nurse.request(ListWorklistRequest { page_size: 200, ..ListWorklistRequest::default() });
    let left = nurse.worklist().list_worklist(request).await?.into_inner().tasks;
    assert!(left.iter().all(|left| left.task_id != task));

    // Three hours later.
    let mut tables = world.sql("registry").await?;
    sqlx::query("update case_grant set until = now() - interval '1 second' where case_id = $1 and relation = 14")
        .bind(Uuid::try_parse(&case_id)?)
        .execute(&mut tables)
        .await?;
    assert_eq!(get(&physician).await.refused().code(), Code::NotFound);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_certificates_rotate_under_load_without_a_failed_call() -> Outcome {
    let world = World::private().await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let before = patient(&clinic, &nurse).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut filing_tasks = tokio::task::JoinSet::new();
    for _ in 0..amount(1, 4) {
        let (clinic, stop) = (clinic.clone(), Arc::clone(&stop));
        let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
        filing_tasks.spawn(async move {
            while !stop.load(Ordering::Acquire) {
                match file(&clinic, filing(form(&person()))).await {
                    Ok(_) => done.fetch_add(1, Ordering::AcqRel),
                    Err(_) => failed.fetch_add(1, Ordering::AcqRel),
                };
            }
        });
    }
    let operator = world.at_work("ministry", Role::Operator).await?;
    for service in ["identity", "notification", "registry"] {
        operator.keys().rotate_signing_key(operator.operation(service, RotateSigningKeyRequest {})).await?;
        operator.keys().rotate_field_key(operator.operation(service, RotateFieldKeyRequest {})).await?;
    }
    world.stack.rotate_certificates()?;
    // The new keys are used half a minute later; re-encryption goes on until nothing is left.
    for service in ["identity", "notification", "registry"] {
        eventually("nothing is left under the old key", Duration::from_mins(2), || async {
            let request = operator.operation(service, ReencryptFieldsRequest {});
            let state = operator.keys().reencrypt_fields(request).await?.into_inner();
            Ok(!state.more)
        })
        .await?;
    }
    stop.store(true, Ordering::Release);
    while filing_tasks.join_next().await.is_some() {}
    let (done, failed) = (done.load(Ordering::Acquire), failed.load(Ordering::Acquire));
    assert!(done > 50, "{done} filed");
    assert_eq!(failed, 0, "of {done}");

    // Re-encryption ran while people filed: what is under the old key now was written before its successor was in use.
    let generations = "select count(*) from person where get_byte(sealed, 4) <> 2";
    let mut tables = world.sql("registry").await?;
    let old: i64 = sqlx::query_scalar(generations).fetch_one(&mut tables).await?;
    assert_eq!(old, 0, "persons under the old key");
    let mut tables = world.sql("notification").await?;
    let old: i64 = sqlx::query_scalar("select count(*) from notification where get_byte(form_sealed, 4) <> 2")
        .fetch_one(&mut tables)
        .await?;
    assert_eq!(old, 0, "forms under the old key");
    let case = patiently(|| {
        let (mut cases, request) = (nurse.cases(), nurse.request(GetCaseRequest { case_id: before.clone() }));
        async move { cases.get_case(request).await }
    })
    .await?;
    assert!(!case.person.unwrap_or_default().name_kanji.is_empty(), "what was sealed before opens");
    // New tokens carry the new key's id.
    let fresh = world.staff("clinic", Role::Clerk).await?;
    let kid = |client: &Client| {
        use base64::Engine as _;
        let token = client.session().map(|session| session.access_token.clone()).unwrap_or_default();
        let head = token.split('.').next().unwrap_or_default().to_owned();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).unwrap_or_default()
    };
    assert_ne!(kid(&fresh), kid(&clinic));
    Ok(())
}
