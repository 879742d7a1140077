//! The handing out of one message: to each recipient at once, or to where its messages wait.
//!
//! Who the recipients are was decided before; what goes on the wire, and when, is decided here.

use std::time::Duration;

use crate::durable::{DropReason, Message, Sequence, Urgency};
use crate::mqtt::QoS;

use super::aliases::Naming;
use super::publish_frame::Variant;
use super::queue::{Bounds, Queued};
use super::recipients::{Recipient, Share};
use super::sending::{Readiness, expiry_left};
use super::sessions::{Session, SessionKey};
use super::shared::GroupId;
use super::subscriptions::{Subscriber, Subscription};
use super::{Broker, PublishFrame, Turn};

impl Broker {
    /// Gives every recipient its copy, or lets it wait where that recipient's messages wait.
    pub(super) fn hand_out(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message,
        sequence: Option<Sequence>,
        recipients: &[Recipient],
    ) {
        if self.inside.as_ref().is_some_and(|filter| filter.matches(&message.topic)) {
            turn.out.push(super::Output::Inside(Box::new(message.clone())));
        }
        let expiry = expiry_left(message, &turn.now);
        self.frames.begin(expiry.unwrap_or(Some(0)), recipients.len());
        for recipient in recipients {
            let key = match recipient.subscriber {
                Subscriber::Session(key) => key,
                Subscriber::Group(group) => {
                    self.share_out(turn, group, message, sequence, recipient);
                    continue;
                }
                Subscriber::Uplink(..) => {
                    if recipient.share == Share::Live && recipient.maximum_qos > QoS::AtMostOnce {
                        turn.dropped(1, self.unkept());
                    }
                    continue;
                }
            };
            match (recipient.share, sequence, expiry) {
                (Share::Dropped, ..) => {}
                (Share::Owed, Some(sequence), _) => self.pass_on(turn, key, message, sequence, recipient),
                (Share::Owed, None, _) => unreachable!("what is owed has a sequence"),
                (Share::Live, _, Ok(expiry)) => self.hand_to(turn, key, message, recipient, expiry),
                (Share::Live, _, Err(reason)) => turn.dropped(1, reason),
            }
        }
    }

    /// Gives a message to a group, of which one member gets it.
    fn share_out(
        &mut self,
        turn: &mut Turn<'_>,
        group: GroupId,
        message: &Message,
        sequence: Option<Sequence>,
        recipient: &Recipient,
    ) {
        let qos = recipient.maximum_qos.min(message.qos);
        match (recipient.share, sequence) {
            (Share::Dropped, _) => {}
            (Share::Owed, Some(sequence)) => self.share_owed(turn, group, message, sequence, qos),
            (Share::Owed, None) => unreachable!("what is owed has a sequence"),
            (Share::Live, _) => self.share_live(turn, group, message, qos),
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
        backlog.owe(sequence, message);
        // QoS 2 needs its identifier on disk first; it takes the way through the journal.
        let at_once = was_caught_up && qos == QoS::AtLeastOnce;
        if !at_once || session.readiness(0, qos) != Readiness::Now {
            return self.send_on(turn, key);
        }
        if let Some(backlog) = &mut session.backlog {
            backlog.passed_on();
        }
        let Some((frame, naming)) = self.named_frame(key, message, qos, recipient) else {
            return self.drop_owed(turn, key, sequence, DropReason::PacketTooLarge);
        };
        let session = self.sessions.at(key);
        if let Readiness::Never(reason) = session.readiness(frame.bytes.len(), qos) {
            return self.drop_owed(turn, key, sequence, reason);
        }
        session.named(message, naming);
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
        if is_durable && qos == QoS::ExactlyOnce {
            // Nor here: without its identifier on disk the next message that gets it would pass for a repetition.
            return turn.dropped(1, self.unkept());
        }
        let waits_behind = session.waiting_to_be_sent.holds(qos)
            || session
                .backlog
                .as_ref()
                .is_some_and(|backlog| qos > QoS::AtMostOnce && !backlog.is_caught_up());
        let is_next = !waits_behind && session.readiness(0, qos) == Readiness::Now;
        let made = if is_next {
            self.named_frame(key, message, qos, recipient)
        } else {
            self.frame(key, message, qos, recipient, Naming::Topic).map(|frame| (frame, Naming::Topic))
        };
        let Some((frame, naming)) = made else {
            return turn.dropped(1, DropReason::PacketTooLarge);
        };
        let session = self.sessions.at(key);
        let readiness = session.readiness(frame.bytes.len(), qos);
        match readiness {
            Readiness::Now if !waits_behind => {
                session.named(message, naming);
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
        let session = self.sessions.at(key);
        let limits = &session.limits;
        let bounds = Bounds { messages: limits.max_queued_messages, bytes: limits.max_queued_bytes };
        let queue = &mut session.waiting_to_be_sent;
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

    /// The frame of a message that is written now, and how it names its topic.
    fn named_frame(
        &mut self,
        key: SessionKey,
        message: &Message,
        qos: QoS,
        recipient: &Recipient,
    ) -> Option<(PublishFrame, Naming)> {
        let link = self.sessions.get(key).connection();
        let naming = link.map_or(Naming::Topic, |link| link.naming(&message.topic));
        let maximum = link.map_or(usize::MAX, |link| link.maximum_packet_size());
        let frame = self.frame(key, message, qos, recipient, naming)?;
        if naming == Naming::Topic || frame.bytes.len() <= maximum {
            return Some((frame, naming));
        }
        // It may be just the alias that is too much.
        Some((self.frame(key, message, qos, recipient, Naming::Topic)?, Naming::Topic))
    }

    fn frame(
        &mut self,
        key: SessionKey,
        message: &Message,
        qos: QoS,
        recipient: &Recipient,
        naming: Naming,
    ) -> Option<PublishFrame> {
        let variant = Variant {
            version: self.sessions.at(key).version,
            qos,
            // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            retain: message.retain && recipient.retain_as_published,
            subscription_identifiers: &recipient.identifiers,
            naming,
        };
        self.frames.frame(&self.renderer, &self.boots, message, variant)
    }
}

impl Session {
    /// A PUBLISH that named its topic so is sent.
    fn named(&mut self, message: &Message, naming: Naming) {
        if let Some(link) = self.connection_mut() {
            link.named(&message.topic, naming);
        }
    }
}
