//! What the uplink may be owed at most, by the harness's own reckoning.
//!
//! A share is kept to at the end of each commit: then no more is owed than it allows, but for what was handed out to
//! the uplink, which never goes, and, where the newest goes, for what came while nobody knew yet that the share is used
//! up.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate::durable::{ConsumerId, LoadedDelivery, Record, Sequence};
use tidegate::journal::{Disk, Journal, Quota, WhenUsedUp};

/// What a message takes in the journal without its payload, at most.
const ENTRY_BYTES: u64 = 160;

/// What a seed allows the uplink.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub max_bytes: u64,
    pub when_used_up: WhenUsedUp,
    pub max_age: Option<Duration>,
}

/// The books of one run of the gateway.
#[derive(Debug)]
pub struct Ledger {
    share: Share,
    consumer: ConsumerId,
    message_bytes: u64,
    /// Given to the uplink, and not done.
    handed_out: BTreeSet<Sequence>,
    /// Messages for the uplink in the commit that is being gathered.
    gathered: u64,
    /// The most that one commit held, in this run and in all before.
    largest_commit: u64,
}

impl Ledger {
    pub fn new(
        share: Share,
        consumer: ConsumerId,
        padding: usize,
        assigned: BTreeSet<Sequence>,
        largest_commit: u64,
    ) -> Ledger {
        let message_bytes = ENTRY_BYTES + padding as u64;
        Ledger { share, consumer, message_bytes, handed_out: assigned, gathered: 0, largest_commit }
    }

    /// The share as the journal is told.
    pub fn quota(&self) -> Quota {
        Quota {
            consumers: vec![self.consumer],
            max_bytes: Some(self.share.max_bytes),
            max_age: self.share.max_age,
            when_used_up: self.share.when_used_up,
        }
    }

    /// For the next run: the one in which this one ended may be on disk, too.
    pub fn largest_commit(&self) -> u64 {
        self.largest_commit.max(self.gathered)
    }

    pub fn hands_out(&mut self, deliveries: &[LoadedDelivery]) {
        self.handed_out.extend(deliveries.iter().map(|delivery| delivery.sequence));
    }

    /// The journal takes a record into memory.
    pub fn appends(&mut self, record: &Record) {
        match record {
            Record::Kept { deliveries, .. } => {
                let is_for_it = deliveries.iter().any(|delivery| delivery.consumer == self.consumer);
                self.gathered += u64::from(is_for_it);
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. }
                if *consumer == self.consumer =>
            {
                self.handed_out.remove(sequence);
            }
            _ => {}
        }
    }

    /// All that was gathered was committed, as far as the disk took it.
    pub fn committed<D: Disk>(&mut self, journal: &mut Journal<D>) {
        self.largest_commit = self.largest_commit.max(std::mem::take(&mut self.gathered));
        let owed = journal.status().backlogs.get(&self.consumer).map_or(0, |backlog| backlog.bytes);
        let late = match self.share.when_used_up {
            // One, because bytes are counted as if all messages of a chunk were equally long.
            WhenUsedUp::DropOldest => 1,
            // That of the run that was killed, and the first of this one.
            WhenUsedUp::DropNewest => 1 + 2 * self.largest_commit,
        };
        let most = self.share.max_bytes + (late + self.handed_out.len() as u64) * self.message_bytes;
        assert!(owed <= most, "the uplink is owed {owed} bytes, {most} at most: {self:?}");
    }
}
