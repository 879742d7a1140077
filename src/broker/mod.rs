//! The embedded MQTT broker as a pure machine: `(now, Input)` in, [`Output`]s out.
//!
//! Never touches a socket, a clock, a file, a task or a log. One owner drives it; the driver (`crate::net`) reads
//! packets into [`Input`]s and carries out [`Output`]s.
//!
//! | room | what happens there |
//! |---|---|
//! | `connect` `keep_alive` `ending` | a client comes, is silent, goes; its will |
//! | `subscribe` `subscriptions` `recent_topics` | SUBSCRIBE, UNSUBSCRIBE; the trie of filters |
//! | `inbound` `ingest` | messages come in: from clients, from inside the gateway |
//! | `routing` `recipients` `retained` | a message is accepted: who gets it, what is kept |
//! | `handing_out` `sending` `receipts` | towards subscribers: at once, in turn, and what they answer |
//! | `queue` `backlog` | what waits in memory, what waits in the journal |
//! | `shared` `sharing` | groups of shared subscriptions, and the spread of messages over their members |
//! | `ledger` | what waits for the disk |
//! | `sessions` `connection` `timers` `hash` | where everything stands |
//! | `publish_frame` `aliases` | a PUBLISH, encoded once for many; short names for long topics |
//! | `figures` | how much of everything there is |
//! | `access` `rights` | who may do what, and what follows from a no |
//! | `words` | what a client is told beside a code |
//! | `restore` | going on after an earlier run |

mod access;
mod aliases;
mod backlog;
mod connect;
mod connection;
mod ending;
mod figures;
mod handing_out;
mod hash;
mod inbound;
mod ingest;
mod interface;
mod keep_alive;
mod ledger;
mod publish_frame;
mod queue;
mod receipts;
mod recent_topics;
mod recipients;
mod restore;
mod retained;
mod rights;
mod routing;
mod sending;
mod sessions;
mod shared;
mod sharing;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod words;

pub use access::{Actions, Effect, Rights, Rule, TopicPattern, Who};
pub use figures::Figures;
pub use interface::{
    CloseReason, ConnectionId, Denial, Event, ForwardRule, Input, Output, Peer, Relay, Renderer, SourceId,
    UplinkRules,
};
pub use publish_frame::PublishFrame;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

use crate::durable::{Boots, ConsumerId, DropReason};
use crate::limits::Limits;
use crate::mqtt::{Packet, ReasonCode, TopicFilter};
use crate::time::{Instant, Moment};

use ledger::{Ledger, Waiting};
use publish_frame::Frames;
use recipients::Scratch;
use retained::RetainedMessages;
use sessions::{Attached, SessionKey, Sessions};
use shared::Groups;
use subscriptions::Subscriptions;
use timers::Timers;

/// The broker. See the module.
pub struct Broker {
    limits: Arc<Limits>,
    rights: Rights,
    renderer: Renderer,
    boots: Boots,
    ledger: Ledger,
    sessions: Sessions,
    subscriptions: Subscriptions,
    groups: Groups,
    /// Whether groups of an earlier run may be without members.
    has_deserted_groups: bool,
    retained: RetainedMessages,
    uplinks: Vec<ingest::Uplink>,
    /// Uplinks of an earlier run that were not added yet, by name.
    parked_uplinks: BTreeMap<ByteString, ConsumerId>,
    timers: Timers,
    last_consumer: u32,
    /// How many client identifiers were made up.
    assigned_client_ids: u64,
    frames: Frames,
    scratch: Scratch,
    /// What the gateway itself wants to hear.
    inside: Option<TopicFilter>,
}

/// One call of [`Broker::handle`]: when it is, and what it says.
struct Turn<'a> {
    now: Moment,
    out: &'a mut Vec<Output>,
}

impl Turn<'_> {
    fn event(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }

    /// Counts messages that will not be delivered, if there are any.
    fn dropped(&mut self, more: u64, why: DropReason) {
        match self.out.last_mut() {
            Some(Output::Event(Event::Dropped { count, reason })) if *reason == why => *count += more,
            _ if more > 0 => self.event(Event::Dropped { count: more, reason: why }),
            _ => {}
        }
    }
}

impl Broker {
    /// A broker that nobody is connected to. Before its first input it may be given the state of an earlier run,
    /// [`Broker::restore`], and the uplinks, [`Broker::add_uplink`].
    #[must_use]
    pub fn new(limits: Limits, renderer: Renderer) -> Broker {
        Broker {
            limits: Arc::new(Limits { receive_maximum: limits.receive_maximum.max(1), ..limits }),
            rights: Rights::unrestricted(),
            renderer,
            boots: Boots::default(),
            ledger: Ledger::default(),
            sessions: Sessions::default(),
            subscriptions: Subscriptions::new(),
            groups: Groups::default(),
            has_deserted_groups: false,
            retained: RetainedMessages::default(),
            uplinks: Vec::new(),
            parked_uplinks: BTreeMap::new(),
            timers: Timers::default(),
            last_consumer: 0,
            assigned_client_ids: 0,
            frames: Frames::default(),
            scratch: Scratch::default(),
            inside: None,
        }
    }

    /// From now on the gateway itself hears what is published to topics of this filter, beside everybody else.
    pub fn hear_inside(&mut self, filter: TopicFilter) {
        self.inside = Some(filter);
    }

    /// Something happened: appends to `out` what is to be done about it, in order.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        let mut turn = Turn { now, out };
        let turn = &mut turn;
        self.ledger.begin_turn();
        if self.has_deserted_groups {
            self.close_deserted_groups(turn);
        }
        match input {
            Input::Connect { connection, connect, peer } => self.connect(turn, connection, *connect, peer),
            Input::Packet { connection, packet } => self.packet(turn, connection, packet),
            Input::Malformed { connection, reason } => {
                if let Some(key) = self.heard(turn, connection, reason) {
                    self.break_off(turn, key, reason);
                }
            }
            Input::Closed { connection } => self.closed(turn, connection),
            Input::Written { connection, bytes } => self.written(turn, connection, bytes),
            Input::Ingest { source, token, message, relay, urgency } => {
                self.ingest(turn, (source, token), message, relay, urgency);
            }
            Input::Committed { ticket } => {
                self.ledger.commit(ticket);
                while let Some(waiting) = self.ledger.take_released() {
                    self.release(turn, waiting);
                }
            }
            Input::Loaded { consumer, deliveries, through } => {
                self.loaded(turn, consumer, deliveries, through);
            }
            Input::Dropped { consumer, count } => self.journal_dropped(consumer, count),
            Input::Health(health) => self.health_changed(turn, health),
            Input::Rights(rights) => self.change_rights(turn, rights),
            Input::Expel { connection, reason } => self.expel(turn, connection, reason),
            Input::Timeout => self.timeout(turn),
        }
    }

    /// When [`Input::Timeout`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// About how many bytes were handed to the journal and are not committed; above
    /// [`crate::limits::UNCOMMITTED_BYTES`] the driver lets publishers wait.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        self.ledger.uncommitted_bytes()
    }

    /// How many connections there may be, of all listeners together.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.limits.max_connections
    }

    /// What is known now of the wall clocks of boots; readings are rendered with it.
    pub fn learn_clock(&mut self, boots: Boots) {
        self.boots = boots;
    }

    fn packet(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, packet: Packet) {
        let Some(key) = self.heard(turn, connection, ReasonCode::ProtocolError) else { return };
        match packet {
            Packet::Publish(publish) => self.publish_in(turn, key, publish),
            Packet::PubAck(packet) => self.puback(turn, key, &packet),
            Packet::PubRec(packet) => self.pubrec(turn, key, &packet),
            Packet::PubRel(packet) => self.pubrel(turn, key, &packet),
            Packet::PubComp(packet) => self.pubcomp(turn, key, &packet),
            Packet::Subscribe(packet) => self.subscribe(turn, key, &packet),
            Packet::Unsubscribe(packet) => self.unsubscribe(turn, key, &packet),
            // [MQTT-3.12.4-1]
            Packet::PingReq => self.pingreq(turn, key),
            Packet::Disconnect(packet) => self.disconnect(turn, key, &packet),
            // Nobody began an exchange of AUTH `[MQTT-4.12.0-7]`, and the rest is for servers to send.
            Packet::Auth(_)
            | Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => self.break_off(turn, key, ReasonCode::ProtocolError),
        }
    }

    /// The session that speaks on a connection, and is not silent then. A connection that never said CONNECT is
    /// closed for `otherwise` `[MQTT-3.1.0-1]`.
    fn heard(
        &mut self,
        turn: &mut Turn<'_>,
        connection: ConnectionId,
        otherwise: ReasonCode,
    ) -> Option<SessionKey> {
        match self.sessions.by_connection(connection) {
            Some(Attached::To(key)) => {
                if let Some(link) = self.sessions.at(key).connection_mut() {
                    link.last_heard = turn.now.monotonic;
                }
                Some(key)
            }
            Some(Attached::Closing) => None,
            None => {
                let reason = CloseReason::Refused(otherwise);
                turn.out.push(Output::Close { connection, reason });
                self.sessions.attach(connection, Attached::Closing);
                None
            }
        }
    }

    /// The session of a connection that is not being closed.
    fn session_of(&self, connection: ConnectionId) -> Option<SessionKey> {
        match self.sessions.by_connection(connection) {
            Some(Attached::To(key)) => Some(key),
            Some(Attached::Closing) | None => None,
        }
    }

    /// Something need not wait for the disk any more.
    fn release(&mut self, turn: &mut Turn<'_>, waiting: Waiting) {
        match waiting {
            Waiting::Answer { connection, packet } => self.answer_released(turn, connection, packet),
            Waiting::Onward(onward) => self.onward(turn, &onward),
            Waiting::Assigned { consumer, packet_identifier, owed } => {
                if let Some(key) = self.sessions.by_consumer(consumer) {
                    self.assigned(turn, key, packet_identifier, &owed);
                }
            }
            Waiting::AssignedShared { connection, packet_identifier, frame } => {
                self.assigned_shared(turn, connection, packet_identifier, frame);
            }
            Waiting::Released { consumer, packet_identifier } => {
                if let Some(key) = self.sessions.by_consumer(consumer) {
                    self.released(turn, key, packet_identifier);
                }
            }
            Waiting::Accepted { source, token } => {
                turn.out.push(Output::Accepted { source, token, outcome: Ok(()) });
            }
        }
    }
}
