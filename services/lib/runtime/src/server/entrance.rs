//! How many connections there may be: in all, of one address, and of those that have not said yet what they want.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use ipnet::IpNet;
use nix::sys::resource::{Resource, getrlimit};

/// File descriptors for everything that is not a connection: upstreams, the database, files.
const RESERVED: usize = 128;

/// Who may connect, and how many at once.
#[derive(Debug)]
pub struct Entrance {
    /// Connections that have not said yet what they want.
    pub(super) silent: Room,
    /// All connections.
    pub(super) open: Room,
    /// Load balancers, whose word about the true address is taken (PROXY protocol v2).
    hops: Vec<IpNet>,
}

impl Entrance {
    /// An entrance for everybody: `most` connections in all, `most_of_one` of one address. Descriptors may allow fewer.
    pub fn for_everybody(most: usize, most_of_one: usize, hops: Vec<IpNet>) -> Self {
        let most = most.min(descriptors() / 2);
        Self { silent: Room::new(most / 2, most_of_one / 2), open: Room::new(most, most_of_one), hops }
    }

    /// An entrance for the processes of the mesh, which show certificates: no address is held back.
    pub(crate) fn of_the_mesh() -> Self {
        let most = descriptors() / 2;
        Self { silent: Room::new(most / 2, most), open: Room::new(most, most), hops: Vec::new() }
    }

    pub(super) fn is_hop(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.hops.iter().any(|hop| hop.contains(&address))
    }
}

/// The descriptors that connections may use.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVED).max(16)
}

/// To whom an address counts: IPv6 is given out by networks of /64, and an IPv4 address is the same in both notations.
pub fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A room with so many places. When it is full, an address that has less than its fair share still finds one, up to twice
/// the number: whoever fills a room keeps nobody else out.
#[derive(Clone, Debug)]
pub(super) struct Room {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    of_one: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place in a room; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
}

impl Room {
    fn new(most: usize, of_one: usize) -> Self {
        Self { taken: Arc::default(), most, of_one: of_one.clamp(1, most.max(1)) }
    }

    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = whose(address);
        let mut taken = self.taken.lock().ok()?;
        let addresses = taken.by_address.len();
        let of_one = taken.by_address.get(&address).copied().unwrap_or(0);
        let fair = self.most / (addresses + 1);
        let fits = of_one < self.of_one && (taken.all < self.most || (of_one < fair && taken.all < 2 * self.most));
        if !fits {
            return None;
        }
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Some(Place { taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(mut taken) = self.taken.lock() else { return };
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Entrance, Room, whose};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_fills_a_room_keeps_nobody_else_out() {
        let room = Room::new(100, 40);
        let crowd: Vec<_> = (0..20).map(|n| address(&format!("192.0.2.{n}"))).collect();
        let held: Vec<_> = (0..50).flat_map(|_| crowd.iter().filter_map(|one| room.take(*one))).collect();
        assert!((100..=200).contains(&held.len()), "{}", held.len());
        assert!(room.take(crowd[0]).is_none(), "has its share");
        let others: Vec<_> = (0..4).filter_map(|_| room.take(address("198.51.100.1"))).collect();
        assert_eq!(others.len(), 4, "somebody else is let in");
        drop(held);
        let mine: Vec<_> = (0..50).filter_map(|_| room.take(crowd[0])).collect();
        assert_eq!(mine.len(), 40, "one address has its own limit");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_ipv4_in_both_notations() {
        assert_eq!(whose(address("2001:db8:1:2:3::4")), whose(address("2001:db8:1:2::ffff")));
        assert_ne!(whose(address("2001:db8:1:2::1")), whose(address("2001:db8:1:3::1")));
        assert_eq!(whose(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn a_hop_is_one_of_those_listed() {
        let entrance = Entrance::for_everybody(10, 5, vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(entrance.is_hop(address("10.1.2.3")) && entrance.is_hop(address("::ffff:10.1.2.3")));
        assert!(!entrance.is_hop(address("11.1.2.3")));
    }
}
