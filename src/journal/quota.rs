//! What some consumers may be owed together: the share of an uplink, whose queues are several.
//!
//! Logical bytes, as messages lie on disk, however often they were copied. What is over goes at the next commit, and so
//! by at most one commit too late; what was handed out never goes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::codec::Entry;
use super::disk::Disk;
use super::journal::Journal;
use super::load::Block;
use super::pending::From;
use super::types::Event;
use crate::durable::{ConsumerId, Delivery, DropReason, JournalHealth, Sequence};
use crate::time::Moment;

/// Deliveries of one consumer that are given up in one go.
const AT_ONCE: usize = 10_000;

/// What happens where a share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUsedUp {
    /// What is oldest goes.
    #[default]
    DropOldest,
    /// What is new is not kept for these consumers.
    DropNewest,
}

/// A share of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Whose; those whose messages go first come first.
    pub consumers: Vec<ConsumerId>,
    /// Bytes that they may be owed together.
    pub max_bytes: Option<u64>,
    /// How old a message may become for them.
    pub max_age: Option<Duration>,
    /// What happens at `max_bytes`.
    pub when_used_up: WhenUsedUp,
}

impl<D: Disk> Journal<D> {
    /// Gives some consumers a share, in place of one that any of them had.
    pub fn set_quota(&mut self, quota: Quota) {
        let is_about =
            |other: &Quota| quota.consumers.iter().any(|consumer| other.consumers.contains(consumer));
        self.quotas.retain(|other| !is_about(other));
        // Not only at the next commit: what comes until then would be kept after each start.
        self.note_whether_used_up(&quota);
        if quota.max_bytes.is_some() || quota.max_age.is_some() {
            self.quotas.push(quota);
        }
    }

    fn note_whether_used_up(&mut self, quota: &Quota) {
        match (quota.when_used_up, quota.max_bytes) {
            (WhenUsedUp::DropNewest, Some(max_bytes)) if self.owed_together(quota) >= max_bytes => {
                self.used_up.extend(&quota.consumers);
            }
            _ => self.used_up.retain(|consumer| !quota.consumers.contains(consumer)),
        }
    }

    /// Keeps to the shares by bytes.
    pub(super) fn keep_to_quotas(&mut self) {
        if self.quotas.is_empty() || self.health == JournalHealth::Dead {
            return;
        }
        let quotas = std::mem::take(&mut self.quotas);
        for quota in &quotas {
            let Some(max_bytes) = quota.max_bytes else { continue };
            match quota.when_used_up {
                WhenUsedUp::DropNewest => self.note_whether_used_up(quota),
                WhenUsedUp::DropOldest => {
                    let mut over = self.owed_together(quota).saturating_sub(max_bytes);
                    for consumer in &quota.consumers {
                        if over == 0 {
                            break;
                        }
                        over = over.saturating_sub(self.give_up_oldest(*consumer, over));
                    }
                }
            }
        }
        self.quotas = quotas;
    }

    fn owed_together(&self, quota: &Quota) -> u64 {
        quota.consumers.iter().map(|consumer| self.owed_bytes(*consumer)).sum()
    }

    fn owed_bytes(&self, consumer: ConsumerId) -> u64 {
        self.index.queue(consumer).map_or(0, |queue| queue.bytes(&self.index))
    }

    /// Gives up what is oldest of a consumer, about so many bytes; how many these were.
    fn give_up_oldest(&mut self, consumer: ConsumerId, bytes: u64) -> u64 {
        let owed = self.owed_bytes(consumer);
        let freed = |journal: &Self| owed.saturating_sub(journal.owed_bytes(consumer));
        let mut after = Sequence::ZERO;
        while let over @ 1.. = bytes.saturating_sub(freed(self))
            && let Some((key, last)) = self.index.next_chunk(consumer, after)
        {
            if self.open_chunk(key).is_err() {
                break;
            }
            // None: all of it was done already.
            if let Some(each) = self.index.chunk(key).map(|chunk| chunk.bytes_each().max(1)) {
                let wanted = usize::try_from(over.div_ceil(each)).unwrap_or(AT_ONCE).min(AT_ONCE);
                let oldest: Vec<Sequence> =
                    self.index.owed_after(consumer, key, after).map(|(sequence, _)| sequence).collect();
                self.give_up_but_handed_out(consumer, oldest, wanted, DropReason::QueueFull);
            }
            after = last;
        }
        freed(self)
    }

    /// Gives up what has become too old for some.
    pub(super) fn keep_to_ages(&mut self, now: &Moment) {
        let quotas = std::mem::take(&mut self.quotas);
        for quota in &quotas {
            let Some(max_age) = quota.max_age else { continue };
            for consumer in &quota.consumers {
                self.give_up_aged(*consumer, now, max_age);
            }
        }
        self.quotas = quotas;
    }

    fn give_up_aged(&mut self, consumer: ConsumerId, now: &Moment, max_age: Duration) {
        let is_old = |accepted_at: &Moment| now.since(accepted_at).is_some_and(|age| age > max_age);
        let mut after = self.handed_out(consumer).0;
        while let Some((key, last)) = self.index.next_chunk(consumer, after) {
            let may_be_old = self.index.chunk(key).is_some_and(|chunk| is_old(&chunk.oldest));
            if !may_be_old || self.open_chunk(key).is_err() {
                return;
            }
            let owed = self.index.owed_after(consumer, key, after).take(AT_ONCE);
            let owed: Vec<_> = owed.collect();
            let mut block = Block::default();
            let old = owed.iter().take_while(|(_, location)| {
                self.accepted_at(*location, &mut block).as_ref().is_none_or(is_old)
            });
            let old: Vec<Sequence> = old.map(|(sequence, _)| *sequence).collect();
            let is_over = old.len() == owed.len();
            self.give_up_but_handed_out(consumer, old, usize::MAX, DropReason::TooOld);
            if !is_over || owed.len() == AT_ONCE {
                return;
            }
            after = last;
        }
    }

    /// Gives up the first of these that were not handed out, at most so many. Nothing else that is owed to the consumer
    /// lies between them.
    fn give_up_but_handed_out(
        &mut self,
        consumer: ConsumerId,
        sequences: Vec<Sequence>,
        most: usize,
        reason: DropReason,
    ) {
        let (loaded_through, assigned) = self.handed_out(consumer);
        let is_out = |sequence: &Sequence| *sequence <= loaded_through || assigned.contains(sequence);
        let mut left = most;
        for run in sequences.split(is_out) {
            let run = run.get(..left.min(run.len())).unwrap_or(run);
            self.give_up(consumer, run, reason);
            left -= run.len();
        }
    }

    /// What was just appended is not kept for whom the share is used up.
    pub(super) fn give_up_appended(
        &mut self,
        sequence: Sequence,
        from: From,
        consumers: BTreeSet<ConsumerId>,
    ) {
        for consumer in consumers {
            if self.settle(consumer, sequence) {
                let (first, last, count, reason) = (sequence, sequence, 1, DropReason::QueueFull);
                self.events.push(Event::Dropped { consumer, count, reason });
                let note = Entry::DroppedRange { consumer, first, last, count, reason };
                self.pending.note_about(sequence, from, note);
            }
        }
    }

    /// For whom of these the share is used up.
    pub(super) fn used_up_of(&self, deliveries: &[Delivery]) -> BTreeSet<ConsumerId> {
        if self.used_up.is_empty() {
            return BTreeSet::new();
        }
        let consumers = deliveries.iter().map(|delivery| delivery.consumer);
        consumers.filter(|consumer| self.used_up.contains(consumer)).collect()
    }
}
