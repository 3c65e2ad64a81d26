//! Facts of cases and of capacity, the area a caller may see, the moment asked for.

use access::{Caller, CaseId, OrganisationId};
use data::NoSuch;
use japan::date;
use proto::{
    Timestamp,
    beds::{Capability, CapacityReported},
    identity::OrganisationKind as Kind,
    registry::{AdmissionNecessity, AgeBand, CaseChanged, DiagnosisClass, Outcome, Placement, Sex},
};
use runtime::{
    clock,
    problem::{Violation, Why, why},
};
use time::{Date, OffsetDateTime};

/// The classes that count as positive (陽性者).
pub(crate) const POSITIVE: [DiagnosisClass; 3] =
    [DiagnosisClass::Confirmed, DiagnosisClass::AsymptomaticCarrier, DiagnosisClass::Deceased];

/// A version of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaseFact {
    pub case_id: CaseId,
    pub version: i64,
    pub recorded_from: OffsetDateTime,
    pub prefecture: u8,
    pub centre_id: Option<OrganisationId>,
    pub responsible_centre: Option<OrganisationId>,
    /// Where the person is cared for: the prefecture of the responsible centre.
    pub care_prefecture: u8,
    pub sex: Sex,
    pub age_band: AgeBand,
    pub diagnosis_class: DiagnosisClass,
    pub report_date: Option<Date>,
    pub onset_date: Option<Date>,
    pub test_date: Option<Date>,
    pub test_count: i32,
    pub outcome: Outcome,
    pub placement: Placement,
    pub icu: bool,
    pub ventilator: bool,
    pub ecmo: bool,
    pub admission_necessity: AdmissionNecessity,
}

/// A version of what a facility declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapacityFact {
    pub facility_id: OrganisationId,
    pub capability: Capability,
    pub version: i64,
    pub recorded_from: OffsetDateTime,
    pub prefecture: u8,
    pub secured: i32,
    pub ready: i32,
}

/// Why an event holds no fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

impl From<NoSuch> for Malformed {
    fn from(_: NoSuch) -> Self {
        Self("carries a malformed id")
    }
}

impl CaseFact {
    /// What an event of the registry tells. `prefecture_of` knows where a centre is.
    pub(crate) fn read(
        changed: &CaseChanged,
        recorded_from: OffsetDateTime,
        prefecture_of: impl FnOnce(OrganisationId) -> Option<u8>,
    ) -> Result<Self, Malformed> {
        let prefecture = prefecture(changed.prefecture)?;
        let responsible_centre = OrganisationId::optional(&changed.responsible_centre_id)?;
        Ok(Self {
            case_id: CaseId::parse(&changed.case_id)?,
            version: changed.version,
            recorded_from,
            prefecture,
            centre_id: OrganisationId::optional(&changed.centre_id)?,
            responsible_centre,
            care_prefecture: responsible_centre.and_then(prefecture_of).unwrap_or(prefecture),
            sex: known(changed.sex)?,
            age_band: known(changed.age_band)?,
            diagnosis_class: known(changed.diagnosis_class)?,
            report_date: day(&changed.report_date)?,
            onset_date: day(&changed.onset_date)?,
            test_date: day(&changed.test_date)?,
            test_count: changed.test_count,
            outcome: known(changed.outcome)?,
            placement: known(changed.placement)?,
            icu: changed.icu,
            ventilator: changed.ventilator,
            ecmo: changed.ecmo,
            admission_necessity: known(changed.admission_necessity)?,
        })
    }
}

impl CapacityFact {
    /// What an event of beds tells.
    pub(crate) fn read(reported: &CapacityReported, recorded_from: OffsetDateTime) -> Result<Self, Malformed> {
        Ok(Self {
            facility_id: OrganisationId::parse(&reported.facility_id)?,
            capability: known(reported.capability)?,
            version: reported.version,
            recorded_from,
            prefecture: prefecture(reported.prefecture)?,
            secured: reported.secured,
            ready: reported.ready,
        })
    }
}

/// A code that a newer service wrote must not be counted as "not stated", which for an outcome means "still ill": the event is set
/// aside, and replayed after the upgrade.
fn known<E: TryFrom<i32>>(number: i32) -> Result<E, Malformed> {
    E::try_from(number).map_err(|_| Malformed("carries a code that this version does not know"))
}

fn prefecture(number: i32) -> Result<u8, Malformed> {
    u8::try_from(number).map_err(|_| Malformed("carries an impossible prefecture"))
}

fn day(text: &str) -> Result<Option<Date>, Malformed> {
    if text.is_empty() {
        return Ok(None);
    }
    date::parse(text).map(Some).map_err(|_| Malformed("carries an impossible date"))
}

/// The area a caller may see in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    Nation,
    Prefecture(u8),
    Centre(OrganisationId),
}

impl Area {
    /// The nation sees all, a prefecture and whoever is in it the prefecture, a centre its own.
    pub(crate) fn of(caller: &Caller) -> Result<Self, Why> {
        match caller.kind {
            Kind::Ministry => Ok(Self::Nation),
            Kind::InformationCentre if caller.prefecture == 0 => Ok(Self::Nation),
            Kind::HealthCentre => Ok(Self::Centre(caller.organisation_id)),
            _ if caller.prefecture != 0 => Ok(Self::Prefecture(caller.prefecture)),
            _ => {
                Err(why("NO_AREA", "統計の閲覧範囲がありません。", "Your organisation has no area in the statistics."))
            }
        }
    }

    /// Whether the caller's organisation has jurisdiction over the people of its area: by the Infectious Diseases Control Law (感染症法)
    /// the centre, the city, the prefecture, and the ministry for the nation. Everybody else only lives or works there.
    pub(crate) fn is_own(caller: &Caller) -> bool {
        matches!(caller.kind, Kind::HealthCentre | Kind::City | Kind::Prefecture | Kind::Ministry)
    }

    pub(crate) fn prefecture(self) -> Option<u8> {
        if let Self::Prefecture(own) = self { Some(own) } else { None }
    }

    pub(crate) fn centre(self) -> Option<OrganisationId> {
        if let Self::Centre(own) = self { Some(own) } else { None }
    }
}

/// The moment a request asks for, `None` for now.
pub(crate) fn as_of(asked: Option<&Timestamp>) -> Result<Option<OffsetDateTime>, Violation> {
    // The range of a protobuf timestamp, well within that of PostgreSQL.
    let read = |asked| clock::from_proto(asked).filter(|moment| moment.year() >= 1);
    asked
        .map(|asked| {
            read(asked).ok_or_else(|| {
                Violation::new("as_of_time", "日時が正しくありません", "must be between the years 1 and 9999")
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use proto::Timestamp;
    use time::macros::datetime;

    use super::as_of;

    #[test]
    fn a_moment_is_one_that_exists_or_is_absent() {
        let read = |seconds| as_of(Some(&Timestamp { seconds, nanos: 0 })).map_err(|violation| violation.field);
        assert_eq!(as_of(None).ok(), Some(None));
        assert_eq!(read(0), Ok(Some(datetime!(1970-01-01 0:00 UTC))));
        for outside in [i64::MAX, i64::MIN, -62_135_596_801] {
            assert_eq!(read(outside), Err("as_of_time".to_owned()), "{outside}");
        }
        assert!(as_of(Some(&Timestamp { seconds: 0, nanos: -1 })).is_err());
    }
}
