//! Contracts: who may entrust whom, and what must hold for the fields of one.

use access::OrganisationId;
use japan::date;
use proto::identity::{Contract, OrganisationKind as Kind};
use runtime::problem::Violation;

data::id!(
    /// A contract (委託).
    ContractId,
    "contract"
);

/// Who may entrust: a centre, a city or a prefecture.
pub(super) fn may_entrust(kind: Kind) -> bool {
    matches!(kind, Kind::HealthCentre | Kind::City | Kind::Prefecture)
}

/// Who may be entrusted: institutions, associations and facilities, and consultation centres.
pub(super) fn may_be_entrusted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Clinic
            | Kind::Hospital
            | Kind::Laboratory
            | Kind::MedicalAssociation
            | Kind::LodgingFacility
            | Kind::ConsultationCentre
    )
}

/// A new contract of a principal, its days as they are kept.
pub(super) fn new(principal: OrganisationId, given: &Contract) -> Result<Contract, Vec<Violation>> {
    if given.contractor_ids.is_empty() || given.scopes.is_empty() {
        let field = if given.scopes.is_empty() { "scopes" } else { "contractor_ids" };
        return Err(fault(field, "1件以上指定してください", "must name at least one"));
    }
    let day = |field: &str, value: &str| {
        date::parse(value).map_err(|why| fault(field, "日付が正しくありません（例: 2020-05-13）", why))
    };
    let (from, until) = (day("from_date", &given.from_date)?, day("until_date", &given.until_date)?);
    if until < from {
        return Err(fault("until_date", "開始日より前です", "must not be before the first day"));
    }
    Ok(Contract {
        contract_id: ContractId::new().to_string(),
        principal_id: principal.to_string(),
        from_date: from.to_string(),
        until_date: until.to_string(),
        ended: false,
        etag: "1".to_owned(),
        ..given.clone()
    })
}

/// A field of a contract that breaks a rule.
pub(super) fn fault(field: &str, ja: &str, en: impl std::fmt::Display) -> Vec<Violation> {
    vec![Violation::new(format!("contract.{field}"), ja, en)]
}
