//! Taking up what a killed run left open: the identifiers are in the durable state, the messages in the journal.
//!
//! Nothing is sent before this is over: the window must be complete when the server says whether it kept the
//! session. Deliveries at QoS 1 have no identifier on disk; those that stand between others that have one were
//! open too, and get their place among them, so that no message overtakes another.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::backlog::Owed;
use super::forwarder::Forwarder;
use super::window::Parcel;
use crate::durable::{Assigned, LoadedDelivery, MessageBody, OutboundPhase, Sequence};
use crate::flow::Phase;
use crate::mqtt::{PacketIdentifier, QoS};

/// Identifiers that wait for their messages, in the order in which they were first sent: that of the sequences.
#[derive(Debug)]
pub(super) struct Restoration(BTreeMap<Sequence, (PacketIdentifier, Assigned)>);

impl Restoration {
    /// `None` when nothing was left open.
    pub(super) fn new(assigned: BTreeMap<PacketIdentifier, Assigned>) -> Option<Restoration> {
        let exactly_once = assigned.into_iter().filter(|(_, entry)| entry.qos == QoS::ExactlyOnce);
        let open: BTreeMap<_, _> =
            exactly_once.map(|(identifier, entry)| (entry.sequence, (identifier, entry))).collect();
        (!open.is_empty()).then_some(Restoration(open))
    }

    /// Up to where the journal must have been read.
    pub(super) fn through(&self) -> Sequence {
        self.0.last_key_value().map_or(Sequence::ZERO, |(sequence, _)| *sequence)
    }
}

impl Forwarder {
    /// Builds the window as it was, once the journal has been read so far.
    pub(super) fn restore(&mut self) {
        let read = self.backlog.read();
        let Some(restoration) = self.restoration.take_if(|restoration| restoration.through() <= read) else {
            return;
        };
        let through = restoration.through();
        let mut taken: BTreeSet<_> = restoration.0.values().map(|(identifier, _)| *identifier).collect();
        let mut assigned = restoration.0;
        let mut open: BTreeMap<Sequence, Option<Owed>> = assigned.keys().map(|key| (*key, None)).collect();
        let read = self.backlog.take_through(through);
        open.extend(read.into_iter().map(|owed| (owed.loaded.sequence, Some(owed))));
        let mut again = Vec::new();
        for (sequence, owed) in open {
            match (assigned.remove(&sequence), owed) {
                (Some((identifier, entry)), owed) => {
                    self.restore_assigned(sequence, identifier, entry, owed.map(|owed| owed.loaded));
                }
                (None, Some(owed)) if owed.loaded.delivery.qos == QoS::AtMostOnce => again.push(owed),
                (None, Some(owed)) => {
                    let identifier = unused(&mut taken);
                    let parcel = self.parcel_of(owed.loaded, QoS::AtLeastOnce, None);
                    self.window.restore(identifier, QoS::AtLeastOnce, Phase::Published, parcel);
                }
                (None, None) => {}
            }
        }
        self.backlog.owe_again(again);
    }

    fn restore_assigned(
        &mut self,
        sequence: Sequence,
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
                (Phase::Released, Parcel::Released { sequence })
            }
        };
        self.window.restore(identifier, QoS::ExactlyOnce, phase, parcel);
    }

    fn parcel_of(&self, loaded: LoadedDelivery, qos: QoS, frozen: Option<Bytes>) -> Parcel {
        let payload = frozen.unwrap_or_else(|| self.payload(&loaded.message.body));
        // A rule changed since may have no name for it: the old one is better than none.
        let topic = self.renamed(&loaded.message.topic).unwrap_or_else(|| loaded.message.topic.clone());
        Parcel::Delivery { loaded, qos, topic, payload }
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
