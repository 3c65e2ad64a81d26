//! An organisation as far as services need it, and the days it exists.

use proto::identity::{OrganisationKind, Rights, Role};
use time::Date;

use crate::OrganisationId;

/// An organisation, as far as services need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The organisation's id, given by identity.
    pub id: OrganisationId,
    /// Hospital, health centre, prefecture and so on; decides permissions.
    pub kind: OrganisationKind,
    /// Its name as shown to people.
    pub name: String,
    /// Its prefecture, 0 for national bodies.
    pub prefecture: u8,
    /// Whether its people may enter data, view only, or neither.
    pub rights: Rights,
    /// The body that supervises it.
    pub parent_id: Option<OrganisationId>,
    /// The days on which it exists.
    pub exists: Days,
    /// The day it starts to use the system; `None` if it has from the start.
    pub opens_on: Option<Date>,
    /// Whether it is cut off from the system.
    pub suspended: bool,
}

impl Entry {
    /// Whether people work in it on a day: it exists, has opened, and is not cut off.
    pub fn is_open(&self, day: Date) -> bool {
        !self.suspended && self.exists.contain(day) && self.opens_on.is_none_or(|opens| opens <= day)
    }

    /// Whether what is addressed to it on a day is worked on: it is open, and its people may enter data.
    pub fn receives(&self, day: Date) -> bool {
        self.is_open(day) && self.rights == Rights::Entry
    }

    /// What it may do on a day: nothing while cut off or outside of its dates; before it opens, only its administrator
    /// may act, to prepare.
    pub fn rights_on(&self, day: Date, role: Role) -> Rights {
        let closed = self.opens_on.is_some_and(|opens| day < opens) && role != Role::Administrator;
        if self.suspended || !self.exists.contain(day) || closed { Rights::None } else { self.rights }
    }
}

/// A range of days, both ends included. `None` leaves an end open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub first: Option<Date>,
    /// The last day.
    pub last: Option<Date>,
}

impl Days {
    /// Whether a day is among them.
    pub fn contain(self, day: Date) -> bool {
        self.first.is_none_or(|first| first <= day) && self.last.is_none_or(|last| day <= last)
    }
}
