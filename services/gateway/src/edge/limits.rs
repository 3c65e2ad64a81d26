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

use crate::Settings;

/// Limits of the gateway. Per process: divide by the number of replicas when configuring.
pub(crate) struct Limits {
    principals: DefaultKeyedRateLimiter<UserId>,
    /// Other systems with a limit of their own.
    systems: Mutex<HashMap<UserId, (u32, Arc<DefaultDirectRateLimiter>)>>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    anonymous: DefaultKeyedRateLimiter<IpAddr>,
    in_flight: Arc<AtomicUsize>,
    most: usize,
    streams: Arc<AtomicUsize>,
    most_streams: usize,
    streams_of: CountByPrincipal,
}

type CountByPrincipal = Arc<Mutex<HashMap<UserId, usize>>>;

/// The streams one principal may keep open: enough for a few windows on a few screens.
const STREAMS_OF_ONE: usize = 8;

/// The place of an open stream; given back when dropped. Streams are counted apart: they must not take filings' places.
pub(crate) struct Watching {
    streams: Arc<AtomicUsize>,
    of_one: Option<(UserId, CountByPrincipal)>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
        if let Some((principal, of_one)) = &self.of_one
            && let Ok(mut of_one) = of_one.lock()
            && let Some(count) = of_one.get_mut(principal)
        {
            *count -= 1;
            if *count == 0 {
                of_one.remove(principal);
            }
        }
    }
}

/// A place among the calls under way; given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

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
            addresses: keyed(settings.per_address),
            anonymous: keyed(settings.anonymous),
            in_flight: Arc::default(),
            most: settings.in_flight,
            streams: Arc::default(),
            most_streams: settings.streams,
            streams_of: Arc::default(),
        }
    }

    /// Whether an address may call.
    pub(crate) fn admits_address(&self, address: IpAddr) -> bool {
        self.addresses.check_key(&address).is_ok()
    }

    /// Whether a principal, or an address without one, may call.
    pub(crate) fn admits(&self, caller: Option<&Caller>, address: IpAddr) -> bool {
        match caller {
            Some(caller) => match NonZeroU32::new(caller.calls_per_second) {
                Some(own) => self.admits_system(caller.user_id, own),
                None => self.principals.check_key(&caller.user_id).is_ok(),
            },
            None => self.anonymous.check_key(&address).is_ok(),
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

    /// A place for a call of a priority, while there is room for that priority.
    pub(crate) fn place(&self, priority: Priority) -> Option<Place> {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.in_flight));
        (before < self.most * share(priority) / 100).then_some(place)
    }

    /// A place for a stream, if both the gateway and the principal have one left.
    pub(crate) fn watching(&self, caller: Option<&Caller>) -> Option<Watching> {
        let before = self.streams.fetch_add(1, Ordering::AcqRel);
        let mut watching = Watching { streams: Arc::clone(&self.streams), of_one: None };
        if before >= self.most_streams {
            return None;
        }
        if let Some(caller) = caller {
            let mut of_one = self.streams_of.lock().ok()?;
            let count = of_one.entry(caller.user_id).or_default();
            if *count >= STREAMS_OF_ONE {
                return None;
            }
            *count += 1;
            watching.of_one = Some((caller.user_id, Arc::clone(&self.streams_of)));
        }
        Some(watching)
    }

    /// Forgets callers that have been quiet for a while.
    pub(crate) fn forget(&self) {
        self.principals.retain_recent();
        self.addresses.retain_recent();
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
    }
}

fn keyed<K: std::hash::Hash + Eq + Clone>(per_second: u32) -> DefaultKeyedRateLimiter<K> {
    let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new(per_second.saturating_mul(10)).unwrap_or(NonZeroU32::MIN);
    DefaultKeyedRateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proto::options::Priority;

    use super::Limits;
    use crate::Settings;

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
}
