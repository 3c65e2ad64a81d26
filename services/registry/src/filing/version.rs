//! A version of a notification takes the place of the one before: exactly the facts that came from it are replaced, and what the
//! responsible centre corrected stays corrected.

use std::collections::BTreeMap;

use access::OrganisationId;
use proto::registry::{Authority, Channel};
use time::{Duration, OffsetDateTime};

use super::model::NotificationId;
use crate::{
    case::Case,
    fact::{self, Content, Fact, FactId, Recorder, Slot, Source},
};

/// Which version speaks, and with whose word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub notification: NotificationId,
    pub number: i32,
    pub reporter: OrganisationId,
    /// What the word of the reporter weighs about a case of which the notification said nothing before.
    pub authority: Authority,
    /// When it was filed.
    pub at: OffsetDateTime,
}

/// What a version adds to the facts of a case.
#[derive(Default)]
pub(super) struct Added {
    pub facts: Vec<Fact>,
    /// It says something else than the responsible centre, whose word still counts.
    pub differs: bool,
}

impl Version {
    /// The notification as it speaks now, to say something else at a moment. `None` where it never said anything.
    pub(super) fn again(notification: NotificationId, held: &[Fact], at: OffsetDateTime) -> Option<Self> {
        let spoken = held.iter().filter_map(|fact| match fact.source {
            Source::Notification { id, version, .. } if id == notification && fact.user.is_none() => Some(Self {
                notification,
                number: version,
                reporter: fact.organisation?,
                authority: fact.authority,
                at,
            }),
            _ => None,
        });
        spoken.max_by_key(|version| version.number)
    }

    /// What it adds to the facts of a case, where it tells all of this. Nothing, where it is known.
    pub(super) fn replace(&self, case: &Case, held: &[Fact], told: Vec<(Slot, Content)>) -> Added {
        let spoken = self.spoken(held);
        let mut told: BTreeMap<Slot, Option<Content>> =
            placed(&spoken, told).into_iter().map(|(slot, content)| (slot, Some(content))).collect();
        // What this version does not say any more, it takes back.
        for (slot, fact) in &spoken {
            if fact.content.is_some() {
                told.entry(*slot).or_insert(None);
            }
        }
        let counts: BTreeMap<FactId, &Fact> = fact::latest(held);
        let last = spoken.values().map(|fact| fact.recorded_at).max();
        // The versions of a notification follow each other, whatever the clocks say.
        let at = last.map_or(self.at, |last| self.at.max(last + Duration::milliseconds(1)));
        let authority = spoken.values().map(|fact| fact.authority).min().unwrap_or(self.authority);

        let mut added = Added::default();
        for (slot, content) in told {
            let known = spoken.get(&slot);
            if known.is_some_and(|fact| fact.content == content) {
                continue;
            }
            let corrected = known.and_then(|fact| counts.get(&fact.subject)).filter(|fact| fact.authority > authority);
            // A withdrawn report is no difference of opinion about it.
            let withdrawn = slot == Slot::REPORT && content.is_none();
            added.differs |= !withdrawn && corrected.is_some_and(|fact| fact.content != content);
            added.facts.push(self.fact(case, (at, authority), (slot, content), known.map(|fact| fact.subject)));
        }
        added
    }

    /// That it says nothing any more. Nobody's correction makes a report of what was withdrawn; what the centre corrected otherwise stays,
    /// and it is asked.
    pub(super) fn withdraw(&self, case: &Case, held: &[Fact]) -> Added {
        let mut added = self.replace(case, held, Vec::new());
        let counts = fact::latest(held);
        for fact in &mut added.facts {
            let report = matches!(fact.source, Source::Notification { slot: Slot::REPORT, .. });
            if let Some(held) = counts.get(&fact.subject).filter(|_| report) {
                fact.authority = fact.authority.max(held.authority);
                let at = fact.recorded_at.max(held.recorded_at + Duration::milliseconds(1));
                (fact.id, fact.recorded_at) = (FactId::at(at), at);
            }
        }
        added
    }

    /// That the notification is in another centre's inbox: a fact of its own, whoever corrected the rest.
    pub(super) fn received_by(
        &self,
        case: &Case,
        held: &[Fact],
        (centre, prefecture): (OrganisationId, u8),
    ) -> Vec<Fact> {
        let Some(known) = self.spoken(held).remove(&Slot::REPORT) else { return Vec::new() };
        let here = |fact: &Fact| match &fact.content {
            Some(Content::Report(report)) => Some(Content::Report(fact::Report { centre, prefecture, ..*report })),
            _ => None,
        };
        let after = |fact: &Fact| self.at.max(fact.recorded_at + Duration::milliseconds(1));
        let own = here(known).map(|content| {
            self.fact(case, (after(known), known.authority), (Slot::REPORT, Some(content)), Some(known.subject))
        });
        // What somebody corrected stays that person's word, and goes on with it.
        let counts = fact::latest(held).remove(&known.subject).filter(|counts| counts.id != known.id);
        let corrected = counts.and_then(|counts| {
            let at = after(counts);
            Some(Fact { id: FactId::at(at), recorded_at: at, content: Some(here(counts)?), ..counts.clone() })
        });
        own.into_iter().chain(corrected).collect()
    }

    /// The last word of the notification itself on each part.
    fn spoken<'a>(&self, held: &'a [Fact]) -> BTreeMap<Slot, &'a Fact> {
        let mut spoken: BTreeMap<Slot, &Fact> = BTreeMap::new();
        for fact in held {
            let Source::Notification { id, slot, .. } = fact.source else { continue };
            // What somebody corrected is that person's word.
            if id == self.notification && fact.user.is_none() && spoken.get(&slot).is_none_or(|held| held.id < fact.id)
            {
                spoken.insert(slot, fact);
            }
        }
        spoken
    }

    fn fact(
        &self,
        case: &Case,
        (at, authority): (OffsetDateTime, Authority),
        (slot, content): (Slot, Option<Content>),
        subject: Option<FactId>,
    ) -> Fact {
        let recorder = Recorder {
            organisation: Some(self.reporter),
            user: None,
            on_behalf_of: None,
            channel: Channel::Unspecified,
            told_at: None,
            authority,
            at,
        };
        let id = FactId::at(at);
        let source = Source::Notification { id: self.notification, version: self.number, slot };
        recorder.about(case, id, subject.unwrap_or(id), content, source)
    }
}

/// The parts of a version in their places. A test keeps the place it had before, wherever the form lists it now: what was corrected of
/// it must not become another test's. One that was not there before gets a place of its own.
fn placed(spoken: &BTreeMap<Slot, &Fact>, told: Vec<(Slot, Content)>) -> Vec<(Slot, Content)> {
    let (tests, mut parts): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|(_, content)| matches!(content, Content::Test(_)));
    let mut free: BTreeMap<Slot, crate::course::Test> = spoken
        .iter()
        .filter_map(|(slot, fact)| match &fact.content {
            Some(Content::Test(test)) => Some((*slot, *test)),
            _ => None,
        })
        .collect();
    let mut new = Vec::new();
    for (slot, content) in tests {
        let Content::Test(test) = &content else { continue };
        let known = free.iter().find(|(_, held)| *held == test || held.is_same(test)).map(|(slot, _)| *slot);
        match known {
            Some(known) => {
                free.remove(&known);
                parts.push((known, content));
            }
            None => new.push((slot, content)),
        }
    }
    // What is left over of before is another test that was put right, in the order of the form.
    let mut left = free.into_keys();
    let mut next = spoken.keys().chain(parts.iter().map(|(slot, _)| slot)).max().copied().unwrap_or(Slot::test(0));
    for (slot, content) in new {
        let place = left.next().unwrap_or_else(|| {
            let taken = |wanted: Slot| spoken.contains_key(&wanted) || parts.iter().any(|(slot, _)| *slot == wanted);
            next = if taken(slot) { Slot(next.0.max(Slot::test(0).0).saturating_add(1)) } else { slot };
            next
        });
        parts.push((place, content));
    }
    parts
}
