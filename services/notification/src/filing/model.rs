//! A notification: whose inbox it is in, and who stands to it how.

use access::{Caller, CaseId, OrganisationId, UserId};
use proto::{
    identity::OrganisationKind as Kind,
    notification::NotificationState as State,
    registry::{Channel, Relation},
};
use time::{Date, OffsetDateTime};

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
    /// The version of the legal form it was filed with: the day that took effect.
    pub form_version: Date,
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
    /// When it reached the inbox it is in, or came there again because it was amended.
    pub arrived_at: OffsetDateTime,
    /// Since when it is in that inbox, whatever was amended since.
    pub placed_at: OffsetDateTime,
    /// The centre it was filed or forwarded to last. It counts there: it follows its case into another inbox, and the count does not.
    pub counted_by: OrganisationId,
    pub acknowledged_at: Option<OffsetDateTime>,
    /// Forwarded, and the registry has not said yet how the centre that has it now stands to its case.
    pub on_its_way: bool,
    /// Whose work it is in the centre that has it.
    pub assigned_to: Option<UserId>,
    pub assigned_at: Option<OffsetDateTime>,
    /// What the caller knows of it besides the form.
    pub for_caller: ForCaller,
}

/// What a caller knows of a notification besides the form: nothing, until the relations were looked up.
#[derive(Clone, Copy, Default)]
pub(crate) struct ForCaller {
    /// The caller stands to the case. Who stands to the notification alone is not told which case it was taken into.
    pub by_case: bool,
    /// It is in the inbox of the caller's centre.
    pub in_own_inbox: bool,
}

/// What the registry says of a caller's relations to the case of a notification.
#[derive(Clone, Copy)]
pub(super) enum OfCase<'a> {
    /// It has not said yet to which case the notification belongs.
    Unsaid,
    /// The case is known, and this service lacks what the registry said of it.
    Unheard,
    Said {
        relations: &'a [Relation],
        /// Since when the caller's centre, which had the case, works on it no more.
        left: Option<OffsetDateTime>,
    },
}

impl Notification {
    pub(crate) fn is_in_inbox_of(&self, caller: &Caller) -> bool {
        self.receiving_centre == caller.organisation_id
    }

    /// Whether it is the work of the caller's centre. One that handed the case over reads on: what lies in its inbox is not its work any
    /// more. What was forwarded is the new centre's, before the registry has heard of it.
    pub(crate) fn is_work_of(&self, caller: &Caller, relations: &[Relation]) -> bool {
        let in_inbox = self.is_in_inbox_of(caller) && relations.contains(&Relation::ReceivingCentre);
        in_inbox || (!self.on_its_way && relations.contains(&Relation::ResponsibleCentre))
    }

    /// The relations of a caller to it.
    ///
    /// Who filed it stands to it by itself. Whose inbox it is in does until the registry says to which case it belongs; from then on
    /// the case decides, and what lies in an inbox alone gives nothing. One that was forwarded is the new centre's from the moment of
    /// forwarding on: the registry hears of it a moment later.
    pub(super) fn relations(&self, caller: &Caller, of_case: OfCase<'_>) -> Vec<Relation> {
        let (own, in_inbox) = (self.reporter_id == caller.organisation_id, self.is_in_inbox_of(caller));
        let said = match of_case {
            OfCase::Said { relations, .. } => relations,
            OfCase::Unsaid | OfCase::Unheard => &[],
        };
        let receiving = match of_case {
            OfCase::Unheard => None,
            OfCase::Unsaid => Some(Relation::ReceivingCentre),
            OfCase::Said { .. } if self.on_its_way => Some(Relation::ReceivingCentre),
            OfCase::Said { left, .. } => receives(said, left.is_some_and(|left| left > self.placed_at)),
        };
        // Until the registry says where it belongs: the prefecture of the centre that has it.
        let of_prefecture = matches!(of_case, OfCase::Unsaid)
            && caller.kind == Kind::Prefecture
            && caller.prefecture == self.prefecture;

        let mut relations: Vec<Relation> = Some(Relation::Reporter).filter(|_| own).into_iter().collect();
        relations.extend(receiving.filter(|_| in_inbox));
        relations.extend(Some(Relation::Prefecture).filter(|_| of_prefecture));
        for relation in said {
            if reads_forms(*relation) && !relations.contains(relation) {
                relations.push(*relation);
            }
        }
        relations
    }

    /// It becomes the work of a user of the centre that has it, or nobody's. `false` where it is so already.
    pub(crate) fn assign(&mut self, to: Option<UserId>, now: OffsetDateTime) -> bool {
        if self.assigned_to == to {
            return false;
        }
        self.assigned_to = to;
        self.assigned_at = to.map(|_| now);
        self.revision += 1;
        true
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
        self.place(centre, prefecture, now);
        self.counted_by = centre;
        self.state = State::Filed;
        self.acknowledged_at = None;
        self.reason = None;
        self.on_its_way = true;
        self.revision += 1;
    }

    /// It lies with a centre, as nobody's work yet.
    pub(crate) fn place(&mut self, centre: OrganisationId, prefecture: u8, now: OffsetDateTime) {
        self.receiving_centre = centre;
        self.prefecture = prefecture;
        self.arrived_at = now;
        self.placed_at = now;
        self.assigned_to = None;
        self.assigned_at = None;
    }
}

/// How the centre that has a notification in its inbox stands to it, by its relations to the case. One that handed the case over since
/// reads on, and what reaches it afterwards it receives; one that has no relation to the case any more does neither.
fn receives(of_case: &[Relation], handed_over_since: bool) -> Option<Relation> {
    let has = |wanted: Relation| of_case.contains(&wanted);
    let works = of_case.iter().any(|relation| works_on(*relation));
    if works || (has(Relation::NotifiedCentre) && !handed_over_since) {
        Some(Relation::ReceivingCentre)
    } else if has(Relation::FormerCentre) {
        Some(Relation::FormerCentre)
    } else if has(Relation::NotifiedCentre) {
        Some(Relation::ReceivingCentre)
    } else {
        None
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

#[cfg(test)]
mod tests {
    use proto::registry::Relation;

    use super::receives;

    #[test]
    fn what_lies_in_an_inbox_is_its_centres_as_far_as_the_case_says() {
        use Relation::{
            FormerCentre, IncomingCentre, NotifiedCentre, ReceivingCentre, Reporter, ResponsibleCentre,
            TreatingInstitution,
        };
        for (of_case, expected) in [
            (&[ReceivingCentre, ResponsibleCentre][..], [Some(ReceivingCentre); 2]),
            (&[IncomingCentre], [Some(ReceivingCentre); 2]),
            (&[NotifiedCentre], [Some(ReceivingCentre); 2]),
            (&[FormerCentre], [Some(FormerCentre); 2]),
            (&[FormerCentre, NotifiedCentre], [Some(ReceivingCentre), Some(FormerCentre)]),
            (&[FormerCentre, ResponsibleCentre], [Some(ReceivingCentre); 2]),
            (&[Reporter], [None; 2]),
            (&[TreatingInstitution], [None; 2]),
            (&[], [None; 2]),
        ] {
            let found = [false, true].map(|handed_over_since| receives(of_case, handed_over_since));
            assert_eq!(found, expected, "{of_case:?}");
        }
    }
}
