//! One message on its way through the broker: who gets it, what is kept for whom, and the handing out.
//!
//! Matched once, when it is accepted. Who is owed something durable stands in the one [`Record::Kept`]; who is
//! connected gets it at once. Decides nothing about acknowledgements: it says what they have to wait for.

use std::time::Duration;

use smallvec::SmallVec;

use crate::durable::{
    ConsumerId, Delivery, DropReason, JournalHealth, Message, Record, Sequence, Ticket, Urgency,
};
use crate::mqtt::{PacketIdentifier, QoS};

use super::ledger::Onward;
use super::outbound::{Readiness, expiry_left};
use super::publish_frame::{Identifiers, Variant};
use super::queue::{Bounds, Queued};
use super::retained::Change;
use super::sessions::{Session, SessionKey};
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, PublishFrame, SourceId, Turn};

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Publisher {
    /// A client, by its session.
    Client(SessionKey),
    /// Somebody inside the gateway.
    Source(SourceId),
}

/// Who publishes, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Whose other messages it must not overtake.
    pub(super) publisher: Publisher,
    /// The identifier of an inbound QoS 2 message of a persistent session.
    pub(super) received: Option<(ConsumerId, PacketIdentifier)>,
    /// Presence is not history: nothing for uplinks.
    pub(super) presence: bool,
    /// Whether an acknowledgement waits: then the message is accepted as a whole or not at all.
    pub(super) urgency: Urgency,
}

impl Origin {
    pub(super) const fn new(publisher: Publisher, urgency: Urgency) -> Origin {
        Origin { publisher, received: None, presence: false, urgency }
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

/// One receiver of a message, whose overlapping subscriptions are merged.
#[derive(Debug)]
pub(super) struct Recipient {
    subscriber: Subscriber,
    /// The highest of its subscriptions.
    maximum_qos: QoS,
    retain_as_published: bool,
    /// Of all its subscriptions `[MQTT-3.3.4-4]`.
    identifiers: Identifiers,
    share: Share,
    /// A retained message for a new subscription: it waits for the socket at QoS 0 too.
    is_stored: bool,
}

/// How a recipient gets its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
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
    recipients: Vec<Recipient>,
}

impl Broker {
    /// Routes a message that was published. `Err`: it is not accepted, nobody got it.
    pub(super) fn publish(
        &mut self,
        turn: &mut Turn<'_>,
        message: Message,
        origin: Origin,
    ) -> Result<Accepted, DropReason> {
        let mut recipients = self.recipients(&message, origin.session(), origin.presence);
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
        let change = if message.retain { self.retained.change(&message, &self.limits) } else { Change::None };
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

        let accepted = Accepted { after, matched: !recipients.is_empty(), dropped: refusal };
        // An inbound QoS 2 message goes on when it is on disk, and not before an earlier one of its publisher
        // [MQTT-4.6.0-6].
        let is_held = message.qos == QoS::ExactlyOnce
            && origin.urgency == Urgency::Awaited
            && (after.is_some() || self.ledger.has_onward(origin.publisher));
        if is_held {
            self.hold(after.unwrap_or_default(), message, origin, sequence, recipients);
        } else {
            self.hand_out(turn, &message, sequence, recipients);
        }
        Ok(accepted)
    }

    /// Why the journal cannot keep something now.
    fn refusal(&self, owed: bool, recorded: bool) -> Option<DropReason> {
        match self.ledger.health() {
            JournalHealth::Dead if owed || recorded => Some(DropReason::JournalDead),
            JournalHealth::Full if owed => Some(DropReason::JournalFullNewest),
            _ => None,
        }
    }

    /// Everybody whose subscription matches, in a fixed order, each once `[MQTT-3.3.5-1]`. `own`: the publisher.
    fn recipients(&mut self, message: &Message, own: Option<SessionKey>, presence: bool) -> Vec<Recipient> {
        let mut found = std::mem::take(&mut self.scratch.found);
        let mut recipients = std::mem::take(&mut self.scratch.recipients);
        self.subscriptions.find(&message.topic, &mut found);
        if !found.is_sorted_by(|one, next| one.subscriber < next.subscriber) {
            found.sort_by_key(|subscription| subscription.subscriber);
        }
        for subscription in found.drain(..) {
            match subscription.subscriber {
                // [MQTT-3.8.3-3]
                Subscriber::Session(key) if subscription.no_local && own == Some(key) => continue,
                Subscriber::Uplink(..) if presence => continue,
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

    /// Whether a recipient gets this message through the journal.
    fn wants_record(&self, recipient: &Recipient, message: &Message) -> bool {
        match recipient.subscriber {
            Subscriber::Uplink(..) => recipient.maximum_qos > QoS::AtMostOnce,
            Subscriber::Session(key) => {
                recipient.maximum_qos.min(message.qos) > QoS::AtMostOnce
                    && self.sessions.get(key).backlog.is_some()
            }
        }
    }

    /// What is owed to durable consumers; marks them.
    fn deliveries(
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
                Subscriber::Uplink(uplink, _) => {
                    let Some(uplink) = self.uplinks.get(usize::from(uplink)) else { continue };
                    Delivery {
                        consumer: uplink.consumer,
                        qos: recipient.maximum_qos.min(message.qos.max(QoS::AtLeastOnce)),
                        retain: message.retain,
                        subscription_identifiers: SmallVec::new(),
                    }
                }
                Subscriber::Session(key) => {
                    let Some(backlog) = &self.sessions.get(key).backlog else { continue };
                    if backlog.owed() >= self.limits.max_queued_messages {
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

    /// Lets an inbound QoS 2 message wait until it is on disk; what the journal owes waits with it.
    fn hold(
        &mut self,
        ticket: Ticket,
        message: Message,
        origin: Origin,
        sequence: Option<Sequence>,
        recipients: &[Recipient],
    ) {
        let mut owed_to = SmallVec::new();
        if let Some(sequence) = sequence {
            self.ledger.hold(ticket, sequence);
            for recipient in recipients.iter().filter(|recipient| recipient.share == Share::Owed) {
                if let Subscriber::Session(key) = recipient.subscriber
                    && let Some(backlog) = &mut self.sessions.at(key).backlog
                {
                    backlog.owe(sequence);
                    owed_to.push(backlog.consumer);
                }
            }
        }
        let session = origin.session().map(|key| self.sessions.get(key));
        let connection = session.and_then(Session::connection).map(|connection| connection.id);
        self.ledger.wait_onward(ticket, Onward { message, origin, connection, owed_to });
    }

    /// An inbound QoS 2 message is on disk: it goes on to its subscribers.
    pub(super) fn onward(&mut self, turn: &mut Turn<'_>, onward: &Onward) {
        // The publisher may be gone, and its key be another's.
        let own = onward.connection.and_then(|connection| self.session_of(connection));
        let mut recipients = self.recipients(&onward.message, own, onward.origin.presence);
        // Whoever is owed it through the journal gets it there; who is not yet, subscribed too late.
        recipients.retain(|recipient| !self.wants_record(recipient, &onward.message));
        self.hand_out(turn, &onward.message, None, &recipients);
        recipients.clear();
        self.scratch.recipients = recipients;
        for consumer in &onward.owed_to {
            if let Some(key) = self.sessions.by_consumer(*consumer) {
                self.send_on(turn, key);
            }
        }
    }

    /// Gives every recipient its copy, or lets it wait where that recipient's messages wait.
    fn hand_out(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message,
        sequence: Option<Sequence>,
        recipients: &[Recipient],
    ) {
        let Ok(expiry) = expiry_left(message, &turn.now) else {
            let count = recipients.iter().filter(|recipient| recipient.share == Share::Live).count();
            return turn.dropped(u64::try_from(count).unwrap_or(u64::MAX), DropReason::Expired);
        };
        self.frames.begin(expiry);
        for recipient in recipients {
            let Subscriber::Session(key) = recipient.subscriber else {
                if recipient.share == Share::Live && recipient.maximum_qos > QoS::AtMostOnce {
                    turn.dropped(1, self.unkept());
                }
                continue;
            };
            match (recipient.share, sequence) {
                (Share::Dropped, _) => {}
                (Share::Owed, Some(sequence)) => self.pass_on(turn, key, message, sequence, recipient),
                (Share::Owed, None) => unreachable!("what is owed has a sequence"),
                (Share::Live, _) => self.hand_to(turn, key, message, recipient, expiry),
            }
        }
    }

    /// Why the journal keeps nothing, when it does not.
    fn unkept(&self) -> DropReason {
        self.refusal(true, false).unwrap_or(DropReason::JournalDead)
    }

    /// A message that the journal owes to a session: it is sent at once if everything before it was.
    fn pass_on(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        message: &Message,
        sequence: Sequence,
        recipient: &Recipient,
    ) {
        let qos = recipient.maximum_qos.min(message.qos);
        let session = self.sessions.at(key);
        let Some(backlog) = &mut session.backlog else {
            unreachable!("only who has a backlog is owed something");
        };
        let was_caught_up = backlog.is_caught_up();
        backlog.owe(sequence);
        // QoS 2 needs its identifier on disk first; it takes the way through the journal.
        let at_once = was_caught_up && qos == QoS::AtLeastOnce;
        if !at_once || session.readiness(0, qos, self.limits.max_outbox_bytes) != Readiness::Now {
            return self.send_on(turn, key);
        }
        if let Some(backlog) = &mut session.backlog {
            backlog.passed_on();
        }
        let Some(frame) = self.frame(key, message, qos, recipient) else {
            return self.drop_owed(turn, key, sequence, DropReason::PacketTooLarge);
        };
        let session = self.sessions.at(key);
        if let Readiness::Never(reason) =
            session.readiness(frame.bytes.len(), qos, self.limits.max_outbox_bytes)
        {
            return self.drop_owed(turn, key, sequence, reason);
        }
        self.send_assigned(turn, key, frame, sequence);
    }

    /// A message that only memory owes to a session: it is sent, waits in memory, or is dropped.
    fn hand_to(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        message: &Message,
        recipient: &Recipient,
        expiry: Option<u32>,
    ) {
        let qos = recipient.maximum_qos.min(message.qos);
        let session = self.sessions.at(key);
        let is_durable = session.backlog.is_some();
        if session.connection().is_none() {
            // QoS 0 is not kept for who is away; QoS 1 and 2 are here only when the journal keeps nothing.
            if qos > QoS::AtMostOnce {
                turn.dropped(1, self.unkept());
            }
            return;
        }
        let waits_behind = session.waiting_to_be_sent.holds(qos)
            || session
                .backlog
                .as_ref()
                .is_some_and(|backlog| qos > QoS::AtMostOnce && !backlog.is_caught_up());
        let Some(frame) = self.frame(key, message, qos, recipient) else {
            return turn.dropped(1, DropReason::PacketTooLarge);
        };
        let session = self.sessions.at(key);
        let readiness = session.readiness(frame.bytes.len(), qos, self.limits.max_outbox_bytes);
        match readiness {
            Readiness::Now if !waits_behind => {
                session.send(turn, frame, qos, None);
            }
            Readiness::Never(DropReason::SlowSubscriber) if waits_behind || recipient.is_stored => {
                self.wait_in_memory(turn, key, frame, qos, expiry);
            }
            Readiness::Never(reason) => turn.dropped(1, reason),
            _ if is_durable && qos > QoS::AtMostOnce => turn.dropped(1, self.unkept()),
            _ => self.wait_in_memory(turn, key, frame, qos, expiry),
        }
    }

    fn wait_in_memory(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        frame: PublishFrame,
        qos: QoS,
        expiry: Option<u32>,
    ) {
        let expires_at = expiry.map(|seconds| turn.now.monotonic + Duration::from_secs(seconds.into()));
        let bounds =
            Bounds { messages: self.limits.max_queued_messages, bytes: self.limits.max_queued_bytes };
        let queue = &mut self.sessions.at(key).waiting_to_be_sent;
        let dropped = queue.push(Queued { frame, qos, expires_at }, bounds);
        turn.dropped(dropped, DropReason::QueueFull);
    }

    /// Sends a retained message to a new subscription `[MQTT-3.3.1-9]`.
    pub(super) fn send_stored(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message,
        subscription: &Subscription,
    ) {
        let mut recipient =
            Recipient { retain_as_published: true, is_stored: true, ..Recipient::new(subscription) };
        let recipients = std::slice::from_mut(&mut recipient);
        let mut sequence = None;
        let wanted = recipients.iter().any(|recipient| self.wants_record(recipient, message));
        if wanted && self.refusal(true, false).is_none() {
            let deliveries = self.deliveries(turn, recipients, message);
            sequence = self.keep(turn, message, deliveries, Urgency::Lingers).map(|(sequence, _)| sequence);
        }
        self.hand_out(turn, message, sequence, recipients);
    }

    /// Hands a message and who is owed it to the journal, if anybody is.
    fn keep(
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

    fn frame(
        &mut self,
        key: SessionKey,
        message: &Message,
        qos: QoS,
        recipient: &Recipient,
    ) -> Option<PublishFrame> {
        let variant = Variant {
            version: self.sessions.at(key).version,
            qos,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: message.retain && recipient.retain_as_published,
            subscription_identifiers: &recipient.identifiers,
        };
        self.frames.frame(&self.renderer, &self.boots, message, variant)
    }
}

impl Recipient {
    fn new(subscription: &Subscription) -> Recipient {
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
