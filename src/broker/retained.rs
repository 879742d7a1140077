//! Retained messages: the last one of each topic (section 3.3.1.3).
//!
//! A map in memory, bounded by count and bytes; every change is a record too. Never sends.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytestring::ByteString;

use crate::durable::{Message, MessageBody, Record, Ticket, Urgency};
use crate::limits::Limits;
use crate::mqtt::{QoS, TopicFilter, TopicName};

use super::{Broker, Turn};
use crate::durable::{DropReason, JournalHealth};

/// What a message does to the retained one of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It takes its place `[MQTT-3.3.1-5]`.
    Set,
    /// It removes it: its payload is empty `[MQTT-3.3.1-6]`.
    Clear,
    /// There is no room for it: it is handed out, and not retained.
    Full,
}

/// The retained messages by topic.
#[derive(Debug, Default)]
pub(super) struct RetainedMessages {
    by_topic: BTreeMap<ByteString, Message>,
    bytes: usize,
}

impl RetainedMessages {
    /// What a message that is to be retained would do.
    pub(super) fn change(&self, message: &Message, limits: &Limits) -> Change {
        let old = self.by_topic.get(message.topic.as_str());
        if is_empty(message) {
            // What is acknowledged is on disk, and an earlier clearing at QoS 0 may linger yet: it is said again.
            let is_new = old.is_some() || message.qos > QoS::AtMostOnce;
            return if is_new { Change::Clear } else { Change::None };
        }
        let bytes = self.bytes - old.map_or(0, bytes_of) + bytes_of(message);
        let count = self.by_topic.len() + usize::from(old.is_none());
        let fits = bytes <= limits.max_retained_bytes && count <= limits.max_retained_messages;
        if fits { Change::Set } else { Change::Full }
    }

    /// How many there are of clients and sensors.
    pub(super) fn len(&self) -> usize {
        let own = self.by_topic.range::<str, _>((Bound::Included("$SYS/"), Bound::Excluded("$SYS0"))).count();
        self.by_topic.len() - own
    }

    /// Keeps a message; what was read from a socket is `detached` before.
    pub(super) fn set(&mut self, message: Message) {
        self.bytes += bytes_of(&message);
        if let Some(old) = self.by_topic.insert(message.topic.as_byte_string().clone(), message) {
            self.bytes -= bytes_of(&old);
        }
    }

    pub(super) fn remove(&mut self, topic: &str) {
        if let Some(old) = self.by_topic.remove(topic) {
            self.bytes -= bytes_of(&old);
        }
    }

    /// The messages whose topic a filter matches, in the order of topics.
    pub(super) fn matching(&self, filter: &TopicFilter) -> impl Iterator<Item = &Message> {
        let wanted = filter.matched();
        let literal = wanted.split(['+', '#']).next().unwrap_or_default();
        let is_one = literal.len() == wanted.len();
        // `a/#` matches `a` too, which comes before `a/`.
        let from = if is_one { literal } else { literal.strip_suffix('/').unwrap_or(literal) };
        let to = if is_one { Bound::Included(from) } else { Bound::Unbounded };
        self.by_topic
            .range::<str, _>((Bound::Included(from), to))
            .take_while(move |(topic, _)| topic.starts_with(from))
            .map(|(_, message)| message)
            .filter(move |message| filter.matches(&message.topic))
    }
}

/// Whether a topic is of the server's own tree, which is never on disk.
fn is_own(topic: &TopicName) -> bool {
    topic.as_str().starts_with("$SYS/")
}

fn is_empty(message: &Message) -> bool {
    matches!(&message.body, MessageBody::Publish { payload, .. } if payload.is_empty())
}

/// About how much memory a message takes.
fn bytes_of(message: &Message) -> usize {
    let body = match &message.body {
        MessageBody::Publish { payload, .. } => payload.len(),
        MessageBody::Reading(reading) => 64 * reading.measurements.len(),
    };
    message.topic.as_str().len() + body
}

impl Broker {
    /// Carries out a change. Gives back what must be committed before it may be acknowledged.
    pub(super) fn retain(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message,
        change: Change,
        urgency: Urgency,
    ) -> Option<Ticket> {
        let record = match change {
            Change::None => return None,
            Change::Full => {
                turn.dropped(1, DropReason::QueueFull);
                return None;
            }
            Change::Set => {
                self.retained.set(message.detached());
                Record::RetainedSet { message: message.clone() }
            }
            Change::Clear => {
                self.retained.remove(message.topic.as_str());
                Record::RetainedCleared { topic: message.topic.clone() }
            }
        };
        // The server's own figures are true for this run only.
        if self.ledger.health() == JournalHealth::Dead || is_own(&message.topic) {
            return None;
        }
        Some(self.ledger.append(turn, urgency, record))
    }

    /// A retained message has expired: nobody was owed it.
    pub(super) fn forget_retained(&mut self, turn: &mut Turn<'_>, message: &Message) {
        self.retain(turn, message, Change::Clear, Urgency::Lingers);
    }
}
