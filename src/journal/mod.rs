//! The journal: what was accepted, on disk, in order, until everybody who is owed it has it.
//!
//! Pure but for the [`Disk`] it is given: no clock, no task, no log. One owner drives it: it appends, commits when
//! [`Journal::next_commit`] says so, and calls [`Journal::tend`] now and then.

mod disk;
mod memory;
mod options;
mod types;

pub use disk::{Disk, FileEntry};
pub use memory::Journal;
pub use options::{Options, OptionsError, PAGE_BYTES, WhenFull};
pub use types::{
    Alarm, Backlog, Event, Load, Loaded, Lost, OpenError, Place, Recovery, Report, Sizes, Status, Writer,
};
