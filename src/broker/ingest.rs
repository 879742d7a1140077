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
    pub(super) consumer: ConsumerId,
    pub(super) name: ByteString,
}

impl Broker {
    /// Makes an uplink a consumer of what its rules match, from now on. One of that name that the journal knows
    /// goes on where it was.
    pub fn add_uplink(&mut self, now: Moment, rules: &UplinkRules, out: &mut Vec<Output>) -> ConsumerId {
        let mut turn = Turn { now, out };
        self.ledger.begin_turn();
        assert!(
            self.uplinks.iter().all(|uplink| uplink.name != rules.name),
            "an uplink is added once; the configuration cannot name two alike"
        );
        let consumer = match self.parked_uplinks.remove(&rules.name) {
            Some(consumer) => consumer,
            None => {
                let consumer = self.new_consumer();
                let record = Record::UplinkOpened { consumer, name: rules.name.clone() };
                self.ledger.append(&mut turn, Urgency::Lingers, record);
                consumer
            }
        };
        let Ok(place) = u16::try_from(self.uplinks.len()) else {
            unreachable!("a configuration has few uplinks");
        };
        self.uplinks.push(Uplink { consumer, name: rules.name.clone() });
        for (order, rule) in (0..).zip(&rules.forward) {
            let options = SubscriptionOptions::new(rule.maximum_qos);
            let subscription = Subscription::new(Subscriber::Uplink(place, order), options, None);
            self.subscriptions.insert(&rule.filter, subscription);
        }
        consumer
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
            (Some(ticket), None) => self.ledger.wait(ticket, Waiting::Accepted { source, token }),
            (_, None) => turn.out.push(Output::Accepted { source, token, outcome: Ok(()) }),
            (_, Some(reason)) => turn.out.push(Output::Accepted { source, token, outcome: Err(reason) }),
        }
    }
}
