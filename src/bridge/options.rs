//! How an uplink behaves, as values.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::mapping::Forward;
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
    pub receive: Vec<(TopicFilter, QoS)>,
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
            window: 1000,
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
        }
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
