//! Going on after an earlier run: sessions, subscriptions, retained messages and uplinks as the journal knows them.
//!
//! Whoever was connected when the gateway died is detached from now on; how long it was dead is not known.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::durable::{ConsumerId, OutboundPhase, Sequence, SessionState, State};
use crate::flow::{Inbound, Outbound, Phase};
use crate::time::Moment;

use super::Broker;
use super::access::Reach;
use super::backlog::Backlog;
use super::ending::offline;
use super::queue::Queue;
use super::sending::InFlight;
use super::sessions::{Link, Offline, Session};
use super::subscriptions::{Subscriber, Subscription};
use super::timers::Timer;

impl Broker {
    /// Takes up the state of an earlier run, before the first input. `queued`: the last message owed to each.
    pub fn restore(&mut self, state: &State, queued: &BTreeMap<ConsumerId, Sequence>, now: Moment) {
        assert!(self.sessions.len() == 0, "an earlier run is taken up before anything happens");
        self.ledger.restore(state.last_sequence);
        self.last_consumer = state.last_consumer;
        self.boots = state.boots.clone();
        for retained in state.retained.values() {
            self.retained.set(retained.message.clone());
        }
        self.parked_uplinks = state.uplinks.iter().map(|(id, uplink)| (uplink.name.clone(), *id)).collect();
        for (consumer, filter) in &state.groups {
            let last_owed = queued.get(consumer).copied().unwrap_or(Sequence::ZERO);
            self.restore_group(*consumer, filter, last_owed);
            self.has_deserted_groups = true;
        }
        for (consumer, session) in &state.sessions {
            let last_owed = queued.get(consumer).copied().unwrap_or(Sequence::ZERO);
            self.restore_session(*consumer, session, last_owed, now);
        }
    }

    fn restore_session(
        &mut self,
        consumer: ConsumerId,
        state: &SessionState,
        last_owed: Sequence,
        now: Moment,
    ) {
        let mut inbound = Inbound::new(u16::MAX);
        inbound.restore(state.received.iter().copied());
        // What has no end of its connection on disk was connected: that is written down at the first timeout.
        let link = match state.detached_at {
            Some(since) => offline(&now, since, state.expiry_interval_seconds, state.will.as_deref()),
            None => Offline { recorded: false, will_at: Some(now.monotonic), expires_at: None },
        };
        let key = self.sessions.insert(Session {
            client_id: state.client_id.clone(),
            user: state.user.clone(),
            version: state.version,
            expiry_interval_seconds: state.expiry_interval_seconds,
            link: Link::Offline(link),
            subscriptions: state.subscriptions.clone(),
            inbound,
            outbound: restore_outbound(state),
            waiting_to_be_sent: Queue::default(),
            backlog: Some(Box::new(Backlog::restored(consumer, last_owed))),
            will: state.will.clone(),
            membership: None,
            permissions: self.rights.of_client(state.user.as_deref(), &state.client_id),
            limits: Arc::clone(&self.limits),
        });
        for (filter, subscription) in &state.subscriptions {
            if filter.share_name().is_some() {
                self.enlist(key, filter, subscription);
                continue;
            }
            let subscriber = Subscriber::Session(key);
            let subscription = Subscription::new(subscriber, subscription.options, subscription.identifier);
            let is_asked = self.sessions.get(key).permissions.reach(filter) != Reach::Everything;
            self.subscriptions.insert(filter, subscription.asked(is_asked));
        }
        if let Some(at) = link.next() {
            self.timers.set(at, Timer::Session(key));
        }
    }
}

/// The identifiers in use, in the order of first sending, which is that of the messages.
fn restore_outbound(state: &SessionState) -> Outbound<InFlight> {
    let mut assigned: Vec<_> = state.assigned.iter().collect();
    assigned.sort_by_key(|(_, assigned)| assigned.sequence);
    let mut outbound = Outbound::new(u16::MAX);
    for (identifier, assigned) in assigned {
        let phase = match assigned.phase {
            OutboundPhase::Published => Phase::Published,
            OutboundPhase::Released => Phase::Released,
        };
        let in_flight = InFlight { sequence: Some(assigned.sequence), sent_here: false, sent_before: true };
        outbound.restore(*identifier, assigned.qos, phase, in_flight);
    }
    outbound
}
