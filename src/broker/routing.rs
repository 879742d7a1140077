//! One message on its way through the broker: it is accepted, kept for who is owed it, held if it must be.
//!
//! Matched once, when it is accepted. Who is owed something durable stands in the one [`Record::Kept`]; who is
//! connected gets it at once. Decides nothing about acknowledgements: it says what they have to wait for.

use smallvec::SmallVec;

use crate::durable::{
    ConsumerId, Delivery, DropReason, JournalHealth, Message, Record, Sequence, Ticket, Urgency,
};
use crate::mqtt::{PacketIdentifier, QoS};

use super::ledger::Onward;
use super::recipients::{Recipient, Share};
use super::retained::Change;
use super::sessions::{Session, SessionKey};
use super::subscriptions::Subscriber;
use super::{Broker, Relay, SourceId, Turn};

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Publisher {
    /// A client, by its session.
    Client(SessionKey),
    /// Somebody inside the gateway.
    Source(SourceId),
}

/// Whose messages do not overtake one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// A client's, by the hash of its identifier: it stays the same when its session does not. Two clients with one
    /// hash wait for each other, which harms nobody.
    Client(u64),
    /// Those of somebody inside the gateway.
    Source(SourceId),
}

/// Who publishes, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) publisher: Publisher,
    /// The identifier of an inbound QoS 2 message of a persistent session.
    pub(super) received: Option<(ConsumerId, PacketIdentifier)>,
    /// Which uplinks may have it.
    pub(super) relay: Relay,
    /// Whether an acknowledgement waits: then the message is accepted as a whole or not at all.
    pub(super) urgency: Urgency,
}

impl Origin {
    pub(super) const fn new(publisher: Publisher, urgency: Urgency) -> Origin {
        Origin { publisher, received: None, relay: Relay::All, urgency }
    }

    /// The client's session, which "no local" leaves out.
    fn session(&self) -> Option<SessionKey> {
        match self.publisher {
            Publisher::Client(key) => Some(key),
            Publisher::Source(_) => None,
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    /// What must be committed before it may be acknowledged.
    pub(super) after: Option<Ticket>,
    /// Whether anybody wanted it.
    pub(super) matched: bool,
    /// Why not everybody durable gets it.
    pub(super) dropped: Option<DropReason>,
}

impl Broker {
    /// Routes a message that was published. `Err`: it is not accepted, nobody got it.
    pub(super) fn publish(
        &mut self,
        turn: &mut Turn<'_>,
        message: Message,
        origin: Origin,
    ) -> Result<Accepted, DropReason> {
        let mut recipients = self.recipients(&message, origin.session(), origin.relay);
        let accepted = self.accept(turn, message, origin, &mut recipients);
        recipients.clear();
        self.scratch.recipients = recipients;
        accepted
    }

    fn accept(
        &mut self,
        turn: &mut Turn<'_>,
        message: Message,
        origin: Origin,
        recipients: &mut [Recipient],
    ) -> Result<Accepted, DropReason> {
        let change = if message.retain {
            self.retained
                .change(&message, origin.session().map_or(&self.limits, |key| &self.sessions.get(key).limits))
        } else {
            Change::None
        };
        let wanted = recipients.iter().filter(|recipient| self.wants_record(recipient, &message)).count();
        let refusal = self.refusal(wanted > 0, origin.received.is_some() || change != Change::None);
        let is_strict = origin.urgency == Urgency::Awaited && origin.session().is_some();
        if let Some(reason) = refusal
            && is_strict
        {
            return Err(reason);
        }

        let mut after = None;
        let mut sequence = None;
        if wanted > 0 && refusal.is_none() {
            let deliveries = self.deliveries(turn, recipients, &message);
            if let Some((kept, ticket)) = self.keep(turn, &message, deliveries, origin.urgency) {
                (sequence, after) = (Some(kept), Some(ticket));
            }
        }
        if let Some((consumer, packet_identifier)) = origin.received {
            let record = Record::Received { consumer, packet_identifier };
            after = Some(self.ledger.append(turn, origin.urgency, record));
        }
        after = self.retain(turn, &message, change, origin.urgency).or(after);

        let mut accepted = Accepted { after, matched: !recipients.is_empty(), dropped: refusal };
        // A QoS 2 message goes on when it is on disk, if that is promised, and not before an earlier one of its publisher
        // [MQTT-4.6.0-5] [MQTT-4.6.0-6]. What the disk refused waits for nothing: there may be no end of it.
        let is_promised = origin.urgency == Urgency::Awaited && after.is_some();
        let is_held = message.qos == QoS::ExactlyOnce
            && refusal.is_none()
            && (is_promised || self.ledger.has_onward(|| self.line(origin.publisher)));
        if is_held {
            accepted.after = Some(self.hold(after, message, origin, sequence, recipients));
        } else {
            self.hand_out(turn, &message, sequence, recipients);
        }
        Ok(accepted)
    }

    pub(super) fn line(&self, publisher: Publisher) -> Line {
        match publisher {
            Publisher::Client(key) => Line::Client(self.sessions.hash(key)),
            Publisher::Source(source) => Line::Source(source),
        }
    }

    /// Why the journal cannot keep something now.
    pub(super) fn refusal(&self, owed: bool, recorded: bool) -> Option<DropReason> {
        match self.ledger.health() {
            JournalHealth::Dead if owed || recorded => Some(DropReason::JournalDead),
            JournalHealth::Full if owed => Some(DropReason::JournalFullNewest),
            _ => None,
        }
    }

    /// Lets a QoS 2 message wait until it and those before it are on disk; what the journal owes waits with it. Gives
    /// back what has to be committed for that.
    fn hold(
        &mut self,
        after: Option<Ticket>,
        message: Message,
        origin: Origin,
        sequence: Option<Sequence>,
        recipients: &[Recipient],
    ) -> Ticket {
        let mut owed_to = SmallVec::new();
        if let (Some(sequence), Some(ticket)) = (sequence, after) {
            self.ledger.hold(ticket, sequence);
            for recipient in recipients.iter().filter(|recipient| recipient.share == Share::Owed) {
                let backlog = match recipient.subscriber {
                    Subscriber::Session(key) => self.sessions.at(key).backlog.as_deref_mut(),
                    Subscriber::Group(id) => self.groups.at(id).and_then(|group| group.backlog.as_mut()),
                    Subscriber::Uplink(..) => None,
                };
                if let Some(backlog) = backlog {
                    backlog.owe(sequence, &message);
                    owed_to.push(backlog.consumer);
                }
            }
        }
        let session = origin.session().map(|key| self.sessions.get(key));
        let connection = session.and_then(Session::connection).map(|connection| connection.id);
        let line = self.line(origin.publisher);
        self.ledger.wait_onward(after, Onward { message, line, relay: origin.relay, connection, owed_to })
    }

    /// An inbound QoS 2 message is on disk: it goes on to its subscribers.
    pub(super) fn onward(&mut self, turn: &mut Turn<'_>, onward: &Onward) {
        // The publisher may be gone, and its key be another's.
        let own = onward.connection.and_then(|connection| self.session_of(connection));
        let mut recipients = self.recipients(&onward.message, own, onward.relay);
        // Whoever is owed it through the journal gets it there; who is not yet, subscribed too late.
        recipients.retain(|recipient| !self.is_owed(recipient, onward));
        self.hand_out(turn, &onward.message, None, &recipients);
        recipients.clear();
        self.scratch.recipients = recipients;
        for consumer in &onward.owed_to {
            if let Some(key) = self.sessions.by_consumer(*consumer) {
                self.send_on(turn, key);
            } else if let Some(group) = self.groups.by_consumer(*consumer) {
                self.spread(turn, group);
            }
        }
    }

    fn is_owed(&self, recipient: &Recipient, onward: &Onward) -> bool {
        match recipient.subscriber {
            // It may have become the journal's meanwhile; its members were there before.
            Subscriber::Group(id) => {
                let backlog = self.groups.get(id).and_then(|group| group.backlog.as_ref());
                backlog.is_some_and(|backlog| onward.owed_to.contains(&backlog.consumer))
            }
            _ => self.wants_record(recipient, &onward.message),
        }
    }

    /// Hands a message and who is owed it to the journal, if anybody is.
    pub(super) fn keep(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message,
        deliveries: SmallVec<[Delivery; 2]>,
        urgency: Urgency,
    ) -> Option<(Sequence, Ticket)> {
        if deliveries.is_empty() {
            return None;
        }
        let sequence = self.ledger.next_sequence();
        let record = Record::Kept { sequence, message: message.clone(), deliveries };
        Some((sequence, self.ledger.append(turn, urgency, record)))
    }
}
