//! Tasks, and who may do them.

use access::{CaseId, OrganisationId, UserId};
use prost::Name;
use proto::{
    followup::{TaskKind, TaskState},
    registry::{CaseChanged, Placement, Relation},
};
use runtime::{
    clock,
    problem::{Why, why},
};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

data::id!(
    /// A task. An alert's carries the alert's id, that of an opening in an emergency the opening's, that of a filing to check the check's.
    TaskId,
    "task"
);

data::id!(
    /// A notification (発生届).
    NotificationId,
    "notification"
);

/// A task of those who look after a person, to be added.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub id: TaskId,
    pub case_id: CaseId,
    /// The notification it is about, too.
    pub notification_id: Option<NotificationId>,
    pub kind: TaskKind,
    pub since: OffsetDateTime,
    /// The type of the event it comes from.
    pub source: &'static str,
    /// Who may do it.
    pub workers: Vec<OrganisationId>,
}

/// A task of one organisation, which the present state of a case or a notification calls for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The case or the notification.
    pub subject: Uuid,
    pub case_id: Option<CaseId>,
    pub notification_id: Option<NotificationId>,
    /// Whom it is meant for.
    pub desk: OrganisationId,
    /// How that organisation stands to the subject.
    pub relation: Relation,
    pub kind: TaskKind,
    /// Since when it is called for. Together with subject, desk and kind it says which task this is.
    pub since: OffsetDateTime,
    pub due: Option<Date>,
    pub source: &'static str,
    /// Items that are missing.
    pub items: Vec<String>,
}

/// The type of an event, as a task names where it comes from.
pub(crate) fn source<E: Name>() -> &'static str {
    proto::event(&E::full_name()).unwrap_or_default()
}

/// A task as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub id: TaskId,
    pub version: i64,
    pub kind: TaskKind,
    pub case_id: Option<CaseId>,
    pub notification_id: Option<NotificationId>,
    /// The one organisation it is meant for, and how that stands to the subject; `None` where it is the task of all who look after
    /// the person.
    pub desk: Option<(OrganisationId, Relation)>,
    pub since: OffsetDateTime,
    pub due: Option<Date>,
    pub source: String,
    pub items: Vec<String>,
    pub assigned_to: Option<UserId>,
    pub state: TaskState,
}

impl Task {
    /// What an audit row names: the case, else the notification, else the task itself.
    pub(crate) fn record(&self) -> Uuid {
        let notification = self.notification_id.map(NotificationId::uuid);
        self.case_id.map(CaseId::uuid).or(notification).unwrap_or_else(|| self.id.uuid())
    }

    /// Makes it somebody's work, or nobody's. Returns whether that changed anything.
    pub(crate) fn assign(&mut self, to: Option<UserId>) -> bool {
        let changes = self.assigned_to != to;
        if changes {
            self.assigned_to = to;
            self.version += 1;
        }
        changes
    }

    /// A person has done it.
    ///
    /// # Errors
    /// Where only a later fact ends it.
    pub(crate) fn complete(&mut self, by: UserId) -> Result<(), Why> {
        ends_by_hand(self.kind)?;
        self.state = TaskState::Done;
        self.assigned_to = Some(by);
        self.version += 1;
        Ok(())
    }
}

/// Whether a person closes tasks of this kind.
///
/// # Errors
/// What else ends them.
fn ends_by_hand(kind: TaskKind) -> Result<(), Why> {
    let (code, ja, en) = match kind {
        TaskKind::FilingToCheck
        | TaskKind::Referred
        | TaskKind::CaseHandedOver
        | TaskKind::PatientPlaced
        | TaskKind::EmergencyAccess
        | TaskKind::EmergencyAccessOfMany => return Ok(()),
        TaskKind::MissedReport | TaskKind::Caution | TaskKind::Alert => (
            "ENDS_WITH_A_CONTACT",
            "この業務は、本人への連絡を記録すると終わります。",
            "This task ends when the contact with the person is recorded.",
        ),
        TaskKind::TransferOffered => (
            "ENDS_WITH_THE_ANSWER",
            "この業務は、移管の申し出に回答すると終わります。",
            "This task ends when the offered hand-over is accepted or declined.",
        ),
        TaskKind::ItemsMissing | TaskKind::FilingReturned | TaskKind::Unspecified => (
            "ENDS_WITH_AN_AMENDMENT",
            "この業務は、届出が訂正・補完されるか取り下げられると終わります。",
            "This task ends when the notification is amended or withdrawn.",
        ),
    };
    Err(why(code, ja, en))
}

/// Whether a task tells of what the centre alone is told of: who else looks after the person only sees that it is there.
pub(crate) fn is_for_the_centre(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::FilingToCheck | TaskKind::EmergencyAccess | TaskKind::EmergencyAccessOfMany)
}

/// Relations that are told of an opening in an emergency, and of a filing to check.
pub(crate) fn is_told(relation: Relation) -> bool {
    matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre)
}

/// A task that tells of something: an opening in an emergency, a filing to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    pub case_id: CaseId,
    /// A centre has seen it.
    pub is_closed: bool,
}

/// Which tasks of those who look after a person are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing<'a> {
    /// The episode has ended. What only tells of something stays until the centre has seen it.
    Everything {
        /// Those that were joined into another case, or entered in error: the person goes on being ill elsewhere, so an alert stays
        /// until somebody has seen it.
        void: &'a [CaseId],
    },
    /// Somebody reached the person: overdue reports, and what is this worker's.
    By(UserId),
}

/// The organisations that look after a person now: the responsible centre, contractors, and for residents of lodging the facility
/// and the prefecture.
pub(crate) fn workers(case: &CaseChanged, now: OffsetDateTime) -> Vec<OrganisationId> {
    let resident = case.placement == i32::from(Placement::Lodging);
    let mut found: Vec<OrganisationId> = case
        .grants
        .iter()
        .filter(|grant| grant.until_time.as_ref().and_then(clock::from_proto).is_none_or(|until| now < until))
        .filter(|grant| match data::code(grant.relation) {
            Relation::ResponsibleCentre
            | Relation::ReceivingCentre
            | Relation::Contractor
            | Relation::LodgingFacility => true,
            Relation::Prefecture => resident,
            _ => false,
        })
        .filter_map(|grant| OrganisationId::parse(&grant.organisation_id).ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The organisation that owns what arises: the lodging for its residents, else the responsible centre.
pub(crate) fn owner(case: &CaseChanged) -> Option<OrganisationId> {
    let facility = Some(&case.facility_id).filter(|_| case.placement == i32::from(Placement::Lodging));
    facility
        .and_then(|id| OrganisationId::parse(id).ok())
        .or_else(|| OrganisationId::parse(&case.responsible_centre_id).ok())
        .or_else(|| OrganisationId::parse(&case.centre_id).ok())
}

/// Where a page begins: after this task, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    /// The number of its kind.
    pub kind: i16,
    pub micros: i64,
    pub id: TaskId,
}

impl After {
    /// Reads a `page_token`; empty is the first page. A page of one kind begins within that kind.
    pub(crate) fn parse(token: &str, only: Option<TaskKind>) -> Option<Self> {
        let only = only.map(number);
        if token.is_empty() {
            return Some(Self { kind: only.unwrap_or(i16::MAX), micros: 0, id: TaskId::NIL });
        }
        let mut parts = token.split('_');
        let after = Self {
            kind: parts.next()?.parse().ok()?,
            micros: parts.next()?.parse().ok().filter(|micros| (0..i64::MAX / 2_000).contains(micros))?,
            id: Uuid::try_parse(parts.next()?).ok()?.into(),
        };
        (parts.next().is_none() && only.is_none_or(|only| only == after.kind)).then_some(after)
    }

    /// As a `page_token`, after a task.
    pub(crate) fn token(task: &Task) -> String {
        let micros = task.since.unix_timestamp_nanos() / 1_000;
        format!("{}_{micros}_{}", number(task.kind), task.id.uuid().simple())
    }
}

/// The number of a kind, as the database keeps it.
pub(crate) fn number(kind: TaskKind) -> i16 {
    i16::try_from(i32::from(kind)).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use access::{OrganisationId, UserId};
    use proto::{
        followup::{TaskKind, TaskState},
        registry::{CaseChanged, Grant, Placement, Relation},
    };
    use time::{OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{After, Task, TaskId, number, owner, workers};

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    fn id(number: u128) -> OrganisationId {
        Uuid::from_u128(number).into()
    }

    fn grant(organisation: u128, relation: Relation) -> Grant {
        Grant { organisation_id: id(organisation).to_string(), relation: relation.into(), ..Grant::default() }
    }

    #[test]
    fn the_prefecture_works_for_residents_of_lodging_only() {
        let ended = Grant { until_time: Some(runtime::clock::to_proto(NOW)), ..grant(5, Relation::ResponsibleCentre) };
        let mut case = CaseChanged {
            grants: vec![
                grant(1, Relation::ResponsibleCentre),
                grant(2, Relation::Prefecture),
                grant(3, Relation::LodgingFacility),
                grant(4, Relation::Reporter),
                ended,
            ],
            responsible_centre_id: id(1).to_string(),
            facility_id: id(3).to_string(),
            ..CaseChanged::default()
        };
        assert_eq!(workers(&case, NOW), [id(1), id(3)]);
        assert_eq!(owner(&case), Some(id(1)));
        case.placement = Placement::Lodging.into();
        assert_eq!(workers(&case, NOW), [id(1), id(2), id(3)]);
        assert_eq!(owner(&case), Some(id(3)));
    }

    fn task(kind: TaskKind) -> Task {
        Task {
            id: TaskId::new(),
            version: 1,
            kind,
            case_id: None,
            notification_id: None,
            desk: None,
            since: NOW,
            due: None,
            source: String::new(),
            items: Vec::new(),
            assigned_to: None,
            state: TaskState::Open,
        }
    }

    #[test]
    fn a_page_token_survives_the_round_trip_and_nonsense_does_not() {
        let task = task(TaskKind::Alert);
        let token = After::token(&task);
        let after = After::parse(&token, None).unwrap();
        assert_eq!((after.kind, after.id), (number(TaskKind::Alert), task.id));
        assert_eq!(After::parse(&token, Some(TaskKind::Alert)), Some(after));
        assert!(After::parse(&token, Some(TaskKind::Caution)).is_none(), "a page of another list");
        for token in
            ["x", "1_2", "1_2_3", "3_-1_01890a5dac96774bbcceb302099a8057", "3_1_01890a5dac96774bbcceb302099a8057_"]
        {
            assert!(After::parse(token, None).is_none(), "{token}");
        }
    }

    #[test]
    fn a_person_closes_what_only_tells_of_something() {
        let by_hand: Vec<TaskKind> = (1..=200)
            .filter_map(|number| TaskKind::try_from(number).ok())
            .filter(|kind| task(*kind).complete(UserId::new()).is_ok())
            .collect();
        assert_eq!(
            by_hand,
            [
                TaskKind::FilingToCheck,
                TaskKind::Referred,
                TaskKind::CaseHandedOver,
                TaskKind::PatientPlaced,
                TaskKind::EmergencyAccess,
                TaskKind::EmergencyAccessOfMany,
            ]
        );
        let mut placed = task(TaskKind::PatientPlaced);
        let user = UserId::new();
        placed.complete(user).unwrap();
        assert_eq!((placed.state, placed.assigned_to, placed.version), (TaskState::Done, Some(user), 2));
    }
}
