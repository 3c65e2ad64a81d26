//! Tasks, and who may do them.

use access::{CaseId, OrganisationId, UserId};
use proto::{
    followup::TaskKind,
    registry::{CaseChanged, Placement, Relation},
};
use runtime::clock;
use time::OffsetDateTime;
use uuid::Uuid;

data::id!(
    /// A task. An alert's carries the alert's id, that of an opening in an emergency the opening's, that of a filing the check's.
    TaskId,
    "task"
);

/// A task to be added.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub id: TaskId,
    pub case_id: CaseId,
    pub kind: TaskKind,
    pub since: OffsetDateTime,
    /// Who may do it.
    pub workers: Vec<OrganisationId>,
}

/// A task as listed.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub id: TaskId,
    pub case_id: CaseId,
    pub kind: TaskKind,
    pub since: OffsetDateTime,
    pub taken_by: Option<UserId>,
}

/// A task that tells of something: an opening in an emergency, a filing to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    pub case_id: CaseId,
    /// A centre has seen it.
    pub is_closed: bool,
}

/// Which tasks are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    /// The episode has ended. What only tells of something stays until the centre has seen it.
    Everything,
    /// Somebody reached the person: overdue reports, and the alerts this worker has taken.
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
    /// Before the most urgent one.
    const START: Self = Self { kind: i16::MAX, micros: 0, id: TaskId::NIL };

    /// Reads a `page_token`; empty is the first page.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        if token.is_empty() {
            return Some(Self::START);
        }
        let mut parts = token.split('_');
        let after = Self {
            kind: parts.next()?.parse().ok()?,
            micros: parts.next()?.parse().ok().filter(|micros| (0..i64::MAX / 2_000).contains(micros))?,
            id: Uuid::try_parse(parts.next()?).ok()?.into(),
        };
        parts.next().is_none().then_some(after)
    }

    /// As a `page_token`, after a task.
    pub(crate) fn token(task: &Task) -> String {
        let micros = task.since.unix_timestamp_nanos() / 1_000;
        format!("{}_{micros}_{}", i32::from(task.kind), task.id.uuid().simple())
    }
}

#[cfg(test)]
mod tests {
    use access::{CaseId, OrganisationId};
    use proto::{
        followup::TaskKind,
        registry::{CaseChanged, Grant, Placement, Relation},
    };
    use time::{OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{After, Task, TaskId, owner, workers};

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

    #[test]
    fn a_page_token_survives_the_round_trip_and_nonsense_does_not() {
        let task = Task { id: TaskId::new(), case_id: CaseId::NIL, kind: TaskKind::Alert, since: NOW, taken_by: None };
        let after = After::parse(&After::token(&task)).unwrap();
        assert_eq!((after.kind, after.id), (TaskKind::Alert as i16, task.id));
        for token in
            ["x", "1_2", "1_2_3", "3_-1_01890a5dac96774bbcceb302099a8057", "3_1_01890a5dac96774bbcceb302099a8057_"]
        {
            assert!(After::parse(token).is_none(), "{token}");
        }
    }
}
