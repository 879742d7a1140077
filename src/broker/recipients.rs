//! Who gets a message: the subscriptions that match, merged to one recipient each, and what is owed to them.
//!
//! Decides who and how, and whose copy goes through the journal. Never sends and never appends.

use smallvec::SmallVec;

use crate::durable::{Delivery, DropReason, Message};
use crate::limits::Limits;
use crate::mqtt::QoS;

use super::backlog::Backlog;
use super::publish_frame::Identifiers;
use super::sessions::SessionKey;
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, Relay, Turn};

/// One receiver of a message, whose overlapping subscriptions are merged.
#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) subscriber: Subscriber,
    /// The highest of its subscriptions.
    pub(super) maximum_qos: QoS,
    pub(super) retain_as_published: bool,
    /// Of all its subscriptions `[MQTT-3.3.4-4]`.
    pub(super) identifiers: Identifiers,
    pub(super) share: Share,
    /// A retained message for a new subscription: it waits for the socket at QoS 0 too.
    pub(super) is_stored: bool,
}

/// How a recipient gets its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// As it comes, or from memory.
    Live,
    /// From the journal, which owes it.
    Owed,
    /// Not at all, and that is counted.
    Dropped,
}

/// Vectors that are used again for every message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    found: Vec<Subscription>,
    pub(super) recipients: Vec<Recipient>,
}

impl Broker {
    /// Everybody whose subscription matches, in a fixed order, each once `[MQTT-3.3.4-2]`, in 3.1.1 `[MQTT-3.3.5-1]`. `own`: the publisher.
    pub(super) fn recipients(
        &mut self,
        message: &Message,
        own: Option<SessionKey>,
        relay: Relay,
    ) -> Vec<Recipient> {
        let mut found = std::mem::take(&mut self.scratch.found);
        let mut recipients = std::mem::take(&mut self.scratch.recipients);
        self.subscriptions.find(&message.topic, &mut found);
        for subscription in found.drain(..) {
            match subscription.subscriber {
                // [MQTT-3.8.3-3]
                Subscriber::Session(key) if subscription.no_local && own == Some(key) => continue,
                Subscriber::Session(key) if subscription.is_asked && !self.may_get(key, message) => continue,
                Subscriber::Group(id) if subscription.is_asked && !self.group_may_get(id, message) => {
                    continue;
                }
                Subscriber::Uplink(place, _) if !self.may_relay(relay, place) => continue,
                Subscriber::Session(_) | Subscriber::Group(_) if matches!(relay, Relay::Only(_)) => continue,
                _ => {}
            }
            match recipients.last_mut() {
                Some(last) if last.subscriber.is_same(subscription.subscriber) => last.merge(&subscription),
                _ => recipients.push(Recipient::new(&subscription)),
            }
        }
        self.scratch.found = found;
        recipients
    }

    /// Whether an uplink may have a message at all, before its rules are asked.
    fn may_relay(&self, relay: Relay, place: u16) -> bool {
        match relay {
            Relay::All => true,
            Relay::AllBut(consumer) => {
                self.uplinks.get(usize::from(place)).is_none_or(|uplink| !uplink.is(consumer))
            }
            Relay::Only(consumer) => {
                self.uplinks.get(usize::from(place)).is_some_and(|uplink| uplink.is(consumer))
            }
            Relay::None => false,
        }
    }

    /// Whether a recipient gets this message through the journal.
    pub(super) fn wants_record(&self, recipient: &Recipient, message: &Message) -> bool {
        match recipient.subscriber {
            // Also what is sent at QoS 0: until it is sent it has to wait somewhere.
            Subscriber::Uplink(..) => true,
            Subscriber::Group(group) => {
                recipient.maximum_qos.min(message.qos) > QoS::AtMostOnce
                    && self.groups.get(group).is_some_and(|group| group.backlog.is_some())
            }
            Subscriber::Session(key) => {
                recipient.maximum_qos.min(message.qos) > QoS::AtMostOnce
                    && self.sessions.get(key).backlog.is_some()
            }
        }
    }

    /// What the journal owes to a session or a group, if it knows them.
    fn backlog_of(&self, subscriber: Subscriber) -> Option<&Backlog> {
        match subscriber {
            Subscriber::Session(key) => self.sessions.get(key).backlog.as_deref(),
            Subscriber::Group(group) => self.groups.get(group)?.backlog.as_ref(),
            Subscriber::Uplink(..) => None,
        }
    }

    /// The bounds of what waits for a session; what is shared has those of the broker.
    fn limits_of(&self, subscriber: Subscriber) -> &Limits {
        match subscriber {
            Subscriber::Session(key) => &self.sessions.get(key).limits,
            Subscriber::Group(_) | Subscriber::Uplink(..) => &self.limits,
        }
    }

    /// What is owed to durable consumers; marks them.
    pub(super) fn deliveries(
        &mut self,
        turn: &mut Turn<'_>,
        recipients: &mut [Recipient],
        message: &Message,
    ) -> SmallVec<[Delivery; 2]> {
        let mut deliveries = SmallVec::new();
        for recipient in recipients {
            if !self.wants_record(recipient, message) {
                continue;
            }
            let delivery = match recipient.subscriber {
                Subscriber::Uplink(uplink, rule) => {
                    let Some(uplink) = self.uplinks.get(usize::from(uplink)) else { continue };
                    let Some(consumer) = uplink.of_rules.get(usize::from(rule)) else { continue };
                    Delivery {
                        consumer: *consumer,
                        qos: recipient.maximum_qos.min(message.qos.max(QoS::AtLeastOnce)),
                        retain: message.retain,
                        subscription_identifiers: SmallVec::new(),
                    }
                }
                Subscriber::Session(_) | Subscriber::Group(_) => {
                    let Some(backlog) = self.backlog_of(recipient.subscriber) else { continue };
                    if backlog.is_full(self.limits_of(recipient.subscriber)) {
                        turn.dropped(1, DropReason::QueueFull);
                        recipient.share = Share::Dropped;
                        continue;
                    }
                    Delivery {
                        consumer: backlog.consumer,
                        qos: recipient.maximum_qos.min(message.qos),
                        retain: message.retain && recipient.retain_as_published,
                        subscription_identifiers: recipient.identifiers.clone(),
                    }
                }
            };
            recipient.share = Share::Owed;
            deliveries.push(delivery);
        }
        deliveries
    }
}

impl Recipient {
    pub(super) fn new(subscription: &Subscription) -> Recipient {
        Recipient {
            subscriber: subscription.subscriber,
            maximum_qos: subscription.maximum_qos,
            retain_as_published: subscription.retain_as_published,
            identifiers: subscription.identifier.into_iter().collect(),
            share: Share::Live,
            is_stored: false,
        }
    }

    /// Another subscription of the same recipient matches too: one copy, with the highest QoS `[MQTT-3.3.4-2]` and
    /// all identifiers `[MQTT-3.3.4-4]`. Of an uplink's rules the first decides.
    fn merge(&mut self, subscription: &Subscription) {
        if let Subscriber::Session(_) = self.subscriber {
            self.maximum_qos = self.maximum_qos.max(subscription.maximum_qos);
            self.retain_as_published |= subscription.retain_as_published;
            self.identifiers.extend(subscription.identifier);
        }
    }
}

impl Subscriber {
    /// Whether both are the same session, or rules of the same uplink.
    fn is_same(self, other: Subscriber) -> bool {
        match (self, other) {
            (Subscriber::Session(one), Subscriber::Session(two)) => one == two,
            (Subscriber::Uplink(one, _), Subscriber::Uplink(two, _)) => one == two,
            _ => false,
        }
    }
}
