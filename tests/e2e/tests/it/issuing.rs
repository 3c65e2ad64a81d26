//! Organisations, contracts and IDs: who is there, who works for whom, and what an administrator may hand out.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

use ctl::{Client, admin, client::code};
use e2e::{Refused as _, World, eventually, patient, request_id};
use proto::{
    followup::{GetFollowupRequest, ListWorklistRequest},
    identity::{
        Contract, ContractScope, CreateContractRequest, EndContractRequest, GetOrganisationRequest,
        ImportOrganisationsRequest, ImportOutcome, ImportUsersRequest, IssueUserRequest, IssueUserResponse,
        ListSessionsRequest, ListUsersRequest, NameProxyRequest, Organisation, OrganisationKind, RefreshTokensRequest,
        ResetUserRequest, ResponsiblePerson, Rights, Role, SignInRequest, UnlockUserRequest, UpdateOrganisationRequest,
        UpdateUserRequest, UserState,
    },
    options::Group,
    registry::{GetCaseRequest, ListCasesRequest, UpdatePersonRequest},
};
use tonic::Code;
use uuid::Uuid;

use crate::Outcome;

const AT_ONCE: Duration = Duration::from_secs(5);

async fn clinic_of_its_own(admin: &Client, world: &World) -> anyhow::Result<Organisation> {
    let organisation = Organisation {
        kind: OrganisationKind::Clinic.into(),
        name: format!("診療所 {}", Uuid::now_v7().simple()),
        prefecture: 27,
        rights: Rights::Entry.into(),
        parent_id: world.organisation("osaka-city-centre")?,
        ..Organisation::default()
    };
    let request = proto::identity::CreateOrganisationRequest {
        request_id: request_id(),
        organisation: Some(organisation),
        responsible_person: Some(ResponsiblePerson {
            name: "統括 花子".to_owned(), ..ResponsiblePerson::default()
        }),
    };
    Ok(admin.identity().create_organisation(admin.request(request)).await?.into_inner())
}

async fn staff_of(
    world: &World,
    admin: &Client,
    organisation_id: &str,
    role: Role,
) -> anyhow::Result<(Client, String)> {
    let login = format!("t{}", Uuid::now_v7().simple());
    let request = IssueUserRequest {
        organisation_id: organisation_id.to_owned(),
        login: login.clone(),
        role: role.into(),
        holder_name: "発行 太郎".to_owned(),
        ..IssueUserRequest::default()
    };
    let issued = admin::issue_user(admin, request).await?;
    let mut client = world.stack.client()?;
    // The directory hears of a new organisation within a second.
    eventually("the new ID enrols", AT_ONCE, || {
        let mut fresh = world.stack.client();
        let (login, secret) = (login.clone(), issued.initial_secret.clone());
        async move {
            let Ok(fresh) = &mut fresh else { return Ok(false) };
            let request = SignInRequest { login, password: secret, ..SignInRequest::default() };
            Ok(fresh.identity().sign_in(request).await.is_ok())
        }
    })
    .await?;
    client.enrol(&login, &issued.initial_secret, &format!("{}-{}", Uuid::now_v7(), Uuid::now_v7())).await?;
    Ok((client, issued.user_id))
}

async fn change(admin: &Client, organisation: Organisation, paths: &[&str]) -> Result<Organisation, tonic::Status> {
    let request = UpdateOrganisationRequest {
        request_id: request_id(),
        organisation_id: organisation.organisation_id.clone(),
        organisation: Some(organisation),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        responsible_person: None,
    };
    admin.directory().update_organisation(admin.request(request)).await.map(tonic::Response::into_inner)
}

async fn lists(client: &Client) -> Code {
    let request = client.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    client.registry().list_cases(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn a_cut_off_organisation_is_out_everywhere_within_five_seconds_and_comes_back() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let made = clinic_of_its_own(&admin, &world).await?;
    let (clinic, _) = staff_of(&world, &admin, &made.organisation_id, Role::Physician).await?;
    eventually("the clinic works", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Ok) }).await?;

    let cut = change(&admin, Organisation { suspended: true, ..made.clone() }, &["suspended"]).await?;
    eventually("the clinic is out", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Unauthenticated) }).await?;
    eventually("also of identity", AT_ONCE, || async {
        let list = clinic.request(ListSessionsRequest {});
        Ok(clinic.sessions().list_sessions(list).await.is_err())
    })
    .await?;
    let refresh = RefreshTokensRequest { refresh_token: clinic.session().unwrap().refresh_token.clone() };
    assert!(clinic.identity().refresh_tokens(refresh).await.is_err());
    // A stale etag is refused: somebody else decided meanwhile.
    let stale = change(&admin, Organisation { suspended: false, ..made }, &["suspended"]).await.refused();
    assert_eq!(stale.code(), Code::Aborted);
    let back = change(&admin, Organisation { suspended: false, ..cut }, &["suspended"]).await?;
    eventually("the clinic is back", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Ok) }).await?;

    // 開始日: before it, nobody but the administrator.
    let later = change(&admin, Organisation { opens_on: "2999-01-01".to_owned(), ..back }, &["opens_on"]).await?;
    eventually("not open yet", AT_ONCE, || async { Ok(lists(&clinic).await == Code::PermissionDenied) }).await?;
    let wrong = Organisation { valid_until: "2998-12-31".to_owned(), ..later };
    let refused = change(&admin, wrong, &["valid_until"]).await.refused();
    assert_eq!(refused.code(), Code::InvalidArgument, "ends before it opens");
    Ok(())
}

#[tokio::test]
async fn the_person_responsible_is_shown_to_supervising_administrators_only() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let made = clinic_of_its_own(&admin, &world).await?;
    let get = |client: &Client| {
        let request = client.request(GetOrganisationRequest { organisation_id: made.organisation_id.clone() });
        let mut directory = client.directory();
        async move { directory.get_organisation(request).await.map(tonic::Response::into_inner) }
    };
    assert_eq!(get(&admin).await?.responsible_person.unwrap().name, "統括 花子");
    let tokyo = world.staff("tokyo", Role::Administrator).await?;
    assert_eq!(get(&tokyo).await.refused().code(), Code::NotFound);
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    assert_eq!(get(&nurse).await.refused().code(), Code::PermissionDenied);
    let mut tables = world.sql("identity").await?;
    let kept: Vec<u8> = sqlx::query_scalar("select responsible_sealed from organisation where organisation_id = $1")
        .bind(Uuid::try_parse(&made.organisation_id)?)
        .fetch_one(&mut tables)
        .await?;
    assert!(!String::from_utf8_lossy(&kept).contains("花子"), "kept encrypted");
    Ok(())
}

#[tokio::test]
async fn a_list_of_organisations_is_taken_row_by_row_and_a_second_load_changes_nothing() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let mark = Uuid::now_v7().simple().to_string();
    let mut csv = String::from("kind,name,prefecture,institution_code,parent,rights,opens_on\n");
    for number in 0..500 {
        writeln!(csv, "clinic,医院 {mark}-{number},27,,,entry,")?;
    }
    writeln!(csv, "zoo,動物園 {mark},27,,,,\nclinic,,27,,,,\nclinic,遠い医院 {mark},99,,,,")?;
    writeln!(csv, "clinic,番号 {mark},27,27{},,,", &mark[mark.len() - 8..].replace(char::is_alphabetic, "7"))?;
    let load = || {
        let request = ImportOrganisationsRequest { request_id: request_id(), csv: csv.clone(), dry_run: false };
        let (mut directory, request) = (admin.directory(), admin.request(request));
        async move { directory.import_organisations(request).await.map(tonic::Response::into_inner) }
    };
    let count = |rows: &[proto::identity::ImportedOrganisation], outcome: ImportOutcome| {
        rows.iter().filter(|row| row.outcome == i32::from(outcome)).count()
    };
    let first = load().await?;
    assert_eq!(count(&first.rows, ImportOutcome::Created), 501);
    let faults: Vec<(i32, &str)> = first
        .rows
        .iter()
        .filter(|row| row.outcome == i32::from(ImportOutcome::Refused))
        .map(|row| (row.line, row.field.as_str()))
        .collect();
    assert_eq!(faults, [(502, "kind"), (503, "name"), (504, "prefecture")]);
    let mut tables = world.sql("identity").await?;
    let versions = "select count(*), sum(version)::bigint from organisation where natural_key like '%' || $1 || '%'";
    let before: (i64, Option<i64>) = sqlx::query_as(versions).bind(&mark).fetch_one(&mut tables).await?;
    let second = load().await?;
    assert_eq!(count(&second.rows, ImportOutcome::Created), 0);
    assert_eq!(count(&second.rows, ImportOutcome::Unchanged), 501);
    let after: (i64, Option<i64>) = sqlx::query_as(versions).bind(&mark).fetch_one(&mut tables).await?;
    assert_eq!(before, after);
    assert!(before.0 >= 500);
    Ok(())
}

#[tokio::test]
async fn a_contract_lets_whom_it_names_work_and_ends_within_five_seconds() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let centre_admin = world.staff("osaka-city-centre", Role::Administrator).await?;
    let case_id = patient(&clinic, &nurse).await?;
    // An association of one's own: other tests must not be seen by it.
    let admin = world.admin().await?;
    let found = |name: &str| {
        let organisation = Organisation {
            kind: OrganisationKind::MedicalAssociation.into(),
            name: format!("{name} {}", Uuid::now_v7().simple()),
            prefecture: 27,
            rights: Rights::Entry.into(),
            ..Organisation::default()
        };
        let request = proto::identity::CreateOrganisationRequest {
            request_id: request_id(),
            organisation: Some(organisation),
            responsible_person: None,
        };
        let (mut identity, request) = (admin.identity(), admin.request(request));
        async move { Ok::<_, anyhow::Error>(identity.create_organisation(request).await?.into_inner().organisation_id) }
    };
    let (named, left_out) = (found("医師会甲").await?, found("医師会乙").await?);
    let (entrusted, _) = staff_of(&world, &admin, &named, Role::Nurse).await?;
    let (stranger, _) = staff_of(&world, &admin, &left_out, Role::Nurse).await?;
    let sees = |client: &Client| {
        let request = client.request(GetFollowupRequest { case_id: case_id.clone() });
        let mut followup = client.followup();
        async move { followup.get_followup(request).await.map_or_else(|status| status.code(), |_| Code::Ok) }
    };
    for client in [&entrusted, &stranger] {
        assert_eq!(sees(client).await, Code::PermissionDenied, "an association sees nothing without a contract");
    }

    let centre_id = world.organisation("osaka-city-centre")?;
    let until = "2999-12-31".to_owned();
    let contract = Contract {
        contractor_ids: vec![named.clone()],
        scopes: vec![ContractScope::Followup.into()],
        from: "2020-06-01".to_owned(),
        until: until.clone(),
        ..Contract::default()
    };
    let create = |client: &Client, contract: Contract| {
        let request = CreateContractRequest { request_id: request_id(), contract: Some(contract) };
        let (mut directory, request) = (client.directory(), client.request(request));
        async move { directory.create_contract(request).await.map(tonic::Response::into_inner) }
    };
    let backwards = Contract { until: "2020-05-31".to_owned(), ..contract.clone() };
    assert_eq!(create(&centre_admin, backwards).await.refused().code(), Code::InvalidArgument);
    let others = Contract { principal_id: world.organisation("minato-centre")?, ..contract.clone() };
    assert_eq!(create(&centre_admin, others).await.refused().code(), Code::NotFound, "entrusts for itself only");
    let made = create(&centre_admin, contract).await?;

    eventually("the contractor works", AT_ONCE, || async {
        Ok(sees(&entrusted).await == Code::Ok && lists(&entrusted).await == Code::Ok)
    })
    .await?;
    assert_eq!(sees(&stranger).await, Code::PermissionDenied, "the association beside it sees nothing");
    let get = entrusted.request(GetCaseRequest { case_id: case_id.clone() });
    let case = entrusted.registry().get_case(get).await?.into_inner();
    assert!(!case.person.unwrap_or_default().name_kanji.is_empty(), "whom to call");
    assert!(case.grants.is_empty() && case.notification_ids.is_empty(), "and nothing administrative");
    let list = ListWorklistRequest { for_organisation_id: centre_id.clone(), ..ListWorklistRequest::default() };
    entrusted.followup().list_worklist(entrusted.request(list)).await?;
    let other = ListWorklistRequest {
        for_organisation_id: world.organisation("minato-centre")?,
        ..ListWorklistRequest::default()
    };
    assert_eq!(entrusted.followup().list_worklist(entrusted.request(other)).await.refused().code(), Code::NotFound);
    let cases = ListCasesRequest { for_organisation_id: centre_id, page_size: 5, ..ListCasesRequest::default() };
    let page = entrusted.registry().list_cases(entrusted.request(cases)).await?.into_inner();
    assert!(!page.cases.is_empty());

    let end = EndContractRequest { request_id: request_id(), contract_id: made.contract_id };
    centre_admin.directory().end_contract(centre_admin.request(end)).await?;
    eventually("the contract's end is everywhere", AT_ONCE, || async {
        Ok(sees(&entrusted).await == Code::PermissionDenied && lists(&entrusted).await == Code::PermissionDenied)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn ids_are_issued_from_a_list_with_slips_and_each_secret_works_once() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let centre = world.organisation("osaka-city-centre")?;
    let mark = Uuid::now_v7().simple().to_string();
    let mut csv = String::from("login,organisation_id,role,holder_name,mail\n");
    for number in 0..40 {
        writeln!(csv, "b{mark}.{number},{centre},nurse,髙﨑 {number},")?;
    }
    // Taken, no such role, beyond the kind, no such place, no log-in, no mail.
    writeln!(
        csv,
        "b{mark}.0,{centre},nurse,,\nb{mark}.x,{centre},queen,,\nb{mark}.y,{centre},coordinator,,\n\
         b{mark}.z,{},nurse,,\nA B,{centre},nurse,,\nb{mark}.m,{centre},nurse,,nowhere",
        Uuid::now_v7()
    )?;
    let request = ImportUsersRequest { request_id: request_id(), csv, with_slips: true };
    let answer = admin.issuance().import_users(admin.request(request)).await?.into_inner();
    let made: Vec<_> = answer.rows.iter().filter(|row| row.outcome == i32::from(ImportOutcome::Created)).collect();
    let faults: Vec<(i32, &str)> = answer
        .rows
        .iter()
        .filter(|row| row.outcome == i32::from(ImportOutcome::Refused))
        .map(|row| (row.line, row.field.as_str()))
        .collect();
    assert_eq!(made.len(), 40);
    assert_eq!(
        faults,
        [(42, "login"), (43, "role"), (44, "role"), (45, "organisation_id"), (46, "login"), (47, "mail")]
    );
    assert_eq!(made.iter().map(|row| &row.initial_secret).collect::<HashSet<_>>().len(), 40, "each its own");
    assert!(answer.slips_pdf.starts_with(b"%PDF-"));
    let one = IssueUserRequest {
        organisation_id: centre,
        login: format!("b{mark}.one"),
        role: Role::Nurse.into(),
        with_slip: true,
        ..IssueUserRequest::default()
    };
    let one = admin::issue_user(&admin, one).await?.slip_pdf.len();
    assert!(answer.slips_pdf.len() > one + 39 * 400, "forty pages in {} bytes, one in {one}", answer.slips_pdf.len());

    let first = made.first().unwrap();
    let mut client = world.stack.client()?;
    client.enrol(&first.login, &first.initial_secret, &format!("{mark} is long")).await?;
    let again = SignInRequest {
        login: first.login.clone(),
        password: first.initial_secret.clone(),
        ..SignInRequest::default()
    };
    assert_eq!(client.identity().sign_in(again).await.refused().code(), Code::Unauthenticated, "used up");
    // Died: 72 hours later.
    let second = made.get(1).unwrap();
    let mut tables = world.sql("identity").await?;
    sqlx::query("update account set secret_expires_at = now() - interval '1 second' where login = $1")
        .bind(&second.login)
        .execute(&mut tables)
        .await?;
    let late = SignInRequest {
        login: second.login.clone(),
        password: second.initial_secret.clone(),
        ..SignInRequest::default()
    };
    assert_eq!(client.identity().sign_in(late).await.refused().code(), Code::Unauthenticated, "died");
    Ok(())
}

#[tokio::test]
async fn administrators_reset_unlock_and_narrow_inside_their_scope_and_nowhere_else() -> Outcome {
    let world = World::shared()?;
    let osaka = world.staff("osaka", Role::Administrator).await?;
    let (nurse, user_id) = world.staff_with_id("osaka-city-centre", Role::Nurse).await?;
    let (_, abroad) = world.staff_with_id("minato-centre", Role::Nurse).await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let case_id = patient(&clinic, &nurse).await?;

    let update = |id: &str, role: Role, hidden: Vec<i32>| {
        let request = UpdateUserRequest {
            request_id: request_id(),
            user_id: id.to_owned(),
            role: role.into(),
            hidden_groups: hidden,
        };
        let (mut issuance, request) = (osaka.issuance(), osaka.request(request));
        async move { issuance.update_user(request).await.map(tonic::Response::into_inner) }
    };
    // Outside of one's scope an ID does not exist, whatever is asked of it.
    assert_eq!(update(&abroad, Role::Nurse, Vec::new()).await.refused().code(), Code::NotFound);
    let reset = ResetUserRequest { request_id: request_id(), user_id: abroad.clone(), with_slip: false };
    assert_eq!(osaka.issuance().reset_user(osaka.request(reset)).await.refused().code(), Code::NotFound);
    let unlock = UnlockUserRequest { request_id: request_id(), user_id: abroad };
    assert_eq!(osaka.issuance().unlock_user(osaka.request(unlock)).await.refused().code(), Code::NotFound);
    let list =
        ListUsersRequest { organisation_id: world.organisation("minato-centre")?, ..ListUsersRequest::default() };
    assert_eq!(osaka.issuance().list_users(osaka.request(list)).await.refused().code(), Code::NotFound);
    assert_eq!(update(&user_id, Role::Coordinator, Vec::new()).await.refused().code(), Code::InvalidArgument);

    // 閲覧範囲: what is hidden from the ID stays hidden whatever its relations show, and its sessions end at once.
    let hidden = vec![i32::from(Group::Clinical), i32::from(Group::Contact)];
    let changed = update(&user_id, Role::Clerk, hidden.clone()).await?;
    assert_eq!((changed.role, changed.hidden_groups), (i32::from(Role::Clerk), vec![3, 4]));
    eventually("the old session ends", AT_ONCE, || async { Ok(lists(&nurse).await == Code::Unauthenticated) }).await?;

    let issued = ResetUserRequest { request_id: request_id(), user_id: user_id.clone(), with_slip: true };
    let issued: IssueUserResponse = osaka.issuance().reset_user(osaka.request(issued)).await?.into_inner();
    assert!(issued.slip_pdf.starts_with(b"%PDF-"));
    let mut again = world.stack.client()?;
    let credentials = again.enrol(&changed.login, &issued.initial_secret, "a brand new passphrase").await?;
    // What is hidden is not erased through a mask either, and not handed on to a proxy.
    let erase = UpdatePersonRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        person: Some(proto::registry::Person { phone: String::new(), ..e2e::person() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["phone".to_owned()] }),
        ..UpdatePersonRequest::default()
    };
    let refused = again.registry().update_person(again.request(erase)).await.refused();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let named = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap();
    assert!(named.field_violations.iter().any(|violation| violation.field == "update_mask.phone"));
    let name = NameProxyRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        birth_date: "1950-01-01".to_owned(),
        phone: e2e::person().phone,
        mail: String::new(),
    };
    assert!(again.patient_access().name_proxy(again.request(name)).await.is_err());
    let request = again.request(GetCaseRequest { case_id });
    let case = again.registry().get_case(request).await?.into_inner();
    let person = case.person.unwrap_or_default();
    assert!(!person.name_kanji.is_empty() && person.phone.is_empty(), "no contact");
    assert!(case.tests.is_empty() && case.severity == 0, "nothing clinical");

    // Who narrowed sees less can make nobody who sees more.
    let listed = admin::users(&osaka, &world.organisation("osaka-city-centre")?).await?;
    let row = listed.iter().find(|user| user.user_id == user_id).unwrap();
    assert_eq!(row.state, i32::from(UserState::Active));
    assert!(!row.issued_by_id.is_empty(), "who issued it is visible");
    assert_eq!(credentials.login, row.login);
    let own = ResetUserRequest { request_id: request_id(), user_id: own_id(&osaka)?, with_slip: false };
    assert_eq!(osaka.issuance().reset_user(osaka.request(own)).await.refused().code(), Code::FailedPrecondition);
    Ok(())
}

fn own_id(client: &Client) -> anyhow::Result<String> {
    // The subject of the own token.
    use base64::Engine as _;
    let token = client.session().map(|session| session.access_token.clone()).unwrap_or_default();
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims)?;
    let claims: serde_json::Value = serde_json::from_slice(&claims)?;
    Ok(claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn issuing_asks_for_a_second_factor_of_the_last_quarter_of_an_hour() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let login = format!("t{}", Uuid::now_v7().simple());
    let request = IssueUserRequest {
        organisation_id: world.organisation("osaka")?,
        login: login.clone(),
        role: Role::Administrator.into(),
        ..IssueUserRequest::default()
    };
    let issued = admin::issue_user(&admin, request).await?;
    let mut client = world.stack.client()?;
    let credentials = client.enrol(&login, &issued.initial_secret, "a long enough passphrase").await?;
    // Sixteen minutes pass: only the database's clock can be moved, and the token is renewed as it would be.
    let mut tables = world.sql("identity").await?;
    sqlx::query("update session set authenticated_at = now() - interval '16 minutes' where subject = $1")
        .bind(Uuid::try_parse(&issued.user_id)?)
        .execute(&mut tables)
        .await?;
    let refresh = RefreshTokensRequest { refresh_token: client.session().unwrap().refresh_token.clone() };
    let tokens = client.identity().refresh_tokens(refresh).await?.into_inner();
    client.keep(tokens);
    let issue = || {
        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: world.organisation("osaka-city-centre").unwrap_or_default(),
            login: format!("t{}", Uuid::now_v7().simple()),
            role: Role::Nurse.into(),
            ..IssueUserRequest::default()
        };
        let (mut identity, request) = (client.identity(), client.request(request));
        async move { identity.issue_user(request).await }
    };
    let refused = issue().await.refused();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = tonic_types::StatusExt::get_details_precondition_failure(&refused).unwrap();
    assert_eq!(details.violations[0].r#type, "STEP_UP");
    // What is not sensitive goes on.
    assert_eq!(admin::users(&client, "").await.map(|users| users.is_empty()).ok(), Some(false));
    let code = code(&credentials.otp_secret, runtime::Clock.now() + time::Duration::seconds(30))?;
    client.step_up(code.clone()).await?;
    assert!(client.step_up(code).await.is_err(), "a code works once, here too");
    let issue = IssueUserRequest {
        request_id: request_id(),
        organisation_id: world.organisation("osaka-city-centre")?,
        login: format!("t{}", Uuid::now_v7().simple()),
        role: Role::Nurse.into(),
        ..IssueUserRequest::default()
    };
    client.identity().issue_user(client.request(issue)).await?;
    Ok(())
}
