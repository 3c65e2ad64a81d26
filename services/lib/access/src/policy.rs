//! The policy: which role holds which permission, and which relation shows which field groups.
//!
//! Written for a health centre's lawyer to read. Two tables, nothing hidden: what is not listed is refused.
//! `docs/security/access.md` is printed from them.

use proto::{
    identity::{ContractScope, OrganisationKind as Kind, Rights, Role},
    options::{Group, Permission as P},
    registry::Relation,
};

/// What the policy needs to know about a caller.
#[derive(Clone, Copy, Debug)]
pub struct Duty<'a> {
    /// The caller's role.
    pub role: Role,
    /// The kind of the caller's organisation.
    pub kind: Kind,
    /// The rights of the caller's organisation.
    pub rights: Rights,
    /// What contracts in force entrust to the organisation (委託).
    pub entrusted: &'a [ContractScope],
}

/// Whether a duty holds a permission.
pub fn allows(permission: P, duty: Duty<'_>) -> bool {
    let Duty { role, kind, rights, entrusted } = duty;
    let reads_only = matches!(
        permission,
        P::CaseRead
            | P::NotificationRead
            | P::StatisticsRead
            | P::DirectoryRead
            | P::BedsRead
            | P::AuditRead
            | P::SignedIn
    );
    let organisation_may = match rights {
        Rights::Entry => true,
        Rights::View => reads_only,
        Rights::None | Rights::Unspecified => permission == P::SignedIn,
    };
    match permission {
        P::Public => true,
        P::Unspecified | P::Internal => false,
        // Patients read and report on their own case, and name or dismiss proxies. Proxies may not name others.
        _ if role == Role::Patient => {
            matches!(permission, P::SignedIn | P::HealthReport | P::CaseRead | P::PatientAccess)
        }
        _ if role == Role::Proxy => matches!(permission, P::SignedIn | P::HealthReport | P::CaseRead),
        // Another system may do what its organisation's people who handle patients or figures may; scopes narrow it.
        _ if role == Role::System => {
            organisation_may
                && SYSTEM_ACTS_AS
                    .iter()
                    .any(|role| held_by(permission, *role, kind) || entrusted_with(permission, *role, entrusted))
        }
        _ => organisation_may && (held_by(permission, role, kind) || entrusted_with(permission, role, entrusted)),
    }
}

/// Another system never issues IDs, operates the mesh or reads the audit trail.
const SYSTEM_ACTS_AS: [Role; 5] =
    [Role::Clerk, Role::Analyst, Role::Coordinator, Role::LodgingOfficer, Role::ConsultationOperator];

/// What a contract in force (委託) adds to what an organisation's own kind allows.
fn entrusted_with(permission: P, role: Role, entrusted: &[ContractScope]) -> bool {
    let handles_patients =
        matches!(role, Role::Physician | Role::Nurse | Role::Clerk | Role::ConsultationOperator | Role::LodgingOfficer);
    handles_patients
        && entrusted.iter().any(|scope| match scope {
            // 相談: registers whom it refers.
            ContractScope::Consultation => matches!(permission, P::CaseRegister | P::CaseRead),
            // 検査: registers, tests and files, as a test site does.
            ContractScope::Testing => matches!(
                permission,
                P::CaseRegister | P::CaseRead | P::CaseRecord | P::NotificationFile | P::NotificationRead
            ),
            // 健康観察: works on the principal's cases under observation.
            ContractScope::Followup => {
                matches!(permission, P::FollowupWork | P::TaskWork | P::HealthReport | P::CaseRead)
            }
            // 入力: enters what others observed.
            ContractScope::Entry => {
                matches!(permission, P::CaseRegister | P::CaseRead | P::NotificationFile | P::NotificationRead)
            }
            ContractScope::Unspecified => false,
        })
}

#[expect(clippy::match_same_arms, reason = "one line per permission, as a lawyer reads it")]
fn held_by(permission: P, role: Role, kind: Kind) -> bool {
    use Role::{
        Administrator, Analyst, Auditor, Clerk, ConsultationOperator, Coordinator, IncidentReceiver, LodgingOfficer,
        MigrationAssistant, Nurse, Operator, Physician,
    };
    let handles_patients = matches!(role, Physician | Nurse | Clerk | MigrationAssistant);
    let institution = matches!(kind, Kind::Clinic | Kind::Hospital | Kind::QuarantineStation | Kind::Laboratory);
    let centre = matches!(kind, Kind::HealthCentre | Kind::City);
    match permission {
        P::SignedIn | P::DirectoryRead => true,
        // Issuing IDs and keeping the directory is an administrator's duty and shows no patients.
        P::OrganisationManage => {
            role == Administrator && matches!(kind, Kind::Ministry | Kind::Prefecture | Kind::City)
        }
        P::UserIssue => role == Administrator,
        // Centres, cities and prefectures entrust others.
        P::ContractManage => role == Administrator && (centre || kind == Kind::Prefecture),
        // What they ask beyond the form in their own area (任意入力項目).
        P::LocalItemDefine => role == Administrator && (centre || kind == Kind::Prefecture),
        // A test site or a centre registers; a consultation centre registers what it refers.
        P::CaseRegister => {
            (handles_patients && (institution || centre))
                || (role == ConsultationOperator && kind == Kind::ConsultationCentre)
        }
        // N1 ⑤: the prefecture enters, too, in the cases of its own.
        P::CaseRecord => {
            (handles_patients && (institution || centre)) || (role == Coordinator && kind == Kind::Prefecture)
        }
        // The law makes the physician file; clerks and centres enter on a physician's behalf.
        P::NotificationFile => handles_patients && (institution || centre),
        P::NotificationRead => {
            (handles_patients && (institution || centre)) || (role == Coordinator && kind == Kind::Prefecture)
        }
        P::CaseRead => {
            (handles_patients && (institution || centre))
                || (role == Coordinator && kind == Kind::Prefecture)
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
                || (role == ConsultationOperator && kind == Kind::ConsultationCentre)
        }
        // A notification for which there is no centre goes to the prefecture's inbox and is handled there.
        P::InboxWork => (handles_patients && centre) || (role == Coordinator && kind == Kind::Prefecture),
        P::StatisticsRead => {
            (role == Analyst && !matches!(kind, Kind::Clinic | Kind::LodgingFacility))
                || (role == Coordinator && kind == Kind::Prefecture)
                || (handles_patients && centre)
                || (role == Administrator && matches!(kind, Kind::Ministry | Kind::Prefecture))
        }
        P::Operate => role == Operator && kind == Kind::Ministry,
        // The trail is read by national auditors and by those who receive incident reports for the nation.
        P::AuditRead => matches!(role, Auditor | IncidentReceiver) && kind == Kind::Ministry,
        P::HealthReport => {
            (handles_patients && (institution || centre))
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
        }
        P::FollowupWork => {
            (handles_patients && centre)
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
        }
        // Whoever works at a desk to which cases or notifications come: the list of what is to be done there.
        P::TaskWork => {
            (handles_patients && (institution || centre))
                || (role == Coordinator && kind == Kind::Prefecture)
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
                || (role == ConsultationOperator && kind == Kind::ConsultationCentre)
        }
        P::BedsReport => {
            (handles_patients && kind == Kind::Hospital)
                || (role == LodgingOfficer && kind == Kind::LodgingFacility)
                // What a facility tells them (代行入力), and nothing else: without the facility's name beds refuses it.
                || (handles_patients && centre)
                || (role == Coordinator && kind == Kind::Prefecture)
        }
        // Free beds and one's own admissions: for those who request, coordinate and admit.
        P::BedsRead => {
            (handles_patients && (centre || kind == Kind::Hospital))
                || (role == Coordinator && kind == Kind::Prefecture)
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
        }
        P::AdmissionCoordinate => (role == Coordinator && kind == Kind::Prefecture) || (handles_patients && centre),
        // In an emergency, those who treat or protect: with a reason, for three hours, and the centre is told.
        P::EmergencyAccess => matches!(role, Physician | Nurse) && (institution || centre),
        // Whoever registered the person or works on the case.
        P::PatientAccess => {
            (handles_patients && (institution || centre))
                || (role == ConsultationOperator && kind == Kind::ConsultationCentre)
        }
        P::Unspecified | P::Public | P::Internal => false,
    }
}

/// Whether an organisation in a relation may write a field group. A filled field that none of the caller's relations
/// may write is refused by name.
#[expect(clippy::match_same_arms, reason = "one line per relation, as a lawyer reads it")]
pub fn writes(relation: Relation, group: Group) -> bool {
    use Group::{Administrative, Clinical, Contact, Epidemiology, Followup, Identity, Technical};
    use Relation as R;
    match (relation, group) {
        (_, Group::Unspecified) | (R::Unspecified, _) => false,
        (_, Technical) => true,
        (R::ReceivingCentre | R::ResponsibleCentre, _) => true,
        // The incoming centre reads along; the responsible centre writes.
        (R::IncomingCentre, Administrative) => true,
        (R::IncomingCentre | R::FormerCentre | R::ResidenceCentre | R::NotifiedCentre, _) => false,
        // Follow-up belongs to whoever looks after the person; the reporter may read its course.
        (R::Reporter, group) => group != Followup,
        // Facts of the stay, and care visits; never exposure or the person.
        (R::TreatingInstitution | R::AttendingInstitution, Clinical | Followup | Administrative) => true,
        (R::TreatingInstitution | R::AttendingInstitution, Identity | Contact | Epidemiology) => false,
        // 調整: placement, admission and transfer are administrative.
        (R::Prefecture, Clinical | Epidemiology | Administrative) => true,
        (R::Prefecture, Identity | Contact | Followup) => false,
        (R::ConsultationCentre, group) => group != Followup,
        (R::LodgingFacility | R::Contractor, Followup) => true,
        (R::LodgingFacility | R::Contractor, _) => false,
        (R::Patient | R::Proxy, Followup) => true,
        // Patients name their own proxies.
        (R::Patient, Identity | Contact) => true,
        (R::Patient | R::Proxy, _) => false,
        (R::Emergency, _) => false,
    }
}

/// How much of a field group is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Nothing of the group.
    Hidden,
    /// Codes, numbers and dates; no free text.
    Coded,
    /// Everything, free text included.
    Full,
}

/// How much of a field group an organisation in a relation sees. Technical fields are always shown.
#[expect(clippy::match_same_arms, reason = "one line per relation, as a lawyer reads it")]
pub fn sight(relation: Relation, group: Group) -> Sight {
    use Group::{Administrative, Clinical, Contact, Epidemiology, Followup, Identity, Technical};
    use Relation as R;
    use Sight::{Coded, Full, Hidden};
    match (relation, group) {
        (_, Technical) => Full,
        (R::Unspecified, _) | (_, Group::Unspecified) => Hidden,

        (R::ReceivingCentre | R::ResponsibleCentre, _) => Full,
        // They read along.
        (R::IncomingCentre | R::FormerCentre | R::ResidenceCentre | R::NotifiedCentre, _) => Full,
        // The reporter follows the course in codes; what the person writes to the centre is not for the reporter.
        (R::Reporter, Followup) => Coded,
        (R::Reporter, _) => Full,

        (
            R::TreatingInstitution | R::AttendingInstitution,
            Identity | Contact | Clinical | Followup | Administrative,
        ) => Full,
        (R::TreatingInstitution | R::AttendingInstitution, Epidemiology) => Hidden,

        (R::Prefecture, Identity | Contact | Clinical | Administrative) => Full,
        (R::Prefecture, Epidemiology | Followup) => Coded,

        (R::ConsultationCentre, Identity | Contact | Clinical | Epidemiology | Administrative) => Full,
        (R::ConsultationCentre, Followup) => Hidden,

        (R::LodgingFacility, Identity | Contact | Followup | Administrative) => Full,
        (R::LodgingFacility, Clinical) => Coded,
        (R::LodgingFacility, Epidemiology) => Hidden,

        (R::Contractor, Identity | Contact | Followup) => Full,
        (R::Contractor, Clinical) => Coded,
        (R::Contractor, Epidemiology | Administrative) => Hidden,

        // In an emergency: who the person is and how they are. Nothing may be written.
        (R::Emergency, Identity | Contact | Clinical | Followup | Administrative) => Full,
        (R::Emergency, Epidemiology) => Hidden,

        (R::Patient | R::Proxy, Identity | Contact | Followup) => Full,
        (R::Patient | R::Proxy, Clinical) => Coded,
        (R::Patient | R::Proxy, Epidemiology | Administrative) => Hidden,
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{ContractScope, OrganisationKind as Kind, Rights, Role},
        options::{Group, Permission as P},
        registry::Relation,
    };

    use super::{Duty, Sight, sight, writes};

    fn allows(permission: P, role: Role, kind: Kind, rights: Rights) -> bool {
        super::allows(permission, Duty { role, kind, rights, entrusted: &[] })
    }

    #[test]
    fn an_administrator_sees_no_patients() {
        for kind in [Kind::Ministry, Kind::Prefecture, Kind::City, Kind::HealthCentre, Kind::Clinic, Kind::Hospital] {
            for permission in [P::CaseRead, P::NotificationRead, P::NotificationFile, P::CaseRegister, P::InboxWork] {
                assert!(!allows(permission, Role::Administrator, kind, Rights::Entry), "{permission:?} {kind:?}");
            }
        }
    }

    #[test]
    fn the_nation_sees_statistics_and_no_persons() {
        for role in
            [Role::Analyst, Role::Administrator, Role::Operator, Role::Clerk, Role::Physician, Role::Coordinator]
        {
            for permission in [P::CaseRead, P::NotificationRead, P::FollowupWork, P::TaskWork] {
                assert!(!allows(permission, role, Kind::Ministry, Rights::Entry), "{permission:?} {role:?}");
            }
        }
        assert!(allows(P::StatisticsRead, Role::Analyst, Kind::Ministry, Rights::Entry));
    }

    #[test]
    fn without_rights_an_institution_can_do_nothing_and_with_view_only_read() {
        assert!(!allows(P::NotificationFile, Role::Physician, Kind::Clinic, Rights::None));
        assert!(!allows(P::CaseRead, Role::Physician, Kind::Clinic, Rights::None));
        assert!(!allows(P::NotificationFile, Role::Physician, Kind::Clinic, Rights::View));
        assert!(allows(P::CaseRead, Role::Physician, Kind::Clinic, Rights::View));
        assert!(allows(P::NotificationFile, Role::Physician, Kind::Clinic, Rights::Entry));
    }

    #[test]
    fn nobody_holds_an_internal_permission() {
        for role in (1..=15).filter_map(|n| Role::try_from(n).ok()) {
            assert!(!allows(P::Internal, role, Kind::Ministry, Rights::Entry));
        }
    }

    #[test]
    fn a_contractor_sees_severity_but_no_free_text() {
        assert_eq!(sight(Relation::Contractor, Group::Clinical), Sight::Coded);
        assert_eq!(sight(Relation::Contractor, Group::Epidemiology), Sight::Hidden);
        assert_eq!(sight(Relation::Unspecified, Group::Identity), Sight::Hidden);
    }

    #[test]
    fn an_association_holds_nothing_without_a_contract_that_names_it() {
        let duty =
            |entrusted| Duty { role: Role::Nurse, kind: Kind::MedicalAssociation, rights: Rights::Entry, entrusted };
        for permission in [P::CaseRead, P::FollowupWork, P::HealthReport, P::CaseRegister, P::NotificationFile] {
            assert!(!super::allows(permission, duty(&[])), "{permission:?}");
        }
        assert!(super::allows(P::FollowupWork, duty(&[ContractScope::Followup])));
        assert!(super::allows(P::TaskWork, duty(&[ContractScope::Followup])) && !super::allows(P::TaskWork, duty(&[])));
        assert!(!super::allows(P::NotificationFile, duty(&[ContractScope::Followup])));
        assert!(super::allows(P::NotificationFile, duty(&[ContractScope::Testing])));
    }

    #[test]
    fn beds_are_reported_by_facilities_and_by_those_whom_they_tell() {
        for (role, kind, reports) in [
            (Role::Nurse, Kind::Hospital, true),
            (Role::LodgingOfficer, Kind::LodgingFacility, true),
            (Role::Nurse, Kind::HealthCentre, true),
            (Role::MigrationAssistant, Kind::City, true),
            (Role::Coordinator, Kind::Prefecture, true),
            (Role::Nurse, Kind::Clinic, false),
            (Role::Analyst, Kind::HealthCentre, false),
            (Role::Administrator, Kind::Prefecture, false),
            (Role::Nurse, Kind::Ministry, false),
        ] {
            assert_eq!(allows(P::BedsReport, role, kind, Rights::Entry), reports, "{role:?} {kind:?}");
        }
        assert!(!allows(P::BedsReport, Role::Nurse, Kind::HealthCentre, Rights::View));
    }

    #[test]
    fn another_system_never_issues_ids_or_reads_the_trail() {
        for kind in (1..=13).filter_map(|n| Kind::try_from(n).ok()) {
            for permission in [P::UserIssue, P::OrganisationManage, P::Operate, P::AuditRead, P::ContractManage] {
                assert!(!allows(permission, Role::System, kind, Rights::Entry), "{permission:?} {kind:?}");
            }
        }
        assert!(allows(P::CaseRegister, Role::System, Kind::Hospital, Rights::Entry));
    }

    #[test]
    fn nobody_writes_what_stays_hidden() {
        for relation in (1..=15).filter_map(|n| Relation::try_from(n).ok()) {
            for group in (2..=7).filter_map(|n| Group::try_from(n).ok()) {
                let blind = sight(relation, group) == Sight::Hidden && writes(relation, group);
                assert!(!blind, "{relation:?} {group:?}");
            }
        }
    }
}
