//! The journal on real files, and the one thread that keeps it.
//!
//! [`FileDisk`] is a locked folder; [`start`] runs a [`crate::journal::Journal`] over it on a thread of its own,
//! and [`JournalHandle`] is how everybody else talks to it. Decides nothing: when to commit, what to keep and what
//! to give up is the journal's business.

mod client;
mod counters;
mod files;
mod quickness;
#[cfg(test)]
mod tests;
mod thread;

pub use client::{JournalClient, JournalHandle, JournalStopped, Reply};
pub use counters::{COMMIT_SECONDS_BUCKETS, CommitHistogram, Counters};
pub use files::{FileDisk, FileDiskError, default_max_bytes};
pub use thread::{Clock, JournalThread, Watch, start};
