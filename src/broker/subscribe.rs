//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).
//!
//! What is shared goes to `sharing`; retained messages are not sent for it.

use std::num::NonZeroU32;

use bytestring::ByteString;

use crate::durable::{JournalHealth, Message, Record, SubscriptionState, Ticket, Urgency};
use crate::limits::TOPIC_LEVELS;
use crate::mqtt::{
    Packet, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicFilter, UnsubAck,
    Unsubscribe,
};

use super::access::Reach;
use super::rights::refuse;
use super::sending::expiry_left;
use super::sessions::SessionKey;
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, Denial, Turn};

impl Broker {
    /// SUBSCRIBE: one code per filter, in order `[MQTT-3.8.4-6]` `[MQTT-3.9.3-1]`.
    pub(super) fn subscribe(&mut self, turn: &mut Turn<'_>, key: SessionKey, subscribe: &Subscribe) {
        let identifier = subscribe.subscription_identifier;
        let mut after = None;
        let mut reasons = Vec::with_capacity(subscribe.requests.len());
        let mut wants_retained = Vec::new();
        let mut is_shared = false;
        for (text, options) in &subscribe.requests {
            let reason = match self.subscribe_one(turn, key, text, *options, identifier) {
                Err(reason) => {
                    if matches!(reason, ReasonCode::TopicFilterInvalid | ReasonCode::QuotaExceeded) {
                        refuse(turn, &self.sessions.get(key).client_id, Denial::Subscribe, reason, text);
                    }
                    reason
                }
                Ok(made) => {
                    after = made.after.or(after);
                    if made.filter.share_name().is_some() {
                        is_shared = true;
                    } else if options.retain_handling == RetainHandling::Send
                        || (options.retain_handling == RetainHandling::SendIfNew && made.is_new)
                    {
                        wants_retained.push((made.filter, *options));
                    }
                    granted(options.maximum_qos)
                }
            };
            reasons.push(reason);
        }
        let packet = SubAck { packet_identifier: subscribe.packet_identifier, properties: None, reasons };
        self.answer(turn, key, Packet::SubAck(Box::new(packet)), after);
        for (filter, options) in wants_retained {
            let subscription = Subscription::new(Subscriber::Session(key), options, identifier);
            self.send_retained(turn, key, &filter, &subscription);
        }
        if is_shared {
            // What waited for anybody may have found somebody.
            self.send_on(turn, key);
        }
    }

    fn subscribe_one(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        text: &ByteString,
        options: SubscriptionOptions,
        identifier: Option<NonZeroU32>,
    ) -> Result<Made, ReasonCode> {
        let filter = parse(text)?;
        let limits = &self.sessions.get(key).limits;
        if text.len() > limits.max_topic_bytes || filter.levels().count() > limits.max_topic_levels {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let reach = self.reach(turn, key, &filter)?;
        let health = self.ledger.health();
        let session = self.sessions.at(key);
        let is_new = !session.subscriptions.contains_key(&filter);
        if is_new && session.subscriptions.len() >= session.limits.max_subscriptions {
            return Err(ReasonCode::QuotaExceeded);
        }
        let consumer = session.consumer();
        if consumer.is_some() && health == JournalHealth::Dead {
            return Err(ReasonCode::UnspecifiedError);
        }
        let subscription = SubscriptionState { options, identifier };
        session.subscriptions.insert(filter.clone(), subscription);
        let mut after = None;
        if filter.share_name().is_some() {
            after = self.join(turn, key, &filter, &subscription);
        } else {
            let entry = Subscription::new(Subscriber::Session(key), options, identifier);
            self.subscriptions.insert(&filter, entry.asked(reach != Reach::Everything));
        }
        if let Some(consumer) = consumer {
            let record = Record::Subscribed { consumer, filter: filter.clone(), options, identifier };
            after = Some(self.ledger.append(turn, Urgency::Awaited, record));
        }
        Ok(Made { filter, is_new, after })
    }

    /// The retained messages that a new subscription gets, as if they were published now `[MQTT-3.3.1-9]`.
    fn send_retained(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        filter: &TopicFilter,
        subscription: &Subscription,
    ) {
        let messages: Vec<Message> = self.retained.matching(filter).cloned().collect();
        for message in &messages {
            match expiry_left(message, &turn.now) {
                Ok(_) if self.may_get(key, message) => self.send_stored(turn, message, subscription),
                Ok(_) => {}
                Err(_) => self.forget_retained(turn, message),
            }
        }
    }

    /// Takes a subscription that the session does not have any more out of the trie, or out of its group.
    pub(super) fn unsubscribe_from(&mut self, turn: &mut Turn<'_>, key: SessionKey, filter: &TopicFilter) {
        if filter.share_name().is_some() {
            self.leave(turn, key, filter);
        } else {
            self.subscriptions.remove(filter, Subscriber::Session(key));
        }
    }

    /// UNSUBSCRIBE: one code per filter, in order `[MQTT-3.11.3-1]`.
    pub(super) fn unsubscribe(&mut self, turn: &mut Turn<'_>, key: SessionKey, unsubscribe: &Unsubscribe) {
        let consumer = self.sessions.get(key).consumer();
        if consumer.is_some() && self.ledger.health() == JournalHealth::Dead {
            // Not acknowledged: the subscription would be back after a restart.
            return;
        }
        let mut after = None;
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for text in &unsubscribe.filters {
            let filter = match parse(text) {
                Ok(filter) => filter,
                Err(reason) => {
                    reasons.push(reason);
                    continue;
                }
            };
            if self.sessions.at(key).subscriptions.remove(&filter).is_none() {
                reasons.push(ReasonCode::NoSubscriptionExisted);
                continue;
            }
            self.unsubscribe_from(turn, key, &filter);
            if let Some(consumer) = consumer {
                let record = Record::Unsubscribed { consumer, filter };
                after = Some(self.ledger.append(turn, Urgency::Awaited, record));
            }
            reasons.push(ReasonCode::Success);
        }
        let packet = UnsubAck { packet_identifier: unsubscribe.packet_identifier, properties: None, reasons };
        // [MQTT-3.10.4-4]
        self.answer(turn, key, Packet::UnsubAck(Box::new(packet)), after);
    }
}

/// A subscription that was made or replaced.
struct Made {
    filter: TopicFilter,
    is_new: bool,
    after: Option<Ticket>,
}

/// A filter that may be kept: not a part of what was read from the socket.
fn parse(text: &ByteString) -> Result<TopicFilter, ReasonCode> {
    let filter = TopicFilter::parse(&**text).map_err(|_| ReasonCode::TopicFilterInvalid)?;
    if filter.levels().count() > TOPIC_LEVELS {
        return Err(ReasonCode::TopicFilterInvalid);
    }
    Ok(filter)
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
