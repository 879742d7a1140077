//! The durable state apart from the queues: a fold over the records.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Boots, ConsumerId, Message, Record, Sequence};
use crate::mqtt::{
    PacketIdentifier, ProtocolVersion, QoS, SubscriptionOptions, TopicFilter, TopicName, Will,
};
use crate::time::Moment;

/// Everything that must be known before the first CONNACK. What is queued for each consumer is the journal's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The last sequence given.
    pub last_sequence: Sequence,
    /// The highest consumer ever named; 0 when there was none.
    pub last_consumer: u32,
    /// Persistent sessions.
    pub sessions: BTreeMap<ConsumerId, SessionState>,
    /// Uplinks.
    pub uplinks: BTreeMap<ConsumerId, UplinkState>,
    /// Shared subscriptions that the journal keeps messages for, each `$share/NAME/FILTER`.
    pub groups: BTreeMap<ConsumerId, TopicFilter>,
    /// Retained messages by topic.
    pub retained: BTreeMap<TopicName, Retained>,
    /// What is known of the clocks of boots.
    pub boots: Boots,
}

/// A persistent session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionState {
    /// Of this client.
    pub client_id: ByteString,
    /// Who logged in, if anybody.
    pub user: Option<ByteString>,
    /// The standard that the client spoke last.
    pub version: ProtocolVersion,
    /// Seconds that it outlives its connection; `u32::MAX`: for ever.
    pub expiry_interval_seconds: u32,
    /// When its connection ended; `None` while it is connected (or was, when the gateway died).
    pub detached_at: Option<Moment>,
    /// A will that waits: for its delay when detached, for the end of the connection otherwise.
    pub will: Option<Box<Will>>,
    /// Its subscriptions.
    pub subscriptions: BTreeMap<TopicFilter, SubscriptionState>,
    /// Identifiers of inbound QoS 2 messages that are accepted and not yet released.
    pub received: BTreeSet<PacketIdentifier>,
    /// Outbound identifiers in use.
    pub assigned: BTreeMap<PacketIdentifier, Assigned>,
}

/// One subscription of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState {
    /// How it was made.
    pub options: SubscriptionOptions,
    /// Its identifier (5.0).
    pub identifier: Option<NonZeroU32>,
}

/// An uplink.
#[derive(Debug, Clone, PartialEq)]
pub struct UplinkState {
    /// `[uplink.NAME]`.
    pub name: ByteString,
    /// Outbound identifiers in use.
    pub assigned: BTreeMap<PacketIdentifier, Assigned>,
}

/// A packet identifier in use towards a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// By which message.
    pub sequence: Sequence,
    /// QoS 1 or 2.
    pub qos: QoS,
    /// How far it came.
    pub phase: OutboundPhase,
    /// The bytes as first sent, if they must not differ.
    pub frozen_payload: Option<Bytes>,
}

/// How far an outbound QoS 2 delivery came, as far as the disk knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundPhase {
    /// The PUBLISH may have been sent.
    Published,
    /// The PUBREC was received: only PUBREL is sent from now on.
    Released,
}

/// A retained message.
#[derive(Debug, Clone, PartialEq)]
pub struct Retained {
    /// The message; its `retain` is true.
    pub message: Message,
}

impl State {
    /// Takes in one record. Records that name what is not there change nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Kept { sequence, .. } => self.last_sequence = self.last_sequence.max(*sequence),
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                if let Some(assigned) = self.assigned_mut(*consumer) {
                    assigned.retain(|_, entry| entry.sequence != *sequence);
                }
            }
            Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload } => {
                let entry = Assigned {
                    sequence: *sequence,
                    qos: *qos,
                    phase: OutboundPhase::Published,
                    frozen_payload: frozen_payload.clone(),
                };
                if let Some(assigned) = self.assigned_mut(*consumer) {
                    assigned.insert(*packet_identifier, entry);
                }
            }
            Record::Released { consumer, packet_identifier } => {
                let entry =
                    self.assigned_mut(*consumer).and_then(|assigned| assigned.get_mut(packet_identifier));
                if let Some(entry) = entry {
                    entry.phase = OutboundPhase::Released;
                }
            }
            Record::WindowForgotten { consumer } => {
                if let Some(assigned) = self.assigned_mut(*consumer) {
                    assigned.clear();
                }
            }
            Record::RetainedSet { message } => {
                self.retained.insert(message.topic.clone(), Retained { message: message.clone() });
            }
            Record::RetainedCleared { topic } => {
                self.retained.remove(topic);
            }
            Record::UplinkOpened { consumer, name } => {
                self.last_consumer = self.last_consumer.max(consumer.0);
                let opened = || UplinkState { name: name.clone(), assigned: BTreeMap::new() };
                self.uplinks.entry(*consumer).or_insert_with(opened).name = name.clone();
            }
            Record::GroupOpened { consumer, filter } => {
                self.last_consumer = self.last_consumer.max(consumer.0);
                self.groups.insert(*consumer, filter.clone());
            }
            Record::ConsumerClosed { consumer } => {
                self.sessions.remove(consumer);
                self.uplinks.remove(consumer);
                self.groups.remove(consumer);
            }
            Record::BootSynced { boot, unix_ms_at_zero } => self.boots.learn(*boot, *unix_ms_at_zero),
            Record::SessionOpened { .. }
            | Record::SessionDetached { .. }
            | Record::WillEnded { .. }
            | Record::Subscribed { .. }
            | Record::Unsubscribed { .. }
            | Record::Received { .. }
            | Record::ReceivedReleased { .. } => self.apply_to_session(record),
        }
    }

    fn apply_to_session(&mut self, record: &Record) {
        if let Record::SessionOpened { consumer, client_id, user, version, expiry_interval_seconds, will } =
            record
        {
            self.last_consumer = self.last_consumer.max(consumer.0);
            let session = self.sessions.entry(*consumer).or_insert_with(|| SessionState::new(client_id));
            session.user.clone_from(user);
            session.version = *version;
            session.expiry_interval_seconds = *expiry_interval_seconds;
            session.detached_at = None;
            session.will.clone_from(will);
            return;
        }
        let Some(session) = record.consumer().and_then(|consumer| self.sessions.get_mut(&consumer)) else {
            return;
        };
        match record {
            Record::SessionDetached { at, expiry_interval_seconds, will, .. } => {
                session.detached_at = Some(*at);
                session.expiry_interval_seconds = *expiry_interval_seconds;
                session.will.clone_from(will);
            }
            Record::WillEnded { .. } => session.will = None,
            Record::Subscribed { filter, options, identifier, .. } => {
                let subscription = SubscriptionState { options: *options, identifier: *identifier };
                session.subscriptions.insert(filter.clone(), subscription);
            }
            Record::Unsubscribed { filter, .. } => {
                session.subscriptions.remove(filter);
            }
            Record::Received { packet_identifier, .. } => {
                session.received.insert(*packet_identifier);
            }
            Record::ReceivedReleased { packet_identifier, .. } => {
                session.received.remove(packet_identifier);
            }
            _ => {}
        }
    }

    fn assigned_mut(&mut self, consumer: ConsumerId) -> Option<&mut BTreeMap<PacketIdentifier, Assigned>> {
        if let Some(session) = self.sessions.get_mut(&consumer) {
            return Some(&mut session.assigned);
        }
        self.uplinks.get_mut(&consumer).map(|uplink| &mut uplink.assigned)
    }
}

impl SessionState {
    fn new(client_id: &ByteString) -> SessionState {
        SessionState {
            client_id: client_id.clone(),
            user: None,
            version: ProtocolVersion::V3_1_1,
            expiry_interval_seconds: 0,
            detached_at: None,
            will: None,
            subscriptions: BTreeMap::new(),
            received: BTreeSet::new(),
            assigned: BTreeMap::new(),
        }
    }
}

impl Record {
    /// The one consumer that the record is about, if it is about one.
    #[must_use]
    pub fn consumer(&self) -> Option<ConsumerId> {
        match self {
            Record::Kept { .. }
            | Record::RetainedSet { .. }
            | Record::RetainedCleared { .. }
            | Record::BootSynced { .. } => None,
            Record::Done { consumer, .. }
            | Record::Dropped { consumer, .. }
            | Record::Assigned { consumer, .. }
            | Record::Released { consumer, .. }
            | Record::WindowForgotten { consumer }
            | Record::Received { consumer, .. }
            | Record::ReceivedReleased { consumer, .. }
            | Record::SessionOpened { consumer, .. }
            | Record::SessionDetached { consumer, .. }
            | Record::WillEnded { consumer }
            | Record::ConsumerClosed { consumer }
            | Record::Subscribed { consumer, .. }
            | Record::Unsubscribed { consumer, .. }
            | Record::UplinkOpened { consumer, .. }
            | Record::GroupOpened { consumer, .. } => Some(*consumer),
        }
    }
}
