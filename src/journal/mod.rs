//! The journal: what was accepted, on disk, in order, until everybody who is owed it has it.
//!
//! Pure but for the [`Disk`] it is given: no clock, no task, no log. One owner drives it: it appends, commits when
//! [`Journal::next_commit`] says so, and calls [`Journal::tend`] now and then.
//!
//! | where | what |
//! |---|---|
//! | `journal` `pending` `load` `commit` `compact` `keep_latest` `quota` | the machine: records come in, wait, are read back, come to disk, make room |
//! | `index` `chunk` `opening` `ranges` | where what is owed lies, in memory: as little of it as is in use |
//! | `files` `walk` `replay` `recover` `finder` `checkpoint` | reading it back, and what makes that short |
//! | `examine` `judge` | reading what is older, when it is needed or there is time; what is damaged in it |
//! | `frame` `codec` `segments` `segment_bytes` | the bytes: headers and commits, entries, files |
//!
//! # Format 2
//!
//! All numbers are little-endian. A page is 4096 bytes; everything is written in whole pages, and a page that holds
//! committed data is never written again while it is needed.
//!
//! **Files** are `NNNNNN.segment`, filled with zeros when they are made and used again and again. The name means
//! nothing: a file is the segment that its header says. What a file held before stays in it behind what is new.
//!
//! **Segment**: header page · commits · second copy of the header in the last page. Damage is local, so one of the
//! two is left. The header (64 bytes): `"TIDEGATE"` · format version 4 · CRC32C 4 of all its other bytes · ordinal 8
//! (its place in the log, never given twice) · generation 8 (random) · number of the first commit 8 · last sequence
//! kept before it 8 · length of the file 8 · zeros 8.
//!
//! **Commit**: CRC32C 4 · length of the entries 4 · number 8 (one more than that of the commit before, in whatever
//! segment) · flags 4 (1: begins with a checkpoint) · entries · zeros up to a whole page. The checksum covers what
//! follows it, without the zeros, and begins with generation and offset: a commit of an earlier life of the file, or
//! one that lies elsewhere, cannot pass. One commit is one write and one sync, and is there as a whole or not at all.
//!
//! **Entry**: length (varint) · kind 1 · body. Kinds: the records of [`crate::durable::Record`]; a message copied out
//! of its first segment; *retired* (nothing in that segment is needed any more); *dropped range* (what a consumer was
//! owed between two sequences was given up, and why); and those of a checkpoint. The body of a kept message begins
//! with a CRC32C of its own, because it is read back alone, and much later.
//!
//! **Checkpoint**: the last sequence and consumer · for each segment that is needed: ordinal, end, commits, sequences,
//! known damage, messages, and its *chunks*: runs of messages, each with its ends, and to whom how many of it are owed ·
//! records that make the state · for each consumer its cursor (nothing up to *low* is owed to it, nor
//! what is in these ranges) · end. It stands at the start of a segment's first commit, in almost every segment.
//!
//! # Rules
//!
//! 1. A run never writes to a segment of an earlier run: its first commit begins a new one. So a torn tail is never
//!    written over, and needs no repair. The last commit of the earlier run may have been read from memory only (its
//!    process was killed before the sync, the machine went on): nobody relies on it before its records are written
//!    again, in that first commit, whose checkpoint says that the earlier segment ends before it.
//! 2. A segment is retired when nobody is owed anything in it and two newer checkpoints are on disk: damage to the
//!    newest loses nothing. Its file is used again only when a commit that says *retired* is on disk; that no file is
//!    missing by accident can be told.
//! 3. When a write or a sync fails, that segment ends before the commit in question, whatever of it reached the disk:
//!    a second sync of the same file proves nothing. The commit is written again, under the same number, to a new
//!    segment, whose checkpoint says where the old one ends. If that fails too the disk is dead: what is appended
//!    waits in memory, and is tried again every few seconds.
//!    Of the files in which a segment could not be begun the last one stays until a later segment is on disk: a power cut
//!    may bring back what was removed, and its ordinal must not be another's by then.
//! 4. A delivery that was settled is settled as soon as it is said, before that is on disk: checkpoints know of it
//!    at once. Everything else in a checkpoint is on disk already.
//! 5. What may be spared (see [`Journal::set_eager`]) and is owed to nobody any more before it was written is never
//!    written, nor is anything that speaks of it: its sequence may be given again by a later run. So sequences on disk
//!    ascend, with gaps; where a commit is lost, they tell how many messages at most.
//! 6. Two spare files are kept, for acknowledgements and copies when there is no room for what is new; so an
//!    unrelated full disk does not stop acceptance at once.
//!
//! # Recovery
//!
//! 1. Headers: every file is a segment, free, or unreadable (then it gets another name and is reported). A newer
//!    format ends it here, with everything untouched.
//! 2. The newest segment whose first commit is intact and begins with a checkpoint is where reading begins; everything
//!    behind it is applied, in order of ordinals, a commit that was written twice only the second time.
//! 3. The segments since the checkpoint are walked through: what is kept in them and still owed by the cursors is what
//!    the queues hold. Of older ones the checkpoint's chunks tell how much is owed, less what was settled since; they
//!    are read when somebody is given something out of them, and one after the other when there is time. So neither
//!    the time to open nor memory depends on the backlog. What the last commit holds waits to be written again.
//! 4. Where the next page is no commit, later pages are searched: a valid commit with a higher number means a hole,
//!    whose length in commits the numbers tell and whose length in messages the sequences tell. It is reported, and
//!    everything intact around it counts. Nothing behind means the end; if the page there begins like the commit that
//!    would be next, that is reported as a torn tail.
//! 5. Segments that should be there and are not, or end too early, are reported as lost in the same way. What is
//!    damaged in older segments is found when they are read, and reported then.
//!
//! # Earlier formats
//!
//! Format 1 had no chunks in its checkpoints: its segments are all read at the first start. Nothing is converted; what
//! is new is written in new segments, of format 2.

mod checkpoint;
mod chunk;
mod codec;
mod commit;
mod compact;
mod disk;
mod examine;
mod files;
mod finder;
mod frame;
mod index;
#[expect(clippy::module_inception, reason = "the journal of the module journal")]
mod journal;
mod judge;
mod keep_latest;
mod load;
mod opening;
mod options;
mod pending;
mod quota;
mod ranges;
mod recover;
mod replay;
mod segment_bytes;
mod segments;
mod types;
mod walk;

pub use disk::{Disk, FileEntry};
pub use journal::Journal;
pub use options::{Options, OptionsError, PAGE_BYTES, WhenFull};
pub use quota::{Quota, WhenUsedUp};
pub use types::{
    Alarm, Backlog, Event, Load, Loaded, Lost, OpenError, Place, Recovery, Report, Sizes, Status, Writer,
};
