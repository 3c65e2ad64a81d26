//! A notification: whose inbox it is in, and who stands to it how.

use access::{Caller, CaseId, OrganisationId};
use proto::{
    identity::OrganisationKind as Kind,
    notification::NotificationState as State,
    registry::{Channel, Relation},
};
use time::OffsetDateTime;

data::id!(
    /// A notification.
    NotificationId,
    "notification"
);

#[derive(Clone)]
pub(crate) struct Notification {
    pub id: NotificationId,
    /// 受付番号.
    pub number: String,
    pub revision: i64,
    pub state: State,
    /// The form as filed, sealed.
    pub form: Vec<u8>,
    /// Items that the version of the form asks for and that are missing.
    pub missing: Vec<String>,
    pub reporter_id: OrganisationId,
    pub receiving_centre: OrganisationId,
    /// Of the receiving centre.
    pub prefecture: u8,
    /// The case that the filer named.
    pub named_case_id: Option<CaseId>,
    /// The case it belongs to, as the registry says.
    pub case_id: Option<CaseId>,
    /// From 1.
    pub version: i32,
    /// When this version was filed.
    pub filed_at: OffsetDateTime,
    /// Who entered it, where that is not the reporter.
    pub entered_by: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
    /// Why it was returned or withdrawn, sealed.
    pub reason: Option<Vec<u8>>,
    pub withdrawn_at: Option<OffsetDateTime>,
    pub received_at: OffsetDateTime,
    /// When it reached the inbox it is in.
    pub arrived_at: OffsetDateTime,
    pub acknowledged_at: Option<OffsetDateTime>,
}

impl Notification {
    pub(crate) fn is_in_inbox_of(&self, caller: &Caller) -> bool {
        self.receiving_centre == caller.organisation_id
    }

    /// The relations of a caller to it, of whom those to its case are known, where it has one.
    pub(super) fn relations(&self, caller: &Caller, of_case: Option<&[Relation]>) -> Vec<Relation> {
        let own = self.reporter_id == caller.organisation_id;
        let handed_over = of_case.is_some_and(|relations| {
            relations.contains(&Relation::FormerCentre) && !relations.iter().any(|relation| works_on(*relation))
        });
        let receiving = match (self.is_in_inbox_of(caller), handed_over) {
            (true, true) => Some(Relation::FormerCentre),
            (true, false) => Some(Relation::ReceivingCentre),
            (false, _) => None,
        };
        // Until the registry says where it belongs: the prefecture of the centre that has it.
        let of_prefecture =
            of_case.is_none() && caller.kind == Kind::Prefecture && caller.prefecture == self.prefecture;
        let mut relations: Vec<Relation> = Some(Relation::Reporter).filter(|_| own).into_iter().collect();
        relations.extend(receiving);
        relations.extend(Some(Relation::Prefecture).filter(|_| of_prefecture));
        for relation in of_case.unwrap_or_default() {
            if reads_forms(*relation) && !relations.contains(relation) {
                relations.push(*relation);
            }
        }
        relations
    }

    /// The centre accepts it (受理). `false` where it did so before.
    pub(crate) fn acknowledge(&mut self, now: OffsetDateTime) -> bool {
        if self.state == State::Acknowledged {
            return false;
        }
        self.state = State::Acknowledged;
        self.acknowledged_at = Some(now);
        self.reason = None;
        self.revision += 1;
        true
    }

    /// It is to be amended (返戻), for a reason.
    pub(crate) fn returned(&mut self, reason: Vec<u8>) {
        self.state = State::Returned;
        self.acknowledged_at = None;
        self.reason = Some(reason);
        self.revision += 1;
    }

    /// It should not have been made (取下げ), for a reason.
    pub(crate) fn withdraw(&mut self, reason: Vec<u8>, now: OffsetDateTime) {
        self.state = State::Withdrawn;
        self.withdrawn_at = Some(now);
        self.reason = Some(reason);
        self.revision += 1;
    }

    /// There is a new version of the form. What was returned is in the inbox again.
    pub(crate) fn amended(&mut self, now: OffsetDateTime) {
        if self.state == State::Returned {
            self.state = State::Filed;
            self.reason = None;
            self.arrived_at = now;
        }
        self.version += 1;
        self.filed_at = now;
        self.revision += 1;
    }

    /// It is in another inbox from now on, and nobody has accepted it there.
    pub(crate) fn forward(&mut self, centre: OrganisationId, prefecture: u8, now: OffsetDateTime) {
        self.receiving_centre = centre;
        self.prefecture = prefecture;
        self.state = State::Filed;
        self.acknowledged_at = None;
        self.reason = None;
        self.arrived_at = now;
        self.revision += 1;
    }
}

/// The relations of a centre at work on a case.
fn works_on(relation: Relation) -> bool {
    matches!(relation, Relation::ReceivingCentre | Relation::ResponsibleCentre | Relation::IncomingCentre)
}

/// The relations to a case that show the forms it was notified with. Who reported it otherwise reads what they wrote themselves.
fn reads_forms(relation: Relation) -> bool {
    !matches!(
        relation,
        Relation::Unspecified | Relation::Reporter | Relation::ConsultationCentre | Relation::Patient | Relation::Proxy
    )
}
