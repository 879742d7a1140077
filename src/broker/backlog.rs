//! What the journal owes to a persistent session: where we are in it, and what was read ahead.
//!
//! ```text
//! owed:   1 2 3 4 5 6 7 8 9        done 1 2 4 · open towards the client 3 5 · read ahead 6 7
//!                     │   └ last_owed
//!                     └ cursor: everything up to here was handed over or is read ahead
//! ```
//!
//! A session that is caught up gets new messages at once and its cursor goes along; one that is not gets them from
//! the journal, in order. Memory does not grow with the backlog. Asks and remembers; what is sent is decided in
//! `sending`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::durable::{ConsumerId, LoadedDelivery, Message, Sequence, Ticket};
use crate::limits::{LOAD_BYTES, Limits};
use crate::mqtt::PacketIdentifier;

use super::ledger::{Ledger, message_bytes};
use super::{Broker, Output, Turn};

/// The journal's side of one session.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) consumer: ConsumerId,
    /// When this is committed, the session is on disk.
    pub(super) opened: Ticket,
    cursor: Sequence,
    last_owed: Sequence,
    loading: Loading,
    read_ahead: VecDeque<LoadedDelivery>,
    /// What was open when the client came back, by message: it has its identifier already.
    reopened: BTreeMap<Sequence, PacketIdentifier>,
    /// How many messages are owed.
    owed: usize,
    /// And about how many bytes.
    owed_bytes: u64,
}

/// Whether an answer of the journal is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loading {
    No,
    /// It was asked for when this was the last message owed.
    Through(Sequence),
    /// Asked for on an earlier connection: it does not fit any more.
    Stale,
}

impl Backlog {
    /// Of a session that is opened with this ticket, after this message.
    pub(super) fn new(consumer: ConsumerId, opened: Ticket, last_sequence: Sequence) -> Backlog {
        Backlog {
            consumer,
            opened,
            cursor: last_sequence,
            last_owed: last_sequence,
            loading: Loading::No,
            read_ahead: VecDeque::new(),
            reopened: BTreeMap::new(),
            owed: 0,
            owed_bytes: 0,
        }
    }

    /// Of a session of an earlier run, to which `last_owed` was the last message owed.
    pub(super) fn restored(consumer: ConsumerId, last_owed: Sequence) -> Backlog {
        Backlog { last_owed, ..Backlog::new(consumer, Ticket::default(), Sequence::ZERO) }
    }

    /// Whether it is of an earlier run, and may yet turn out never to have come to disk.
    pub(super) fn is_unproven(&self, ledger: &Ledger) -> bool {
        self.opened == Ticket::default() && !ledger.has_committed()
    }

    /// Whether everything owed was handed over.
    pub(super) fn is_caught_up(&self) -> bool {
        self.cursor >= self.last_owed && self.read_ahead.is_empty() && self.loading == Loading::No
    }

    /// How many messages are owed.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    /// Whether nothing more may be owed.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let most = u64::try_from(limits.max_queued_bytes).unwrap_or(u64::MAX);
        self.owed >= limits.max_queued_messages || self.owed_bytes >= most
    }

    /// What an earlier run left behind.
    pub(super) fn restore_owed(&mut self, messages: u64, bytes: u64) {
        self.owed = usize::try_from(messages).unwrap_or(usize::MAX);
        self.owed_bytes = bytes;
    }

    /// One more message is owed, to be read from the journal in its turn.
    pub(super) fn owe(&mut self, sequence: Sequence, message: &Message) {
        assert!(sequence > self.last_owed, "messages are kept in the order of their sequences");
        self.last_owed = sequence;
        self.owed += 1;
        self.owed_bytes += u64::try_from(message_bytes(message)).unwrap_or(0);
    }

    /// The last message owed was handed over as it came.
    pub(super) fn passed_on(&mut self) {
        assert!(self.is_caught_up_but_for_last(), "only who is caught up gets messages as they come");
        self.cursor = self.last_owed;
    }

    fn is_caught_up_but_for_last(&self) -> bool {
        self.read_ahead.is_empty() && self.loading == Loading::No
    }

    /// So many messages are not owed any more.
    pub(super) fn settle(&mut self, count: usize) {
        // Which ones is not known: an average one each.
        let each = self.owed_bytes / u64::try_from(self.owed.max(1)).unwrap_or(u64::MAX);
        self.owed = self.owed.saturating_sub(count);
        let bytes = each.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        self.owed_bytes = if self.owed == 0 { 0 } else { self.owed_bytes.saturating_sub(bytes) };
    }

    /// The connection is gone: what was read ahead is read again for the next one.
    pub(super) fn detach(&mut self) {
        if let Some(first) = self.read_ahead.front() {
            self.cursor = self.cursor.min(before(first.sequence));
        }
        self.read_ahead = VecDeque::new();
        self.reopened.clear();
        if self.loading != Loading::No {
            self.loading = Loading::Stale;
        }
    }

    /// The client is back: these messages, in order, still have their identifiers.
    pub(super) fn reopen(&mut self, open: impl Iterator<Item = (Sequence, PacketIdentifier)>) {
        self.reopened = open.collect();
        if let Some(first) = self.reopened.keys().next() {
            self.cursor = self.cursor.min(before(*first));
        }
    }

    /// The identifier that a message still has from an earlier connection.
    pub(super) fn reopened(&self, sequence: Sequence) -> Option<PacketIdentifier> {
        self.reopened.get(&sequence).copied()
    }

    pub(super) fn next_read(&self) -> Option<&LoadedDelivery> {
        self.read_ahead.front()
    }

    pub(super) fn take_next_read(&mut self) -> Option<LoadedDelivery> {
        let next = self.read_ahead.pop_front()?;
        self.reopened.remove(&next.sequence);
        Some(next)
    }

    /// Asks for more when little is left and `window` messages may be open.
    pub(super) fn read_on(&mut self, turn: &mut Turn<'_>, window: u16) {
        let batch = usize::from(window).clamp(16, 1024);
        if self.loading != Loading::No || self.cursor >= self.last_owed || self.read_ahead.len() > batch / 2 {
            return;
        }
        self.loading = Loading::Through(self.last_owed);
        turn.out.push(Output::Load {
            consumer: self.consumer,
            after: self.cursor,
            max_messages: batch,
            max_bytes: LOAD_BYTES,
        });
    }

    /// The journal's answer. `false`: it was not for this connection. What was open and is not in the journal any
    /// more is given to `lost`.
    pub(super) fn take_loaded(
        &mut self,
        deliveries: Vec<LoadedDelivery>,
        through: Sequence,
        mut lost: impl FnMut(PacketIdentifier),
    ) -> bool {
        let asked = match std::mem::replace(&mut self.loading, Loading::No) {
            Loading::Through(asked) => asked,
            Loading::Stale | Loading::No => return false,
        };
        let last = deliveries.last().map(|delivery| delivery.sequence);
        // Nothing at all means that everything up to what was asked for is dropped or done.
        let through = through.max(last.unwrap_or(asked));
        let found = |sequence: &Sequence| {
            deliveries.binary_search_by_key(sequence, |delivery| delivery.sequence).is_ok()
        };
        let came_by = (Bound::Excluded(self.cursor), Bound::Included(through.max(self.cursor.next())));
        let gone =
            self.reopened.range(came_by).filter(|(sequence, _)| **sequence <= through && !found(sequence));
        let gone: Vec<Sequence> = gone.map(|(sequence, _)| *sequence).collect();
        for sequence in gone {
            if let Some(packet_identifier) = self.reopened.remove(&sequence) {
                lost(packet_identifier);
            }
        }
        self.cursor = self.cursor.max(through);
        self.read_ahead.extend(deliveries);
        true
    }
}

const fn before(sequence: Sequence) -> Sequence {
    Sequence(sequence.0.saturating_sub(1))
}

impl Broker {
    /// What the journal owes to a session has come.
    pub(super) fn loaded(
        &mut self,
        turn: &mut Turn<'_>,
        consumer: ConsumerId,
        deliveries: Vec<LoadedDelivery>,
        through: Sequence,
    ) {
        let Some(key) = self.sessions.by_consumer(consumer) else {
            if let Some(group) = self.groups.by_consumer(consumer) {
                self.loaded_shared(turn, group, deliveries, through);
            }
            return;
        };
        let session = self.sessions.at(key);
        let Some(backlog) = &mut session.backlog else {
            unreachable!("who is found as a consumer has a backlog");
        };
        let outbound = &mut session.outbound;
        backlog.take_loaded(deliveries, through, |packet_identifier| {
            // The journal gave the message up while its PUBLISH was open: its identifier is free again.
            outbound.abandon(packet_identifier);
        });
        self.send_on(turn, key);
    }

    /// How much of an earlier run is owed to a session or a group, of which [`Broker::restore`] knows.
    pub fn restore_owed(&mut self, consumer: ConsumerId, messages: u64, bytes: u64) {
        if let Some(backlog) = self.backlog_of_consumer(consumer) {
            backlog.restore_owed(messages, bytes);
        }
    }

    fn backlog_of_consumer(&mut self, consumer: ConsumerId) -> Option<&mut Backlog> {
        match (self.sessions.by_consumer(consumer), self.groups.by_consumer(consumer)) {
            (Some(key), _) => self.sessions.at(key).backlog.as_deref_mut(),
            (None, Some(group)) => self.groups.at(group).and_then(|group| group.backlog.as_mut()),
            (None, None) => None,
        }
    }

    /// The journal gave up some of what it owed.
    pub(super) fn journal_dropped(&mut self, consumer: ConsumerId, count: u64) {
        if let Some(backlog) = self.backlog_of_consumer(consumer) {
            backlog.settle(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}
