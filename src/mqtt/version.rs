//! Which standard a connection speaks, and how its CONNECT says so. Never decides whether it is welcome.

/// Which standard a connection speaks, by the protocol level of its CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1 ("MQIsdp", level 3).
    V3_1,
    /// MQTT 3.1.1 ("MQTT", level 4).
    V3_1_1,
    /// MQTT 5.0 ("MQTT", level 5).
    V5,
}

impl ProtocolVersion {
    /// The protocol name that stands in CONNECT `[MQTT-3.1.2-1]`.
    pub(super) const fn protocol_name(self) -> &'static str {
        match self {
            ProtocolVersion::V3_1 => "MQIsdp",
            ProtocolVersion::V3_1_1 | ProtocolVersion::V5 => "MQTT",
        }
    }

    /// The protocol level that stands in CONNECT.
    pub(super) const fn level(self) -> u8 {
        match self {
            ProtocolVersion::V3_1 => 3,
            ProtocolVersion::V3_1_1 => 4,
            ProtocolVersion::V5 => 5,
        }
    }

    /// The version with this protocol level, if we know it.
    pub(super) const fn from_level(level: u8) -> Option<ProtocolVersion> {
        match level {
            3 => Some(ProtocolVersion::V3_1),
            4 => Some(ProtocolVersion::V3_1_1),
            5 => Some(ProtocolVersion::V5),
            _ => None,
        }
    }

    /// Whether packets carry properties and reason codes.
    #[must_use]
    pub const fn is_v5(self) -> bool {
        matches!(self, ProtocolVersion::V5)
    }
}
