//! The end of a connection, and of a session: DISCONNECT, loss, take-over, refusal; the will.
//!
//! One way for all of them, so that nothing is forgotten on any.

use std::time::Duration;

use crate::durable::{DropReason, Message, MessageBody, Record, Urgency};
use crate::mqtt::{Disconnect, PacketIdentifier, PublishProperties, ReasonCode, Will};
use crate::time::{Instant, Moment};

use super::access::Action;
use super::rights::deny;
use super::routing::{Origin, Publisher};
use super::sessions::{Attached, Link, Offline, Session, SessionKey};
use super::shared::OpenShared;
use super::timers::Timer;
use super::{Broker, CloseReason, ConnectionId, Denial, Event, Output, Turn};

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) reason: CloseReason,
    /// What a 5.0 client is told in DISCONNECT.
    pub(super) tell: Option<ReasonCode>,
    /// Whether the connection is still to be closed.
    pub(super) close: bool,
    /// Whether the will is published, now or after its delay.
    pub(super) will: bool,
}

impl Ending {
    /// We end it and say why.
    pub(super) const fn told(reason: CloseReason, tell: ReasonCode) -> Ending {
        Ending { reason, tell: Some(tell), close: true, will: true }
    }
}

impl Broker {
    /// The client broke a rule, or cannot be served on: it is told so, the connection closed, the will published
    /// `[MQTT-4.13.1-1]`.
    pub(super) fn break_off(&mut self, turn: &mut Turn<'_>, key: SessionKey, reason: ReasonCode) {
        self.end_connection(turn, key, Ending::told(CloseReason::Refused(reason), reason));
    }

    /// DISCONNECT.
    pub(super) fn disconnect(&mut self, turn: &mut Turn<'_>, key: SessionKey, packet: &Disconnect) {
        let session = self.sessions.at(key);
        let maximum = session.limits.max_session_expiry_seconds;
        if let Some(expiry) = packet.session_expiry_interval_seconds {
            // [MQTT-3.14.2-2] of 5.0
            if session.expiry_interval_seconds == 0 && expiry > 0 {
                return self.break_off(turn, key, ReasonCode::ProtocolError);
            }
            session.expiry_interval_seconds = expiry.min(maximum);
        }
        // [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]
        let will = packet.reason != ReasonCode::Success;
        let ending = Ending { reason: CloseReason::Disconnected, tell: None, close: true, will };
        self.end_connection(turn, key, ending);
    }

    /// The connection is gone.
    pub(super) fn closed(&mut self, turn: &mut Turn<'_>, connection: ConnectionId) {
        if let Some(Attached::To(key)) = self.sessions.by_connection(connection) {
            let ending = Ending { reason: CloseReason::Lost, tell: None, close: false, will: true };
            self.end_connection(turn, key, ending);
        }
        self.sessions.forget_connection(connection);
    }

    /// Ends a session's connection, and the session with it unless it outlives it.
    pub(super) fn end_connection(&mut self, turn: &mut Turn<'_>, key: SessionKey, ending: Ending) {
        let session = self.sessions.at(key);
        let Link::Online(link) = &session.link else { return };
        let (connection, client_id) = (link.id, session.client_id.clone());
        // [MQTT-3.14.0-1]
        if let Some(reason) = ending.tell.filter(|_| link.is_v5() && link.greeted) {
            let packet = link.disconnect(reason);
            turn.out.push(Output::Send { connection, packet });
        }
        if let Some(at) = link.watched_until {
            self.timers.clear(at, Timer::KeepAlive(connection));
        }
        if ending.close {
            turn.out.push(Output::Close { connection, reason: ending.reason });
        }
        self.sessions.attach(connection, Attached::Closing);
        turn.event(Event::ClientDisconnected { connection, client_id, reason: ending.reason });

        let session = self.sessions.at(key);
        if !ending.will {
            session.will = None;
        }
        session.link = Link::Offline(Offline { recorded: false, will_at: None, expires_at: None });
        self.detach(turn, key);
    }

    /// The connection of a session has ended just now: the session ends too, or goes on without.
    pub(super) fn detach(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let session = self.sessions.at(key);
        if session.expiry_interval_seconds == 0 {
            self.end_session(turn, key);
            return;
        }
        turn.dropped(session.waiting_to_be_sent.clear(), DropReason::SessionEnded);
        let lent = session.forget_connection(turn);
        let delay = session.will.as_ref().map_or(0, |will| will.delay_interval_seconds);
        if delay == 0 {
            self.publish_will(turn, key);
        }
        self.rest(turn, key);
        self.give_back(turn, lent);
    }

    /// Sets the deadlines of a session whose connection ended just now, and writes that down.
    fn rest(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let now = turn.now;
        let session = self.sessions.at(key);
        let Some(backlog) = &session.backlog else {
            unreachable!("only persistent sessions outlive their connection");
        };
        let expiry_interval_seconds = session.expiry_interval_seconds;
        let record = Record::SessionDetached {
            consumer: backlog.consumer,
            at: now,
            expiry_interval_seconds,
            will: session.will.clone(),
        };
        let offline = offline(&now, now, expiry_interval_seconds, session.will.as_deref());
        session.link = Link::Offline(offline);
        if let Some(at) = offline.next() {
            self.timers.set(at, Timer::Session(key));
        }
        self.ledger.append(turn, Urgency::Lingers, record);
    }

    /// A deadline of a detached session has come.
    pub(super) fn session_due(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let now = turn.now.monotonic;
        let Link::Offline(offline) = self.sessions.get(key).link else {
            unreachable!("deadlines of a session are cleared when its client comes back");
        };
        if !offline.recorded {
            return self.detach(turn, key);
        }
        if offline.expires_at.is_some_and(|at| at <= now) {
            self.end_session(turn, key);
            return;
        }
        if offline.will_at.is_some_and(|at| at <= now) {
            self.publish_will(turn, key);
            let session = self.sessions.at(key);
            if let Some(consumer) = session.consumer() {
                self.ledger.append(turn, Urgency::Lingers, Record::WillEnded { consumer });
            }
            let offline = Offline { will_at: None, ..offline };
            session.link = Link::Offline(offline);
            if let Some(at) = offline.next() {
                self.timers.set(at, Timer::Session(key));
            }
        }
    }

    /// The session is no more: its will is due, its subscriptions and what it is owed go. Its client waits for that to be
    /// on disk, should it come back meanwhile.
    pub(super) fn end_session(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let lent = self.sessions.at(key).forget_connection(turn);
        for filter in std::mem::take(&mut self.sessions.at(key).subscriptions).keys() {
            self.unsubscribe_from(turn, key, filter);
        }
        self.give_back(turn, lent);
        self.publish_will(turn, key);
        self.clear_deadlines(key);
        let consumer = self.sessions.get(key).consumer();
        let ended = consumer.map(|consumer| (self.line(Publisher::Client(key)), consumer));
        let mut session = self.sessions.remove(key);
        turn.dropped(session.waiting_to_be_sent.clear(), DropReason::SessionEnded);
        if let Some((line, consumer)) = ended {
            let ticket = self.ledger.append(turn, Urgency::Awaited, Record::ConsumerClosed { consumer });
            self.ledger.session_ended(line, ticket);
        }
    }

    /// Nothing happens any more to a detached session because of the time.
    pub(super) fn clear_deadlines(&mut self, key: SessionKey) {
        if let Link::Offline(offline) = self.sessions.get(key).link
            && let Some(at) = offline.next()
        {
            self.timers.clear(at, Timer::Session(key));
        }
    }

    /// Publishes the will that a session still has `[MQTT-3.1.2-8]`.
    fn publish_will(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let session = self.sessions.at(key);
        let Some(will) = session.will.take() else { return };
        if !session.permissions.allow(Action::Publish, &will.topic) {
            deny(turn, &session.client_id, Denial::WillSent, will.topic.as_byte_string());
            return turn.dropped(1, DropReason::NotAuthorized);
        }
        let Will { topic, payload, qos, retain, delay_interval_seconds: _, properties } = *will;
        let properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
        let body = MessageBody::Publish { payload, properties };
        let message = Message { topic, qos, retain, accepted_at: turn.now, body };
        let origin = Origin::new(Publisher::Client(key), Urgency::Lingers);
        // Nobody waits: what the journal does not take is counted where it is dropped.
        let _ = self.publish(turn, message, origin);
    }
}

impl Session {
    /// What was open on a connection is open for the next one; what only memory knows is given up.
    /// Gives back what only its groups may give to others.
    fn forget_connection(&mut self, turn: &mut Turn<'_>) -> Vec<OpenShared> {
        let mut lent = Vec::new();
        let in_memory: Vec<PacketIdentifier> = self
            .outbound
            .iter()
            .filter(|(.., in_flight)| in_flight.sequence.is_none())
            .map(|(identifier, ..)| identifier)
            .collect();
        for identifier in in_memory {
            match (self.outbound.abandon(identifier), self.take_lent(identifier)) {
                (Some(_), None) => turn.dropped(1, DropReason::SessionEnded),
                (_, open) => lent.extend(open),
            }
        }
        for in_flight in self.outbound.deliveries_mut() {
            in_flight.sent_here = false;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.detach();
        }
        lent
    }
}

/// The deadlines of a session whose connection ended at `since`: its will after its delay, but not later than its
/// end `[MQTT-3.1.3-9]`.
pub(super) fn offline(now: &Moment, since: Moment, expiry_seconds: u32, will: Option<&Will>) -> Offline {
    let rested = now.since(&since).unwrap_or_default();
    let after = |seconds: u32| -> Instant {
        now.monotonic + Duration::from_secs(seconds.into()).saturating_sub(rested)
    };
    Offline {
        recorded: true,
        will_at: will.map(|will| after(will.delay_interval_seconds.min(expiry_seconds))),
        expires_at: (expiry_seconds != u32::MAX).then(|| after(expiry_seconds)),
    }
}
