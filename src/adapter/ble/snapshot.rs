//! What BlueZ remembers of devices, taken apart again: its maps grow with every field that a device ever sent, so
//! that only the difference between two of them is what was advertised now.
//!
//! Pure: told what came, says what is new. Bounded: the device that was silent longest is forgotten first.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use crate::device::ble::{Address, Advertisement, Uuid};
use crate::time::Instant;

/// How soon a name is asked for that a device has not said; the next question comes after twice as long...
const FIRST_QUESTION: Duration = Duration::from_secs(2);
/// ...up to this: many devices have none.
const LONGEST_QUESTION: Duration = Duration::from_secs(600);

/// What is known of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) name: Option<String>,
    pub(super) services: Vec<Uuid>,
    pub(super) rssi: Option<i16>,
    pub(super) tx_power: Option<i16>,
    pub(super) manufacturer: HashMap<u16, Vec<u8>>,
    pub(super) service: HashMap<Uuid, Vec<u8>>,
    /// The fields that were new last: those are repeated when nothing is new.
    pub(super) last: Fields,
    /// Whether any of it was heard since we listen, and is not BlueZ's memory only.
    pub(super) is_heard: bool,
    /// When it was heard last, in events.
    pub(super) at: u64,
    /// When its name is asked for next, and after how long it was the last time.
    pub(super) question: Option<(Instant, Duration)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    manufacturer: Vec<u16>,
    service: Vec<Uuid>,
}

impl Fields {
    fn is_empty(&self) -> bool {
        self.manufacturer.is_empty() && self.service.is_empty()
    }
}

/// Everything known of devices.
#[derive(Debug)]
pub(super) struct Snapshots {
    devices: HashMap<Address, Snapshot>,
    capacity: usize,
    events: u64,
}

/// What was heard, and with what else is known: see [`super::Heard`].
pub(super) type Sight = (Advertisement, Advertisement);

impl Snapshots {
    pub(super) fn new(capacity: usize) -> Snapshots {
        Snapshots { devices: HashMap::new(), capacity, events: 0 }
    }

    pub(super) fn contains(&self, address: Address) -> bool {
        self.devices.contains_key(&address)
    }

    /// BlueZ's memory of a device, of before we listened: true then, perhaps not now.
    pub(super) fn remember(&mut self, address: Address, snapshot: Snapshot) {
        let known = self.touch(address);
        let at = known.at;
        *known = Snapshot { at, ..snapshot };
    }

    /// A device that appeared: what it advertises is in no event. Without a signal strength it is memory, too.
    pub(super) fn discovered(&mut self, address: Address, snapshot: Snapshot) -> Option<Sight> {
        if snapshot.rssi.is_none() {
            self.remember(address, snapshot);
            return None;
        }
        let known = self.touch(address);
        let last = Fields {
            manufacturer: snapshot.manufacturer.keys().copied().collect(),
            service: snapshot.service.keys().copied().collect(),
        };
        *known = Snapshot { last, is_heard: true, at: known.at, ..snapshot };
        known.sight(address)
    }

    /// A new signal strength: the device is there. Where what it said is known and cannot be mistaken, it says it
    /// again.
    pub(super) fn rssi(&mut self, address: Address, rssi: i16) -> Option<Sight> {
        let known = self.touch(address);
        known.rssi = Some(rssi);
        if !known.is_heard {
            if known.manufacturer.len() + known.service.len() > 1 {
                // Which of its memories it repeats is not known.
                return Some(known.bare(address));
            }
            known.last = Fields {
                manufacturer: known.manufacturer.keys().copied().collect(),
                service: known.service.keys().copied().collect(),
            };
            known.is_heard = true;
        }
        known.sight(address)
    }

    /// The manufacturers' map of an event.
    pub(super) fn manufacturer(&mut self, address: Address, map: HashMap<u16, Vec<u8>>) -> Option<Sight> {
        let known = self.touch(address);
        let changed: Vec<u16> = map
            .iter()
            .filter(|(id, data)| known.manufacturer.get(id) != Some(data))
            .map(|(id, _)| *id)
            .collect();
        let single = map.len() == 1;
        known.manufacturer = map;
        if !changed.is_empty() {
            known.last = Fields { manufacturer: changed, service: Vec::new() };
        } else if single || known.last.manufacturer.is_empty() {
            known.last = Fields {
                manufacturer: known.manufacturer.keys().copied().take(1).filter(|_| single).collect(),
                service: Vec::new(),
            };
        }
        known.is_heard = true;
        known.sight(address)
    }

    /// The services' map of an event.
    pub(super) fn service(&mut self, address: Address, map: HashMap<Uuid, Vec<u8>>) -> Option<Sight> {
        let known = self.touch(address);
        let changed: Vec<Uuid> =
            map.iter().filter(|(id, data)| known.service.get(id) != Some(data)).map(|(id, _)| *id).collect();
        let single = map.len() == 1;
        known.service = map;
        if !changed.is_empty() {
            known.last = Fields { manufacturer: Vec::new(), service: changed };
        } else if single || known.last.service.is_empty() {
            known.last = Fields {
                manufacturer: Vec::new(),
                service: known.service.keys().copied().take(1).filter(|_| single).collect(),
            };
        }
        known.is_heard = true;
        known.sight(address)
    }

    pub(super) fn services(&mut self, address: Address, services: Vec<Uuid>) {
        self.touch(address).services = services;
    }

    /// Whether the name of a device that is heard is to be asked for: it may come with a later answer to the scan, and
    /// no event tells.
    pub(super) fn asks_for_name(&mut self, address: Address, now: Instant) -> bool {
        let Some(known) = self.devices.get_mut(&address).filter(|known| known.name.is_none()) else {
            return false;
        };
        let (is_due, after) = match known.question {
            None => (false, FIRST_QUESTION),
            Some((at, _)) if now < at => return false,
            Some((_, after)) => (true, (after * 2).min(LONGEST_QUESTION)),
        };
        known.question = Some((now + after, after));
        is_due
    }

    /// The name that a device is known to advertise by now.
    pub(super) fn name(&mut self, address: Address, name: Option<String>) {
        if let Some(known) = self.devices.get_mut(&address) {
            known.name = name;
        }
    }

    /// How many devices are known.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.devices.len()
    }

    fn touch(&mut self, address: Address) -> &mut Snapshot {
        self.events += 1;
        if !self.devices.contains_key(&address) && self.devices.len() >= self.capacity {
            self.forget_the_silent();
        }
        let known = self.devices.entry(address).or_default();
        known.at = self.events;
        known
    }

    /// Forgets the eighth that was silent longest: one look at all for many newcomers.
    fn forget_the_silent(&mut self) {
        let mut ages: Vec<u64> = self.devices.values().map(|known| known.at).collect();
        ages.sort_unstable();
        let oldest = ages.get(ages.len() / 8).copied().unwrap_or_default();
        self.devices.retain(|_, known| known.at > oldest);
    }
}

impl Snapshot {
    /// It is there; nothing of what it says is known to be of now.
    fn bare(&self, address: Address) -> Sight {
        let bare = Advertisement {
            address,
            name: self.name.clone(),
            service_uuids: self.services.iter().copied().collect(),
            rssi: self.rssi,
            tx_power: self.tx_power,
            ..Advertisement::default()
        };
        (bare.clone(), bare)
    }

    /// Nothing, while nothing but memory is known.
    fn sight(&self, address: Address) -> Option<Sight> {
        if !self.is_heard {
            return None;
        }
        let (mut fresh, bare) = self.bare(address);
        if self.last.is_empty() {
            return Some((fresh, bare));
        }
        for (id, data) in &self.manufacturer {
            if self.last.manufacturer.contains(id) {
                fresh.manufacturer_data.push((*id, Bytes::copy_from_slice(data)));
            }
        }
        for (id, data) in &self.service {
            if self.last.service.contains(id) {
                fresh.service_data.push((*id, Bytes::copy_from_slice(data)));
            }
        }
        // What is fresh, with the other kind of fields as it is known.
        let mut whole = fresh.clone();
        if whole.manufacturer_data.is_empty() {
            let others = self.manufacturer.iter();
            whole.manufacturer_data = others.map(|(id, data)| (*id, Bytes::copy_from_slice(data))).collect();
        }
        if whole.service_data.is_empty() {
            let others = self.service.iter();
            whole.service_data = others.map(|(id, data)| (*id, Bytes::copy_from_slice(data))).collect();
        }
        Some((fresh, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: Address = Address([0xA4, 0xC1, 0x38, 0, 0, 1]);

    fn map(fields: &[(u16, &[u8])]) -> HashMap<u16, Vec<u8>> {
        fields.iter().map(|(id, data)| (*id, data.to_vec())).collect()
    }

    fn ids(sight: Option<Sight>) -> Vec<u16> {
        sight.map_or(Vec::new(), |(fresh, _)| fresh.manufacturer_data.iter().map(|(id, _)| *id).collect())
    }

    #[test]
    fn what_bluez_remembers_is_not_said_until_the_device_is_heard() {
        let mut snapshots = Snapshots::new(8);
        let memory = Snapshot { manufacturer: map(&[(1, &[1]), (2, &[2])]), ..Snapshot::default() };
        snapshots.remember(DEVICE, memory.clone());
        let (fresh, whole) = snapshots.rssi(DEVICE, -60).unwrap();
        assert!(whole.manufacturer_data.is_empty(), "which of the two it says is not known");
        assert_eq!(fresh.rssi, Some(-60), "but it is there");
        assert_eq!(ids(snapshots.manufacturer(DEVICE, map(&[(1, &[1]), (2, &[3])]))), [2]);
        let mut single = Snapshots::new(8);
        single.remember(
            DEVICE,
            Snapshot { manufacturer: map(&[(1, &[1])]), rssi: Some(-50), ..Snapshot::default() },
        );
        assert_eq!(ids(single.rssi(DEVICE, -61)), [1], "it is there and has one thing to say");
        let mut appeared = Snapshots::new(8);
        assert!(appeared.discovered(DEVICE, memory.clone()).is_none(), "no signal: not heard");
        let heard = Snapshot { rssi: Some(-70), ..memory };
        assert_eq!(
            ids(appeared.discovered(DEVICE, heard)).len(),
            2,
            "the first advertisement is in no event"
        );
    }

    #[test]
    fn only_the_field_that_changed_in_a_merged_map_is_fresh_and_a_repetition_repeats_it() {
        let mut snapshots = Snapshots::new(8);
        assert_eq!(ids(snapshots.manufacturer(DEVICE, map(&[(100, &[1])]))), [100]);
        assert_eq!(ids(snapshots.manufacturer(DEVICE, map(&[(100, &[1]), (101, &[1])]))), [101]);
        assert_eq!(ids(snapshots.manufacturer(DEVICE, map(&[(100, &[1]), (101, &[1])]))), [101], "again");
        assert_eq!(ids(snapshots.rssi(DEVICE, -44)), [101], "a sign of life");
        let uuid = Uuid::from_short(0xFD3D);
        let (fresh, whole) = snapshots.service(DEVICE, [(uuid, vec![0x77])].into()).unwrap();
        assert_eq!((fresh.manufacturer_data.len(), fresh.service_data.len(), fresh.rssi), (0, 1, Some(-44)));
        assert_eq!(whole.manufacturer_data.len(), 2, "formats that spread over fields see the others");
    }

    #[test]
    fn a_name_is_asked_for_less_and_less_until_it_is_known() {
        let mut snapshots = Snapshots::new(8);
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        assert!(!snapshots.asks_for_name(DEVICE, at(0)), "nobody knows it");
        snapshots.rssi(DEVICE, -60);
        let asked: Vec<u64> =
            (0..2000).filter(|second| snapshots.asks_for_name(DEVICE, at(*second))).collect();
        assert_eq!(asked, [2, 6, 14, 30, 62, 126, 254, 510, 1022, 1622]);
        snapshots.name(DEVICE, Some("sps".to_owned()));
        assert!(!snapshots.asks_for_name(DEVICE, at(9999)));
        let (fresh, _) = snapshots.manufacturer(DEVICE, map(&[(1, &[1])])).unwrap();
        assert_eq!(fresh.name.as_deref(), Some("sps"));
    }

    /// The number of the statement: ten thousand random addresses per minute for ten minutes.
    #[test]
    fn a_hundred_thousand_random_addresses_are_bounded() {
        let mut snapshots = Snapshots::new(4096);
        for number in 0..100_000_u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let address = Address([0x7A, 1, a, b, c, d]);
            snapshots.manufacturer(address, map(&[(0x004C, &[d; 20])]));
            if number % 100 == 0 {
                snapshots.rssi(DEVICE, -60);
                snapshots.manufacturer(DEVICE, map(&[(0x0499, &[d])]));
            }
            assert!(snapshots.len() <= 4096);
        }
        assert!(snapshots.contains(DEVICE), "who speaks is not forgotten");
    }
}
