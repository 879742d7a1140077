//! Taking up what a killed run left open: the identifiers are in the durable state, the messages in the journal.
//!
//! Nothing is sent before this is over: the window must be complete when the server says whether it kept the
//! session. Where a queue is sent in its order, it is read up to the last of them: deliveries at QoS 1 have no
//! identifier on disk; those that stand between others that have one were open too, and get their place among
//! them, so that no message overtakes another. Where what is new goes first, each is fetched by itself.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Output;
use super::admission::frozen_payload;
use super::backlog::{LoadRequest, Order, Owed};
use super::forwarder::{Forwarder, Loading};
use super::window::Parcel;
use crate::durable::{
    Assigned, ConsumerId, LoadedDelivery, MessageBody, OutboundPhase, Record, Sequence, Urgency,
};
use crate::flow::Phase;
use crate::limits::LOAD_BYTES;
use crate::mqtt::{PacketIdentifier, QoS};

/// What is still to be taken up.
#[derive(Debug)]
pub(super) struct Restoration {
    lanes: Vec<LaneRestoration>,
    /// Every identifier in use.
    taken: BTreeSet<PacketIdentifier>,
    /// Whether the journal was asked: from then on it is for the journal to speak, not for time.
    begun: bool,
    /// What was asked for is not on disk yet: the journal says so when it is.
    stalled: bool,
}

/// Identifiers that wait for their messages, in the order in which they were first sent: that of the sequences.
#[derive(Debug)]
struct LaneRestoration {
    lane: usize,
    open: BTreeMap<Sequence, (PacketIdentifier, Assigned)>,
    /// To be fetched one by one; empty where the queue is read in its order.
    to_fetch: Vec<Sequence>,
    fetched: Vec<Owed>,
}

impl Restoration {
    /// `None` when nothing was left open. `left`: what each lane had.
    pub(super) fn new(
        left: impl Iterator<Item = BTreeMap<PacketIdentifier, Assigned>>,
        order: Order,
    ) -> Option<Restoration> {
        let mut taken = BTreeSet::new();
        let mut lanes = Vec::new();
        for (lane, assigned) in left.enumerate() {
            // Two lanes never have one identifier, unless the disk says so.
            let exactly_once = assigned
                .into_iter()
                .filter(|(identifier, entry)| entry.qos == QoS::ExactlyOnce && taken.insert(*identifier));
            let open: BTreeMap<_, _> =
                exactly_once.map(|(identifier, entry)| (entry.sequence, (identifier, entry))).collect();
            let published = open.iter().filter(|(_, (_, entry))| entry.phase == OutboundPhase::Published);
            let to_fetch = match order {
                Order::Fifo => Vec::new(),
                Order::LiveFirst { .. } => published.map(|(sequence, _)| *sequence).collect(),
            };
            if !open.is_empty() {
                lanes.push(LaneRestoration { lane, open, to_fetch, fetched: Vec::new() });
            }
        }
        (!lanes.is_empty()).then_some(Restoration { lanes, taken, begun: false, stalled: false })
    }

    pub(super) const fn was_begun(&self) -> bool {
        self.begun
    }

    /// More has come to disk.
    pub(super) const fn try_again(&mut self) {
        self.stalled = false;
    }

    /// Up to where the journal must have been read for a lane.
    pub(super) fn through(&self, lane: usize) -> Sequence {
        let of_lane = self.lanes.iter().find(|restoration| restoration.lane == lane);
        let last = of_lane.and_then(|restoration| restoration.open.last_key_value());
        last.map_or(Sequence::ZERO, |(sequence, _)| *sequence)
    }
}

impl LaneRestoration {
    fn through(&self) -> Sequence {
        self.open.last_key_value().map_or(Sequence::ZERO, |(sequence, _)| *sequence)
    }
}

impl Forwarder {
    /// Asks for what is still missing, unless that is under way.
    pub(super) fn load_for_restoration(&mut self, out: &mut Vec<Output>) {
        if self.loading.is_some() {
            return;
        }
        let Some(restoration) = &mut self.restoration else { return };
        restoration.begun = true;
        let Some(current) = restoration.lanes.last().filter(|_| !restoration.stalled) else { return };
        let at = current.lane;
        let point = current.to_fetch.last().copied();
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let (loading, request) = match (point, self.options.order) {
            (Some(sequence), _) => {
                let after = Sequence(sequence.0.saturating_sub(1));
                let request = LoadRequest { after, max_messages: 1, max_bytes: LOAD_BYTES };
                (Loading::One(sequence), Some(request))
            }
            (None, Order::LiveFirst { .. }) => return,
            (None, Order::Fifo) => (Loading::Lane(at), lane.backlog.load(true, BTreeSet::new)),
        };
        if let Some(request) = request {
            self.ask(at, loading, request, out);
        }
    }

    /// One that was fetched by itself came, or did not.
    pub(super) fn fetched(&mut self, wanted: Sequence, deliveries: Vec<LoadedDelivery>, through: Sequence) {
        let Some(restoration) = &mut self.restoration else { return };
        if deliveries.is_empty() && through < wanted {
            restoration.stalled = true;
            return;
        }
        if let Some(current) = restoration.lanes.last_mut() {
            current.to_fetch.retain(|sequence| *sequence != wanted);
            let found = deliveries.into_iter().filter(|loaded| loaded.sequence == wanted);
            current.fetched.extend(found.map(|loaded| Owed { loaded, sent_before: true }));
        }
    }

    /// Builds the window as it was, lane by lane, once the journal has been read so far.
    pub(super) fn restore(&mut self) {
        while let Some(mut restoration) = self.restoration.take() {
            let Some(current) = restoration.lanes.pop() else { return };
            let Some(lane) = self.lanes.get_mut(current.lane) else { continue };
            let by_order = self.options.order == Order::Fifo;
            let complete =
                if by_order { lane.backlog.read() >= current.through() } else { current.to_fetch.is_empty() };
            if !complete {
                restoration.lanes.push(current);
                self.restoration = Some(restoration);
                return;
            }
            let read = if by_order { lane.backlog.take_through(current.through()) } else { current.fetched };
            let consumer = lane.consumer;
            let again = self.restore_lane(consumer, current.open, read, &mut restoration.taken);
            if let Some(lane) = self.lanes.get_mut(current.lane) {
                lane.backlog.owe_again(again);
            }
            self.restoration = Some(restoration);
        }
    }

    /// Gives back what is to be sent as if for the first time.
    fn restore_lane(
        &mut self,
        consumer: ConsumerId,
        mut assigned: BTreeMap<Sequence, (PacketIdentifier, Assigned)>,
        read: Vec<Owed>,
        taken: &mut BTreeSet<PacketIdentifier>,
    ) -> Vec<Owed> {
        let mut open: BTreeMap<Sequence, Option<Owed>> = assigned.keys().map(|key| (*key, None)).collect();
        open.extend(read.into_iter().map(|owed| (owed.loaded.sequence, Some(owed))));
        let mut again = Vec::new();
        for (sequence, owed) in open {
            match (assigned.remove(&sequence), owed) {
                (Some((identifier, entry)), owed) => {
                    let loaded = owed.map(|owed| owed.loaded);
                    self.restore_assigned((consumer, sequence), identifier, entry, loaded);
                }
                (None, Some(owed)) if owed.loaded.delivery.qos == QoS::AtMostOnce => again.push(owed),
                (None, Some(owed)) => {
                    let identifier = unused(taken);
                    let parcel = self.parcel_of(owed.loaded, QoS::AtLeastOnce, None);
                    self.window.restore(identifier, QoS::AtLeastOnce, Phase::Published, parcel);
                }
                (None, None) => {}
            }
        }
        again
    }

    fn restore_assigned(
        &mut self,
        (consumer, sequence): (ConsumerId, Sequence),
        identifier: PacketIdentifier,
        entry: Assigned,
        loaded: Option<LoadedDelivery>,
    ) {
        let (phase, parcel) = match (entry.phase, loaded) {
            (OutboundPhase::Published, Some(loaded)) => {
                (Phase::Published, self.parcel_of(loaded, entry.qos, entry.frozen_payload))
            }
            // Received by the server; or dropped here while it was open: the server may hold the identifier, and
            // would take another message under it for a repetition. The release frees it.
            (OutboundPhase::Released, _) | (OutboundPhase::Published, None) => {
                (Phase::Released, Parcel::Released { consumer, sequence })
            }
        };
        self.window.restore(identifier, QoS::ExactlyOnce, phase, parcel);
    }

    /// What was taken up may not be on disk yet: says one of it again, to hear from the journal when it is.
    pub(super) fn prove(&mut self, out: &mut Vec<Output>) {
        let Some(packet_identifier) = self.window.to_be_proven() else { return };
        let Some((qos, parcel)) = self.window.get(packet_identifier) else { return };
        let Some((consumer, sequence)) = parcel.owed().next() else { return };
        let record = match parcel {
            Parcel::Released { .. } => Record::Released { consumer, packet_identifier },
            _ => {
                let frozen_payload = frozen_payload(parcel);
                Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload }
            }
        };
        self.append(Urgency::Awaited, record, out);
        self.window.await_proof();
    }

    fn parcel_of(&self, loaded: LoadedDelivery, qos: QoS, frozen: Option<Bytes>) -> Parcel {
        let said = frozen.or_else(|| self.said_of(&loaded));
        // A rule changed since may have no name for it: the old one is better than none.
        let renamed = self.renamed(&loaded.message.topic);
        let retain = self.retains(&loaded);
        Parcel::Delivery { loaded, more: Vec::new(), qos, renamed, said, retain }
    }

    /// The bytes of a message as they are now.
    pub(super) fn payload(&self, body: &MessageBody) -> Bytes {
        match body {
            MessageBody::Publish { payload, .. } => payload.clone(),
            MessageBody::Reading(reading) => self.renderer.render(reading, &self.boots),
        }
    }
}

/// An identifier that is not taken; it is from now on.
fn unused(taken: &mut BTreeSet<PacketIdentifier>) -> PacketIdentifier {
    let mut identifier = PacketIdentifier::FIRST;
    while !taken.insert(identifier) {
        identifier = identifier.next();
    }
    identifier
}
