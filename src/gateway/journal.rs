//! Opens the journal and says in plain language what was found in it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use crate::config;
use crate::disk::{self, Clock, FileDisk, FileDiskError, JournalThread};
use crate::journal::{Alarm, Journal, OpenError, Options, Recovery, Report};

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FileDiskError),
    /// It cannot be asked how much room there is.
    #[error("the journal's folder {} cannot be measured: {error}", folder.display())]
    Room {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What is in it cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its thread cannot be started.
    #[error("the journal's thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// An open journal.
pub(super) struct Opened {
    pub(super) thread: JournalThread,
    pub(super) recovery: Recovery,
    pub(super) max_bytes: u64,
}

/// Opens the journal in `folder`; takes as long as reading it takes.
pub(super) fn open(settings: &config::Journal, folder: &Path, clock: Clock) -> Result<Opened, JournalError> {
    let disk = FileDisk::open(folder)?;
    let max_bytes = match settings.max_bytes {
        Some(bytes) => bytes,
        None => disk::default_max_bytes(folder)
            .map_err(|error| JournalError::Room { folder: folder.to_owned(), error })?,
    };
    // A new RandomState has random keys: no two runs have the same.
    let mut options = Options::new(max_bytes, RandomState::new().hash_one(std::process::id()));
    options.max_age = Some(settings.max_age);
    options.when_full = settings.when_full;
    options.commit_interval = settings.commit_interval;
    let (journal, recovery) = Journal::open(disk, options, clock())?;
    tell(&recovery.report);
    let thread = disk::start(journal, clock, Box::new(show)).map_err(JournalError::Thread)?;
    Ok(Opened { thread, recovery, max_bytes })
}

fn show(alarm: &Alarm) {
    tracing::error!("{alarm}");
}

fn tell(report: &Report) {
    if report.commits > 0 {
        tracing::info!(
            "the journal holds {} messages that are still owed to somebody, in {} segments",
            report.messages,
            report.segments
        );
    }
    if let Some(tail) = report.torn_tail {
        tracing::warn!(
            "the last commit of the earlier run was cut off (segment {}, offset {}, {} bytes); it was never \
             acknowledged and is removed",
            tail.segment,
            tail.offset,
            tail.bytes
        );
    }
    for lost in &report.lost {
        tracing::error!(
            "the journal is damaged in segment {} at offset {}: {} bytes with {} commits and {} messages are lost",
            lost.place.segment,
            lost.place.offset,
            lost.place.bytes,
            lost.commits,
            lost.messages
        );
    }
}
