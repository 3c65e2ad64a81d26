//! A case and its versions.

use access::{CaseId, OrganisationId, cases::Known};
use japan::age;
use proto::{
    identity::OrganisationKind as Kind,
    registry::{AgeBand, CaseChanged, CaseRole, Grant, Outcome, Placement, Relation},
};
use time::{Date, OffsetDateTime};

use crate::{access_id::Access, course::Course, fact::Fact, person::PersonId};

/// An episode: its coded facts and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub id: CaseId,
    pub person_id: PersonId,
    /// From 1; every change adds one.
    pub version: i64,
    /// The patient access ID.
    pub access: Access,
    /// As what the person was registered. What became of a contact, [`role`](Self::role) says.
    pub registered_as: CaseRole,
    /// An open case that seems to be of the same person; of one that was joined, the case it was joined into.
    pub same_person: Option<CaseId>,
    /// 再感染: the episode of the same person before this one.
    pub previous: Option<CaseId>,
    /// What its facts say together.
    pub course: Course,
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
            registered_as: CaseRole::Patient,
            same_person: None,
            previous: None,
            course: Course::default(),
            responsible_centre: None,
            prefecture: 0,
            referred_to: None,
            created_at: now,
            updated_at: now,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.course.outcome == Outcome::Unspecified
    }

    /// Why the person is in the registry. A contact who turns out to be infected is a patient from then on.
    pub(crate) fn role(&self) -> CaseRole {
        match self.registered_as {
            CaseRole::CloseContact if self.course.is_positive() => CaseRole::Patient,
            role => role,
        }
    }

    /// The case that this one was joined into.
    pub(crate) fn joined_into(&self) -> Option<CaseId> {
        self.same_person.filter(|_| self.course.outcome == Outcome::EnteredInError)
    }

    /// 届出を受理した保健所.
    pub(crate) fn receiving_centre(&self) -> Option<OrganisationId> {
        self.course.received.map(|(centre, _)| centre)
    }

    /// Brings the case to what its facts say, whatever order they are in.
    pub(crate) fn derive(&mut self, facts: &[Fact]) {
        self.course = Course::of(facts);
        // Counted where the report that counts was received; before the first one, where the person is.
        if let Some((_, prefecture)) = self.course.received {
            self.prefecture = prefecture;
        }
    }

    /// What the relations of a caller depend on.
    pub(crate) fn known(&self) -> Known {
        Known { id: self.id, is_resident: self.course.placement == Placement::Lodging, is_open: self.is_open() }
    }

    /// A newer version, changed now.
    pub(crate) fn step(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
    }

    /// The event that tells this version.
    pub(crate) fn changed(&self, grants: Vec<Grant>, notification_ids: Vec<String>) -> CaseChanged {
        let day = |date: Option<Date>| data::text(date);
        let course = &self.course;
        let negatives = [course.negative_on, course.negative_before_on];
        CaseChanged {
            case_id: self.id.to_string(),
            version: self.version,
            prefecture: i32::from(self.prefecture),
            centre_id: data::text(self.receiving_centre().or(self.responsible_centre)),
            responsible_centre_id: data::text(self.responsible_centre),
            role: self.role().into(),
            last_contact_date: day(course.last_contact_on),
            sex: course.sex.into(),
            age_band: course.age_band.into(),
            diagnosis_class: course.diagnosis_class.into(),
            report_date: day(course.report_date),
            onset_date: day(course.onset_date),
            test_date: day(course.test_date),
            test_result: course.test_result.into(),
            test_count: course.test_count,
            negative_test_dates: negatives.into_iter().flatten().map(|day| day.to_string()).collect(),
            severity: course.severity.into(),
            icu: course.icu,
            ventilator: course.ventilator,
            ecmo: course.ecmo,
            was_ventilated: course.ventilated,
            admission_necessity: course.admission_necessity.into(),
            placement: course.placement.into(),
            placement_since_date: day(course.placement_since),
            facility_id: data::text(course.facility_id),
            outcome: course.outcome.into(),
            outcome_date: day(course.outcome_date),
            grants,
            notification_ids,
            referred_to_id: data::text(self.referred_to),
        }
    }
}

/// The age band on a day: from the birth date where it is known, else the stated one.
pub(crate) fn age_band(stated: AgeBand, born: Option<Date>, on: Date) -> AgeBand {
    match born.and_then(|born| age::on(on, born)) {
        None if stated == AgeBand::Unspecified => AgeBand::Unknown,
        None => stated,
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
    fn a_birth_date_says_more_than_a_band_and_the_unknown_stays_unknown() {
        let (on, born) = (date!(2020 - 05 - 13), Some(date!(1980 - 05 - 14)));
        assert_eq!(age_band(AgeBand::Unspecified, born, on), AgeBand::AgeBand30s);
        assert_eq!(age_band(AgeBand::Unknown, born, on), AgeBand::AgeBand30s);
        assert_eq!(age_band(AgeBand::Preschool, None, on), AgeBand::Preschool);
        assert_eq!(age_band(AgeBand::Unspecified, None, on), AgeBand::Unknown);
    }
}
