//! The open deliveries of one direction: found by identifier, kept in the order of first sending.
//!
//! Opening and closing one costs a hash of two bytes and no allocation. The values lie one behind the other as they
//! came, and are mostly taken out the same way: what is beside what is looked at next is already near. Knows no phase
//! and no rule.

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
    /// Who came when; a hole for who is gone. Never begins or ends with a hole.
    order: VecDeque<Option<(PacketIdentifier, V)>>,
    /// The number of the first place of `order`.
    first: u64,
    numbers: HashMap<PacketIdentifier, u64, BuildHasherDefault<IdentifierHasher>>,
}

impl<V> Open<V> {
    pub(crate) fn new() -> Open<V> {
        Open(None)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |places| places.numbers.len())
    }

    pub(crate) fn contains(&self, identifier: PacketIdentifier) -> bool {
        self.0.as_ref().is_some_and(|places| places.numbers.contains_key(&identifier))
    }

    pub(crate) fn get(&self, identifier: PacketIdentifier) -> Option<&V> {
        let places = self.0.as_ref()?;
        let place = places.place(*places.numbers.get(&identifier)?);
        places.order.get(place)?.as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, identifier: PacketIdentifier) -> Option<&mut V> {
        let places = self.0.as_mut()?;
        let place = places.place(*places.numbers.get(&identifier)?);
        places.order.get_mut(place)?.as_mut().map(|(_, value)| value)
    }

    /// Puts a value behind all others; its identifier is not in use.
    pub(crate) fn push(&mut self, identifier: PacketIdentifier, value: V) {
        let places = self.0.get_or_insert_with(|| {
            Box::new(Places { order: VecDeque::new(), first: 0, numbers: HashMap::default() })
        });
        places.push(identifier, value);
    }

    pub(crate) fn remove(&mut self, identifier: PacketIdentifier) -> Option<V> {
        self.0.as_mut()?.remove(identifier)
    }

    /// The identifier that was put in before all others.
    pub(crate) fn first(&self) -> Option<PacketIdentifier> {
        // Never begins with a hole.
        self.0.as_ref()?.order.front()?.as_ref().map(|(identifier, _)| *identifier)
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, &V)> {
        let order = self.0.iter().flat_map(|places| places.order.iter().flatten());
        order.map(|(identifier, value)| (*identifier, value))
    }

    /// Every value, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().flat_map(|places| places.order.iter_mut().flatten().map(|(_, value)| value))
    }

    /// Takes everything out, in order.
    pub(crate) fn take_all(&mut self) -> Vec<(PacketIdentifier, V)> {
        self.0.take().map_or_else(Vec::new, |places| places.order.into_iter().flatten().collect())
    }
}

impl<V> Places<V> {
    /// Where in `order` the one of this number stands.
    fn place(&self, number: u64) -> usize {
        usize::try_from(number - self.first).unwrap_or(usize::MAX)
    }

    fn push(&mut self, identifier: PacketIdentifier, value: V) {
        let number = self.first + u64::try_from(self.order.len()).unwrap_or(u64::MAX);
        self.order.push_back(Some((identifier, value)));
        let old = self.numbers.insert(identifier, number);
        assert!(old.is_none(), "identifier {identifier} is in use");
        if self.order.len() > 2 * self.numbers.len() + HOLES {
            self.close_up();
        }
    }

    fn remove(&mut self, identifier: PacketIdentifier) -> Option<V> {
        let number = self.numbers.remove(&identifier)?;
        let place = self.place(number);
        let (_, value) = self.order.get_mut(place)?.take()?;
        while self.order.pop_front_if(|entry| entry.is_none()).is_some() {
            self.first += 1;
        }
        while self.order.pop_back_if(|entry| entry.is_none()).is_some() {}
        Some(value)
    }

    /// Takes the holes out of the order.
    fn close_up(&mut self) {
        self.order.retain(Option::is_some);
        for (number, (identifier, _)) in (self.first..).zip(self.order.iter().flatten()) {
            self.numbers.insert(*identifier, number);
        }
    }
}

/// Hashes an identifier. We gave it out ourselves, one after the other: nobody can make them collide, and neighbours
/// stay neighbours.
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
    }

    /// The table takes the place from the lower bits, and looks for differences in the upper ones.
    fn write_u16(&mut self, number: u16) {
        let number = u64::from(number);
        self.0 = number | number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !0 << 48;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identifier(number: u16) -> PacketIdentifier {
        PacketIdentifier::new(number % 50 + 1).unwrap()
    }

    proptest! {
        /// It is a list: for any order of coming and going, with some who stay while hundreds pass.
        #[test]
        fn it_behaves_like_a_list(steps in prop::collection::vec((any::<bool>(), 0..50_u16), 0..2000)) {
            let mut open = Open::new();
            let mut list: Vec<(PacketIdentifier, usize)> = Vec::new();
            for (value, (comes, number)) in steps.into_iter().enumerate() {
                let identifier = identifier(number);
                let at = list.iter().position(|(other, _)| *other == identifier);
                prop_assert_eq!(open.get(identifier).copied(), at.map(|at| list[at].1));
                prop_assert_eq!(open.contains(identifier), at.is_some());
                match at {
                    None if comes => {
                        open.push(identifier, value);
                        list.push((identifier, value));
                    }
                    Some(at) if comes => {
                        *open.get_mut(identifier).unwrap() = value;
                        list[at].1 = value;
                    }
                    _ => prop_assert_eq!(open.remove(identifier), at.map(|at| list.remove(at).1)),
                }
                prop_assert_eq!(open.len(), list.len());
                prop_assert_eq!(open.first(), list.first().map(|(first, _)| *first));
                if value % 100 == 0 {
                    prop_assert_eq!(open.iter().map(|(who, value)| (who, *value)).collect::<Vec<_>>(), &list[..]);
                }
            }
            prop_assert_eq!(open.take_all(), list);
        }
    }

    #[test]
    fn one_who_stays_does_not_keep_the_places_of_all_who_came_after() {
        let mut open = Open::new();
        open.push(PacketIdentifier::FIRST, 0);
        for value in 1..30_000 {
            let identifier = PacketIdentifier::new(value % 20_000 + 2).unwrap();
            open.push(identifier, value);
            assert_eq!(open.remove(identifier), Some(value));
            assert_eq!(open.first(), Some(PacketIdentifier::FIRST));
        }
        assert!(open.0.unwrap().order.len() <= HOLES + 4);
    }

    #[test]
    fn two_who_stay_close_up_behind_those_who_go_between_them() {
        let mut open = Open::new();
        for value in 1..=500 {
            open.push(PacketIdentifier::new(value).unwrap(), value);
        }
        for value in 2..500 {
            assert_eq!(open.remove(PacketIdentifier::new(value).unwrap()), Some(value));
        }
        open.push(PacketIdentifier::new(2).unwrap(), 7);
        assert_eq!(open.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1, 500, 7]);
        assert_eq!(open.0.as_ref().unwrap().order.len(), 3);
        assert_eq!(open.remove(PacketIdentifier::new(500).unwrap()), Some(500));
        assert_eq!(open.get(PacketIdentifier::new(2).unwrap()), Some(&7));
    }
}
