//! How an uplink behaves, as values.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::backlog::Order;
use super::identity::MessageId;
use super::mapping::{Forward, Rate, Receive};
use super::metered::Metered;
use crate::limits::{
    PACKET_BYTES_MAX, UPLINK_ACKNOWLEDGEMENT_DEADLINE, UPLINK_GREETING_DEADLINE,
    UPLINK_INCOMING_PACKET_BYTES, UPLINK_OPEN_DEADLINE, UPLINK_RECEIVE_MAXIMUM,
};
use crate::mqtt::{ProtocolVersion, QoS, TopicFilter, TopicName};

/// How a [`super::Forwarder`] talks to its server.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// Which standard: 3.1.1 or 5.0.
    pub version: ProtocolVersion,
    /// Names the session at the server.
    pub client_id: ByteString,
    /// User name, if the server wants one.
    pub username: Option<ByteString>,
    /// Password, if the server wants one.
    pub password: Option<Bytes>,
    /// Seconds; 0 turns pings off. A 5.0 server may say otherwise.
    pub keep_alive_seconds: u16,
    /// Seconds that the server is asked to keep the session without a connection (5.0).
    pub session_expiry_seconds: u32,
    /// The gateway's status: `online`, retained, while connected; `offline` as the will.
    pub status_topic: Option<TopicName>,
    /// What messages are called at the server; the first line that is about a topic decides.
    pub forward: Vec<Forward>,
    /// What the server is asked for.
    pub receive: Vec<Receive>,
    /// The gateway's name, in the names of its messages.
    pub gateway: ByteString,
    /// Where messages carry their names.
    pub message_id: MessageId,
    /// In which order a queue is sent.
    pub order: Order,
    /// How many messages may be sent; the rest waits.
    pub rate: Option<Rate>,
    /// What the link may carry, where it costs.
    pub metered: Option<Metered>,
    /// What the server takes beside what it says itself.
    pub takes: Takes,
    /// How long one connection may be used: then the login is renewed by connecting anew.
    pub renew_after: Option<Duration>,
    /// Messages open at once, at most; the server's Receive Maximum may be lower.
    pub window: u16,
    /// Bytes of the largest packet that the server takes; a 5.0 server may say less.
    pub max_packet_bytes: usize,
    /// Bytes of the largest packet that we take.
    pub max_incoming_packet_bytes: usize,
    /// Messages that the server may have open towards us.
    pub receive_maximum: u16,
    /// How long the server may be silent while something waits for its answer.
    pub acknowledgement_deadline: Duration,
    /// How long opening a connection may take.
    pub open_deadline: Duration,
    /// How long CONNECT may stay unanswered.
    pub greeting_deadline: Duration,
    /// The longest pause after a first failure.
    pub backoff_min: Duration,
    /// The longest pause after many failures.
    pub backoff_max: Duration,
    /// A connection that lasted so long was a good one: the pauses start anew.
    pub stable_after: Duration,
    /// Start of the jitter; differs from gateway to gateway.
    pub seed: u64,
    /// When a message may be sent.
    pub durability: Durability,
}

/// When a message may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on disk.
    #[default]
    Disk,
    /// At once, if nobody waits for it to be on disk: what the server has acknowledged before it was written is never
    /// written.
    Either,
}

impl Options {
    /// The defaults, for this client identifier.
    #[must_use]
    pub fn new(client_id: impl Into<ByteString>) -> Options {
        Options {
            version: ProtocolVersion::V5,
            client_id: client_id.into(),
            username: None,
            password: None,
            keep_alive_seconds: 60,
            session_expiry_seconds: 7 * 24 * 3600,
            status_topic: None,
            forward: Vec::new(),
            receive: Vec::new(),
            gateway: ByteString::from_static("gateway"),
            message_id: MessageId::Off,
            order: Order::Fifo,
            rate: None,
            metered: None,
            takes: Takes::default(),
            renew_after: None,
            window: 2000,
            max_packet_bytes: PACKET_BYTES_MAX,
            max_incoming_packet_bytes: UPLINK_INCOMING_PACKET_BYTES,
            receive_maximum: UPLINK_RECEIVE_MAXIMUM,
            acknowledgement_deadline: UPLINK_ACKNOWLEDGEMENT_DEADLINE,
            open_deadline: UPLINK_OPEN_DEADLINE,
            greeting_deadline: UPLINK_GREETING_DEADLINE,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(20),
            stable_after: Duration::from_secs(30),
            seed: 0,
            durability: Durability::Disk,
        }
    }
}

/// What a server takes that does not say so itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takes {
    /// Slashes in a topic.
    pub topic_slashes: Option<usize>,
    /// Bytes of a topic.
    pub topic_bytes: Option<usize>,
    /// The only topics that may be published; empty: all.
    pub only_topics: Vec<TopicFilter>,
    /// Characters that no topic may have.
    pub no_characters: &'static str,
    /// The highest quality of service.
    pub maximum_qos: QoS,
    /// Whether it retains.
    pub retain: bool,
    /// Bytes of a payload, where that is what is bounded.
    pub payload_bytes: Option<usize>,
}

impl Default for Takes {
    fn default() -> Takes {
        Takes {
            topic_slashes: None,
            topic_bytes: None,
            only_topics: Vec::new(),
            no_characters: "",
            maximum_qos: QoS::ExactlyOnce,
            retain: true,
            payload_bytes: None,
        }
    }
}

impl Takes {
    /// Whether this topic may be published.
    ///
    /// # Errors
    /// Why not.
    pub fn topic(&self, topic: &TopicName) -> Result<(), String> {
        let text = topic.as_str();
        if let Some(most) = self.topic_slashes {
            let slashes = text.bytes().filter(|byte| *byte == b'/').count();
            if slashes > most {
                return Err(format!("the topic has {slashes} slashes, the server takes {most}"));
            }
        }
        if let Some(most) = self.topic_bytes.filter(|most| text.len() > *most) {
            return Err(format!("the topic has {} bytes, the server takes {most}", text.len()));
        }
        // None to look for is the usual case.
        let bad = |found: &char| self.no_characters.contains(*found);
        if !self.no_characters.is_empty()
            && let Some(bad) = text.chars().find(bad)
        {
            return Err(format!("the server takes no topic with {bad:?}"));
        }
        if !self.only_topics.is_empty() && !self.only_topics.iter().any(|filter| filter.matches(topic)) {
            let known: Vec<&str> = self.only_topics.iter().map(TopicFilter::as_str).collect();
            return Err(format!("the server takes no other topics than {}", known.join(", ")));
        }
        Ok(())
    }
}

/// Never shows the password.
impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .field("forward", &self.forward)
            .field("receive", &self.receive)
            .finish_non_exhaustive()
    }
}
