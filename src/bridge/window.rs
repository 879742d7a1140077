//! What is open towards the server, what of it waits for the disk, and what is to be sent next.
//!
//! Everything that is sent with an identifier passes through [`Window::next`]: new deliveries, what the disk has
//! released, and what is sent again on a new connection. So order is kept by construction, and the server's
//! Receive Maximum binds repetitions too: it counts anew on each connection (section 4.9 of 5.0).

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::backlog::Owed;
use crate::durable::{ConsumerId, LoadedDelivery, MessageBody, Sequence, Ticket};
use crate::flow::{Outbound, Phase, Received, Resend};
use crate::limits::UPLINK_WINDOW_BYTES;
use crate::mqtt::{PacketIdentifier, QoS, TopicName};

/// What is open under one identifier.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A delivery from the journal.
    Delivery {
        loaded: LoadedDelivery,
        /// Others that travel in the same publish.
        more: Vec<LoadedDelivery>,
        /// What it is sent with: the lower of what is owed and what the server takes.
        qos: QoS,
        /// Its name at the server, if that is another than here.
        renamed: Option<TopicName>,
        /// What is said instead of the message's own bytes, as first sent: a repetition does not differ.
        said: Option<Bytes>,
        /// Whether the server is to retain it.
        retain: bool,
    },
    /// The state of the gateway or of a sensor, which is no history: never in the journal.
    Presence { topic: TopicName, payload: Bytes },
    /// A delivery of an earlier run that the server has received: only its release is owed.
    Released { consumer: ConsumerId, sequence: Sequence },
}

impl Parcel {
    /// Its topic and its payload at the server; `None` when only a release is owed.
    pub(super) fn words(&self) -> Option<(&TopicName, &[u8])> {
        match self {
            Parcel::Delivery { loaded, renamed, said, .. } => {
                let payload = match (said, &loaded.message.body) {
                    (Some(said), _) => said,
                    (None, MessageBody::Publish { payload, .. }) => payload,
                    (None, MessageBody::Reading(_)) => {
                        unreachable!("a reading is rendered when its parcel is made")
                    }
                };
                Some((renamed.as_ref().unwrap_or(&loaded.message.topic), payload))
            }
            Parcel::Presence { topic, payload } => Some((topic, payload)),
            Parcel::Released { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        self.words().map_or(0, |(topic, payload)| topic.as_str().len() + payload.len())
    }

    /// Which messages of the journal it is, and of which queue.
    pub(super) fn owed(&self) -> impl Iterator<Item = (ConsumerId, Sequence)> + '_ {
        let (first, more) = match self {
            Parcel::Delivery { loaded, more, .. } => {
                (Some((loaded.delivery.consumer, loaded.sequence)), more.as_slice())
            }
            Parcel::Released { consumer, sequence } => (Some((*consumer, *sequence)), [].as_slice()),
            Parcel::Presence { .. } => (None, [].as_slice()),
        };
        let more = more.iter().map(|loaded| (loaded.delivery.consumer, loaded.sequence));
        first.into_iter().chain(more)
    }
}

/// One packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Publish { dup: bool },
    PubRel,
}

/// What was open when the server forgot the session.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// The server had received these: they are done.
    pub(super) delivered: Vec<(ConsumerId, Sequence)>,
    /// Owed anew, in order.
    pub(super) again: Vec<Owed>,
    /// Of which queues the disk knows identifiers that mean nothing any more.
    pub(super) on_disk: BTreeSet<ConsumerId>,
}

#[derive(Debug)]
pub(super) struct Window {
    outbound: Outbound<Parcel>,
    receive_maximum: usize,
    bytes: usize,
    /// Whether packets can be sent now.
    up: bool,
    /// PUBREL to be sent, in order; nothing holds them back.
    next_releases: VecDeque<PacketIdentifier>,
    /// PUBLISH to be sent, in order, as the server takes them; with their DUP.
    next_publishes: VecDeque<(PacketIdentifier, bool)>,
    /// While nothing can be sent: what may be sent, and never was. Otherwise `next_publishes` says so.
    unsent: BTreeSet<PacketIdentifier>,
    /// New identifiers, at least one of which waits for the disk.
    batch: Option<(Ticket, Vec<PacketIdentifier>)>,
    /// Releases that wait for the disk.
    releases: VecDeque<(Ticket, PacketIdentifier)>,
    proof: Proof,
    /// What an earlier run left open, as long as there is no proof: nothing of it is sent.
    unproven: BTreeSet<PacketIdentifier>,
}

/// Whether what an earlier run wrote is on disk. A run that was killed may have written more than the disk had: it
/// is read like the rest, and a power cut can take it still. What the server was told on the strength of it would
/// then be told once more, as something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Missing,
    /// The journal was told something, which will bring it.
    Awaited,
    /// This run has committed something, and all that came before with it.
    Given,
}

impl Window {
    pub(super) fn new(receive_maximum: u16) -> Window {
        Window {
            outbound: Outbound::new(receive_maximum),
            receive_maximum: usize::from(receive_maximum.max(1)),
            bytes: 0,
            up: false,
            next_releases: VecDeque::new(),
            next_publishes: VecDeque::new(),
            unsent: BTreeSet::new(),
            batch: None,
            releases: VecDeque::new(),
            proof: Proof::Missing,
            unproven: BTreeSet::new(),
        }
    }

    pub(super) fn set_receive_maximum(&mut self, receive_maximum: u16) {
        self.outbound.set_receive_maximum(receive_maximum);
        self.receive_maximum = usize::from(receive_maximum.max(1));
    }

    /// Takes up what an earlier run left open, in the order of first sending. It counts as sent.
    pub(super) fn restore(&mut self, identifier: PacketIdentifier, qos: QoS, phase: Phase, parcel: Parcel) {
        self.bytes += parcel.bytes();
        self.outbound.restore(identifier, qos, phase, parcel);
        if self.proof != Proof::Given {
            self.unproven.insert(identifier);
        }
    }

    /// One of those that an earlier run left open, to be said to the journal again: with it, all are on disk. `None`
    /// when there is none, or that was done.
    pub(super) fn to_be_proven(&self) -> Option<PacketIdentifier> {
        if self.proof != Proof::Missing {
            return None;
        }
        let is_on_disk = |(qos, _): (QoS, &Parcel)| qos == QoS::ExactlyOnce;
        self.unproven.iter().copied().find(|identifier| self.get(*identifier).is_some_and(is_on_disk))
    }

    /// It was said to the journal.
    pub(super) const fn await_proof(&mut self) {
        self.proof = Proof::Awaited;
    }

    /// Whether one more delivery may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.outbound.free() > 0 && (self.bytes < UPLINK_WINDOW_BYTES || self.outbound.is_empty())
    }

    /// Whether new identifiers wait for the disk, or those of an earlier run: what comes after them has to wait too.
    pub(super) fn waits_for_disk(&self) -> bool {
        self.batch.is_some() || !self.unproven.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.outbound.len()
    }

    pub(super) fn get(&self, identifier: PacketIdentifier) -> Option<(QoS, &Parcel)> {
        self.outbound.get(identifier).map(|(_, qos, parcel)| (qos, parcel))
    }

    /// What the server will believe of this topic once everything open has arrived.
    pub(super) fn last_presence(&self, of: &TopicName) -> Option<&Bytes> {
        let presence = self.outbound.iter().filter_map(|(_, _, parcel)| match parcel {
            Parcel::Presence { topic, payload } if topic == of => Some(payload),
            _ => None,
        });
        presence.last()
    }

    /// Whether anything is open with a higher quality of service than this.
    pub(super) fn exceeds(&self, maximum: QoS) -> bool {
        self.outbound.iter().any(|(_, _, parcel)| match parcel {
            Parcel::Delivery { qos, .. } => *qos > maximum,
            Parcel::Released { .. } => QoS::ExactlyOnce > maximum,
            Parcel::Presence { .. } => QoS::AtLeastOnce > maximum,
        })
    }

    /// Opens a delivery that need not wait for the disk.
    pub(super) fn open(&mut self, qos: QoS, parcel: Parcel) {
        let identifier = self.assign(qos, parcel);
        self.may_be_published(identifier);
    }

    /// Gives an identifier and holds it; [`Window::hold`] says until when.
    pub(super) fn assign(&mut self, qos: QoS, parcel: Parcel) -> PacketIdentifier {
        self.bytes += parcel.bytes();
        self.outbound.assign(qos, parcel)
    }

    /// These are sent when the ticket is committed.
    pub(super) fn hold(&mut self, ticket: Ticket, batch: Vec<PacketIdentifier>) {
        assert!(self.batch.is_none(), "one batch of new identifiers waits for the disk at a time");
        self.batch = Some((ticket, batch));
    }

    /// The release of this delivery is sent when the ticket is committed.
    pub(super) fn hold_release(&mut self, ticket: Ticket, identifier: PacketIdentifier) {
        self.releases.push_back((ticket, identifier));
    }

    /// The disk has everything up to this ticket.
    pub(super) fn committed(&mut self, ticket: Ticket) {
        self.all_is_proven();
        if let Some((_, batch)) = self.batch.take_if(|(waits_for, _)| *waits_for <= ticket) {
            for identifier in batch {
                self.may_be_published(identifier);
            }
        }
        while let Some((_, identifier)) = self.releases.pop_front_if(|(waits_for, _)| *waits_for <= ticket) {
            if self.outbound.release_committed(identifier) && self.up {
                self.next_releases.push_back(identifier);
            }
        }
    }

    /// This run has committed something.
    fn all_is_proven(&mut self) {
        self.proof = Proof::Given;
        let proven = std::mem::take(&mut self.unproven);
        if self.up && !proven.is_empty() {
            self.send_again(|identifier| proven.contains(&identifier));
        }
    }

    fn may_be_published(&mut self, identifier: PacketIdentifier) {
        if self.outbound.assigned_committed(identifier).is_none() {
            return;
        }
        if self.up {
            self.next_publishes.push_back((identifier, false));
        } else {
            self.unsent.insert(identifier);
        }
    }

    /// The next packet to be sent now, if the server takes one more; `may_publish`: no PUBLISH otherwise.
    pub(super) fn next(&mut self, may_publish: bool) -> Option<(PacketIdentifier, Step)> {
        if let Some(identifier) = self.next_releases.pop_front() {
            return Some((identifier, Step::PubRel));
        }
        if !may_publish {
            return None;
        }
        // [MQTT-3.3.4-7]
        let sent = self.outbound.len().saturating_sub(self.next_publishes.len());
        if sent >= self.receive_maximum {
            return None;
        }
        let (identifier, dup) = self.next_publishes.pop_front()?;
        Some((identifier, Step::Publish { dup }))
    }

    /// The link is gone.
    pub(super) fn suspend(&mut self) {
        self.up = false;
        self.next_releases.clear();
        let never_sent = self.next_publishes.drain(..).filter(|(_, dup)| !dup);
        self.unsent.extend(never_sent.map(|(identifier, _)| identifier));
        self.outbound.unreserve_all();
    }

    /// A new connection: what is open is sent again, with the same identifiers, in order `[MQTT-4.4.0-1]`.
    pub(super) fn resume(&mut self) {
        self.up = true;
        let unproven = std::mem::take(&mut self.unproven);
        self.send_again(|identifier| !unproven.contains(&identifier));
        self.unproven = unproven;
    }

    fn send_again(&mut self, which: impl Fn(PacketIdentifier) -> bool) {
        let unsent = std::mem::take(&mut self.unsent);
        let open = self.outbound.resend().filter(|(identifier, ..)| which(*identifier));
        for (identifier, resend, _, _) in open {
            match resend {
                Resend::Publish => {
                    self.next_publishes.push_back((identifier, !unsent.contains(&identifier)));
                }
                Resend::PubRel => self.next_releases.push_back(identifier),
            }
        }
    }

    /// PUBACK.
    pub(super) fn acknowledged(&mut self, identifier: PacketIdentifier) -> Option<Parcel> {
        let parcel = self.outbound.acknowledged(identifier)?;
        Some(self.closed(identifier, parcel))
    }

    /// The server does not want it now: it is sent once more, before everything that was not sent yet. Whether there
    /// is such a thing.
    pub(super) fn postponed(&mut self, identifier: PacketIdentifier) -> bool {
        let sent = matches!(self.outbound.get(identifier), Some((Phase::Published, _, _)))
            && !self.unproven.contains(&identifier)
            && !self.next_publishes.iter().any(|(queued, _)| *queued == identifier);
        if sent {
            // Several that are refused one after the other stay in their order.
            let place = self.postponed_ahead(identifier);
            self.next_publishes.insert(place, (identifier, false));
        }
        sent
    }

    /// It is not sent any more, whatever the server may say of it.
    pub(super) fn lay_aside(&mut self, identifier: PacketIdentifier) -> Option<Parcel> {
        self.acknowledged(identifier).or_else(|| self.refused(identifier))
    }

    /// How many of those to be sent were opened before this one.
    fn postponed_ahead(&self, identifier: PacketIdentifier) -> usize {
        let before = self.outbound.iter().map(|(open, _, _)| open).take_while(|open| *open != identifier);
        let before: BTreeSet<_> = before.collect();
        self.next_publishes.iter().take_while(|(queued, _)| before.contains(queued)).count()
    }

    /// The messages that are open.
    pub(super) fn sequences(&self) -> BTreeSet<Sequence> {
        self.outbound.iter().flat_map(|(_, _, parcel)| parcel.owed()).map(|(_, sequence)| sequence).collect()
    }

    /// PUBREC with an error.
    pub(super) fn refused(&mut self, identifier: PacketIdentifier) -> Option<Parcel> {
        let parcel = self.outbound.refused(identifier)?;
        Some(self.closed(identifier, parcel))
    }

    /// PUBCOMP.
    pub(super) fn completed(&mut self, identifier: PacketIdentifier) -> Option<Parcel> {
        let parcel = self.outbound.completed(identifier)?;
        Some(self.closed(identifier, parcel))
    }

    /// PUBREC. A repeated one is answered from the queue.
    pub(super) fn received(&mut self, identifier: PacketIdentifier) -> Received {
        let received = self.outbound.received(identifier);
        match received {
            Received::Release => self.unqueue(identifier),
            Received::Repeat
                if !self.next_releases.contains(&identifier) && !self.unproven.contains(&identifier) =>
            {
                self.next_releases.push_back(identifier);
            }
            _ => {}
        }
        received
    }

    fn closed(&mut self, identifier: PacketIdentifier, parcel: Parcel) -> Parcel {
        self.bytes = self.bytes.saturating_sub(parcel.bytes());
        self.unqueue(identifier);
        parcel
    }

    /// Answered although it still waits to be sent (again): it is not sent any more.
    fn unqueue(&mut self, identifier: PacketIdentifier) {
        self.unsent.remove(&identifier);
        self.unproven.remove(&identifier);
        self.next_releases.retain(|queued| *queued != identifier);
        self.next_publishes.retain(|(queued, _)| *queued != identifier);
    }

    /// The server forgot the session: empties the window.
    pub(super) fn forget(&mut self) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for (identifier, phase, parcel) in self.outbound.forget() {
            let arrived = matches!(phase, Phase::Received | Phase::Released);
            let sent_before = phase == Phase::Published && !self.unsent.contains(&identifier);
            match parcel {
                Parcel::Presence { .. } => {}
                Parcel::Released { consumer, sequence } => {
                    forgotten.on_disk.insert(consumer);
                    forgotten.delivered.push((consumer, sequence));
                }
                Parcel::Delivery { loaded, more, qos, .. } => {
                    if qos == QoS::ExactlyOnce {
                        forgotten.on_disk.insert(loaded.delivery.consumer);
                    }
                    for loaded in std::iter::once(loaded).chain(more) {
                        if arrived {
                            forgotten.delivered.push((loaded.delivery.consumer, loaded.sequence));
                        } else {
                            forgotten.again.push(Owed { loaded, sent_before });
                        }
                    }
                }
            }
        }
        self.bytes = 0;
        self.next_releases.clear();
        self.next_publishes.clear();
        self.unsent.clear();
        self.unproven.clear();
        self.batch = None;
        self.releases.clear();
        forgotten
    }

    /// An identifier for SUBSCRIBE.
    pub(super) fn reserve(&mut self) -> PacketIdentifier {
        self.outbound.reserve()
    }

    /// SUBACK: whether the identifier had been reserved.
    pub(super) fn unreserve(&mut self, identifier: PacketIdentifier) -> bool {
        self.outbound.unreserve(identifier)
    }
}
