//! The demo: organisations and users of every kind, created through the public RPCs as their administrators would.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;
use client::{Client, Credentials, patiently};
use japan::municipality;
use prost_types::FieldMask;
use proto::identity::{
    CreateOrganisationRequest, IssueUserRequest, ListOrganisationsRequest, Organisation, OrganisationKind as Kind,
    ResponsiblePerson, Rights, Role, UpdateOrganisationRequest,
};
use uuid::Uuid;

use crate::{
    Stack,
    stack::{Demo, DemoUser},
};

/// An organisation of the demo: short name, kind, name, prefecture, parent, rights.
struct Plan {
    short: &'static str,
    kind: Kind,
    name: &'static str,
    prefecture: i32,
    parent: &'static str,
    rights: Rights,
    jurisdiction: &'static [&'static str],
    catch_all: bool,
}

const fn plan(short: &'static str, kind: Kind, name: &'static str, prefecture: i32, parent: &'static str) -> Plan {
    Plan { short, kind, name, prefecture, parent, rights: Rights::Entry, jurisdiction: &[], catch_all: false }
}

const PLANS: &[Plan] = &[
    plan("osaka", Kind::Prefecture, "大阪府", 27, "ministry"),
    plan("tokyo", Kind::Prefecture, "東京都", 13, "ministry"),
    plan("osaka-city", Kind::City, "大阪市", 27, "osaka"),
    Plan {
        jurisdiction: &["271004"],
        ..plan("osaka-city-centre", Kind::HealthCentre, "大阪市保健所", 27, "osaka-city")
    },
    Plan {
        jurisdiction: &["272078", "272116", "272248", "273015"],
        ..plan("ibaraki-centre", Kind::HealthCentre, "大阪府茨木保健所", 27, "osaka")
    },
    Plan { jurisdiction: &["131032"], ..plan("minato-centre", Kind::HealthCentre, "みなと保健所", 13, "tokyo") },
    Plan { catch_all: true, ..plan("osaka-desk", Kind::HealthCentre, "大阪府受付窓口", 27, "osaka") },
    Plan { catch_all: true, ..plan("tokyo-desk", Kind::HealthCentre, "東京都受付窓口", 13, "tokyo") },
    plan("consultation", Kind::ConsultationCentre, "大阪市帰国者・接触者相談センター", 27, "osaka-city-centre"),
    plan("clinic", Kind::Clinic, "なにわ診療所", 27, "osaka-city-centre"),
    plan("clinic-tokyo", Kind::Clinic, "芝診療所", 13, "minato-centre"),
    Plan { rights: Rights::None, ..plan("clinic-fax", Kind::Clinic, "天満医院", 27, "osaka-city-centre") },
    plan("hospital", Kind::Hospital, "大阪中央病院（デモ）", 27, "osaka-city-centre"),
    plan("hospital-north", Kind::Hospital, "北摂総合病院（デモ）", 27, "ibaraki-centre"),
    plan("lodging", Kind::LodgingFacility, "宿泊療養施設なにわ", 27, "osaka"),
    plan("association", Kind::MedicalAssociation, "大阪市医師会（デモ）", 27, "osaka-city-centre"),
];

/// Users of the demo: log-in, organisation, role.
const USERS: &[(&str, &str, Role)] = &[
    ("operator", "ministry", Role::Operator),
    ("analyst", "ministry", Role::Analyst),
    ("auditor", "ministry", Role::Auditor),
    ("migration-assistant", "osaka-desk", Role::MigrationAssistant),
    ("lodging-staff", "lodging", Role::LodgingOfficer),
    ("osaka-admin", "osaka", Role::Administrator),
    ("osaka-coordinator", "osaka", Role::Coordinator),
    ("osaka-lodging", "osaka", Role::LodgingOfficer),
    ("osaka-nurse", "osaka-city-centre", Role::Nurse),
    ("osaka-desk", "osaka-desk", Role::Clerk),
    ("ibaraki-nurse", "ibaraki-centre", Role::Nurse),
    ("tokyo-coordinator", "tokyo", Role::Coordinator),
    ("minato-nurse", "minato-centre", Role::Nurse),
    ("consultation", "consultation", Role::ConsultationOperator),
    ("clinic-physician", "clinic", Role::Physician),
    ("clinic-clerk", "clinic", Role::Clerk),
    ("tokyo-physician", "clinic-tokyo", Role::Physician),
    ("fax-physician", "clinic-fax", Role::Physician),
    ("hospital-physician", "hospital", Role::Physician),
    ("association-physician", "association", Role::Physician),
];

/// Creates the demo. The first administrator enrols with the one-time secret and does the rest.
pub(crate) async fn load(stack: &Stack) -> anyhow::Result<Demo> {
    let handed =
        fs::read_to_string(stack.run.join("keys/bootstrap")).context("read the first administrator's secret")?;
    let (login, secret) = handed.trim().split_once('\n').context("the first administrator's secret is malformed")?;
    let mut admin = stack.client()?;
    let mut users = Vec::new();
    let credentials =
        admin.enrol(login, secret, &password()).await.context("enrol the first administrator")?.credentials;
    users.push(DemoUser {
        credentials, role: role_name(Role::Administrator), organisation: "厚生労働省".to_owned()
    });

    let mut organisations = BTreeMap::new();
    organisations.insert("ministry".to_owned(), ministry(&admin).await?);
    for plan in PLANS {
        let id = create(&admin, plan, &organisations).await.with_context(|| format!("create {}", plan.name))?;
        organisations.insert(plan.short.to_owned(), id);
    }
    for (login, organisation, role) in USERS {
        let organisation_id = organisations.get(*organisation).context("an organisation is missing")?;
        let credentials =
            issue(stack, &admin, login, organisation_id, *role).await.with_context(|| format!("issue {login}"))?;
        let name = PLANS.iter().find(|plan| plan.short == *organisation).map_or("厚生労働省", |plan| plan.name);
        users.push(DemoUser { credentials, role: role_name(*role), organisation: name.to_owned() });
    }
    fs::remove_file(stack.run.join("keys/bootstrap"))?;
    Ok(Demo { users, organisations })
}

async fn ministry(admin: &Client) -> anyhow::Result<String> {
    let request = ListOrganisationsRequest { page_size: 1, page_token: String::new(), kind: Kind::Ministry.into() };
    let found = patiently(|| {
        let (mut organisations, request) = (admin.organisations(), admin.request(request.clone()));
        async move { organisations.list_organisations(request).await }
    })
    .await?;
    let ministry = found.organisations.into_iter().next().context("there is no ministry")?;
    // Nobody but its administrator works there before somebody answers for it.
    let request = UpdateOrganisationRequest {
        request_id: Uuid::now_v7().to_string(),
        organisation_id: ministry.organisation_id.clone(),
        organisation: Some(Organisation { responsible_person: Some(responsible()), ..Organisation::default() }),
        update_mask: Some(FieldMask { paths: vec!["responsible_person".to_owned()] }),
        ..UpdateOrganisationRequest::default()
    };
    patiently(|| {
        let (mut organisations, request) = (admin.organisations(), admin.request(request.clone()));
        async move { organisations.update_organisation(request).await }
    })
    .await?;
    Ok(ministry.organisation_id)
}

/// システム利用統括責任者 of every organisation of the demo.
fn responsible() -> ResponsiblePerson {
    ResponsiblePerson { name: "責任 花子".to_owned(), ..ResponsiblePerson::default() }
}

async fn create(admin: &Client, plan: &Plan, made: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let jurisdiction = match (plan.jurisdiction, plan.prefecture) {
        // A designated city's wards carry codes of their own.
        (["271004"], 27) => municipality::of_prefecture(27)
            .into_iter()
            .filter(|code| code.starts_with("271") && *code < "271400")
            .map(str::to_owned)
            .collect(),
        (codes, _) => codes.iter().map(|code| (*code).to_owned()).collect(),
    };
    let organisation = Organisation {
        responsible_person: Some(responsible()),
        kind: plan.kind.into(),
        name: plan.name.to_owned(),
        prefecture: plan.prefecture,
        jurisdiction,
        catch_all: plan.catch_all,
        rights: plan.rights.into(),
        parent_id: made.get(plan.parent).cloned().unwrap_or_default(),
        ..Organisation::default()
    };
    let request =
        CreateOrganisationRequest { request_id: Uuid::now_v7().to_string(), organisation: Some(organisation) };
    let made = patiently(|| {
        let (mut organisations, request) = (admin.organisations(), admin.request(request.clone()));
        async move { organisations.create_organisation(request).await }
    })
    .await?;
    Ok(made.organisation_id)
}

/// Issues an ID and enrols it, as its holder would.
pub(crate) async fn issue(
    stack: &Stack,
    admin: &Client,
    login: &str,
    organisation_id: &str,
    role: Role,
) -> anyhow::Result<Credentials> {
    let request = IssueUserRequest {
        request_id: Uuid::now_v7().to_string(),
        organisation_id: organisation_id.to_owned(),
        login: login.to_owned(),
        role: role.into(),
        ..IssueUserRequest::default()
    };
    let issued = patiently(|| {
        let (mut users, request) = (admin.users(), admin.request(request.clone()));
        async move { users.issue_user(request).await }
    })
    .await?;
    Ok(stack.client()?.enrol(login, &issued.initial_secret, &password()).await?.credentials)
}

/// A random password: the demo's secrets are real, and kept in `stack.json`.
fn password() -> String {
    format!("{}-{}", Uuid::now_v7().simple(), Uuid::now_v7().as_u64_pair().1)
}

fn role_name(role: Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_lowercase()
}
