//! Daily health observation (健康観察): who is observed until when, what is due, what worries, who can be released.
//!
//! - [`case`]: the trunk, the registry's cases as far as follow-up knows them, and who may do what with them
//! - [`plan`]: when a person reports, and what happens when a due report does not come
//! - [`report`]: the observation form (健康観察票) and the reports made with it
//! - [`alert`]: reports that carry a warning sign
//! - [`worklist`]: the one list of tasks: who does what about which case or notification by when
//! - [`filing`]: notifications, as far as they make work: what is missing, what was returned
//! - [`contact`]: calls and visits to people, and their visits to physicians
//! - [`release`]: whether a person can be released (療養解除), and why
//! - [`overview`]: all of it for one case

mod alert;
mod case;
mod contact;
mod dated;
mod filing;
#[cfg(test)]
mod fixture;
mod free_text;
mod grpc;
mod overview;
mod plan;
mod release;
mod report;
mod retention;
mod service;
mod worklist;

use chassis::{MigrationSet, Mount, NoSettings};
use proto::followup::{
    alert_service_server::AlertServiceServer, contact_service_server::ContactServiceServer,
    followup_service_server::FollowupServiceServer, plan_service_server::PlanServiceServer,
    release_service_server::ReleaseServiceServer, report_service_server::ReportServiceServer,
    worklist_service_server::WorklistServiceServer,
};
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[access::cases::TABLE, ("0002_followup.sql", include_str!("../migrations/0002_followup.sql"))];

/// The encrypted columns that a rotation re-encrypts.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: report::MESSAGE, key: Key::Uuid("report_id") },
    Sealed { place: contact::NOTE, key: Key::Uuid("attempt_id") },
    Sealed { place: contact::VISIT, key: Key::Uuid("visit_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut mount: Mount<NoSettings>) -> anyhow::Result<()> {
    mount.seals(SEALED);
    mount.sweeps(retention::RULES);
    let followup = service::Followup::new(&mount.base)?;
    mount.listen(case::Hears { clock: mount.base.clock.clone() })?;
    mount.listen(filing::Hears { clock: mount.base.clock.clone() })?;
    plan::start(&followup);
    mount
        .serve(|routes| {
            routes
                .add_service(FollowupServiceServer::new(followup.clone()))
                .add_service(PlanServiceServer::new(followup.clone()))
                .add_service(ReportServiceServer::new(followup.clone()))
                .add_service(AlertServiceServer::new(followup.clone()))
                .add_service(WorklistServiceServer::new(followup.clone()))
                .add_service(ContactServiceServer::new(followup.clone()))
                .add_service(ReleaseServiceServer::new(followup))
        })
        .await
}
