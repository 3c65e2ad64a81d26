//! A prefecture of its own on the shared mesh, for a test that counts everything in it.

use std::time::Duration;

use anyhow::Context as _;
use client::Client;
use japan::municipality;
use proto::{
    beds::ListAvailabilityRequest,
    followup::GetFollowupRequest,
    identity::{CreateOrganisationRequest, Organisation, OrganisationKind as Kind, ResponsiblePerson, Rights, Role},
    notification::GetNotificationRequest,
    registry::{ListCasesRequest, Person},
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{World, eventually, person, request_id};

/// A prefecture with one centre that receives everything, a clinic, a hospital and lodging.
pub struct Prefecture {
    /// The prefecture's number in JIS X 0401, 1 to 47.
    pub number: i32,
    /// Organisation id of the prefecture itself.
    pub id: String,
    /// Organisation id of the health centre.
    pub centre: String,
    /// Organisation id of the clinic.
    pub clinic: String,
    /// Organisation id of the lodging facility.
    pub lodging: String,
    /// Organisation id of the hospital.
    pub hospital: String,
    municipality: &'static str,
}

impl World {
    /// Creates a prefecture and what is in it. Each test takes a number that neither the demo nor another test uses.
    ///
    /// # Errors
    /// When something of it cannot be created, or a service does not hear of it.
    pub async fn prefecture(&self, number: u8) -> anyhow::Result<Prefecture> {
        let admin = self.admin().await?;
        let make = |kind: Kind, parent: &str| create(&admin, number, kind, parent.to_owned());
        let id = make(Kind::Prefecture, &self.organisation("ministry")?).await?;
        let centre = make(Kind::HealthCentre, &id).await?;
        let clinic = make(Kind::Clinic, &centre).await?;
        let lodging = make(Kind::LodgingFacility, &id).await?;
        let hospital = make(Kind::Hospital, &centre).await?;
        // Events come in order: a service that knows the last organisation knows them all.
        let (physician, _) = self.employ(&hospital, Role::Physician).await?;
        eventually("every service knows the prefecture", Duration::from_secs(10), || known(&physician)).await?;

        let municipality = municipality::of_prefecture(number).into_iter().next().context("no such prefecture")?;
        Ok(Prefecture { number: i32::from(number), id, centre, clinic, lodging, hospital, municipality })
    }
}

impl Prefecture {
    /// A new person who lives here, unlike any other.
    pub fn person(&self) -> Person {
        Person { municipality_code: self.municipality.to_owned(), ..person() }
    }
}

async fn create(admin: &Client, prefecture: u8, kind: Kind, parent_id: String) -> anyhow::Result<String> {
    let organisation = Organisation {
        responsible_person: Some(ResponsiblePerson {
            name: "責任 花子".to_owned(), ..ResponsiblePerson::default()
        }),
        kind: kind.into(),
        name: format!("{} {}", kind.as_str_name(), Uuid::now_v7().simple()),
        prefecture: i32::from(prefecture),
        catch_all: kind == Kind::HealthCentre,
        rights: Rights::Entry.into(),
        parent_id,
        ..Organisation::default()
    };
    let request = CreateOrganisationRequest { request_id: request_id(), organisation: Some(organisation) };
    Ok(admin.organisations().create_organisation(admin.request(request)).await?.into_inner().organisation_id)
}

/// Whether every service accepts somebody of an organisation.
async fn known(physician: &Client) -> anyhow::Result<bool> {
    let nothing = Uuid::now_v7().to_string();
    let cases = physician.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    let notification = physician.request(GetNotificationRequest { notification_id: nothing.clone() });
    let followup = physician.request(GetFollowupRequest { case_id: nothing });
    let beds = physician.request(ListAvailabilityRequest::default());
    Ok(!shut(physician.cases().list_cases(cases).await)
        && !shut(physician.filing().get_notification(notification).await)
        && !shut(physician.followup().get_followup(followup).await)
        && !shut(physician.capacity().list_availability(beds).await))
}

fn shut<T>(answer: Result<T, Status>) -> bool {
    answer.is_err_and(|status| matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated))
}
