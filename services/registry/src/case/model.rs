//! A case and its versions.

use access::{CaseId, OrganisationId, cases::Known};
use japan::age;
use proto::{
    identity::OrganisationKind as Kind,
    registry::{
        AdmissionNecessity, AgeBand, CaseChanged, CaseRole, DiagnosisClass, Grant, Outcome, Placement, Relation,
        Severity, Sex, TestResult,
    },
};
use time::{Date, OffsetDateTime};

use crate::{access_id::Access, person::PersonId};

/// An episode: its coded facts and its version.
#[expect(clippy::struct_excessive_bools, reason = "the yes and no of the ward's own form")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub id: CaseId,
    pub person_id: PersonId,
    /// From 1; every change adds one.
    pub version: i64,
    /// The patient access ID.
    pub access: Access,
    /// Why the person is in the registry.
    pub role: CaseRole,
    /// 濃厚接触者: the case the person was in contact with.
    pub index_case_id: Option<CaseId>,
    /// 最終接触日.
    pub last_contact_on: Option<Date>,
    pub sex: Sex,
    /// Age band at diagnosis.
    pub age_band: AgeBand,
    /// Unspecified until notified.
    pub diagnosis_class: DiagnosisClass,
    /// 報告年月日.
    pub report_date: Option<Date>,
    /// 発病年月日.
    pub onset_date: Option<Date>,
    /// 診断年月日.
    pub diagnosis_date: Option<Date>,
    /// The first positive sampling day, else the first.
    pub test_date: Option<Date>,
    /// The latest result.
    pub test_result: TestResult,
    pub test_count: i32,
    /// The latest negative sample since the last other result.
    pub negative_on: Option<Date>,
    /// The one before it, on an earlier day or the same.
    pub negative_before_on: Option<Date>,
    /// 重症度, latest.
    pub severity: Severity,
    pub icu: bool,
    pub ventilator: bool,
    pub ecmo: bool,
    /// Was on a ventilator or on ECMO at any time.
    pub ventilated: bool,
    /// 入院の要否.
    pub admission_necessity: AdmissionNecessity,
    /// Where the person is cared for.
    pub placement: Placement,
    pub placement_since: Option<Date>,
    /// The hospital or lodging.
    pub facility_id: Option<OrganisationId>,
    /// How the episode ended; unspecified while it goes on.
    pub outcome: Outcome,
    pub outcome_date: Option<Date>,
    /// 届出を受理した保健所.
    pub receiving_centre: Option<OrganisationId>,
    /// 所在地を管轄する保健所.
    pub responsible_centre: Option<OrganisationId>,
    /// The prefecture of the centre.
    pub prefecture: u8,
    /// The institution the person was referred to.
    pub referred_to: Option<OrganisationId>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl Case {
    /// An episode about which nothing is known yet. Its first [`step`](Self::step) makes it version 1.
    pub(crate) fn opened(id: CaseId, person_id: PersonId, access: Access, now: OffsetDateTime) -> Self {
        Self {
            id,
            person_id,
            version: 0,
            access,
            role: CaseRole::Patient,
            index_case_id: None,
            last_contact_on: None,
            sex: Sex::Unspecified,
            age_band: AgeBand::Unspecified,
            diagnosis_class: DiagnosisClass::Unspecified,
            report_date: None,
            onset_date: None,
            diagnosis_date: None,
            test_date: None,
            test_result: TestResult::Unspecified,
            test_count: 0,
            negative_on: None,
            negative_before_on: None,
            severity: Severity::Unspecified,
            icu: false,
            ventilator: false,
            ecmo: false,
            ventilated: false,
            admission_necessity: AdmissionNecessity::Unspecified,
            placement: Placement::Unspecified,
            placement_since: None,
            facility_id: None,
            outcome: Outcome::Unspecified,
            outcome_date: None,
            receiving_centre: None,
            responsible_centre: None,
            prefecture: 0,
            referred_to: None,
            created_at: now,
            updated_at: now,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.outcome == Outcome::Unspecified
    }

    /// What the relations of a caller depend on.
    pub(crate) fn known(&self) -> Known {
        Known { id: self.id, is_resident: self.placement == Placement::Lodging, is_open: self.is_open() }
    }

    /// A newer version, changed now.
    pub(crate) fn step(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
    }

    /// The event that tells this version.
    pub(crate) fn changed(&self, grants: Vec<Grant>) -> CaseChanged {
        let day = |date: Option<Date>| data::text(date);
        let negatives = [self.negative_on, self.negative_before_on];
        CaseChanged {
            case_id: self.id.to_string(),
            version: self.version,
            prefecture: i32::from(self.prefecture),
            centre_id: data::text(self.receiving_centre.or(self.responsible_centre)),
            responsible_centre_id: data::text(self.responsible_centre),
            role: self.role.into(),
            last_contact_date: day(self.last_contact_on),
            sex: self.sex.into(),
            age_band: self.age_band.into(),
            diagnosis_class: self.diagnosis_class.into(),
            report_date: day(self.report_date),
            onset_date: day(self.onset_date),
            test_date: day(self.test_date),
            test_result: self.test_result.into(),
            test_count: self.test_count,
            negative_test_dates: negatives.into_iter().flatten().map(|day| day.to_string()).collect(),
            severity: self.severity.into(),
            icu: self.icu,
            ventilator: self.ventilator,
            ecmo: self.ecmo,
            was_ventilated: self.ventilated,
            admission_necessity: self.admission_necessity.into(),
            placement: self.placement.into(),
            placement_since_date: day(self.placement_since),
            facility_id: data::text(self.facility_id),
            outcome: self.outcome.into(),
            outcome_date: day(self.outcome_date),
            grants,
        }
    }
}

/// The age band on a day: the stated one where a source gives no more, else from the birth date.
pub(crate) fn age_band(stated: AgeBand, born: Option<Date>, on: Date) -> AgeBand {
    if stated != AgeBand::Unspecified {
        return stated;
    }
    match born.and_then(|born| age::on(on, born)) {
        None => AgeBand::Unknown,
        Some(0..10) => AgeBand::Under10,
        Some(10..20) => AgeBand::AgeBand10s,
        Some(20..30) => AgeBand::AgeBand20s,
        Some(30..40) => AgeBand::AgeBand30s,
        Some(40..50) => AgeBand::AgeBand40s,
        Some(50..60) => AgeBand::AgeBand50s,
        Some(60..70) => AgeBand::AgeBand60s,
        Some(70..80) => AgeBand::AgeBand70s,
        Some(80..90) => AgeBand::AgeBand80s,
        Some(90..100) => AgeBand::AgeBand90s,
        Some(100..) => AgeBand::AgeBand100OrOver,
    }
}

/// The relation in which an organisation of a kind registers or files.
pub(crate) fn relation_of_filer(kind: Kind) -> Relation {
    match kind {
        Kind::HealthCentre | Kind::City => Relation::ResponsibleCentre,
        Kind::ConsultationCentre => Relation::ConsultationCentre,
        _ => Relation::Reporter,
    }
}

#[cfg(test)]
mod tests {
    use proto::registry::AgeBand;
    use time::macros::date;

    use super::age_band;

    #[test]
    fn a_stated_band_wins_and_the_unknown_stays_unknown() {
        let (on, born) = (date!(2020 - 05 - 13), Some(date!(1980 - 05 - 14)));
        assert_eq!(age_band(AgeBand::Unspecified, born, on), AgeBand::AgeBand30s);
        assert_eq!(age_band(AgeBand::Preschool, born, on), AgeBand::Preschool);
        assert_eq!(age_band(AgeBand::Unspecified, None, on), AgeBand::Unknown);
    }
}
