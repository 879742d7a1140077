//! From inside the gateway: readings, presence, what comes down from the cloud; and uplinks as consumers.
//!
//! An uplink is a durable consumer whose subscriptions are its rules. What it sends is the bridge's.

use bytestring::ByteString;

use crate::durable::{ConsumerId, Message, Record, Urgency};
use crate::mqtt::SubscriptionOptions;
use crate::time::Moment;

use super::ledger::Waiting;
use super::routing::{Origin, Publisher};
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, Output, Relay, SourceId, Turn, UplinkRules};

/// An uplink, as the broker knows it.
#[derive(Debug)]
pub(super) struct Uplink {
    pub(super) name: ByteString,
    /// Its queues by name, the first of which has none. Never empty.
    pub(super) queues: Vec<(ByteString, ConsumerId)>,
    /// The queue of each rule.
    pub(super) of_rules: Vec<ConsumerId>,
}

impl Uplink {
    /// Whether one of its queues is this consumer.
    pub(super) fn is(&self, consumer: ConsumerId) -> bool {
        self.queues.iter().any(|(_, queue)| *queue == consumer)
    }
}

impl Broker {
    /// Makes an uplink a consumer of what its rules match, from now on. One of that name that the journal knows
    /// goes on where it was, with every queue that it had. Gives its first queue; see [`Broker::uplink_queues`].
    pub fn add_uplink(&mut self, now: Moment, rules: &UplinkRules, out: &mut Vec<Output>) -> ConsumerId {
        let mut turn = Turn { now, out };
        self.ledger.begin_turn();
        assert!(
            self.uplinks.iter().all(|uplink| uplink.name != rules.name),
            "an uplink is added once; the configuration cannot name two alike"
        );
        let consumer = self.open_queue(&mut turn, rules.name.clone());
        let mut queues = vec![(ByteString::new(), consumer)];
        let mut of_rules = Vec::with_capacity(rules.forward.len());
        for rule in &rules.forward {
            let known = queues.iter().find(|(queue, _)| *queue == rule.queue);
            let of_rule = match known {
                Some((_, consumer)) => *consumer,
                None => {
                    let name = ByteString::from(format!("{}/{}", rules.name, rule.queue));
                    let consumer = self.open_queue(&mut turn, name);
                    queues.push((rule.queue.clone(), consumer));
                    consumer
                }
            };
            of_rules.push(of_rule);
        }
        queues.extend(self.left_over_queues(&rules.name));
        let Ok(place) = u16::try_from(self.uplinks.len()) else {
            unreachable!("a configuration has few uplinks");
        };
        self.uplinks.push(Uplink { name: rules.name.clone(), queues, of_rules });
        for (order, rule) in (0..).zip(&rules.forward) {
            let options = SubscriptionOptions::new(rule.maximum_qos);
            let subscription = Subscription::new(Subscriber::Uplink(place, order), options, None);
            self.subscriptions.insert(&rule.filter, subscription);
        }
        consumer
    }

    /// The queues of an uplink, each with its name; the first has none.
    #[must_use]
    pub fn uplink_queues(&self, first: ConsumerId) -> Vec<(ByteString, ConsumerId)> {
        let uplink = self.uplinks.iter().find(|uplink| uplink.is(first));
        uplink.map(|uplink| uplink.queues.clone()).unwrap_or_default()
    }

    /// The consumer of this name: the journal's, or a new one.
    fn open_queue(&mut self, turn: &mut Turn<'_>, name: ByteString) -> ConsumerId {
        self.parked_uplinks.remove(&name).unwrap_or_else(|| {
            let consumer = self.new_consumer();
            self.ledger.append(turn, Urgency::Lingers, Record::UplinkOpened { consumer, name });
            consumer
        })
    }

    /// Queues of an uplink that no rule names any more: what they keep is still owed.
    fn left_over_queues(&mut self, uplink: &str) -> Vec<(ByteString, ConsumerId)> {
        let queue_of = |name: &ByteString| {
            let queue = name.strip_prefix(uplink)?.strip_prefix('/')?;
            Some(ByteString::from(queue))
        };
        let found = self.parked_uplinks.iter();
        let found: Vec<_> = found.filter_map(|(name, id)| Some((queue_of(name)?, *id))).collect();
        self.parked_uplinks.retain(|name, _| queue_of(name).is_none());
        found
    }

    /// Somebody inside publishes.
    pub(super) fn ingest(
        &mut self,
        turn: &mut Turn<'_>,
        (source, token): (SourceId, u64),
        message: Message,
        relay: Relay,
        urgency: Urgency,
    ) {
        let origin = Origin { relay, ..Origin::new(Publisher::Source(source), urgency) };
        let accepted = self.publish(turn, message, origin);
        let (after, dropped) = match accepted {
            Ok(accepted) => (accepted.after, accepted.dropped),
            Err(reason) => (None, Some(reason)),
        };
        match (after, dropped) {
            (Some(ticket), None) => _ = self.ledger.wait(ticket, Waiting::Accepted { source, token }),
            (_, None) => turn.out.push(Output::Accepted { source, token, outcome: Ok(()) }),
            (_, Some(reason)) => turn.out.push(Output::Accepted { source, token, outcome: Err(reason) }),
        }
    }
}
