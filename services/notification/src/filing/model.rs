//! A notification: whose inbox it is in, and who stands to it how.

use access::{Caller, CaseId, OrganisationId};
use proto::{identity::OrganisationKind as Kind, notification::NotificationState as State, registry::Relation};
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
    pub case_id: Option<CaseId>,
    pub received_at: OffsetDateTime,
    /// When it reached the inbox it is in.
    pub arrived_at: OffsetDateTime,
    pub acknowledged_at: Option<OffsetDateTime>,
}

impl Notification {
    pub(crate) fn is_in_inbox_of(&self, caller: &Caller) -> bool {
        self.receiving_centre == caller.organisation_id
    }

    /// The relations of a caller that follow from the notification as it is now.
    pub(super) fn relations(&self, caller: &Caller) -> Vec<Relation> {
        let of_prefecture = caller.kind == Kind::Prefecture && caller.prefecture == self.prefecture;
        [
            (self.is_in_inbox_of(caller), Relation::ReceivingCentre),
            (self.reporter_id == caller.organisation_id, Relation::Reporter),
            (of_prefecture, Relation::Prefecture),
        ]
        .into_iter()
        .filter_map(|(holds, relation)| holds.then_some(relation))
        .collect()
    }

    /// The centre accepts it (受理). `false` where it did so before.
    pub(crate) fn acknowledge(&mut self, now: OffsetDateTime) -> bool {
        if self.state == State::Acknowledged {
            return false;
        }
        self.state = State::Acknowledged;
        self.acknowledged_at = Some(now);
        self.revision += 1;
        true
    }

    /// It is in another inbox from now on, and nobody has accepted it there.
    pub(crate) fn forward(&mut self, centre: OrganisationId, prefecture: u8, now: OffsetDateTime) {
        self.receiving_centre = centre;
        self.prefecture = prefecture;
        self.state = State::Filed;
        self.acknowledged_at = None;
        self.arrived_at = now;
        self.revision += 1;
    }
}
