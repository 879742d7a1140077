//! The words of MQTT 3.1, 3.1.1 and 5.0: topics, qualities of service, packets and their bytes.
//!
//! Knows what a well-formed packet is and nothing of sessions, connections or who may do what. Decoding is
//! zero-copy: payloads and strings are slices of the bytes that were read.
//!
//! | where | what |
//! |---|---|
//! | [`Decoder`], [`encode`], [`OutgoingPublish::encode`] | the codec: bytes split anywhere to packets, and back |
//! | `connect` `connack` `publish` ... | one file per packet: its type, how it is read, how it is written |
//! | `property` | the properties of 5.0 by themselves; each packet says which it takes |
//! | `fixed_header` | what is refused before a body arrives: types, directions, flags, sizes |
//! | `reader` `writer` | the data types that packets are made of |
//!
//! Sources: MQTT 3.1 (IBM and Eurotech), OASIS MQTT 3.1.1 and 5.0. Rules carry their numbers, as in
//! `[MQTT-3.3.1-2]`: those of 5.0 where nothing else is said.

mod acknowledgement;
mod auth;
mod codec;
mod connack;
mod connect;
mod disconnect;
mod error;
mod fixed_header;
mod outgoing_publish;
mod packet;
mod packet_identifier;
mod property;
mod publish;
mod qos;
mod reader;
mod reason_code;
mod suback;
mod subscribe;
mod topic;
mod unsuback;
mod unsubscribe;
mod version;
mod will;
mod writer;

pub use acknowledgement::{Acknowledgement, AcknowledgementProperties};
pub use auth::Auth;
pub use codec::{Decoder, encode, encoded_len};
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties};
pub use disconnect::Disconnect;
pub use error::{DecodeError, EncodeError};
pub use fixed_header::PacketType;
pub use outgoing_publish::{EncodedPublish, OutgoingPublish};
pub use packet::{Packet, UserProperties};
pub use packet_identifier::PacketIdentifier;
pub use publish::{Publish, PublishProperties, PublishQoS};
pub use qos::QoS;
pub use reason_code::ReasonCode;
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscriptionOptions};
pub use topic::{TopicError, TopicFilter, TopicName};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;
pub use version::ProtocolVersion;
pub use will::Will;
