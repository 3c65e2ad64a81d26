//! The policy: which role holds which permission, and which relation shows which field groups.
//!
//! Written to be read by a health centre's lawyer. Two tables, nothing hidden: what is not listed is refused. The tables
//! are the ceiling of `docs/security/access.md`.

use proto::{
    identity::{OrganisationKind as Kind, Rights, Role},
    options::{Group, Permission as P},
    registry::Relation,
};

/// Whether a role, in an organisation of a kind with these rights, holds a permission.
pub fn allows(permission: P, role: Role, kind: Kind, rights: Rights) -> bool {
    let reads_only = matches!(
        permission,
        P::CaseRead | P::NotificationRead | P::StatisticsRead | P::DirectoryRead | P::BedsRead | P::SignedIn
    );
    let organisation_may = match rights {
        Rights::Entry => true,
        Rights::View => reads_only,
        Rights::None | Rights::Unspecified => permission == P::SignedIn,
    };
    match permission {
        P::Public => true,
        P::Unspecified | P::Internal => false,
        _ if role == Role::Patient => matches!(permission, P::SignedIn | P::HealthReport | P::CaseRead),
        _ => organisation_may && held_by(permission, role, kind),
    }
}

#[expect(clippy::match_same_arms, reason = "one line per permission, as a lawyer reads it")]
fn held_by(permission: P, role: Role, kind: Kind) -> bool {
    use Role::{
        Administrator, Analyst, Auditor, Clerk, ConsultationOperator, Coordinator, LodgingOfficer, MigrationAssistant,
        Nurse, Operator, Physician,
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
        // A test site or a centre registers; a consultation centre registers what it refers.
        P::CaseRegister => {
            (handles_patients && (institution || centre))
                || (role == ConsultationOperator && kind == Kind::ConsultationCentre)
        }
        P::CaseRecord => handles_patients && (institution || centre),
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
                || (handles_patients && kind == Kind::MedicalAssociation)
        }
        // What no centre could be found for lies in the prefecture's inbox and is worked there.
        P::InboxWork => (handles_patients && centre) || (role == Coordinator && kind == Kind::Prefecture),
        P::StatisticsRead => {
            matches!(role, Analyst | Coordinator)
                || (handles_patients && centre)
                || (role == Administrator && matches!(kind, Kind::Ministry | Kind::Prefecture))
        }
        P::Operate => matches!(role, Operator | Auditor) && kind == Kind::Ministry,
        P::HealthReport => handles_patients || role == LodgingOfficer,
        P::FollowupWork => (handles_patients && (centre || kind == Kind::MedicalAssociation)) || role == LodgingOfficer,
        P::BedsReport => {
            (handles_patients && kind == Kind::Hospital) || (role == LodgingOfficer && kind == Kind::LodgingFacility)
        }
        // Where there is room, and one's own admissions: who asks, who coordinates, who takes in.
        P::BedsRead => {
            (handles_patients && (centre || kind == Kind::Hospital))
                || (role == Coordinator && kind == Kind::Prefecture)
                || (role == LodgingOfficer && matches!(kind, Kind::Prefecture | Kind::LodgingFacility))
        }
        P::AdmissionCoordinate => (role == Coordinator && kind == Kind::Prefecture) || (handles_patients && centre),
        P::Unspecified | P::Public | P::Internal => false,
    }
}

/// How much of a field group is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Nothing.
    Hidden,
    /// Codes, numbers and dates; no free text.
    Coded,
    /// Everything.
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

        (R::ReceivingCentre | R::ResponsibleCentre | R::IncomingCentre | R::FormerCentre | R::ResidenceCentre, _) => {
            Full
        }
        // Who reported follows the course in codes; what the person writes to the centre is not for it.
        (R::Reporter, Followup) => Coded,
        (R::Reporter, _) => Full,

        (R::TreatingInstitution, Identity | Contact | Clinical | Followup | Administrative) => Full,
        (R::TreatingInstitution, Epidemiology) => Hidden,

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

        (R::Patient | R::Proxy, Identity | Contact | Followup) => Full,
        (R::Patient | R::Proxy, Clinical) => Coded,
        (R::Patient | R::Proxy, Epidemiology | Administrative) => Hidden,
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind as Kind, Rights, Role},
        options::{Group, Permission as P},
        registry::Relation,
    };

    use super::{Sight, allows, sight};

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
            for permission in [P::CaseRead, P::NotificationRead, P::FollowupWork] {
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
        for role in (1..=12).filter_map(|n| Role::try_from(n).ok()) {
            assert!(!allows(P::Internal, role, Kind::Ministry, Rights::Entry));
        }
    }

    #[test]
    fn a_contractor_sees_severity_but_no_free_text() {
        assert_eq!(sight(Relation::Contractor, Group::Clinical), Sight::Coded);
        assert_eq!(sight(Relation::Contractor, Group::Epidemiology), Sight::Hidden);
        assert_eq!(sight(Relation::Unspecified, Group::Identity), Sight::Hidden);
    }
}
