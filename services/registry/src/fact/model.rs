//! A fact: one record about one thing of a case.

use access::{CaseId, OrganisationId, UserId};
use proto::registry::{AdmissionNecessity, AgeBand, Authority, Channel, DayKind, DiagnosisClass, Outcome, Sex};
use time::{Date, OffsetDateTime};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    course::{ClinicalState, Stay, Test},
    filing::NotificationId,
};

data::id!(
    /// A record about a case.
    FactId,
    "fact"
);

impl FactId {
    /// An id for what was said at a moment: records are in the order of what they tell, not of their arrival.
    pub(crate) fn at(moment: OffsetDateTime) -> Self {
        let seconds = u64::try_from(moment.unix_timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, moment.nanosecond())).into()
    }
}

impl FactId {
    /// The id right after this one.
    pub(crate) fn next(self) -> Self {
        Uuid::from_u128(self.uuid().as_u128().saturating_add(1)).into()
    }
}

/// A record about one thing of a case.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub id: FactId,
    pub case_id: CaseId,
    /// The first record about the same thing.
    pub subject: FactId,
    /// `None`: it never was one.
    pub content: Option<Content>,
    pub authority: Authority,
    pub recorded_at: OffsetDateTime,
    /// Who recorded it; nobody, where another service told.
    pub organisation: Option<OrganisationId>,
    pub user: Option<UserId>,
    /// 代行入力.
    pub on_behalf_of: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
    pub source: Source,
    /// Why it was corrected or withdrawn, sealed.
    pub reason: Option<Vec<u8>>,
}

impl Fact {
    /// The same record after those of the same moment that are there already.
    pub(crate) fn following(self, facts: &[Self]) -> Self {
        let same = facts.iter().filter(|fact| fact.recorded_at == self.recorded_at).map(|fact| fact.id).max();
        match same {
            Some(last) if self.id <= last => self.renamed(last.next()),
            _ => self,
        }
    }

    /// The same record under another id, which is also what it is about where it is the first.
    pub(crate) fn renamed(self, id: FactId) -> Self {
        let subject = if self.subject == self.id { id } else { self.subject };
        Self { id, subject, ..self }
    }
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Recorded about the case itself.
    Record,
    /// A version of a notification, and which part of it.
    Notification { id: NotificationId, version: i32, slot: Slot },
    /// An admission that beds coordinated.
    Admission(Uuid),
}

/// A part of a notification. The same part of a later version is about the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub i16);

impl Slot {
    pub(crate) const REPORT: Self = Self(1);
    pub(crate) const ONSET: Self = Self(2);
    pub(crate) const DIAGNOSIS: Self = Self(3);
    pub(crate) const FIRST_VISIT: Self = Self(4);
    pub(crate) const INFECTION: Self = Self(5);
    pub(crate) const DESCRIPTION: Self = Self(6);
    pub(crate) const ADMISSION: Self = Self(7);
    pub(crate) const SEVERITY: Self = Self(8);
    pub(crate) const NECESSITY: Self = Self(9);
    pub(crate) const DEATH: Self = Self(10);
    pub(crate) const FINDINGS: Self = Self(11);

    /// The test of this place on the form.
    pub(crate) fn test(place: usize) -> Self {
        Self(i16::try_from(place).unwrap_or(i16::MAX - 100) + 100)
    }
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The case was notified (発生届).
    Report(Report),
    /// A day of the course.
    Day(DayKind, Date),
    Test(Test),
    Stay(Stay),
    State(ClinicalState),
    Need(Need),
    /// 転帰; the day may be unknown.
    Ending(Outcome, Option<Date>),
    /// Sex, age band, and whether that follows from a birth date.
    Description(Sex, AgeBand, bool),
    /// What was found at the notification.
    Findings(Vec<Answered>),
    /// 濃厚接触.
    Exposure(Exposure),
}

/// That the person was exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exposure {
    /// The case the person was in contact with, where it is known.
    pub index: Option<CaseId>,
    /// 最終接触日.
    pub on: Date,
}

/// That a case was notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Item 1.
    pub class: DiagnosisClass,
    /// 報告年月日.
    pub on: Date,
    /// Whose inbox it is in.
    pub centre: OrganisationId,
    /// That centre's prefecture.
    pub prefecture: u8,
}

/// An answer: what was asked, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub item: String,
    pub values: Vec<String>,
}

/// 入院の要否.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub necessity: AdmissionNecessity,
    pub on: Date,
}

impl Content {
    /// Whether two contents are of one kind: a correction never turns a test into a stay.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Day(one, _), Self::Day(other, _)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}
