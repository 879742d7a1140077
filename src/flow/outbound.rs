//! The sender's side: a window of deliveries, each with its packet identifier and phase.
//!
//! ```text
//! QoS 1:  assign ─ Assigned ─ committed ─▶ Published ─ PUBACK ─▶ gone
//! QoS 2:  assign ─ Assigned ─ committed ─▶ Published ─ PUBREC ─▶ Received ─ committed ─▶ Released ─ PUBCOMP ─▶ gone
//! ```
//!
//! `Assigned` and `Received` wait for the disk: nothing is sent in them. An owner without a disk, or at QoS 1,
//! says "committed" at once. Order of first sending is kept for repetition `[MQTT-4.6.0-1]`; an identifier is
//! not used again before its delivery is gone `[MQTT-2.2.1-3]` `[MQTT-2.2.1-4]`.

use std::collections::BTreeSet;

use crate::mqtt::{PacketIdentifier, QoS};

use super::open::Open;

/// How far a delivery came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has an identifier that is not yet on disk: nothing was sent.
    Assigned,
    /// PUBLISH was sent, or may be.
    Published,
    /// PUBREC came in and is not yet on disk: PUBREL was not sent.
    Received,
    /// PUBREL was sent, or may be.
    Released,
}

/// What a PUBREC means.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// The first one: put the release on disk, then send PUBREL.
    Release,
    /// Came again while the release waits for the disk: do nothing.
    Waiting,
    /// Came again after the release: send PUBREL again.
    Repeat,
    /// Nothing is known of the identifier: PUBREL with "packet identifier not found" (5.0).
    Unknown,
}

/// What to send for one delivery when a session is taken up again `[MQTT-4.4.0-1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// PUBLISH with DUP set.
    Publish,
    /// PUBREL.
    PubRel,
}

/// How many identifiers there are.
const IDENTIFIERS: usize = 0xFFFF;
/// How many of them even the largest window leaves for packets outside of it.
const KEPT_BACK: usize = 64;

#[derive(Debug, Clone)]
struct Entry<T> {
    qos: QoS,
    phase: Phase,
    delivery: T,
}

/// The deliveries towards one receiver that are not yet acknowledged.
#[derive(Debug, Clone)]
pub struct Outbound<T> {
    entries: Open<Entry<T>>,
    reserved: BTreeSet<PacketIdentifier>,
    next_identifier: PacketIdentifier,
    receive_maximum: u16,
}

impl<T> Outbound<T> {
    /// An empty window of `receive_maximum` places; at least one.
    #[must_use]
    pub fn new(receive_maximum: u16) -> Outbound<T> {
        Outbound {
            entries: Open::new(),
            reserved: BTreeSet::new(),
            next_identifier: PacketIdentifier::FIRST,
            receive_maximum: receive_maximum.max(1),
        }
    }

    /// The receiver said how many it takes at once; deliveries above it stay open.
    pub fn set_receive_maximum(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum.max(1);
    }

    /// How many more deliveries the receiver takes now `[MQTT-3.3.4-9]`.
    #[must_use]
    pub fn free(&self) -> usize {
        usize::from(self.receive_maximum).min(IDENTIFIERS - KEPT_BACK).saturating_sub(self.entries.len())
    }

    /// How many deliveries are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no delivery is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Gives a delivery its identifier. It is in [`Phase::Assigned`] until [`Outbound::assigned_committed`].
    ///
    /// # Panics
    /// When the window is full or `qos` is 0: the owner asks [`Outbound::free`] first.
    pub fn assign(&mut self, qos: QoS, delivery: T) -> PacketIdentifier {
        assert!(qos != QoS::AtMostOnce, "QoS 0 has no packet identifier");
        assert!(self.free() > 0, "the window has no place left");
        let identifier = self.unused_identifier();
        self.insert(identifier, qos, Phase::Assigned, delivery);
        identifier
    }

    /// An identifier for a packet outside the window (SUBSCRIBE, UNSUBSCRIBE): given to no delivery before
    /// [`Outbound::unreserve`].
    ///
    /// # Panics
    /// When every identifier is in use; any window leaves some.
    pub fn reserve(&mut self) -> PacketIdentifier {
        assert!(self.entries.len() + self.reserved.len() < IDENTIFIERS, "every identifier is in use");
        let identifier = self.unused_identifier();
        self.reserved.insert(identifier);
        identifier
    }

    /// The packet outside the window was answered: whether its identifier had been reserved.
    pub fn unreserve(&mut self, identifier: PacketIdentifier) -> bool {
        self.reserved.remove(&identifier)
    }

    /// The connection is gone, and the packets outside the window with it.
    pub fn unreserve_all(&mut self) {
        self.reserved.clear();
    }

    /// One open delivery.
    #[must_use]
    pub fn get(&self, identifier: PacketIdentifier) -> Option<(Phase, QoS, &T)> {
        let entry = self.entries.get(identifier)?;
        Some((entry.phase, entry.qos, &entry.delivery))
    }

    /// Takes up a delivery of an earlier run. Call in the order in which they were first sent.
    ///
    /// # Panics
    /// When the identifier is taken.
    pub fn restore(&mut self, identifier: PacketIdentifier, qos: QoS, phase: Phase, delivery: T) {
        self.insert(identifier, qos, phase, delivery);
        self.next_identifier = identifier.next();
    }

    /// The identifier is on disk, or need not be: send PUBLISH now. `None` when it is gone or was sent already.
    pub fn assigned_committed(&mut self, identifier: PacketIdentifier) -> Option<&T> {
        let entry = self.entries.get_mut(identifier)?;
        if entry.phase != Phase::Assigned {
            return None;
        }
        entry.phase = Phase::Published;
        Some(&entry.delivery)
    }

    /// PUBACK came in: the delivery is done. `None` when the identifier is not that of a sent QoS 1 delivery.
    pub fn acknowledged(&mut self, identifier: PacketIdentifier) -> Option<T> {
        let entry = self.entries.get(identifier)?;
        if entry.qos != QoS::AtLeastOnce || entry.phase != Phase::Published {
            return None;
        }
        self.remove(identifier)
    }

    /// PUBREC came in.
    pub fn received(&mut self, identifier: PacketIdentifier) -> Received {
        match self.entries.get_mut(identifier) {
            Some(entry) if entry.qos == QoS::ExactlyOnce => match entry.phase {
                Phase::Published => {
                    entry.phase = Phase::Received;
                    Received::Release
                }
                Phase::Received => Received::Waiting,
                Phase::Released => Received::Repeat,
                Phase::Assigned => Received::Unknown,
            },
            _ => Received::Unknown,
        }
    }

    /// PUBREC with an error came in: the receiver does not want it, the delivery ends here `[MQTT-4.4.0-2]`.
    /// `None` when there is no such sent QoS 2 delivery, or it is released already.
    pub fn refused(&mut self, identifier: PacketIdentifier) -> Option<T> {
        let entry = self.entries.get(identifier)?;
        if entry.qos != QoS::ExactlyOnce || entry.phase != Phase::Published {
            return None;
        }
        self.remove(identifier)
    }

    /// The release is on disk, or need not be: whether to send PUBREL now.
    pub fn release_committed(&mut self, identifier: PacketIdentifier) -> bool {
        match self.entries.get_mut(identifier) {
            Some(entry) if entry.phase == Phase::Received => {
                entry.phase = Phase::Released;
                true
            }
            _ => false,
        }
    }

    /// PUBCOMP came in: the delivery is done. `None` when no release of that identifier was sent.
    pub fn completed(&mut self, identifier: PacketIdentifier) -> Option<T> {
        let entry = self.entries.get(identifier)?;
        if entry.phase != Phase::Released {
            return None;
        }
        self.remove(identifier)
    }

    /// An open delivery and how far it came.
    #[must_use]
    pub fn find(&mut self, identifier: PacketIdentifier) -> Option<(Phase, &mut T)> {
        self.entries.get_mut(identifier).map(|entry| (entry.phase, &mut entry.delivery))
    }

    /// Every open delivery, to be changed, in no order that means anything.
    pub fn deliveries_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.values_mut().map(|entry| &mut entry.delivery)
    }

    /// The owner cannot send the message again, it is gone: frees the identifier of a delivery whose PUBLISH was
    /// not answered. `None` when it was received already; then it ends by itself.
    pub fn abandon(&mut self, identifier: PacketIdentifier) -> Option<T> {
        match self.entries.get(identifier)?.phase {
            Phase::Assigned | Phase::Published => self.remove(identifier),
            Phase::Received | Phase::Released => None,
        }
    }

    /// What to send when the session is taken up on a new connection, in the order of first sending. What
    /// waits for the disk is not among it.
    pub fn resend(&self) -> impl Iterator<Item = (PacketIdentifier, Resend, QoS, &T)> + '_ {
        self.entries.iter().filter_map(|(identifier, entry)| {
            let resend = match entry.phase {
                Phase::Published => Resend::Publish,
                Phase::Released => Resend::PubRel,
                Phase::Assigned | Phase::Received => return None,
            };
            Some((identifier, resend, entry.qos, &entry.delivery))
        })
    }

    /// Every open delivery in the order of first sending.
    pub fn iter(&self) -> impl Iterator<Item = (PacketIdentifier, Phase, &T)> + '_ {
        self.entries.iter().map(|(identifier, entry)| (identifier, entry.phase, &entry.delivery))
    }

    /// The receiver forgot the session: empties the window, in the order of first sending. What is `Received`
    /// or `Released` has arrived; the rest is owed anew.
    pub fn forget(&mut self) -> Vec<(PacketIdentifier, Phase, T)> {
        self.next_identifier = PacketIdentifier::FIRST;
        let taken = self.entries.take_all().into_iter();
        taken.map(|(identifier, entry)| (identifier, entry.phase, entry.delivery)).collect()
    }

    fn unused_identifier(&mut self) -> PacketIdentifier {
        while self.entries.contains(self.next_identifier) || self.reserved.contains(&self.next_identifier) {
            self.next_identifier = self.next_identifier.next();
        }
        let identifier = self.next_identifier;
        self.next_identifier = identifier.next();
        identifier
    }

    fn insert(&mut self, identifier: PacketIdentifier, qos: QoS, phase: Phase, delivery: T) {
        self.entries.push(identifier, Entry { qos, phase, delivery });
    }

    fn remove(&mut self, identifier: PacketIdentifier) -> Option<T> {
        self.entries.remove(identifier).map(|entry| entry.delivery)
    }
}
