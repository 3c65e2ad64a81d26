//! Persons, their episodes of illness, and who has which relation to them.
//!
//! - [`case`]: the trunk, one episode in versions, its grants and lists
//! - [`access_id`]: the IDs with which patients sign in (スマホ入力ID)
//! - [`person`]: the particulars, sealed, and their corrections
//! - [`course`]: tests, severity, placement, need of admission, outcome
//! - [`fact`]: what is recorded about a case, corrected and withdrawn
//! - [`exposure`]: close contacts (濃厚接触者) and whom they were exposed to
//! - [`duplicate`]: cases of one person that were registered twice, and joined
//! - [`search`]: cases found by access ID, receipt, patient number, telephone, kana with birth date
//! - [`section`]: the items of annex 3 (別紙3) beyond the course, in sections
//! - [`referral`]: consultation centres refer to institutions that test
//! - [`transfer`]: centres hand cases over (移管)
//! - [`emergency`]: cases opened without a relation, for three hours (緊急閲覧)
//! - [`filing`]: what filed notifications say about cases
//! - [`stay`]: what beds says about where people lie

mod access_id;
mod case;
mod course;
mod duplicate;
mod emergency;
mod exposure;
mod fact;
mod filing;
#[cfg(test)]
mod fixture;
mod grpc;
mod internal;
mod person;
mod referral;
mod search;
mod section;
mod service;
mod stay;
mod transfer;
#[cfg(test)]
mod walks;

use chassis::{MigrationSet, Mount, NoSettings};
use proto::registry::{
    access_id_service_server::AccessIdServiceServer, case_service_server::CaseServiceServer,
    course_service_server::CourseServiceServer, duplicate_service_server::DuplicateServiceServer,
    emergency_service_server::EmergencyServiceServer, exposure_service_server::ExposureServiceServer,
    fact_service_server::FactServiceServer, person_service_server::PersonServiceServer,
    referral_service_server::ReferralServiceServer, registry_internal_service_server::RegistryInternalServiceServer,
    search_service_server::SearchServiceServer, section_service_server::SectionServiceServer,
    transfer_service_server::TransferServiceServer,
};
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[("0001_registry.sql", include_str!("../migrations/0001_registry.sql"))];

/// The encrypted columns, to be re-encrypted after a rotation.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: person::PARTICULARS, key: Key::Uuid("person_id") },
    Sealed { place: access_id::SEALED_ID, key: Key::Uuid("case_id") },
    Sealed { place: transfer::REASON, key: Key::Uuid("case_id") },
    Sealed { place: transfer::ANSWER_REASON, key: Key::Uuid("case_id") },
    Sealed { place: section::ANSWERS, key: Key::Uuid("case_id") },
    Sealed { place: fact::REASON, key: Key::Uuid("case_id") },
    Sealed { place: emergency::REASON, key: Key::Uuid("opening_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut mount: Mount<NoSettings>) -> anyhow::Result<()> {
    mount.seals(SEALED);
    let registry = service::Registry::new(&mount.base);
    mount.listen(filing::Hears::new(&mount.base)?)?;
    mount.listen(stay::Hears)?;
    transfer::start_taking_over(&registry);
    mount
        .serve(|routes| {
            routes
                .add_service(CaseServiceServer::new(registry.clone()))
                .add_service(AccessIdServiceServer::new(registry.clone()))
                .add_service(PersonServiceServer::new(registry.clone()))
                .add_service(CourseServiceServer::new(registry.clone()))
                .add_service(FactServiceServer::new(registry.clone()))
                .add_service(ExposureServiceServer::new(registry.clone()))
                .add_service(DuplicateServiceServer::new(registry.clone()))
                .add_service(SearchServiceServer::new(registry.clone()))
                .add_service(SectionServiceServer::new(registry.clone()))
                .add_service(ReferralServiceServer::new(registry.clone()))
                .add_service(TransferServiceServer::new(registry.clone()))
                .add_service(EmergencyServiceServer::new(registry.clone()))
                .add_service(RegistryInternalServiceServer::new(registry))
        })
        .await
}
