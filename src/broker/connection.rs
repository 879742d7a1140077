//! What is known of the connection of a connected client, and forgotten with it.
//!
//! Data and small questions only.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use crate::mqtt::{Connect, ProtocolVersion, TopicName};
use crate::time::Instant;

use super::ConnectionId;
use super::aliases::{Naming, OutgoingAliases};

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) version: ProtocolVersion,
    /// Whether CONNACK was sent; before it nothing else may be `[MQTT-3.2.0-1]`.
    pub(super) greeted: bool,
    /// Acknowledgements that wait for the disk; later ones wait behind them, in 3.1.1 `[MQTT-4.6.0-2]`.
    pub(super) answers_waiting: u32,
    /// How long it may be silent: 1.5 x keep-alive, in half seconds; 0: for ever.
    patience_half_seconds: u32,
    pub(super) last_heard: Instant,
    /// The deadline that is set for it.
    pub(super) watched_until: Option<Instant>,
    /// Bytes handed out and not yet written.
    pub(super) outbox_bytes: usize,
    /// The largest packet that the client takes `[MQTT-3.1.2-24]`.
    maximum_packet_size: u32,
    /// How many QoS 1 and 2 publishes the client takes at once.
    pub(super) receive_maximum: u16,
    /// How many were sent on this connection and are not acknowledged `[MQTT-3.3.4-9]`.
    pub(super) sent_open: u16,
    /// How many the client has sent on this connection that are not acknowledged.
    pub(super) received_open: u16,
    /// Whether it wants reason strings (Request Problem Information of 5.0).
    pub(super) wants_words: bool,
    /// Aliases that we use towards it, if it takes any.
    pub(super) outgoing_aliases: Option<Box<OutgoingAliases>>,
    /// Topics by alias, if it uses any. In a box: most use none, and thousands may be idle.
    aliases: Option<Box<TopicsByAlias>>,
    /// Something was not acknowledged because the journal could not keep it: from then on nothing that needs the
    /// journal is accepted, so that a repetition does not come after what followed it.
    pub(super) withheld: bool,
}

/// The alias 1 at place 0.
#[derive(Debug, Default)]
struct TopicsByAlias(Vec<Option<TopicName>>);

impl Connection {
    /// The connection that `connect` opens, for a server that lets `default_receive_maximum` be open towards a
    /// client that does not say.
    pub(super) fn new(id: ConnectionId, connect: &Connect, now: Instant, defaults: &Defaults) -> Connection {
        let properties = &connect.properties;
        let keep_alive = defaults.keep_alive_seconds.unwrap_or(connect.keep_alive_seconds);
        Connection {
            id,
            version: connect.version,
            greeted: false,
            answers_waiting: 0,
            // [MQTT-3.1.2-22] [MQTT-3.2.2-22], in 3.1.1 [MQTT-3.1.2-24]
            patience_half_seconds: u32::from(keep_alive) * 3,
            last_heard: now,
            watched_until: None,
            outbox_bytes: 0,
            maximum_packet_size: properties.maximum_packet_size.map_or(u32::MAX, NonZeroU32::get),
            receive_maximum: properties.receive_maximum.map_or(defaults.receive_maximum, NonZeroU16::get),
            sent_open: 0,
            received_open: 0,
            wants_words: properties.request_problem_information != Some(false),
            outgoing_aliases: OutgoingAliases::new(properties.topic_alias_maximum.unwrap_or(0)),
            aliases: None,
            withheld: false,
        }
    }

    /// How long it may be silent.
    pub(super) fn patience(&self) -> Option<Duration> {
        let half_seconds = u64::from(self.patience_half_seconds);
        (half_seconds > 0).then(|| Duration::from_millis(half_seconds * 500))
    }

    /// The largest packet that the client takes.
    pub(super) fn maximum_packet_size(&self) -> usize {
        usize::try_from(self.maximum_packet_size).unwrap_or(usize::MAX)
    }

    pub(super) fn is_v5(&self) -> bool {
        self.version == ProtocolVersion::V5
    }

    /// How many more QoS 1 and 2 publishes may be sent.
    pub(super) fn window(&self) -> u16 {
        self.receive_maximum.saturating_sub(self.sent_open)
    }

    /// How a PUBLISH that is written now names its topic.
    pub(super) fn naming(&self, topic: &TopicName) -> Naming {
        self.outgoing_aliases.as_ref().map_or(Naming::Topic, |aliases| aliases.naming(topic))
    }

    /// A PUBLISH that named its topic so was sent.
    pub(super) fn named(&mut self, topic: &TopicName, naming: Naming) {
        if let (Some(aliases), Naming::Introduced(alias)) = (&mut self.outgoing_aliases, naming) {
            aliases.introduced(topic, alias);
        }
    }

    /// The topic that an alias stands for.
    pub(super) fn topic_of(&self, alias: NonZeroU16) -> Option<&TopicName> {
        self.aliases.as_ref()?.0.get(usize::from(alias.get()) - 1)?.as_ref()
    }

    /// Lets an alias stand for a topic; the caller has checked its bound.
    pub(super) fn set_alias(&mut self, alias: NonZeroU16, topic: &TopicName) {
        let place = usize::from(alias.get()) - 1;
        let TopicsByAlias(aliases) = &mut **self.aliases.get_or_insert_default();
        if aliases.len() <= place {
            aliases.resize(place + 1, None);
        }
        if let Some(entry) = aliases.get_mut(place) {
            *entry = Some(topic.detached());
        }
    }
}

/// What the server says where the client does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) receive_maximum: u16,
    /// The server's keep-alive, for clients that can be told.
    pub(super) keep_alive_seconds: Option<u16>,
}
