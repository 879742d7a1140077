//! CONNECT and CONNACK (sections 3.1 and 3.2): who is let in, and with which session.
//!
//! Credentials were checked by the driver. Never publishes a will: see `ending`.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::durable::{ConsumerId, JournalHealth, Record, Ticket, Urgency};
use crate::flow::{Inbound, Outbound};
use crate::limits::Limits;
use crate::mqtt::{ConnAck, ConnAckProperties, Connect, Packet, ProtocolVersion, ReasonCode};

use super::access::{Action, Permissions};
use super::backlog::Backlog;
use super::connection::{Connection, Defaults};
use super::ending::Ending;
use super::inbound::{has_too_many_properties, refuse_topic};
use super::queue::Queue;
use super::rights::deny;
use super::routing::Publisher;
use super::sessions::{Attached, Link, Session, SessionKey};
use super::words::{fits, refusal};
use super::{Broker, CloseReason, ConnectionId, Denial, Event, Output, Peer, Turn};

/// A client that is let in: what it said, and what it will be told.
struct Arrival {
    connection: ConnectionId,
    connect: Connect,
    peer: Peer,
    /// Seconds that its session will outlive its connection.
    expiry: u32,
    limits: Arc<Limits>,
    properties: ConnAckProperties,
}

impl Broker {
    /// CONNECT on a new connection.
    pub(super) fn connect(
        &mut self,
        turn: &mut Turn<'_>,
        connection: ConnectionId,
        connect: Connect,
        peer: Peer,
    ) {
        match self.sessions.by_connection(connection) {
            // [MQTT-3.1.0-2]
            Some(Attached::To(key)) => return self.break_off(turn, key, ReasonCode::ProtocolError),
            Some(Attached::Closing) => return,
            None => {}
        }
        let limits = peer.limits.clone().unwrap_or_else(|| Arc::clone(&self.limits));
        let old = match self.admit(&connect, &peer, &limits) {
            Ok(old) => old,
            Err(reason) => return self.refuse(turn, connection, &connect, reason),
        };
        let expiry = expiry_of(&connect, &limits);
        let properties = ConnAckProperties::default();
        let mut arrival = Arrival { connection, connect: kept(connect), peer, expiry, limits, properties };
        if arrival.connect.client_id.is_empty() {
            // [MQTT-3.1.3-7]
            arrival.connect.client_id = self.new_client_id();
            arrival.properties.assigned_client_identifier = Some(arrival.connect.client_id.clone());
        }
        let client_id = arrival.connect.client_id.clone();
        if self.denies_will(turn, &arrival) {
            return self.refuse(turn, connection, &arrival.connect, ReasonCode::NotAuthorized);
        }
        let took_over = old.is_some_and(|key| self.take_over(turn, key));
        // Its session may have ended with its connection.
        let (key, session_present, after) = match self.sessions.by_client(&client_id) {
            Some(key) if !arrival.connect.clean_start => (key, true, self.reconnect(turn, key, &mut arrival)),
            old => {
                // [MQTT-3.1.2-4]
                if let Some(key) = old {
                    self.end_session(turn, key);
                }
                let (key, opened) = self.open_session(turn, &mut arrival);
                // An earlier connection may have ended it, and not have waited for the disk.
                let ended = || self.ledger.ending(|| self.line(Publisher::Client(key)));
                (key, false, opened.or_else(ended))
            }
        };
        self.sessions.attach(connection, Attached::To(key));
        self.watch(turn, key);
        turn.event(Event::ClientConnected { connection, client_id, took_over });
        self.greet(turn, key, session_present, arrival.properties, after);
    }

    /// Whether a client is let in; its session, if it has one.
    fn admit(
        &self,
        connect: &Connect,
        peer: &Peer,
        limits: &Limits,
    ) -> Result<Option<SessionKey>, ReasonCode> {
        if connect.properties.authentication_method.is_some() {
            // [MQTT-4.12.0-1]
            return Err(ReasonCode::BadAuthenticationMethod);
        }
        let may_be_nameless = match connect.version {
            ProtocolVersion::V3_1 => false,
            ProtocolVersion::V3_1_1 => connect.clean_start,
            ProtocolVersion::V5 => true,
        };
        if connect.client_id.is_empty() && !may_be_nameless {
            // [MQTT-3.1.3-8] of 3.1.1
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        if connect.version == ProtocolVersion::V5
            && !fits(&longest_greeting(limits, connect.client_id.is_empty()), maximum_packet_size(connect))
        {
            return Err(ReasonCode::PacketTooLarge);
        }
        if let Some(will) = &connect.will {
            if let Some(reason) = refuse_topic(&will.topic, limits) {
                return Err(reason);
            }
            if has_too_many_properties(Some(&will.properties), limits) {
                return Err(ReasonCode::QuotaExceeded);
            }
        }
        if self.sessions.connections() >= self.limits.max_connections {
            return Err(ReasonCode::ServerBusy);
        }
        let old = self.sessions.by_client(&connect.client_id);
        let session = old.map(|key| self.sessions.get(key));
        match session {
            // A session belongs to the user that made it: nobody else takes it over or clears it.
            Some(session) if session.user.is_some() && session.user != peer.user => {
                return Err(ReasonCode::NotAuthorized);
            }
            None if self.sessions.len() >= limits.max_sessions => {
                return Err(ReasonCode::QuotaExceeded);
            }
            _ => {}
        }
        let backlog = session.and_then(|session| session.backlog.as_deref());
        let is_persistent = backlog.is_some();
        let opens = expiry_of(connect, limits) > 0 && (!is_persistent || connect.clean_start);
        let clears = is_persistent && connect.clean_start;
        let is_unproven = backlog.is_some_and(|backlog| backlog.is_unproven(&self.ledger));
        if (opens || clears || is_unproven) && self.ledger.health() == JournalHealth::Dead {
            return Err(ReasonCode::ServerUnavailable);
        }
        Ok(old)
    }

    fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        connection: ConnectionId,
        connect: &Connect,
        reason: ReasonCode,
    ) {
        let wants_words = connect.properties.request_problem_information != Some(false);
        if let Some(packet) = refusal(reason, wants_words, maximum_packet_size(connect)) {
            turn.out.push(Output::Send { connection, packet });
        }
        turn.out.push(Output::Close { connection, reason: CloseReason::Refused(reason) });
        self.sessions.attach(connection, Attached::Closing);
        turn.event(Event::ClientRefused { connection, reason });
    }

    /// Ends the connection that a client still has `[MQTT-3.1.4-3]`; whether there was one.
    fn take_over(&mut self, turn: &mut Turn<'_>, key: SessionKey) -> bool {
        match &self.sessions.get(key).link {
            Link::Online(_) => {
                let ending = Ending::told(CloseReason::TakenOver, ReasonCode::SessionTakenOver);
                self.end_connection(turn, key, ending);
                true
            }
            // It was connected when the gateway died, and its end is not yet seen to.
            Link::Offline(offline) if !offline.recorded => {
                self.clear_deadlines(key);
                self.detach(turn, key);
                false
            }
            Link::Offline(_) => false,
        }
    }

    /// Whether a client may not publish the will that it brings.
    fn denies_will(&self, turn: &mut Turn<'_>, arrival: &Arrival) -> bool {
        let Some(will) = &arrival.connect.will else { return false };
        let client_id = &arrival.connect.client_id;
        let permissions = self.rights.of_client(arrival.peer.user.as_deref(), client_id);
        let is_denied = !permissions.allow(Action::Publish, &will.topic);
        if is_denied {
            deny(turn, client_id, Denial::Will, will.topic.as_byte_string());
        }
        is_denied
    }

    /// Makes the connection's state, and writes down what the client has to be told.
    fn link(&self, turn: &Turn<'_>, arrival: &mut Arrival) -> Connection {
        let Arrival { connection, connect, expiry, limits, properties, .. } = arrival;
        let is_v5 = connect.version == ProtocolVersion::V5;
        // A 3.x client cannot be told another keep-alive than its own; who asks for a shorter one has it.
        let longest = limits.server_keep_alive_seconds;
        let is_longer = connect.keep_alive_seconds == 0 || connect.keep_alive_seconds > longest;
        let own = Some(longest).filter(|seconds| is_v5 && *seconds > 0 && is_longer);
        // The client goes by it from now on [MQTT-3.2.2-21].
        properties.server_keep_alive_seconds = own;
        if *expiry != connect.properties.session_expiry_interval_seconds.unwrap_or(0) {
            properties.session_expiry_interval_seconds = Some(*expiry);
        }
        let defaults = Defaults { receive_maximum: limits.receive_maximum, keep_alive_seconds: own };
        Connection::new(*connection, connect, turn.now.monotonic, &defaults)
    }

    /// Begins a new session. Gives back what must be committed before CONNACK.
    fn open_session(&mut self, turn: &mut Turn<'_>, arrival: &mut Arrival) -> (SessionKey, Option<Ticket>) {
        let link = self.link(turn, arrival);
        let backlog = (arrival.expiry > 0).then(|| {
            let consumer = self.new_consumer();
            let ticket = self.ledger.append(turn, Urgency::Awaited, arrival.opened(consumer));
            Box::new(Backlog::new(consumer, ticket, self.ledger.last_sequence()))
        });
        let ticket = backlog.as_ref().map(|backlog| backlog.opened);
        let key = self.sessions.insert(Session {
            client_id: arrival.connect.client_id.clone(),
            user: arrival.peer.user.take(),
            version: arrival.connect.version,
            expiry_interval_seconds: arrival.expiry,
            subscriptions: BTreeMap::new(),
            inbound: Inbound::new(u16::MAX),
            outbound: Outbound::new(link.receive_maximum),
            link: Link::Online(Box::new(link)),
            waiting_to_be_sent: Queue::default(),
            backlog,
            will: arrival.connect.will.take(),
            membership: None,
            permissions: Permissions::unrestricted(),
            limits: Arc::clone(&arrival.limits),
        });
        self.apply_rights(turn, key);
        (key, ticket)
    }

    /// Goes on with a session that is there. Gives back what must be committed before CONNACK: that it is there.
    fn reconnect(&mut self, turn: &mut Turn<'_>, key: SessionKey, arrival: &mut Arrival) -> Option<Ticket> {
        let link = self.link(turn, arrival);
        self.clear_deadlines(key);
        let session = self.sessions.at(key);
        let Some(backlog) = &session.backlog else {
            unreachable!("only persistent sessions outlive their connection");
        };
        let (consumer, opened) = (backlog.consumer, backlog.opened);
        let is_unproven = backlog.is_unproven(&self.ledger);
        let urgency = if is_unproven { Urgency::Awaited } else { Urgency::Lingers };
        let ticket = self.ledger.append(turn, urgency, arrival.opened(consumer));
        session.user = arrival.peer.user.take();
        session.limits = Arc::clone(&arrival.limits);
        session.version = arrival.connect.version;
        session.expiry_interval_seconds = arrival.expiry;
        session.outbound.set_receive_maximum(link.receive_maximum);
        session.link = Link::Online(Box::new(link));
        // A will that waited for its delay is replaced, and with it cancelled `[MQTT-3.1.3-9]`.
        session.will = arrival.connect.will.take();
        self.apply_rights(turn, key);
        Some(if is_unproven { ticket } else { opened })
    }

    /// Sends CONNACK, or lets it wait for the disk.
    fn greet(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        session_present: bool,
        mut properties: ConnAckProperties,
        after: Option<Ticket>,
    ) {
        let session = self.sessions.get(key);
        let Some(connection) = session.connection() else { return };
        let is_v5 = connection.is_v5();
        if is_v5 {
            properties = ConnAckProperties {
                session_expiry_interval_seconds: properties.session_expiry_interval_seconds,
                server_keep_alive_seconds: properties.server_keep_alive_seconds,
                assigned_client_identifier: properties.assigned_client_identifier,
                ..offer(&session.limits)
            };
        } else {
            properties = ConnAckProperties::default();
        }
        // 3.1 has no such flag.
        let session_present = session_present && connection.version != ProtocolVersion::V3_1;
        let packet = ConnAck { session_present, reason: ReasonCode::Success, properties };
        let waits = after.is_some_and(|ticket| !self.ledger.is_committed(ticket));
        self.answer(turn, key, Packet::ConnAck(Box::new(packet)), after);
        if !waits {
            self.greeted(turn, key);
        }
    }

    /// CONNACK is sent: the session may go on.
    pub(super) fn greeted(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        if let Some(connection) = self.sessions.at(key).connection_mut() {
            connection.greeted = true;
            self.resume(turn, key);
        }
    }

    pub(super) fn new_consumer(&mut self) -> ConsumerId {
        self.last_consumer += 1;
        ConsumerId(self.last_consumer)
    }

    /// An identifier that nobody has.
    fn new_client_id(&mut self) -> ByteString {
        loop {
            self.assigned_client_ids += 1;
            let candidate = ByteString::from(format!("tidegate-{}", self.assigned_client_ids));
            if self.sessions.by_client(&candidate).is_none() {
                return candidate;
            }
        }
    }
}

impl Arrival {
    /// What is written down of it.
    fn opened(&self, consumer: ConsumerId) -> Record {
        Record::SessionOpened {
            consumer,
            client_id: self.connect.client_id.clone(),
            user: self.peer.user.clone(),
            version: self.connect.version,
            expiry_interval_seconds: self.expiry,
            will: self.connect.will.clone(),
        }
    }
}

/// A CONNACK with everything that a client may have to be told `[MQTT-3.1.2-24]`.
fn longest_greeting(limits: &Limits, is_nameless: bool) -> Packet {
    let mut properties = offer(limits);
    properties.session_expiry_interval_seconds = Some(0);
    properties.server_keep_alive_seconds = Some(0);
    properties.assigned_client_identifier =
        is_nameless.then(|| ByteString::from(format!("tidegate-{}", u64::MAX)));
    let packet = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
    Packet::ConnAck(Box::new(packet))
}

/// What every client of 5.0 is told.
fn offer(limits: &Limits) -> ConnAckProperties {
    ConnAckProperties {
        receive_maximum: NonZeroU16::new(limits.receive_maximum),
        maximum_packet_size: u32::try_from(limits.max_packet_bytes).ok().and_then(NonZeroU32::new),
        topic_alias_maximum: Some(limits.topic_alias_maximum),
        shared_subscription_available: Some(true),
        ..ConnAckProperties::default()
    }
}

/// Seconds that a client's session will outlive its connection.
fn expiry_of(connect: &Connect, limits: &Limits) -> u32 {
    let wanted = match connect.version {
        ProtocolVersion::V5 => connect.properties.session_expiry_interval_seconds.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    };
    wanted.min(limits.max_session_expiry_seconds)
}

/// The largest packet that a client takes.
fn maximum_packet_size(connect: &Connect) -> usize {
    let size = connect.properties.maximum_packet_size.and_then(|size| usize::try_from(size.get()).ok());
    size.unwrap_or(usize::MAX)
}

/// The same, what is kept of it in memory of its own: it was read from a socket, into a buffer that is much larger.
fn kept(mut connect: Connect) -> Connect {
    connect.client_id = ByteString::from(&*connect.client_id);
    if let Some(will) = &mut connect.will {
        will.topic = will.topic.detached();
        will.payload = Bytes::copy_from_slice(&will.payload);
        will.properties = will.properties.detached();
    }
    connect
}
