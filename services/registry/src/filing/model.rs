//! What a filing says, and what it makes of a case.

use access::{CaseId, OrganisationId};
use proto::{
    identity::OrganisationKind as Kind,
    notification::{Form, Subject},
    registry::{AgeBand, DiagnosisClass, Outcome, Person, Relation, Sex},
};
use time::Date;

use crate::case::{self, Case, Grant};

data::id!(
    /// A filed notification.
    NotificationId,
    "notification"
);

data::id!(
    /// That somebody should look whether a notification belongs to its case.
    CheckId,
    "check"
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
        // Responsibility changes hands by a hand-over only: whoever files once more gives it to nobody.
        self.responsible_centre = self.responsible_centre.or(Some(notified.receiving_centre));
    }

    /// The notification goes on to another centre. With it goes the responsibility, if it was with the centre that forwards.
    ///
    /// Counted where it belongs: the centre that was wrongly addressed never was its receiving centre. One that received another
    /// notification of the case before stays.
    pub(crate) fn forward(&mut self, from: OrganisationId, (to, prefecture): (OrganisationId, u8)) {
        if self.responsible_centre.is_none_or(|responsible| responsible == from) {
            self.responsible_centre = Some(to);
        }
        if self.receiving_centre == Some(from) {
            self.receiving_centre = Some(to);
            self.prefecture = prefecture;
        }
    }
}

/// The relations that let an organisation file into a case by naming it. Whoever looks on, for three hours or as a former centre,
/// does not.
pub(super) fn may_name_it(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::Reporter
            | Relation::ReceivingCentre
            | Relation::ResponsibleCentre
            | Relation::ConsultationCentre
            | Relation::TreatingInstitution
    )
}

/// The relations of the centre that a notification reaches. Where another one is responsible, it reads along.
pub(super) fn reached(case: &Case, centre: OrganisationId) -> Vec<Grant> {
    if case.responsible_centre == Some(centre) {
        vec![
            Grant::begun(case, centre, Relation::ReceivingCentre),
            Grant::begun(case, centre, Relation::ResponsibleCentre),
        ]
    } else {
        vec![Grant::begun(case, centre, Relation::NotifiedCentre)]
    }
}

/// The relation of whoever files. A centre that is not responsible reported the case like anybody else, and one that handed it over
/// reads on: filing again gives nothing back.
pub(super) fn filed_by(case: &Case, held: &[Grant], reporter: OrganisationId, kind: Kind) -> Grant {
    let relation = case::relation_of_filer(kind);
    let handed_over = |grant: &Grant| {
        grant.organisation_id == reporter && grant.relation == Relation::FormerCentre && grant.until.is_none()
    };
    let relation = match relation {
        Relation::ResponsibleCentre if case.responsible_centre == Some(reporter) => relation,
        Relation::ResponsibleCentre if held.iter().any(handed_over) => Relation::NotifiedCentre,
        Relation::ResponsibleCentre => Relation::Reporter,
        other => other,
    };
    Grant::begun(case, reporter, relation)
}

/// What forwarding does to the relations.
pub(crate) fn forwarded(case: &Case, held: &[Grant], from: OrganisationId, to: OrganisationId) -> Vec<Grant> {
    let of_centre = |relation| {
        matches!(relation, Relation::ReceivingCentre | Relation::ResponsibleCentre | Relation::NotifiedCentre)
    };
    let until_now =
        held.iter().filter(|grant| grant.organisation_id == from && grant.until.is_none() && of_centre(grant.relation));
    let mut grants: Vec<Grant> = until_now.map(|grant| Grant::ended(case, from, grant.relation)).collect();
    if !grants.is_empty() {
        grants.push(Grant::begun(case, from, Relation::FormerCentre));
    }
    grants.extend(reached(case, to));
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
        assert_eq!(case.responsible_centre, Some(first.receiving_centre), "until it is handed over");
    }
}
