//! Limits per principal and per address, and shedding by priority under overload.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use access::{Caller, UserId};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
use proto::options::Priority;
use runtime::server;

use crate::Settings;

/// Limits of the gateway. Per process: divide by the number of replicas when configuring.
///
/// A signed-in caller counts as itself: a hospital, or the customers of a mobile carrier, share one address. Only who has
/// not signed in counts by address.
pub(crate) struct Limits {
    principals: DefaultKeyedRateLimiter<UserId>,
    /// Other systems with a limit of their own.
    systems: Mutex<HashMap<UserId, (u32, Arc<DefaultDirectRateLimiter>)>>,
    anonymous: DefaultKeyedRateLimiter<IpAddr>,
    /// Calls under way, by whoever makes them.
    under_way: Counts,
    most_under_way: usize,
    most_of_strangers: usize,
    in_flight: Arc<AtomicUsize>,
    most: usize,
    /// Sessions being kept alive, counted apart.
    sessions: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    most_streams: usize,
    streams_of: Counts,
}

/// Whose a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// A signed-in person or another system.
    Principal(UserId),
    /// Whoever calls from there.
    Address(IpAddr),
}

impl Whose {
    pub(crate) fn of(caller: Option<&Caller>, address: IpAddr) -> Self {
        caller.map_or_else(|| Self::Address(server::whose(address)), |caller| Self::Principal(caller.user_id))
    }
}

/// How many of something each caller has.
type Counts = Arc<Mutex<HashMap<Whose, usize>>>;

/// The streams one principal may keep open: enough for a few windows on a few screens.
const STREAMS_OF_ONE: usize = 8;

/// One of something a caller has; given back when dropped.
pub(crate) struct Counted {
    whose: Whose,
    counts: Counts,
}

impl Counted {
    fn take(counts: &Counts, whose: Whose, most: usize) -> Option<Self> {
        let mut held = counts.lock().ok()?;
        let count = held.entry(whose).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { whose, counts: Arc::clone(counts) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Ok(mut counts) = self.counts.lock() else { return };
        if let Some(count) = counts.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.whose);
            }
        }
    }
}

/// The place of an open stream; given back when dropped. Streams are counted apart: they must not take filings' places.
pub(crate) struct Watching {
    _place: Place,
    _of_one: Counted,
}

/// A place among the calls under way; given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(room: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = room.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(room));
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The delay after which refused callers are told to try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            principals: keyed(settings.per_principal),
            systems: Mutex::default(),
            anonymous: keyed(settings.anonymous),
            under_way: Arc::default(),
            most_under_way: settings.under_way,
            most_of_strangers: settings.under_way_per_address,
            in_flight: Arc::default(),
            most: settings.in_flight,
            sessions: Arc::default(),
            streams: Arc::default(),
            most_streams: settings.streams,
            streams_of: Arc::default(),
        }
    }

    /// Whether a principal, or an address without one, may call.
    pub(crate) fn admits(&self, caller: Option<&Caller>, address: IpAddr) -> bool {
        match caller {
            Some(caller) => match NonZeroU32::new(caller.calls_per_second) {
                Some(own) => self.admits_system(caller.user_id, own),
                None => self.principals.check_key(&caller.user_id).is_ok(),
            },
            None => self.anonymous.check_key(&server::whose(address)).is_ok(),
        }
    }

    /// Whether a system with a limit of its own may call.
    fn admits_system(&self, account: UserId, per_second: NonZeroU32) -> bool {
        let Ok(mut systems) = self.systems.lock() else { return false };
        let fresh = || (per_second.get(), Arc::new(DefaultDirectRateLimiter::direct(Quota::per_second(per_second))));
        let held = systems.entry(account).or_insert_with(fresh);
        if held.0 != per_second.get() {
            *held = fresh();
        }
        let limiter = Arc::clone(&held.1);
        drop(systems);
        limiter.check().is_ok()
    }

    /// One of the calls that one caller may have under way.
    pub(crate) fn under_way(&self, whose: Whose) -> Option<Counted> {
        let most = match whose {
            Whose::Principal(_) => self.most_under_way,
            Whose::Address(_) => self.most_of_strangers,
        };
        Counted::take(&self.under_way, whose, most)
    }

    /// A place for a call of a priority, while there is room for that priority.
    pub(crate) fn place(&self, priority: Priority) -> Option<Place> {
        let most = (self.most * share(priority) / 100).max(1);
        let room = if priority == Priority::Session { &self.sessions } else { &self.in_flight };
        Place::take(room, most)
    }

    /// A place for a stream, if both the gateway and the principal have one left.
    pub(crate) fn watching(&self, whose: Whose) -> Option<Watching> {
        let place = Place::take(&self.streams, self.most_streams)?;
        let of_one = Counted::take(&self.streams_of, whose, STREAMS_OF_ONE)?;
        Some(Watching { _place: place, _of_one: of_one })
    }

    /// Forgets callers that have been quiet for a while.
    pub(crate) fn forget(&self) {
        self.principals.retain_recent();
        self.anonymous.retain_recent();
        if let Ok(mut systems) = self.systems.lock() {
            // The next call makes a new, full limiter: at worst, a system's next second begins early.
            systems.clear();
        }
    }
}

/// The load, in percent, up to which a priority is still served. Notification is shed last.
fn share(priority: Priority) -> usize {
    match priority {
        Priority::Notification => 100,
        Priority::HealthReport => 90,
        Priority::CaseWork => 80,
        Priority::SignIn => 60,
        Priority::Search => 50,
        Priority::Statistics => 40,
        Priority::Export | Priority::Unspecified => 30,
        Priority::Session => 5,
    }
}

fn keyed<K: std::hash::Hash + Eq + Clone>(per_second: u32) -> DefaultKeyedRateLimiter<K> {
    let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(per_second.saturating_mul(10)).unwrap_or(NonZeroU32::MIN);
    DefaultKeyedRateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use access::UserId;
    use clap::Parser as _;
    use proto::options::Priority;

    use super::{Limits, Whose};
    use crate::Settings;

    fn principal() -> Whose {
        Whose::Principal(UserId::new())
    }

    fn limits() -> Limits {
        let arguments = ["gateway", "--tls-ca=a", "--tls-cert=b", "--tls-key=c", "--in-flight=10", "--anonymous=1"];
        Limits::new(&Settings::parse_from(arguments))
    }

    #[test]
    fn in_a_surge_exports_go_first_and_notification_last() {
        let limits = limits();
        let mut held = Vec::new();
        let order = [
            Priority::Export,
            Priority::Statistics,
            Priority::Search,
            Priority::SignIn,
            Priority::CaseWork,
            Priority::HealthReport,
            Priority::Notification,
        ];
        let mut turned_away = Vec::new();
        while turned_away.len() < order.len() {
            for priority in order {
                if !turned_away.contains(&priority) && limits.place(priority).is_none() {
                    turned_away.push(priority);
                }
            }
            held.extend(limits.place(Priority::Notification));
        }
        assert_eq!(turned_away, order);
        assert_eq!(held.len(), 10);
        held.clear();
        assert!(limits.place(Priority::Export).is_some());
    }

    #[test]
    fn an_anonymous_address_is_held_to_its_limit_and_another_is_not_touched() {
        let (limits, one, other) = (limits(), [127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let admitted = (0..50).filter(|_| limits.admits(None, one)).count();
        assert!((10..=11).contains(&admitted), "{admitted}");
        assert!(limits.admits(None, other));
    }

    #[test]
    fn neighbours_in_one_network_count_as_one_and_carriers_do_not_hold_back_who_is_signed_in() {
        let limits = limits();
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff".parse().unwrap());
        let admitted = (0..50).filter(|n| limits.admits(None, if n % 2 == 0 { one } else { other })).count();
        assert!((10..=11).contains(&admitted), "{admitted}");
        assert_eq!(Whose::of(None, one), Whose::of(None, other));
    }

    #[test]
    fn nobody_has_more_calls_under_way_than_the_limit_and_the_others_do_not_notice() {
        let limits = limits();
        let (greedy, other) = (principal(), principal());
        let held: Vec<_> = (0..100).filter_map(|_| limits.under_way(greedy)).collect();
        assert_eq!(held.len(), 32);
        assert!(limits.under_way(other).is_some());
        drop(held);
        assert!(limits.under_way(greedy).is_some());
    }

    #[test]
    fn keeping_sessions_has_a_room_of_its_own() {
        let limits = limits();
        let work: Vec<_> = (0..10).filter_map(|_| limits.place(Priority::Notification)).collect();
        assert_eq!(work.len(), 10);
        assert!(limits.place(Priority::CaseWork).is_none(), "the room is full");
        let session = limits.place(Priority::Session);
        assert!(session.is_some() && limits.place(Priority::Session).is_none());
        drop(work);
        assert!(limits.place(Priority::Notification).is_some(), "a flood of refreshes takes no place of work");
    }

    #[test]
    fn a_principal_watches_a_few_lists_at_once() {
        let limits = limits();
        let (one, other) = (principal(), principal());
        let held: Vec<_> = (0..20).filter_map(|_| limits.watching(one)).collect();
        assert_eq!(held.len(), 8);
        assert!(limits.watching(other).is_some());
    }
}
