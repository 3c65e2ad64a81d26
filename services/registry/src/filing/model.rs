//! What a filing says, and what it makes of a case.

use access::{CaseId, OrganisationId};
use proto::{
    notification::{Form, Subject},
    registry::{AgeBand, DiagnosisClass, Outcome, Person, Relation, Sex},
};
use time::Date;

use crate::case::{Case, Grant};

data::id!(
    /// A filed notification.
    NotificationId,
    "notification"
);

/// A filed notification with its form.
pub(crate) struct Filing {
    pub notification_id: NotificationId,
    pub reporter: OrganisationId,
    pub centre: OrganisationId,
    /// The case that the filer named.
    pub case_id: Option<CaseId>,
    /// The trace of the filing, carried on by what the registry announces.
    pub traceparent: String,
    pub form: Form,
    pub person: Person,
    /// The blind index of the person.
    pub index: Option<Vec<u8>>,
}

/// What a filed notification says about a case. Items are those of form 6-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notified {
    /// Item 1.
    pub diagnosis_class: DiagnosisClass,
    /// 報告年月日.
    pub report_date: Date,
    /// Item 16.
    pub onset_date: Option<Date>,
    /// Item 14.
    pub diagnosis_date: Option<Date>,
    /// Item 17.
    pub died_on: Option<Date>,
    /// Item 3.
    pub sex: Sex,
    /// Item 5.
    pub age_band: AgeBand,
    /// Whose inbox it reached.
    pub receiving_centre: OrganisationId,
    /// That centre's prefecture.
    pub prefecture: u8,
}

impl Case {
    /// Takes a notification into account. The first report stays the day of the report; a later confirmation raises the class.
    pub(crate) fn take_notification(&mut self, notified: &Notified) {
        let raises = rank(notified.diagnosis_class) > rank(self.diagnosis_class);
        if raises || self.report_date.is_none() {
            // A case is counted on the day it was first reported as what it is now.
            self.report_date = Some(notified.report_date);
            self.diagnosis_class = notified.diagnosis_class;
        }
        self.onset_date = notified.onset_date.or(self.onset_date);
        self.diagnosis_date = notified.diagnosis_date.or(self.diagnosis_date);
        if notified.sex != Sex::Unspecified {
            self.sex = notified.sex;
        }
        if notified.age_band != AgeBand::Unspecified {
            self.age_band = notified.age_band;
        }
        if let Some(died_on) = notified.died_on {
            self.outcome = Outcome::Died;
            self.outcome_date = Some(died_on);
        }
        // Centre and prefecture of the count go together, and stay where the case was first received.
        if self.receiving_centre.is_none() {
            self.receiving_centre = Some(notified.receiving_centre);
            self.prefecture = notified.prefecture;
        }
        self.responsible_centre = Some(notified.receiving_centre);
    }

    /// The notification goes on to another centre, which is responsible from here on.
    ///
    /// Counted where it belongs: the centre that was wrongly addressed never was its receiving centre. One that received another
    /// notification of the case before stays.
    pub(crate) fn forward(&mut self, from: OrganisationId, (to, prefecture): (OrganisationId, u8)) {
        self.responsible_centre = Some(to);
        if self.receiving_centre == Some(from) {
            self.receiving_centre = Some(to);
            self.prefecture = prefecture;
        }
    }
}

/// What forwarding does to the relations.
pub(crate) fn forwarded(case: &Case, held: &[Grant], from: OrganisationId, to: OrganisationId) -> Vec<Grant> {
    let mut grants = vec![
        Grant::ended(case, from, Relation::ReceivingCentre),
        Grant::begun(case, from, Relation::FormerCentre),
        Grant::begun(case, to, Relation::ReceivingCentre),
        Grant::begun(case, to, Relation::ResponsibleCentre),
    ];
    let responsible =
        held.iter().any(|grant| grant.organisation_id == from && grant.relation == Relation::ResponsibleCentre);
    if responsible {
        grants.push(Grant::ended(case, from, Relation::ResponsibleCentre));
    }
    grants
}

/// The person as the form knows it.
pub(crate) fn person_of(subject: Subject) -> Person {
    Person {
        name_kanji: subject.name_kanji,
        name_kana: subject.name_kana,
        birth_date: subject.birth_date,
        sex: subject.sex,
        address: if subject.address.is_empty() { subject.whereabouts } else { subject.address },
        phone: subject.phone,
        mail: subject.mail,
        municipality_code: subject.whereabouts_code,
        stated_age_band: subject.stated_age_band,
    }
}

/// How much a class says: a suspicion gives way to a finding.
fn rank(class: DiagnosisClass) -> u8 {
    match class {
        DiagnosisClass::Unspecified => 0,
        DiagnosisClass::Suspected => 1,
        DiagnosisClass::SuspectedDeceased => 2,
        DiagnosisClass::AsymptomaticCarrier => 3,
        DiagnosisClass::Confirmed => 4,
        DiagnosisClass::Deceased => 5,
    }
}

#[cfg(test)]
mod tests {
    use access::{CaseId, OrganisationId};
    use proto::registry::{AgeBand, DiagnosisClass, Sex};
    use time::{OffsetDateTime, macros::date};

    use super::{Case, Notified};
    use crate::{access_id::Access, person::PersonId};

    fn case() -> Case {
        let access = Access { sealed: Vec::new(), hash: Vec::new() };
        Case::opened(CaseId::new(), PersonId::new(), access, OffsetDateTime::UNIX_EPOCH)
    }

    fn notified(class: DiagnosisClass, day: u8) -> Notified {
        Notified {
            diagnosis_class: class,
            report_date: time::Date::from_calendar_date(2020, time::Month::May, day).unwrap(),
            onset_date: None,
            diagnosis_date: None,
            died_on: None,
            sex: Sex::Female,
            age_band: AgeBand::AgeBand40s,
            receiving_centre: OrganisationId::new(),
            prefecture: 27,
        }
    }

    #[test]
    fn a_confirmation_counts_on_its_own_day_and_a_second_one_changes_nothing() {
        let mut case = case();
        case.take_notification(&notified(DiagnosisClass::Suspected, 2));
        case.take_notification(&notified(DiagnosisClass::Confirmed, 4));
        case.take_notification(&notified(DiagnosisClass::Confirmed, 9));
        case.take_notification(&notified(DiagnosisClass::Suspected, 9));
        assert_eq!((case.report_date, case.diagnosis_class), (Some(date!(2020 - 05 - 04)), DiagnosisClass::Confirmed));
    }

    #[test]
    fn the_receiving_centre_stays_who_received_it_first() {
        let (mut case, first, second) =
            (case(), notified(DiagnosisClass::Confirmed, 1), notified(DiagnosisClass::Confirmed, 2));
        let second = Notified { prefecture: 13, ..second };
        case.take_notification(&first);
        case.take_notification(&second);
        assert_eq!(case.prefecture, 27);
        assert_eq!(case.receiving_centre, Some(first.receiving_centre));
        assert_eq!(case.responsible_centre, Some(second.receiving_centre));
    }
}
