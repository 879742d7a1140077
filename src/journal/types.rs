//! The words between the journal and its owner: what is asked, what is answered.

use std::collections::BTreeMap;
use std::io;

use super::options::OptionsError;
use crate::durable::{ConsumerId, DropReason, JournalHealth, LoadedDelivery, Sequence, State, Ticket};
use crate::time::Moment;

/// Who appends, and is told what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer(pub u32);

impl Writer {
    /// The broker.
    pub const BROKER: Writer = Writer(0);

    /// An uplink: it writes under the number of its consumer.
    #[must_use]
    pub const fn uplink(consumer: ConsumerId) -> Writer {
        Writer(consumer.0)
    }
}

/// A request for what is owed to one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// To whom.
    pub consumer: ConsumerId,
    /// Only what comes after this.
    pub after: Sequence,
    /// How many at most.
    pub max_messages: usize,
    /// How many bytes at most; one delivery comes in any case.
    pub max_bytes: usize,
    /// Whether what is not yet on disk is left out. Who is eager is not given it, either, while somebody waits for a
    /// commit.
    pub committed_only: bool,
}

/// The answer to a [`Load`].
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// To whom it is owed.
    pub consumer: ConsumerId,
    /// In order of sequence.
    pub deliveries: Vec<LoadedDelivery>,
    /// Nothing is owed between the last of them and this; the next load starts after it.
    pub through: Sequence,
}

/// What the journal tells its owner.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Everything that `writer` appended up to `ticket` is on disk, or need not be any more.
    Committed {
        /// Who appended it.
        writer: Writer,
        /// Up to which.
        ticket: Ticket,
    },
    /// There is something committed for a consumer up to `through`; for an eager one perhaps not yet committed.
    Available {
        /// For whom.
        consumer: ConsumerId,
        /// Up to which.
        through: Sequence,
    },
    /// The journal gave up deliveries that it owed.
    Dropped {
        /// To whom.
        consumer: ConsumerId,
        /// How many.
        count: u64,
        /// Why.
        reason: DropReason,
    },
    /// The journal's health changed.
    Health(JournalHealth),
    /// Something that a person should see.
    Alarm(Alarm),
}

/// What went wrong with the disk, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// A commit failed on one segment and was written again to another.
    #[error("the disk failed a commit in segment {segment} ({error}); it was written again elsewhere")]
    CommitMoved {
        /// Where it failed.
        segment: u64,
        /// How.
        error: String,
    },
    /// A commit failed and could not be written anywhere else: what is appended waits.
    #[error(
        "the disk takes no commits: {error}; acknowledgements are withheld, tried again every few seconds"
    )]
    CommitFailed {
        /// How.
        error: String,
    },
    /// There is no room for another segment.
    #[error("no room on the disk for another segment of {bytes} bytes")]
    NoRoom {
        /// How large it would be.
        bytes: u64,
    },
    /// Damage was found in a segment that had not been read since the start.
    #[error(
        "the journal is damaged in segment {} at offset {}: {} bytes with {} commits and {} messages are lost",
        .0.place.segment, .0.place.offset, .0.place.bytes, .0.commits, .0.messages
    )]
    Lost(Lost),
    /// A message could not be read back.
    #[error("message {sequence} in segment {segment} is damaged: {error}")]
    Unreadable {
        /// Which message.
        sequence: Sequence,
        /// Where it lies.
        segment: u64,
        /// How.
        error: String,
    },
}

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovery {
    /// Everything that must be known before the first CONNACK.
    pub state: State,
    /// The last sequence that is owed to each consumer to whom anything is owed.
    pub queued: BTreeMap<ConsumerId, Sequence>,
    /// How much that is, about.
    pub backlogs: BTreeMap<ConsumerId, Backlog>,
    /// What was repaired and what was lost.
    pub report: Report,
}

/// What was repaired and what was lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Segments that hold something that is still needed.
    pub segments: u64,
    /// Commits that were read.
    pub commits: u64,
    /// Messages that are still owed to somebody.
    pub messages: u64,
    /// A commit at the very end that was not written to its end: it was never acknowledged, unless the disk
    /// damaged it later.
    pub torn_tail: Option<Place>,
    /// Damage: intact commits follow it, or other records say that there was something. In older segments it is found
    /// when they are read, see [`super::Journal::report`].
    pub lost: Vec<Lost>,
    /// Files of which not even the header can be read. They get another name and are left alone.
    pub unreadable_files: Vec<String>,
}

impl Report {
    /// Whether nothing that was ever acknowledged can be missing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.unreadable_files.is_empty()
    }

    /// How many messages were lost, as far as the gaps in their sequence tell.
    #[must_use]
    pub fn messages_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.messages).sum()
    }
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The ordinal of the segment.
    pub segment: u64,
    /// From the start of its file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// One damaged part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub place: Place,
    /// How many commits stood there.
    pub commits: u64,
    /// How many messages stood there, as far as the gaps in their sequence tell.
    pub messages: u64,
}

/// Why a journal cannot be opened. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options make no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A newer version of Tidegate wrote it.
    #[error(
        "the journal has format {found}, this version of Tidegate reads up to {known}: it was left untouched, use the newer version"
    )]
    NewerFormat {
        /// The format of the files.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The disk refused.
    #[error("the journal's folder cannot be read: {0}")]
    Disk(#[from] io::Error),
}

/// What is in the journal now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// Whether it can keep things.
    pub health: JournalHealth,
    /// What is cheap to ask for.
    pub sizes: Sizes,
    /// Bytes of its files that hold something still needed.
    pub used_bytes: u64,
    /// Bytes appended and not yet on disk.
    pub uncommitted_bytes: u64,
    /// Commits since it was opened.
    pub commits: u64,
    /// The last sequence that is on disk.
    pub last_committed: Sequence,
    /// What is owed to each consumer to whom anything is owed.
    pub backlogs: BTreeMap<ConsumerId, Backlog>,
    /// Messages that were lost to damage of the files, as far as it is known.
    pub messages_lost: u64,
    /// Bytes of files that this run has not read yet: whether they are damaged is not known.
    pub unexamined_bytes: u64,
}

/// The figures that are cheap to ask for at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes of its files, spare ones included.
    pub file_bytes: u64,
    /// Bytes written since it was opened.
    pub written_bytes: u64,
    /// Readings committed since it was opened.
    pub readings_committed: u64,
    /// Messages that everybody had before they were written, since it was opened: they never were.
    pub spared: u64,
}

/// What is owed to one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many messages.
    pub messages: u64,
    /// About how many bytes, as they lie on disk.
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest: Option<Moment>,
}
