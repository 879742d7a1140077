//! How many connections there are: all together, by each listener, and from each address.
//!
//! Counts and says no; whoever is not admitted is closed by the listener.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::Refusal;
use crate::limits::Limits;

/// The connections of one listener, and of all.
#[derive(Debug, Clone)]
pub(super) struct Admissions {
    max_together: usize,
    here: Arc<Here>,
}

/// The connections of one listener.
#[derive(Debug, Default)]
struct Here {
    count: AtomicUsize,
    /// Of all listeners.
    together: Arc<AtomicUsize>,
    /// Unix sockets have no address.
    by_network: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    here: Arc<Here>,
    network: Option<IpAddr>,
}

impl Admissions {
    /// Of a new listener; `together` counts the connections of all.
    pub(super) fn new(together: Arc<AtomicUsize>, max_together: usize) -> Admissions {
        Admissions { max_together, here: Arc::new(Here { together, ..Here::default() }) }
    }

    /// Gives a new connection a place.
    pub(super) fn admit(&self, address: Option<IpAddr>, limits: &Limits) -> Result<Admission, Refusal> {
        let network = address.map(network_of);
        if let Some(network) = network {
            let mut by_network = self.here.by_network.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_network.entry(network).or_default();
            if *count >= limits.max_connections_per_address {
                return Err(Refusal::TooManyFromAddress);
            }
            *count += 1;
        }
        let together = self.here.together.fetch_add(1, Ordering::Relaxed);
        let here = self.here.count.fetch_add(1, Ordering::Relaxed);
        let admission = Admission { here: Arc::clone(&self.here), network };
        let fits = together < self.max_together && here < limits.max_connections;
        if fits { Ok(admission) } else { Err(Refusal::TooManyConnections) }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.here.together.fetch_sub(1, Ordering::Relaxed);
        self.here.count.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut by_network = self.here.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                by_network.remove(&network);
            }
        }
    }
}

/// What counts as one address: of IPv6 the 64 bits of the network, for the others are anybody's to choose.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the three bounds holds, says which it was, and gives its places back.
    #[test]
    fn every_bound_holds_and_places_come_back() {
        let together = Arc::default();
        let limits = Limits { max_connections: 3, max_connections_per_address: 2, ..Limits::default() };
        let one = Admissions::new(Arc::clone(&together), 4);
        let other = Admissions::new(Arc::clone(&together), 4);
        let address = |text: &str| Some(text.parse().unwrap());
        let a = one.admit(address("192.0.2.1"), &limits).unwrap();
        let _b = one.admit(address("::ffff:192.0.2.1"), &limits).unwrap();
        assert_eq!(one.admit(address("192.0.2.1"), &limits).unwrap_err(), Refusal::TooManyFromAddress);
        let c = one.admit(address("2001:db8::1"), &limits).unwrap();
        assert_eq!(one.admit(address("192.0.2.9"), &limits).unwrap_err(), Refusal::TooManyConnections);
        let _d = other.admit(None, &limits).unwrap();
        assert_eq!(other.admit(None, &limits).unwrap_err(), Refusal::TooManyConnections);
        drop(a);
        let _e = one.admit(address("192.0.2.1"), &limits).unwrap();
        drop(c);
        let _f = one.admit(address("2001:db8::2"), &limits).unwrap();
        assert_eq!(one.here.by_network.lock().unwrap().len(), 2);
        assert_eq!(together.load(Ordering::Relaxed), 4);
    }
}
