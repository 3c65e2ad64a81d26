//! Capacity: declared beds and what is left of them.

use access::OrganisationId;
use proto::{beds::Capability, identity::OrganisationKind as Kind, registry::Channel};
use time::OffsetDateTime;

/// What a facility declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub facility_id: OrganisationId,
    pub capability: Capability,
    pub prefecture: u8,
    /// 確保病床数.
    pub secured: i32,
    /// 即応病床数.
    pub ready: i32,
    /// As of when.
    pub at: OffsetDateTime,
    pub entered_at: OffsetDateTime,
    /// The facility, or whom it told.
    pub entered_by: OrganisationId,
    /// How it told it.
    pub channel: Channel,
}

/// What a facility declared last, and what is taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub facility_id: OrganisationId,
    pub capability: Capability,
    pub version: i64,
    pub secured: i32,
    pub ready: i32,
    /// As of when.
    pub reported_at: OffsetDateTime,
    pub entered_at: OffsetDateTime,
    /// The facility, or whom it told.
    pub entered_by: OrganisationId,
    /// How it told it.
    pub channel: Channel,
    /// Beds with a patient.
    pub occupied: i64,
    /// Beds promised to patients who are not there yet.
    pub held: i64,
}

impl Room {
    /// Beds that can be offered now.
    pub(crate) fn free(&self) -> i64 {
        self.balance().max(0)
    }

    /// The same, below zero where more lie there than are declared ready: what the ranking goes by.
    pub(crate) fn balance(&self) -> i64 {
        i64::from(self.ready) - self.occupied - self.held
    }
}

/// Whether an organisation of a kind has beds of a capability.
pub(crate) fn has(kind: Kind, capability: Capability) -> bool {
    match capability {
        Capability::LodgingRoom => kind == Kind::LodgingFacility,
        Capability::Unspecified => false,
        _ => kind == Kind::Hospital,
    }
}

#[cfg(test)]
mod tests {
    use proto::{beds::Capability, identity::OrganisationKind as Kind};

    use super::has;

    #[test]
    fn rooms_are_in_lodging_and_beds_in_hospitals() {
        assert!(has(Kind::LodgingFacility, Capability::LodgingRoom) && has(Kind::Hospital, Capability::Icu));
        assert!(!has(Kind::Hospital, Capability::LodgingRoom) && !has(Kind::Clinic, Capability::General));
    }
}
