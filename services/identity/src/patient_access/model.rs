//! Who manages a person's access.

use proto::registry::Relation;

/// Those who work on the case, and the patient.
pub(super) fn manages(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::ReceivingCentre
            | Relation::ResponsibleCentre
            | Relation::Reporter
            | Relation::ConsultationCentre
            | Relation::TreatingInstitution
            | Relation::AttendingInstitution
            | Relation::Patient
    )
}
