//! Packet identifiers.

use std::fmt;
use std::num::NonZeroU16;

/// Names one unacknowledged packet of one direction of a session; never zero `[MQTT-2.2.1-3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketIdentifier(NonZeroU16);

impl PacketIdentifier {
    /// The first identifier.
    pub const FIRST: PacketIdentifier = PacketIdentifier(NonZeroU16::MIN);

    /// The identifier with this number; `None` for zero.
    #[must_use]
    pub const fn new(number: u16) -> Option<PacketIdentifier> {
        match NonZeroU16::new(number) {
            Some(number) => Some(PacketIdentifier(number)),
            None => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The one after this; 1 after 65,535.
    #[must_use]
    pub const fn next(self) -> PacketIdentifier {
        match self.0.checked_add(1) {
            Some(number) => PacketIdentifier(number),
            None => PacketIdentifier::FIRST,
        }
    }
}

impl fmt::Display for PacketIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
