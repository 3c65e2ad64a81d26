//! A filing, and what it does to responsibility and relations.

use access::{CaseId, OrganisationId};
use proto::{
    identity::OrganisationKind as Kind,
    notification::{Form, Subject},
    registry::{Authority, Person, Relation},
};
use time::OffsetDateTime;

use super::version::Version;
use crate::{
    case::{self, Case, Grant},
    fact,
    search::FormKeys,
};

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
    /// Which version of the form it is, and when that was filed.
    pub version: i32,
    pub filed_at: OffsetDateTime,
    /// The trace of the filing, carried on by what the registry announces.
    pub traceparent: String,
    pub form: Form,
    pub person: Person,
    /// The blind index of the person.
    pub index: Option<Vec<u8>>,
    /// By what the notification is found.
    pub keys: FormKeys,
}

impl Case {
    /// The notification goes on to another centre. With it goes the responsibility, if it was with the centre that forwards.
    pub(crate) fn forward(&mut self, from: OrganisationId, to: OrganisationId) {
        if self.responsible_centre.is_none_or(|responsible| responsible == from) {
            self.responsible_centre = Some(to);
        }
    }
}

impl Filing {
    /// With whose word it speaks about a case.
    pub(super) fn speaks(&self, case: &Case, held: &[Grant]) -> Version {
        Version {
            notification: self.notification_id,
            number: self.version,
            reporter: self.reporter,
            // A notification of the centre's own is a notification: what a centre says of the case, it records there.
            authority: word_of(case, held, self.reporter).min(Authority::TreatingInstitution),
            at: self.filed_at,
        }
    }
}

/// What the word of an organisation weighs about a case.
pub(super) fn word_of(case: &Case, held: &[Grant], organisation: OrganisationId) -> Authority {
    let relations: Vec<Relation> = held
        .iter()
        .filter(|grant| grant.organisation_id == organisation && grant.until.is_none())
        .map(|grant| grant.relation)
        .collect();
    fact::authority(case.responsible_centre == Some(organisation), &relations)
}

/// Whether a grant lets an organisation go on with a case, by naming it or by registering the person again.
pub(crate) fn may_go_on(grant: &Grant, organisation: OrganisationId, now: OffsetDateTime) -> bool {
    grant.organisation_id == organisation && grant.until.is_none_or(|until| now < until) && may_name_it(grant.relation)
}

/// The relations that let an organisation file into a case by naming it. Whoever looks on, for three hours or as a former centre,
/// does not.
fn may_name_it(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::Reporter
            | Relation::ReceivingCentre
            | Relation::ResponsibleCentre
            | Relation::ConsultationCentre
            | Relation::TreatingInstitution
            | Relation::AttendingInstitution
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
