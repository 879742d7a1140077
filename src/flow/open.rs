//! The open deliveries of one direction: found by identifier, kept in the order of first sending.
//!
//! Opening and closing one costs a hash of two bytes and no allocation. Knows no phase and no rule.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::mqtt::PacketIdentifier;

/// Holes in the order that are tolerated before it is closed up.
const HOLES: usize = 64;

/// Values by packet identifier, in the order in which they were put in. Small until the first comes: many clients
/// are never sent anything that they acknowledge.
#[derive(Debug, Clone)]
pub(crate) struct Open<V>(Option<Box<Places<V>>>);

#[derive(Debug, Clone)]
struct Places<V> {
    values: HashMap<PacketIdentifier, (u64, V), BuildHasherDefault<IdentifierHasher>>,
    /// Who came when; a hole for who is gone. Never begins or ends with a hole.
    order: VecDeque<Option<PacketIdentifier>>,
    /// The number of the first place of `order`.
    first: u64,
}

impl<V> Open<V> {
    pub(crate) fn new() -> Open<V> {
        Open(None)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |places| places.values.len())
    }

    pub(crate) fn contains(&self, identifier: PacketIdentifier) -> bool {
        self.get(identifier).is_some()
    }

    pub(crate) fn get(&self, identifier: PacketIdentifier) -> Option<&V> {
        self.0.as_ref()?.values.get(&identifier).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, identifier: PacketIdentifier) -> Option<&mut V> {
        self.0.as_mut()?.values.get_mut(&identifier).map(|(_, value)| value)
    }

    /// Puts a value behind all others; its identifier is not in use.
    pub(crate) fn push(&mut self, identifier: PacketIdentifier, value: V) {
        let places = self.0.get_or_insert_with(|| {
            Box::new(Places { values: HashMap::default(), order: VecDeque::new(), first: 0 })
        });
        places.push(identifier, value);
    }

    pub(crate) fn remove(&mut self, identifier: PacketIdentifier) -> Option<V> {
        self.0.as_mut()?.remove(identifier)
    }

    /// The identifier that was put in before all others.
    pub(crate) fn first(&self) -> Option<PacketIdentifier> {
        // Never begins with a hole.
        *self.0.as_ref()?.order.front()?
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, &V)> {
        let order = self.0.iter().flat_map(|places| places.order.iter().flatten());
        order.filter_map(|identifier| Some((*identifier, self.get(*identifier)?)))
    }

    /// Every value, to be changed, in no order that means anything.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().flat_map(|places| places.values.values_mut().map(|(_, value)| value))
    }

    /// Takes everything out, in order.
    pub(crate) fn take_all(&mut self) -> Vec<(PacketIdentifier, V)> {
        let Some(places) = self.0.take() else { return Vec::new() };
        let Places { mut values, order, .. } = *places;
        let taken = order.into_iter().flatten().filter_map(|identifier| {
            let (_, value) = values.remove(&identifier)?;
            Some((identifier, value))
        });
        taken.collect()
    }
}

impl<V> Places<V> {
    fn push(&mut self, identifier: PacketIdentifier, value: V) {
        let place = self.first + u64::try_from(self.order.len()).unwrap_or(u64::MAX);
        self.order.push_back(Some(identifier));
        let old = self.values.insert(identifier, (place, value));
        assert!(old.is_none(), "identifier {identifier} is in use");
        if self.order.len() > 2 * self.values.len() + HOLES {
            self.close_up();
        }
    }

    fn remove(&mut self, identifier: PacketIdentifier) -> Option<V> {
        let (place, value) = self.values.remove(&identifier)?;
        let entry = usize::try_from(place - self.first).ok().and_then(|at| self.order.get_mut(at));
        if let Some(entry) = entry {
            *entry = None;
        }
        while self.order.pop_front_if(|entry| entry.is_none()).is_some() {
            self.first += 1;
        }
        while self.order.pop_back_if(|entry| entry.is_none()).is_some() {}
        Some(value)
    }

    /// Takes the holes out of the order.
    fn close_up(&mut self) {
        self.order.retain(Option::is_some);
        for (place, identifier) in (self.first..).zip(self.order.iter().flatten()) {
            if let Some(entry) = self.values.get_mut(identifier) {
                entry.0 = place;
            }
        }
    }
}

/// Hashes an identifier. We gave it out ourselves, one after the other: nobody can make them collide.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IdentifierHasher(u64);

impl Hasher for IdentifierHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
        self.write_u16(0);
    }

    fn write_u16(&mut self, number: u16) {
        let spread = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ spread >> 32;
    }
}
