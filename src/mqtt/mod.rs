//! The words of MQTT 3.1, 3.1.1 and 5.0: topics, qualities of service, packets and their bytes.
//!
//! Knows what a well-formed packet is and nothing of sessions, connections or who may do what. Decoding is
//! zero-copy: payloads and strings are slices of the bytes that were read.
//!
//! Sources: OASIS MQTT 3.1.1 and MQTT 5.0; rules carry their numbers, as in `[MQTT-3.3.1-2]`.

mod packet;
mod packet_identifier;
mod qos;
mod reason_code;
mod topic;

pub use packet::*;
pub use packet_identifier::PacketIdentifier;
pub use qos::QoS;
pub use reason_code::ReasonCode;
pub use topic::{TopicError, TopicFilter, TopicName};
