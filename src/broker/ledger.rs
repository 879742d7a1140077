//! What was handed to the journal, and what waits for it to be on disk.
//!
//! An acknowledgement promises that the record is on disk; nothing else waits. Everything that waits stands in one
//! queue by ticket, so that what is released comes out in the order in which it came in. Never decides what is
//! kept.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use smallvec::SmallVec;

use crate::durable::{
    ConsumerId, Delivery, JournalHealth, Message, MessageBody, Record, Sequence, Ticket, Urgency,
};
use crate::mqtt::{Packet, PacketIdentifier};

use super::hash::NumberMap;
use super::routing::Line;
use super::{ConnectionId, Output, PublishFrame, Relay, SourceId, Turn};

/// Something that is done when its ticket is committed.
#[derive(Debug)]
pub(super) enum Waiting {
    /// An acknowledgement.
    Answer { connection: ConnectionId, packet: Packet },
    /// An inbound QoS 2 message, to be handed out.
    Onward(Box<Onward>),
    /// An outbound QoS 2 message that got its identifier, to be sent.
    Assigned { consumer: ConsumerId, packet_identifier: PacketIdentifier, owed: Box<(Delivery, Message)> },
    /// A QoS 2 message of a group that is a member's from now on, to be sent.
    AssignedShared { connection: ConnectionId, packet_identifier: PacketIdentifier, frame: PublishFrame },
    /// An outbound QoS 2 message that was received: PUBREL is to be sent.
    Released { consumer: ConsumerId, packet_identifier: PacketIdentifier },
    /// A message from inside the gateway.
    Accepted { source: SourceId, token: u64 },
}

/// An inbound QoS 2 message on its way from the disk to its subscribers.
#[derive(Debug)]
pub(super) struct Onward {
    pub(super) message: Message,
    /// Whose other messages it must not overtake.
    pub(super) line: Line,
    /// Which uplinks may have it.
    pub(super) relay: Relay,
    /// The connection that it came over.
    pub(super) connection: Option<ConnectionId>,
    /// The sessions and groups that get it from the journal.
    pub(super) owed_to: SmallVec<[ConsumerId; 2]>,
}

/// The broker's side of the journal.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    health: JournalHealth,
    last_ticket: Ticket,
    this_turn: Option<Ticket>,
    committed: Ticket,
    /// The last ticket that somebody waited for.
    last_awaited: Ticket,
    last_sequence: Sequence,
    waiting: VecDeque<(Ticket, Waiting)>,
    /// Kept inbound QoS 2 messages that are not committed, in order: nobody may get them yet.
    held: VecDeque<(Ticket, Sequence)>,
    /// How many messages of each publisher wait to go onward: later ones of QoS 2 stay behind them.
    onward: NumberMap<Line, u32>,
    /// Whose sessions ended, and when that is on disk. Until then a new run would find them again.
    ended: NumberMap<Line, Ticket>,
    uncommitted: VecDeque<(Ticket, usize)>,
    uncommitted_bytes: usize,
}

impl Ledger {
    /// Goes on after what an earlier run wrote.
    pub(super) fn restore(&mut self, last_sequence: Sequence) {
        self.last_sequence = last_sequence;
    }

    /// One call of `handle` begins: its records will share a ticket.
    pub(super) fn begin_turn(&mut self) {
        self.this_turn = None;
    }

    pub(super) fn health(&self) -> JournalHealth {
        self.health
    }

    /// Takes in the new health; gives back the old one.
    pub(super) fn set_health(&mut self, health: JournalHealth) -> JournalHealth {
        std::mem::replace(&mut self.health, health)
    }

    pub(super) fn last_sequence(&self) -> Sequence {
        self.last_sequence
    }

    pub(super) fn next_sequence(&mut self) -> Sequence {
        self.last_sequence = self.last_sequence.next();
        self.last_sequence
    }

    /// Hands a record to the journal.
    pub(super) fn append(&mut self, turn: &mut Turn<'_>, urgency: Urgency, record: Record) -> Ticket {
        let ticket = *self.this_turn.get_or_insert_with(|| {
            self.last_ticket = self.last_ticket.next();
            self.last_ticket
        });
        if urgency == Urgency::Awaited {
            self.last_awaited = ticket;
        }
        self.count_uncommitted(ticket, approximate_bytes(&record));
        // Boxed: every other output is small, and they are many.
        let record = Box::new(record);
        turn.out.push(Output::Append { ticket, urgency, record });
        ticket
    }

    fn count_uncommitted(&mut self, ticket: Ticket, bytes: usize) {
        self.uncommitted_bytes += bytes;
        match self.uncommitted.back_mut() {
            Some((last, sum)) if *last >= ticket => *sum += bytes,
            _ => self.uncommitted.push_back((ticket, bytes)),
        }
    }

    /// Lets something wait until `ticket` is committed, and behind everything that waits already. Gives back the ticket that
    /// lets it go.
    pub(super) fn wait(&mut self, ticket: Ticket, what: Waiting) -> Ticket {
        let behind = self.waiting.back().map_or(Ticket::default(), |(last, _)| *last);
        let ticket = ticket.max(behind);
        self.waiting.push_back((ticket, what));
        ticket
    }

    /// A kept message must not be handed out before `ticket` is committed.
    pub(super) fn hold(&mut self, ticket: Ticket, sequence: Sequence) {
        self.held.push_back((ticket, sequence));
    }

    /// Lets an inbound QoS 2 message wait until `after` is committed, and behind earlier ones of its publisher. Gives back
    /// the ticket that lets it go.
    pub(super) fn wait_onward(&mut self, after: Option<Ticket>, onward: Onward) -> Ticket {
        *self.onward.entry(onward.line).or_default() += 1;
        let bytes = OVERHEAD + message_bytes(&onward.message);
        let ticket = self.wait(after.unwrap_or_default(), Waiting::Onward(Box::new(onward)));
        if after.is_none() {
            // Nothing of it goes to the disk, but it lies here as long as if it did.
            self.count_uncommitted(ticket, bytes);
        }
        ticket
    }

    /// Whether an earlier message of a publisher waits to go onward.
    pub(super) fn has_onward(&self, line: impl FnOnce() -> Line) -> bool {
        !self.onward.is_empty() && self.onward.contains_key(&line())
    }

    /// The session of a client ended with this ticket.
    pub(super) fn session_ended(&mut self, line: Line, ticket: Ticket) {
        self.ended.insert(line, ticket);
    }

    /// What must be committed before a client may be told that it has no session any more.
    pub(super) fn ending(&self, line: impl FnOnce() -> Line) -> Option<Ticket> {
        if self.ended.is_empty() { None } else { self.ended.get(&line()).copied() }
    }

    pub(super) fn is_held(&self, sequence: Sequence) -> bool {
        self.held.binary_search_by_key(&sequence, |(_, held)| *held).is_ok()
    }

    /// What somebody waits for and is not yet committed, if anything.
    pub(super) fn awaited(&self) -> Option<Ticket> {
        (self.last_awaited > self.committed).then_some(self.last_awaited)
    }

    /// Whether something of this run is on disk. Until then what an earlier run wrote last may never have come there:
    /// it is read from memory that a power cut takes. It is written again first.
    pub(super) fn has_committed(&self) -> bool {
        self.committed > Ticket::default()
    }

    pub(super) fn is_committed(&self, ticket: Ticket) -> bool {
        ticket <= self.committed
    }

    /// Everything up to `ticket` is on disk.
    pub(super) fn commit(&mut self, ticket: Ticket) {
        assert!(ticket <= self.last_ticket, "the journal commits only what it was given");
        self.committed = self.committed.max(ticket);
        while let Some((_, bytes)) = self.uncommitted.pop_front_if(|(at, _)| *at <= ticket) {
            self.uncommitted_bytes -= bytes;
        }
        while self.held.pop_front_if(|(at, _)| *at <= ticket).is_some() {}
        self.ended.retain(|_, at| *at > ticket);
    }

    /// The next thing that needs not wait any more.
    pub(super) fn take_released(&mut self) -> Option<Waiting> {
        let committed = self.committed;
        let (_, what) = self.waiting.pop_front_if(|(ticket, _)| *ticket <= committed)?;
        if let Waiting::Onward(onward) = &what
            && let Entry::Occupied(mut count) = self.onward.entry(onward.line)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(what)
    }

    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }
}

/// What a record or a message takes beside its own bytes.
const OVERHEAD: usize = 64;

/// About how many bytes a record takes; what the back-pressure on publishers is measured by.
fn approximate_bytes(record: &Record) -> usize {
    OVERHEAD
        + match record {
            Record::Kept { message, deliveries, .. } => message_bytes(message) + 16 * deliveries.len(),
            Record::RetainedSet { message } => message_bytes(message),
            Record::RetainedCleared { topic } => topic.as_str().len(),
            Record::Subscribed { filter, .. } | Record::Unsubscribed { filter, .. } => filter.as_str().len(),
            Record::SessionOpened { will, .. } | Record::SessionDetached { will, .. } => {
                will.as_ref().map_or(0, |will| will.topic.as_str().len() + will.payload.len())
            }
            _ => 0,
        }
}

/// About how many bytes a message takes.
pub(super) fn message_bytes(message: &Message) -> usize {
    let body = match &message.body {
        MessageBody::Publish { payload, .. } => payload.len(),
        MessageBody::Reading(reading) => 32 * reading.measurements.len(),
    };
    message.topic.as_str().len() + body
}
