//! What the journal's thread counts, readable by anybody at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::durable::DropReason;
use crate::journal::Sizes;

/// Upper bounds of the buckets of the commit histogram, in seconds.
pub const COMMIT_SECONDS_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// Counters and gauges of the journal.
#[derive(Debug, Default)]
pub struct Counters {
    commits: AtomicU64,
    commit_nanos: AtomicU64,
    commit_buckets: [AtomicU64; COMMIT_SECONDS_BUCKETS.len()],
    written_bytes: AtomicU64,
    file_bytes: AtomicU64,
    readings_committed: AtomicU64,
    spared: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    alive_at_nanos: AtomicU64,
}

/// How long commits took.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitHistogram {
    /// For each of [`COMMIT_SECONDS_BUCKETS`]: how many took at most that long.
    pub at_most: [u64; COMMIT_SECONDS_BUCKETS.len()],
    /// How many there were.
    pub count: u64,
    /// How long all took together.
    pub sum: Duration,
}

impl Counters {
    /// How long commits took.
    #[must_use]
    pub fn commits(&self) -> CommitHistogram {
        let mut sum = 0;
        let at_most = std::array::from_fn(|index| {
            sum += self.commit_buckets.get(index).map_or(0, |bucket| bucket.load(Relaxed));
            sum
        });
        let sum = Duration::from_nanos(self.commit_nanos.load(Relaxed));
        CommitHistogram { at_most, count: self.commits.load(Relaxed), sum }
    }

    /// Bytes written since the start.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Relaxed)
    }

    /// Bytes of the journal's files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Relaxed)
    }

    /// Readings that are on disk, since the start.
    #[must_use]
    pub fn readings_committed(&self) -> u64 {
        self.readings_committed.load(Relaxed)
    }

    /// Messages that everybody had before they were written, since the start: they never were.
    #[must_use]
    pub fn spared(&self) -> u64 {
        self.spared.load(Relaxed)
    }

    /// Deliveries that the journal gave up, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(&self.dropped).map(|(reason, count)| (reason, count.load(Relaxed)))
    }

    /// When the thread was last seen alive, in nanoseconds of its clock's monotonic part: it comes round at least
    /// once a second, for the watchdog.
    #[must_use]
    pub fn alive_at_nanos(&self) -> u64 {
        self.alive_at_nanos.load(Relaxed)
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.commit_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let bucket = COMMIT_SECONDS_BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound);
        if let Some(bucket) = bucket.and_then(|index| self.commit_buckets.get(index)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn set_sizes(&self, sizes: Sizes) {
        self.written_bytes.store(sizes.written_bytes, Relaxed);
        self.file_bytes.store(sizes.file_bytes, Relaxed);
        self.readings_committed.store(sizes.readings_committed, Relaxed);
        self.spared.store(sizes.spared, Relaxed);
    }

    pub(super) fn add_dropped(&self, reason: DropReason, count: u64) {
        let place = DropReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|index| self.dropped.get(index)) {
            counter.fetch_add(count, Relaxed);
        }
    }

    pub(super) fn alive(&self, at_nanos: u64) {
        self.alive_at_nanos.store(at_nanos, Relaxed);
    }
}
