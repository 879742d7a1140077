//! Messages at which the server breaks off the connection, every time: MQTT 3.1.1 has no other way to refuse one, and
//! some servers of 5.0 know no better.
//!
//! ```text
//! broken off, nothing acknowledged ─ 3 times in a row ─▶ suspicious: one message at a time, after a ping was answered
//! the same message alone, broken off again ─ 4 times, for a minute ─▶ it is laid aside
//! enough acknowledged, one by one ─▶ all is well again
//! ```
//!
//! The ping tells a server that does not want this message from one that does not want us, and from a link that comes
//! and goes; so does the minute.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Output;
use super::dead_letter::Unsendable;
use super::fault::Fault;
use super::forwarder::Forwarder;
use super::link::Link;
use super::window::Parcel;
use crate::durable::{DropReason, Sequence};
use crate::mqtt::{Packet, PacketIdentifier, ReasonCode, TopicName};
use crate::time::{Instant, Moment};

/// After so many connections in a row that the server broke off without a word, it is looked at closely.
const SUSPICIOUS_FROM: u8 = 3;
/// So often a message must end the connection, all alone.
const STRIKES: u8 = 4;
/// And for so long.
const STRIKING_FOR: Duration = Duration::from_secs(60);
/// So many messages go one at a time, once it is looked at closely.
const CAREFUL_FOR: u16 = 64;
/// Presence that is poison; more is not remembered.
const KNOWN: usize = 64;

/// What may be poison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Suspect {
    Message(Sequence),
    Presence(TopicName),
}

#[derive(Debug, Default)]
pub(super) struct Poison {
    /// Connections in a row that were broken off before anything was acknowledged.
    broken_off: u8,
    /// So many more go one at a time.
    careful: u16,
    suspect: Option<(Suspect, Instant)>,
    strikes: u8,
    /// On this connection: whether the server has yet to show that it is there.
    pub(super) asks_first: bool,
    /// On this connection: what was sent alone.
    alone: Option<(PacketIdentifier, Suspect)>,
    /// Presence that is not told any more.
    known: BTreeSet<TopicName>,
}

impl Poison {
    /// Whether messages go one at a time.
    pub(super) const fn is_suspicious(&self) -> bool {
        self.careful > 0
    }

    /// The server answered: it is there.
    pub(super) const fn answered(&mut self) {
        self.asks_first = false;
    }

    /// A message is sent.
    pub(super) fn sends(&mut self, identifier: PacketIdentifier, parcel: &Parcel) {
        if !self.is_suspicious() {
            return;
        }
        let suspect = match parcel {
            Parcel::Delivery { loaded, .. } => Suspect::Message(loaded.sequence),
            Parcel::Presence { topic, .. } => Suspect::Presence(topic.clone()),
            Parcel::Released { .. } => return,
        };
        self.alone = Some((identifier, suspect));
    }

    /// The server does not want it now, and says so: then it is not for this that it breaks off.
    pub(super) fn refused_for_now(&mut self, identifier: PacketIdentifier) {
        if self.alone.as_ref().is_some_and(|(alone, _)| *alone == identifier) {
            self.clear();
        }
    }

    /// Whether the server breaks off when it is told this.
    pub(super) fn is_known(&self, topic: &TopicName) -> bool {
        self.known.contains(topic)
    }

    /// Something was acknowledged, or laid aside.
    fn clear(&mut self) {
        (self.broken_off, self.suspect, self.strikes, self.alone) = (0, None, 0, None);
    }

    /// A connection was broken off before anything was acknowledged. What of it is poison.
    fn broken_off(&mut self, now: Instant) -> Option<(PacketIdentifier, Suspect)> {
        self.broken_off = self.broken_off.saturating_add(1);
        if self.broken_off >= SUSPICIOUS_FROM {
            self.careful = CAREFUL_FOR;
        }
        let (identifier, suspect) = self.alone.take()?;
        let since = match &self.suspect {
            Some((before, since)) if *before == suspect => *since,
            _ => {
                self.strikes = 0;
                self.suspect = Some((suspect.clone(), now));
                now
            }
        };
        self.strikes = self.strikes.saturating_add(1);
        (self.strikes >= STRIKES && now.since(since) >= STRIKING_FOR).then_some((identifier, suspect))
    }
}

impl Fault {
    /// Whether it may be what was sent that the server does not want.
    const fn may_be_the_message(&self) -> bool {
        match self {
            Fault::Closed(_) => true,
            Fault::Disconnected(reason) => matches!(
                reason,
                ReasonCode::UnspecifiedError
                    | ReasonCode::MalformedPacket
                    | ReasonCode::ProtocolError
                    | ReasonCode::ImplementationSpecificError
                    | ReasonCode::NotAuthorized
                    | ReasonCode::TopicNameInvalid
                    | ReasonCode::PacketTooLarge
                    | ReasonCode::PayloadFormatInvalid
                    | ReasonCode::RetainNotSupported
                    | ReasonCode::QoSNotSupported
            ),
            _ => false,
        }
    }
}

impl Forwarder {
    /// On a new connection: before anything is published, the server shows that it is there.
    pub(super) fn ask_if_suspicious(&mut self, now: Moment, out: &mut Vec<Output>) {
        if !self.poison.is_suspicious() {
            return;
        }
        self.poison.asks_first = true;
        self.send(now, Packet::PingReq, out);
        if let Link::Up(up) = &mut self.link {
            up.asked(now.monotonic);
        }
    }

    /// The server took something: this connection was worth it.
    pub(super) fn was_of_use(&mut self) {
        if let Link::Up(up) = &mut self.link {
            up.of_use = true;
            let server = up.server;
            self.poison.clear();
            if self.poison.is_suspicious() {
                self.poison.careful -= 1;
                self.take_as_much_as(server);
            }
        }
    }

    /// A connection ended: whether it was for what was sent.
    pub(super) fn suspect(&mut self, now: Moment, fault: &Fault, out: &mut Vec<Output>) {
        self.poison.asks_first = false;
        let in_vain = matches!(&self.link, Link::Up(up) if !up.of_use) && self.window.len() > 0;
        if !in_vain || !fault.may_be_the_message() {
            self.poison.alone = None;
            return;
        }
        let Some((identifier, suspect)) = self.poison.broken_off(now.monotonic) else { return };
        if let Suspect::Presence(topic) = suspect
            && self.poison.known.len() < KNOWN
        {
            self.poison.known.insert(topic);
        }
        let detail = match fault {
            Fault::Disconnected(_) => fault.to_string(),
            _ => format!("the server breaks off the connection whenever it comes ({STRIKES} times at least)"),
        };
        if let Some(Parcel::Delivery { loaded, more, .. }) = self.window.lay_aside(identifier) {
            let why = Unsendable { reason: DropReason::Refused, detail };
            for loaded in std::iter::once(loaded).chain(more) {
                self.give_up(now, &loaded, &why, out);
            }
        }
        self.poison.clear();
    }
}
