//! Organisations, contracts and IDs: who is there, who works for whom, and what an administrator may hand out.

use std::{collections::HashSet, fmt::Write as _, time::Duration};

use client::{Client, code, pages};
use e2e::{Refused as _, World, eventually, issue, patient, request_id};
use proto::{
    followup::{GetFollowupRequest, ListWorklistRequest},
    identity::{
        Contract, ContractScope, CreateContractRequest, EndContractRequest, ImportOutcome, ImportUsersRequest,
        IssueUserRequest, IssueUserResponse, ListSessionsRequest, ListUsersRequest, NameProxyRequest, Organisation,
        OrganisationKind, RefreshTokensRequest, ResetUserRequest, ResponsiblePerson, Rights, Role, SignInRequest,
        UnlockUserRequest, UpdateOrganisationRequest, UpdateUserRequest, User, UserState, name_proxy_request::Contact,
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
        responsible_person: Some(ResponsiblePerson {
            name: "責任 花子".to_owned(), ..ResponsiblePerson::default()
        }),
        kind: OrganisationKind::Clinic.into(),
        name: format!("診療所 {}", Uuid::now_v7().simple()),
        prefecture: 27,
        rights: Rights::Entry.into(),
        parent_id: world.organisation("osaka-city-centre")?,
        ..Organisation::default()
    };
    let request =
        proto::identity::CreateOrganisationRequest { request_id: request_id(), organisation: Some(organisation) };
    Ok(admin.organisations().create_organisation(admin.request(request)).await?.into_inner())
}

async fn change(admin: &Client, organisation: Organisation, paths: &[&str]) -> Result<Organisation, tonic::Status> {
    let request = UpdateOrganisationRequest {
        request_id: request_id(),
        organisation_id: organisation.organisation_id.clone(),
        etag: organisation.etag.clone(),
        organisation: Some(organisation),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    admin.organisations().update_organisation(admin.request(request)).await.map(tonic::Response::into_inner)
}

async fn lists(client: &Client) -> Code {
    let request = client.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    client.cases().list_cases(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn a_cut_off_organisation_is_out_everywhere_within_five_seconds_and_comes_back() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let made = clinic_of_its_own(&admin, &world).await?;
    let (clinic, _) = world.employ(&made.organisation_id, Role::Physician).await?;
    eventually("the clinic works", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Ok) }).await?;

    let cut = change(&admin, Organisation { suspended: true, ..made.clone() }, &["suspended"]).await?;
    eventually("the clinic is out", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Unauthenticated) }).await?;
    eventually("also of identity", AT_ONCE, || async {
        let list = clinic.request(ListSessionsRequest::default());
        Ok(clinic.sessions().list_sessions(list).await.is_err())
    })
    .await?;
    let refresh = RefreshTokensRequest { refresh_token: clinic.session().unwrap().refresh_token.clone() };
    assert!(clinic.sessions().refresh_tokens(refresh).await.is_err());
    // A stale etag is refused: somebody else decided meanwhile.
    let stale = change(&admin, Organisation { suspended: false, ..made }, &["suspended"]).await.refused();
    assert_eq!(stale.code(), Code::Aborted);
    let back = change(&admin, Organisation { suspended: false, ..cut }, &["suspended"]).await?;
    eventually("the clinic is back", AT_ONCE, || async { Ok(lists(&clinic).await == Code::Ok) }).await?;

    // 開始日: before it, nobody but the administrator.
    change(&admin, Organisation { opening_date: "2999-01-01".to_owned(), ..back }, &["opening_date"]).await?;
    eventually("not open yet", AT_ONCE, || async { Ok(lists(&clinic).await == Code::PermissionDenied) }).await?;
    Ok(())
}

#[tokio::test]
async fn a_contract_lets_whom_it_names_work_and_ends_within_five_seconds() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let centre_admin = world.at_work("osaka-city-centre", Role::Administrator).await?;
    let case_id = patient(&clinic, &nurse).await?;
    // An association of one's own: other tests must not be seen by it.
    let admin = world.admin().await?;
    let found = |name: &str| {
        let organisation = Organisation {
            responsible_person: Some(ResponsiblePerson {
                name: "責任 花子".to_owned(),
                ..ResponsiblePerson::default()
            }),
            kind: OrganisationKind::MedicalAssociation.into(),
            name: format!("{name} {}", Uuid::now_v7().simple()),
            prefecture: 27,
            rights: Rights::Entry.into(),
            ..Organisation::default()
        };
        let request =
            proto::identity::CreateOrganisationRequest { request_id: request_id(), organisation: Some(organisation) };
        let (mut organisations, request) = (admin.organisations(), admin.request(request));
        async move { Ok::<_, anyhow::Error>(organisations.create_organisation(request).await?.into_inner().organisation_id) }
    };
    let (named, left_out) = (found("医師会甲").await?, found("医師会乙").await?);
    let (entrusted, _) = world.employ(&named, Role::Nurse).await?;
    let (stranger, _) = world.employ(&left_out, Role::Nurse).await?;
    let sees = |client: &Client| {
        let request = client.request(GetFollowupRequest { case_id: case_id.clone() });
        let mut followup = client.followup();
        async move { followup.get_followup(request).await.map_or_else(|status| status.code(), |_| Code::Ok) }
    };
    for client in [&entrusted, &stranger] {
        assert_eq!(sees(client).await, Code::PermissionDenied, "an association sees nothing without a contract");
    }

    let centre_id = world.organisation("osaka-city-centre")?;
    let contract = Contract {
        contractor_ids: vec![named.clone()],
        scopes: vec![ContractScope::Followup.into()],
        from_date: "2020-06-01".to_owned(),
        until_date: "2999-12-31".to_owned(),
        ..Contract::default()
    };
    let create = CreateContractRequest { request_id: request_id(), contract: Some(contract) };
    let made = centre_admin.contracts().create_contract(centre_admin.request(create)).await?.into_inner();

    eventually("the contractor works", AT_ONCE, || async {
        Ok(sees(&entrusted).await == Code::Ok && lists(&entrusted).await == Code::Ok)
    })
    .await?;
    assert_eq!(sees(&stranger).await, Code::PermissionDenied, "the association beside it sees nothing");
    let get = entrusted.request(GetCaseRequest { case_id: case_id.clone() });
    let case = entrusted.cases().get_case(get).await?.into_inner();
    assert!(!case.person.unwrap_or_default().name_kanji.is_empty(), "whom to call");
    assert!(case.grants.is_empty() && case.notification_ids.is_empty(), "and nothing administrative");
    let list = ListWorklistRequest { for_organisation_id: centre_id.clone(), ..ListWorklistRequest::default() };
    entrusted.worklist().list_worklist(entrusted.request(list)).await?;
    let other = ListWorklistRequest {
        for_organisation_id: world.organisation("minato-centre")?,
        ..ListWorklistRequest::default()
    };
    assert_eq!(entrusted.worklist().list_worklist(entrusted.request(other)).await.refused().code(), Code::NotFound);
    let cases = ListCasesRequest { for_organisation_id: centre_id, page_size: 5, ..ListCasesRequest::default() };
    let page = entrusted.cases().list_cases(entrusted.request(cases)).await?.into_inner();
    assert!(!page.cases.is_empty());

    let end = EndContractRequest { request_id: request_id(), contract_id: made.contract_id, etag: made.etag };
    centre_admin.contracts().end_contract(centre_admin.request(end)).await?;
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
    for number in 0..3 {
        writeln!(csv, "b{mark}.{number},{centre},nurse,髙﨑 {number},")?;
    }
    // Refused, and the others are issued all the same.
    writeln!(csv, "b{mark}.x,{centre},queen,,")?;
    let request = ImportUsersRequest { request_id: request_id(), csv, with_slips: true };
    let answer = admin.users().import_users(admin.request(request)).await?.into_inner();
    let made: Vec<_> = answer.rows.iter().filter(|row| row.outcome == i32::from(ImportOutcome::Created)).collect();
    assert_eq!(made.iter().map(|row| &row.initial_secret).collect::<HashSet<_>>().len(), 3, "each its own");
    assert!(answer.slips_pdf.starts_with(b"%PDF-"));

    let first = made.first().unwrap();
    let mut client = world.stack.client()?;
    client.enrol(&first.login, &first.initial_secret, &format!("{mark} is long")).await?;
    let again = SignInRequest {
        login: first.login.clone(),
        password: first.initial_secret.clone(),
        ..SignInRequest::default()
    };
    assert_eq!(client.sign_ins().sign_in(again).await.refused().code(), Code::Unauthenticated, "used up");
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
    assert_eq!(client.sign_ins().sign_in(late).await.refused().code(), Code::Unauthenticated, "died");
    Ok(())
}

#[tokio::test]
async fn administrators_reset_unlock_and_narrow_inside_their_scope_and_nowhere_else() -> Outcome {
    let world = World::shared()?;
    let osaka = world.at_work("osaka", Role::Administrator).await?;
    let (nurse, user_id) = world.staff_with_id("osaka-city-centre", Role::Nurse).await?;
    let (_, abroad) = world.staff_with_id("minato-centre", Role::Nurse).await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let case_id = patient(&clinic, &nurse).await?;

    let update = |id: &str, role: Role, hidden_groups: Vec<i32>| {
        let paths = ["role", "hidden_groups"].map(str::to_owned).to_vec();
        let request = UpdateUserRequest {
            request_id: request_id(),
            user_id: id.to_owned(),
            user: Some(User { role: role.into(), hidden_groups, ..User::default() }),
            update_mask: Some(prost_types::FieldMask { paths }),
            etag: String::new(),
        };
        let (mut users, request) = (osaka.users(), osaka.request(request));
        async move { users.update_user(request).await.map(tonic::Response::into_inner) }
    };
    // Outside of one's scope an ID does not exist, whatever is asked of it.
    assert_eq!(update(&abroad, Role::Nurse, Vec::new()).await.refused().code(), Code::NotFound);
    let reset = ResetUserRequest { request_id: request_id(), user_id: abroad.clone(), ..ResetUserRequest::default() };
    assert_eq!(osaka.users().reset_user(osaka.request(reset)).await.refused().code(), Code::NotFound);
    let unlock = UnlockUserRequest { request_id: request_id(), user_id: abroad, etag: String::new() };
    assert_eq!(osaka.users().unlock_user(osaka.request(unlock)).await.refused().code(), Code::NotFound);
    let list =
        ListUsersRequest { organisation_id: world.organisation("minato-centre")?, ..ListUsersRequest::default() };
    assert_eq!(osaka.users().list_users(osaka.request(list)).await.refused().code(), Code::NotFound);
    assert_eq!(update(&user_id, Role::Coordinator, Vec::new()).await.refused().code(), Code::InvalidArgument);

    // 閲覧範囲: what is hidden from the ID stays hidden whatever its relations show, and its sessions end at once.
    let hidden = vec![i32::from(Group::Clinical), i32::from(Group::Contact)];
    let changed = update(&user_id, Role::Clerk, hidden.clone()).await?;
    assert_eq!((changed.role, changed.hidden_groups), (i32::from(Role::Clerk), vec![3, 4]));
    eventually("the old session ends", AT_ONCE, || async { Ok(lists(&nurse).await == Code::Unauthenticated) }).await?;

    let issued =
        ResetUserRequest { request_id: request_id(), user_id: user_id.clone(), with_slip: true, etag: String::new() };
    let issued: IssueUserResponse = osaka.users().reset_user(osaka.request(issued)).await?.into_inner();
    assert!(issued.slip_pdf.starts_with(b"%PDF-"));
    let mut again = world.stack.client()?;
    let credentials = again.enrol(&changed.login, &issued.initial_secret, "a brand new passphrase").await?.credentials;
    // What is hidden is not erased through a mask either, and not handed on to a proxy.
    let erase = UpdatePersonRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        person: Some(proto::registry::Person { phone: String::new(), ..e2e::person() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["phone".to_owned()] }),
        ..UpdatePersonRequest::default()
    };
    let refused = again.persons().update_person(again.request(erase)).await.refused();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let named = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap();
    assert!(named.field_violations.iter().any(|violation| violation.field == "update_mask.phone"));
    let name = NameProxyRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        birth_date: "1950-01-01".to_owned(),
        contact: Some(Contact::Phone(e2e::person().phone)),
    };
    assert!(again.proxies().name_proxy(again.request(name)).await.is_err());
    let request = again.request(GetCaseRequest { case_id });
    let case = again.cases().get_case(request).await?.into_inner();
    let person = case.person.unwrap_or_default();
    assert!(!person.name_kanji.is_empty() && person.phone.is_empty(), "no contact");
    assert!(case.tests.is_empty() && case.severity == 0, "nothing clinical");

    // Who narrowed sees less can make nobody who sees more.
    let list = ListUsersRequest {
        organisation_id: world.organisation("osaka-city-centre")?,
        page_size: 200,
        ..ListUsersRequest::default()
    };
    let listed = pages(async |page_token| {
        let request = osaka.request(ListUsersRequest { page_token, ..list.clone() });
        osaka.users().list_users(request).await.map(|page| {
            let page = page.into_inner();
            (page.users, page.next_page_token)
        })
    })
    .await?;
    let row = listed.iter().find(|user| user.user_id == user_id).unwrap();
    assert_eq!(row.state, i32::from(UserState::Active));
    assert!(!row.issuer_id.is_empty(), "who issued it is visible");
    assert_eq!(credentials.login, row.login);
    let own = ResetUserRequest { request_id: request_id(), user_id: own_id(&osaka)?, ..ResetUserRequest::default() };
    assert_eq!(osaka.users().reset_user(osaka.request(own)).await.refused().code(), Code::FailedPrecondition);
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
        request_id: request_id(),
        organisation_id: world.organisation("osaka")?,
        login: login.clone(),
        role: Role::Administrator.into(),
        ..IssueUserRequest::default()
    };
    let issued = issue(&admin, request).await?;
    let mut client = world.stack.client()?;
    let credentials = client.enrol(&login, &issued.initial_secret, "a long enough passphrase").await?.credentials;
    // Sixteen minutes pass: only the database's clock can be moved, and the token is renewed as it would be.
    let mut tables = world.sql("identity").await?;
    sqlx::query("update session set authenticated_at = now() - interval '16 minutes' where subject = $1")
        .bind(Uuid::try_parse(&issued.user_id)?)
        .execute(&mut tables)
        .await?;
    let refresh = RefreshTokensRequest { refresh_token: client.session().unwrap().refresh_token.clone() };
    let tokens = client.sessions().refresh_tokens(refresh).await?.into_inner();
    client.keep(tokens);
    let issue = || {
        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: world.organisation("osaka-city-centre").unwrap_or_default(),
            login: format!("t{}", Uuid::now_v7().simple()),
            role: Role::Nurse.into(),
            ..IssueUserRequest::default()
        };
        let (mut users, request) = (client.users(), client.request(request));
        async move { users.issue_user(request).await }
    };
    let refused = issue().await.refused();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = tonic_types::StatusExt::get_details_precondition_failure(&refused).unwrap();
    assert_eq!(details.violations[0].r#type, "STEP_UP");
    // What is not sensitive goes on.
    let list = client.request(ListUsersRequest { page_size: 1, ..ListUsersRequest::default() });
    assert!(!client.users().list_users(list).await?.into_inner().users.is_empty());
    let code = code(&credentials.otp_secret, runtime::Clock::system().now() + time::Duration::seconds(30))?;
    client.step_up(code.clone()).await?;
    assert!(client.step_up(code).await.is_err(), "a code works once, here too");
    let issue = IssueUserRequest {
        request_id: request_id(),
        organisation_id: world.organisation("osaka-city-centre")?,
        login: format!("t{}", Uuid::now_v7().simple()),
        role: Role::Nurse.into(),
        ..IssueUserRequest::default()
    };
    client.users().issue_user(client.request(issue)).await?;
    Ok(())
}
