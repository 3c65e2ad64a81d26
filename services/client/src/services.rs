//! One accessor per service of the contract.

use proto::{beds, followup, identity, notification, operations, registry, statistics};
use runtime::mesh::Channel;

use crate::Client;

/// The largest answer there is: the slips of a thousand IDs.
const LARGEST: usize = 64 << 20;

macro_rules! accessors {
    ($($name:ident: $package:ident::$module:ident::$client:ident;)+) => {
        impl Client {
            $(
                #[doc = concat!("[`proto::", stringify!($package), "::", stringify!($module), "`]")]
                pub fn $name(&self) -> $package::$module::$client<Channel> {
                    $package::$module::$client::new(self.channel.clone()).max_decoding_message_size(LARGEST)
                }
            )+
        }
    };
}

accessors! {
    organisations: identity::organisation_service_client::OrganisationServiceClient;
    contracts: identity::contract_service_client::ContractServiceClient;
    users: identity::user_service_client::UserServiceClient;
    sign_ins: identity::sign_in_service_client::SignInServiceClient;
    sessions: identity::session_service_client::SessionServiceClient;
    terms: identity::terms_service_client::TermsServiceClient;
    service_accounts: identity::service_account_service_client::ServiceAccountServiceClient;
    patient_access: identity::patient_access_service_client::PatientAccessServiceClient;
    proxies: identity::proxy_service_client::ProxyServiceClient;
    messages: identity::message_service_client::MessageServiceClient;

    cases: registry::case_service_client::CaseServiceClient;
    course: registry::course_service_client::CourseServiceClient;
    facts: registry::fact_service_client::FactServiceClient;
    exposures: registry::exposure_service_client::ExposureServiceClient;
    duplicates: registry::duplicate_service_client::DuplicateServiceClient;
    persons: registry::person_service_client::PersonServiceClient;
    access_ids: registry::access_id_service_client::AccessIdServiceClient;
    search: registry::search_service_client::SearchServiceClient;
    sections: registry::section_service_client::SectionServiceClient;
    referrals: registry::referral_service_client::ReferralServiceClient;
    transfers: registry::transfer_service_client::TransferServiceClient;
    emergency: registry::emergency_service_client::EmergencyServiceClient;

    filing: notification::filing_service_client::FilingServiceClient;
    inbox: notification::inbox_service_client::InboxServiceClient;
    forms: notification::form_service_client::FormServiceClient;
    drafts: notification::draft_service_client::DraftServiceClient;
    local_items: notification::local_item_service_client::LocalItemServiceClient;

    followup: followup::followup_service_client::FollowupServiceClient;
    plans: followup::plan_service_client::PlanServiceClient;
    reports: followup::report_service_client::ReportServiceClient;
    alerts: followup::alert_service_client::AlertServiceClient;
    worklist: followup::worklist_service_client::WorklistServiceClient;
    contacts: followup::contact_service_client::ContactServiceClient;
    release: followup::release_service_client::ReleaseServiceClient;

    capacity: beds::capacity_service_client::CapacityServiceClient;
    admissions: beds::admission_service_client::AdmissionServiceClient;

    statistics: statistics::statistics_service_client::StatisticsServiceClient;

    operations: operations::operations_service_client::OperationsServiceClient;
    audit: operations::audit_service_client::AuditServiceClient;
    keys: operations::key_service_client::KeyServiceClient;
}
