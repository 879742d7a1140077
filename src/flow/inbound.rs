//! The receiver's side: which QoS 2 messages of the sender are taken and not yet released.

use std::collections::BTreeSet;

use crate::mqtt::PacketIdentifier;

/// Whether a QoS 2 PUBLISH is to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// Seen for the first time: accept it, then answer PUBREC.
    New,
    /// Taken already: answer PUBREC again and do nothing else `[MQTT-4.3.3-10]`.
    Repeated,
    /// More identifiers are open than the receive maximum allows `[MQTT-3.3.4-7]`.
    TooMany,
}

/// The identifiers of QoS 2 messages that are accepted and not yet released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    open: BTreeSet<PacketIdentifier>,
    maximum: u16,
}

impl Inbound {
    /// Nothing open, at most `maximum` at once.
    #[must_use]
    pub const fn new(maximum: u16) -> Inbound {
        Inbound { open: BTreeSet::new(), maximum }
    }

    /// Takes up what an earlier connection or an earlier run left open.
    pub fn restore(&mut self, open: impl IntoIterator<Item = PacketIdentifier>) {
        self.open.extend(open);
    }

    /// A QoS 2 PUBLISH came in.
    pub fn published(&mut self, packet_identifier: PacketIdentifier) -> Publication {
        if self.open.contains(&packet_identifier) {
            return Publication::Repeated;
        }
        if self.open.len() >= usize::from(self.maximum) {
            return Publication::TooMany;
        }
        self.open.insert(packet_identifier);
        Publication::New
    }

    /// A PUBREL came in: whether the identifier was open. PUBCOMP is the answer either way.
    pub fn released(&mut self, packet_identifier: PacketIdentifier) -> bool {
        self.open.remove(&packet_identifier)
    }

    /// Takes back an identifier whose message was refused (PUBREC with an error).
    pub fn refused(&mut self, packet_identifier: PacketIdentifier) {
        self.open.remove(&packet_identifier);
    }

    /// Whether the identifier is open: a PUBLISH with it is a repetition.
    #[must_use]
    pub fn is_open(&self, packet_identifier: PacketIdentifier) -> bool {
        self.open.contains(&packet_identifier)
    }

    /// The open identifiers.
    pub fn open(&self) -> impl Iterator<Item = PacketIdentifier> + '_ {
        self.open.iter().copied()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The other side forgot the session.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}
