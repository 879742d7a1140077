//! A checkpoint: everything that older segments say, again, so that they are needed for their messages only.

use super::codec::{Entry, SegmentNote, put_note, put_record_entry};
use super::compact::Compaction;
use super::journal::Journal;
use crate::durable::{Assigned, ConsumerId, OutboundPhase, Record, State};
use crate::mqtt::PacketIdentifier;

impl<D> Journal<D> {
    /// The entries of a checkpoint of what is on disk now.
    pub(super) fn checkpoint(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let State { last_sequence, last_consumer, .. } = self.state;
        put_note(&mut out, &Entry::Checkpoint { last_sequence, last_consumer });
        let copies = self.compaction.as_ref().and_then(Compaction::first_destination);
        for (ordinal, segment) in &self.segments.needed {
            // Copies that do not count yet are in no chunk.
            let has_copies = copies.is_some_and(|first| *ordinal >= first);
            let note = segment.note();
            let listed = note.listed.filter(|_| !has_copies);
            put_note(&mut out, &Entry::Segment(SegmentNote { listed, ..note }));
            let chunks = if has_copies { Vec::new() } else { self.index.notes(*ordinal) };
            chunks.into_iter().for_each(|chunk| put_note(&mut out, &Entry::Chunk(chunk)));
        }
        for record in records(&self.state) {
            put_record_entry(&mut out, &record);
        }
        for cursor in self.index.cursors(last_sequence) {
            put_note(&mut out, &Entry::Cursor(cursor));
        }
        put_note(&mut out, &Entry::CheckpointEnd);
        out
    }
}

/// Records that make this state out of an empty one that knows the last sequence and consumer.
pub(super) fn records(state: &State) -> impl Iterator<Item = Record> + '_ {
    let boots =
        state.boots.iter().map(|(boot, unix_ms_at_zero)| Record::BootSynced { boot, unix_ms_at_zero });
    let retained =
        state.retained.values().map(|retained| Record::RetainedSet { message: retained.message.clone() });
    let uplinks = state.uplinks.iter().flat_map(|(consumer, uplink)| {
        let opened = Record::UplinkOpened { consumer: *consumer, name: uplink.name.clone() };
        std::iter::once(opened).chain(assigned_records(*consumer, &uplink.assigned))
    });
    let groups = state
        .groups
        .iter()
        .map(|(consumer, filter)| Record::GroupOpened { consumer: *consumer, filter: filter.clone() });
    let sessions = state.sessions.keys().flat_map(|consumer| session_records(*consumer, state));
    boots.chain(retained).chain(uplinks).chain(groups).chain(sessions)
}

fn session_records(consumer: ConsumerId, state: &State) -> Vec<Record> {
    let Some(session) = state.sessions.get(&consumer) else { return Vec::new() };
    let mut records = vec![Record::SessionOpened {
        consumer,
        client_id: session.client_id.clone(),
        user: session.user.clone(),
        version: session.version,
        expiry_interval_seconds: session.expiry_interval_seconds,
        will: session.will.clone(),
    }];
    if let Some(at) = session.detached_at {
        records.push(Record::SessionDetached {
            consumer,
            at,
            expiry_interval_seconds: session.expiry_interval_seconds,
            will: session.will.clone(),
        });
    }
    records.extend(session.subscriptions.iter().map(|(filter, subscription)| Record::Subscribed {
        consumer,
        filter: filter.clone(),
        options: subscription.options,
        identifier: subscription.identifier,
    }));
    let received = session.received.iter();
    records.extend(received.map(|identifier| Record::Received { consumer, packet_identifier: *identifier }));
    records.extend(assigned_records(consumer, &session.assigned));
    records
}

fn assigned_records<'a>(
    consumer: ConsumerId,
    assigned: impl IntoIterator<Item = (&'a PacketIdentifier, &'a Assigned)>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for (packet_identifier, assigned) in assigned {
        let packet_identifier = *packet_identifier;
        records.push(Record::Assigned {
            consumer,
            packet_identifier,
            sequence: assigned.sequence,
            qos: assigned.qos,
            frozen_payload: assigned.frozen_payload.clone(),
        });
        if assigned.phase == OutboundPhase::Released {
            records.push(Record::Released { consumer, packet_identifier });
        }
    }
    records
}
