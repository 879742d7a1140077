//! The packets as values. One type per packet; the bytes are the codec's business.
//!
//! The same types serve all versions: what a version does not know is left at its default and not written.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::{PacketIdentifier, QoS, ReasonCode, TopicName};

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

/// Any control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(Box<ConnAck>),
    Publish(Publish),
    PubAck(Acknowledgement),
    PubRec(Acknowledgement),
    PubRel(Acknowledgement),
    PubComp(Acknowledgement),
    Subscribe(Box<Subscribe>),
    SubAck(Box<SubAck>),
    Unsubscribe(Box<Unsubscribe>),
    UnsubAck(Box<UnsubAck>),
    PingReq,
    PingResp,
    Disconnect(Box<Disconnect>),
    Auth(Box<Auth>),
}

/// Name and value pairs that are carried, in order, and mean nothing to us (section 2.2.2.2 of 5.0).
pub type UserProperties = Vec<(ByteString, ByteString)>;

/// CONNECT (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The standard that the client speaks.
    pub version: ProtocolVersion,
    /// Clean Start of 5.0, Clean Session of 3.1.1.
    pub clean_start: bool,
    /// Seconds; 0 turns the keep-alive off.
    pub keep_alive_seconds: u16,
    /// Empty: the server assigns one.
    pub client_id: ByteString,
    /// What to publish when the connection ends without DISCONNECT.
    pub will: Option<Box<Will>>,
    /// User name, if sent.
    pub username: Option<ByteString>,
    /// Password, if sent.
    pub password: Option<Bytes>,
    /// Properties of 5.0; default for the others.
    pub properties: ConnectProperties,
}

/// Properties of CONNECT (section 3.1.2.11 of 5.0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct ConnectProperties {
    pub session_expiry_interval_seconds: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub user_properties: UserProperties,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

/// The will message of a CONNECT (sections 3.1.2.5 and 3.1.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// What is published.
    pub payload: Bytes,
    /// With which quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the will (5.0).
    pub delay_interval_seconds: u32,
    /// The properties of the message that is published (5.0).
    pub properties: PublishProperties,
}

/// CONNACK (section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server kept state of an earlier connection.
    pub session_present: bool,
    /// The answer. Towards 3.x clients the codec writes the return code that stands for it.
    pub reason: ReasonCode,
    /// Properties of 5.0.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK (section 3.2.2.3 of 5.0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct ConnAckProperties {
    pub session_expiry_interval_seconds: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    pub maximum_qos: Option<QoS>,
    pub retain_available: Option<bool>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub assigned_client_identifier: Option<ByteString>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifiers_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    pub server_keep_alive_seconds: Option<u16>,
    pub response_information: Option<ByteString>,
    pub server_reference: Option<ByteString>,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

/// PUBLISH (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// Its quality of service, with the identifier that QoS 1 and 2 carry.
    pub qos: PublishQoS,
    /// Whether it is to be retained, or came from the retained store.
    pub retain: bool,
    /// The topic. `None` only in 5.0 and only with a topic alias.
    pub topic: Option<TopicName>,
    /// Alias of the topic on this connection (5.0).
    pub topic_alias: Option<NonZeroU16>,
    /// The application's bytes.
    pub payload: Bytes,
    /// Properties of 5.0; `None` when there is none of them.
    pub properties: Option<Box<PublishProperties>>,
}

/// A quality of service together with the packet identifier that it needs `[MQTT-2.2.1-2]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishQoS {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketIdentifier),
    /// QoS 2.
    ExactlyOnce(PacketIdentifier),
}

impl PublishQoS {
    /// The quality of service alone.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            PublishQoS::AtMostOnce => QoS::AtMostOnce,
            PublishQoS::AtLeastOnce(_) => QoS::AtLeastOnce,
            PublishQoS::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The identifier of QoS 1 and 2.
    #[must_use]
    pub const fn packet_identifier(self) -> Option<PacketIdentifier> {
        match self {
            PublishQoS::AtMostOnce => None,
            PublishQoS::AtLeastOnce(identifier) | PublishQoS::ExactlyOnce(identifier) => Some(identifier),
        }
    }
}

/// Properties of a message, as a publisher gives them (section 3.3.2.3 of 5.0, without the topic alias).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct PublishProperties {
    pub payload_format_indicator: Option<bool>,
    pub message_expiry_interval_seconds: Option<u32>,
    pub response_topic: Option<TopicName>,
    pub correlation_data: Option<Bytes>,
    pub user_properties: UserProperties,
    /// Server to client only: 1 to 268,435,455 each.
    pub subscription_identifiers: Vec<NonZeroU32>,
    pub content_type: Option<ByteString>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): all four have one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Which PUBLISH.
    pub packet_identifier: PacketIdentifier,
    /// How it went (5.0; `Success` in 3.x).
    pub reason: ReasonCode,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
}

impl Acknowledgement {
    /// An acknowledgement without properties.
    #[must_use]
    pub const fn new(packet_identifier: PacketIdentifier, reason: ReasonCode) -> Acknowledgement {
        Acknowledgement { packet_identifier, reason, properties: None }
    }
}

/// Properties of the acknowledgements, SUBACK and UNSUBACK among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct AcknowledgementProperties {
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
}

/// SUBSCRIBE (section 3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Names this packet until its SUBACK.
    pub packet_identifier: PacketIdentifier,
    /// 1 to 268,435,455 (5.0).
    pub subscription_identifier: Option<NonZeroU32>,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// At least one `[MQTT-3.8.3-2]`. Each filter is UTF-8 but unparsed: 5.0 refuses a bad one by its own code.
    pub requests: Vec<(ByteString, SubscriptionOptions)>,
}

/// Options of one subscription (section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest quality of service wanted.
    pub maximum_qos: QoS,
    /// Whether own messages are left out (5.0).
    pub no_local: bool,
    /// Whether the retain flag is passed on as it was published (5.0).
    pub retain_as_published: bool,
    /// Which retained messages are sent at once (5.0).
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options of a 3.x subscription.
    #[must_use]
    pub const fn new(maximum_qos: QoS) -> SubscriptionOptions {
        SubscriptionOptions {
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// Whether a new subscription is sent the retained messages (section 3.8.3.1 of 5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    #[default]
    Send = 0,
    /// Only when the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBACK (section 3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
    /// One per request, in order `[MQTT-3.9.3-1]`. Towards 3.x every error is written as 0x80.
    pub reasons: Vec<ReasonCode>,
}

/// UNSUBSCRIBE (section 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Names this packet until its UNSUBACK.
    pub packet_identifier: PacketIdentifier,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// At least one `[MQTT-3.10.3-2]`; UTF-8 but unparsed.
    pub filters: Vec<ByteString>,
}

/// UNSUBACK (section 3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
    /// One per filter, in order; not written to 3.x.
    pub reasons: Vec<ReasonCode>,
}

/// DISCONNECT (section 3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why (5.0; `Success` in 3.x).
    pub reason: ReasonCode,
    /// Client to server only: seconds that the session outlives the connection (5.0).
    pub session_expiry_interval_seconds: Option<u32>,
    /// For a person to read (5.0).
    pub reason_string: Option<ByteString>,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// Server to client only (5.0).
    pub server_reference: Option<ByteString>,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    #[must_use]
    pub const fn new(reason: ReasonCode) -> Disconnect {
        Disconnect {
            reason,
            session_expiry_interval_seconds: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }
    }
}

/// AUTH (section 3.15 of 5.0).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct Auth {
    pub reason: ReasonCode,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
}
