//! How a journal is to be kept.

use std::time::Duration;

use crate::limits::{COMMIT_BYTES, JOURNAL_PLACES};

/// Every write is a multiple of this and begins at one: a page with committed data is never written again.
pub const PAGE_BYTES: u64 = 4096;
/// The length of a segment, unless `max_bytes` asks for smaller ones.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// With fewer there would be no room to move about.
const SEGMENTS_MIN: u64 = 8;

/// What to do when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Drop what is oldest.
    #[default]
    DropOldest,
    /// Refuse what is new.
    DropNewest,
    /// Withhold acknowledgements until there is room.
    Block,
    /// Drop first what a newer message of its topic has superseded, then what is oldest.
    KeepLatest,
}

/// How a journal is to be kept: `[journal]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of all its files together.
    pub max_bytes: u64,
    /// How old a message may become.
    pub max_age: Option<Duration>,
    /// What to do at `max_bytes`.
    pub when_full: WhenFull,
    /// How long what nobody waits for may linger before it is committed.
    pub commit_interval: Duration,
    /// Bytes after which a commit does not linger.
    pub commit_bytes: usize,
    /// Length of one segment; a multiple of [`PAGE_BYTES`].
    pub segment_bytes: u64,
    /// Messages whose places are kept in memory, four bytes each; those of the newest segment and of the one that was
    /// needed last aside. Others are looked up in their segment when they are needed.
    pub places_max: usize,
    /// Random: no two runs may have the same, so that bytes of an earlier life of a file are told apart.
    pub seed: u64,
}

/// Why options make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Too little room.
    #[error("max_bytes must be at least {0} bytes")]
    MaxBytesTooSmall(u64),
    /// Not a whole number of pages, or out of range.
    #[error("segment_bytes must be a multiple of 4096, from 64 KiB to 1 GiB")]
    SegmentBytes,
}

impl Options {
    /// The defaults, with segments that suit `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64, seed: u64) -> Options {
        let segment_bytes =
            (max_bytes / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES) / PAGE_BYTES * PAGE_BYTES;
        Options {
            max_bytes,
            max_age: None,
            when_full: WhenFull::default(),
            commit_interval: Duration::from_secs(1),
            commit_bytes: COMMIT_BYTES,
            segment_bytes,
            places_max: JOURNAL_PLACES,
            seed,
        }
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// When they do not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let whole_pages = self.segment_bytes.is_multiple_of(PAGE_BYTES);
        if !whole_pages || !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(OptionsError::SegmentBytes);
        }
        let least = self.segment_bytes.saturating_mul(SEGMENTS_MIN);
        if self.max_bytes < least {
            return Err(OptionsError::MaxBytesTooSmall(least));
        }
        Ok(())
    }
}
