//! `tidegate journal`: looks into a journal that is not in use, damaged ones too. Changes nothing.

mod export;
mod read_only;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::terminal::{complain, say};
use super::{FAILED, USAGE};
use crate::clock::Clock;
use crate::disk::FileDisk;
use crate::durable::{ConsumerId, LoadedDelivery, Sequence};
use crate::journal::{Journal, Load, Options, Recovery, Report};
use crate::limits::LOAD_BYTES;
use read_only::ReadOnly;

/// How many messages are taken at once.
const PAGE_MESSAGES: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate journal inspect /var/lib/tidegate
  tidegate journal verify /var/lib/tidegate && echo sound
  tidegate journal export /var/lib/tidegate > messages.jsonl

Ends with 0 when the journal is sound, 1 when it is damaged, 2 when it cannot be read or is in use.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows what it holds, and for whom
    #[command(after_help = "Example:\n  tidegate journal inspect /var/lib/tidegate")]
    Inspect(Folder),
    /// Says whether it is sound, and where it is not
    #[command(after_help = "Example:\n  tidegate journal verify /var/lib/tidegate")]
    Verify(Folder),
    /// Prints everything that is still owed to somebody, one JSON object per line
    #[command(after_help = "Example:\n  tidegate journal export /var/lib/tidegate > messages.jsonl")]
    Export(Folder),
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// The gateway's data_dir, or the journal's folder in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// A journal that is only read.
type Opened = (Journal<ReadOnly<FileDisk>>, Recovery);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (Command::Inspect(folder) | Command::Verify(folder) | Command::Export(folder)) = &arguments.command;
    let folder = journal_in(&folder.folder);
    let (mut journal, recovery) = match open(&folder) {
        Ok(opened) => opened,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    match &arguments.command {
        Command::Inspect(_) => inspect(&mut journal, &recovery)?,
        Command::Verify(_) => say(verdict(&recovery.report))?,
        Command::Export(_) => export::export(&mut journal, &recovery)?,
    }
    if recovery.report.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    if !matches!(arguments.command, Command::Verify(_)) {
        complain(verdict(&recovery.report));
    }
    Ok(ExitCode::from(FAILED))
}

/// The journal's folder: the one that is named, or the one that a gateway keeps in it.
fn journal_in(folder: &Path) -> PathBuf {
    let inside = folder.join("journal");
    if inside.is_dir() { inside } else { folder.to_owned() }
}

fn open(folder: &Path) -> anyhow::Result<Opened> {
    let disk = ReadOnly(FileDisk::open_to_read(folder)?);
    // Nothing is written: neither the room nor the seed matters.
    let options = Options::new(1 << 40, 0);
    let (mut journal, mut recovery) = Journal::open(disk, options, Clock::system().now())?;
    // A gateway reads older segments when it has time: here everything is looked at before anything is said.
    recovery.report = journal.examine_all().clone();
    Ok((journal, recovery))
}

fn inspect(journal: &mut Journal<ReadOnly<FileDisk>>, recovery: &Recovery) -> anyhow::Result<()> {
    let Recovery { state, report, .. } = recovery;
    say(format_args!(
        "{} segments, {} commits, the last message is number {}",
        report.segments,
        report.commits,
        recovery.queued.values().max().copied().unwrap_or_default().max(state.last_sequence)
    ))?;
    for (consumer, uplink) in &state.uplinks {
        say(format_args!("uplink {}: {}", uplink.name, backlog(journal, recovery, *consumer)?))?;
    }
    for (consumer, session) in &state.sessions {
        say(format_args!(
            "session {}: {}, {} subscriptions",
            session.client_id,
            backlog(journal, recovery, *consumer)?,
            session.subscriptions.len()
        ))?;
    }
    say(format_args!("{} retained messages", state.retained.len()))?;
    Ok(())
}

fn backlog(
    journal: &mut Journal<ReadOnly<FileDisk>>,
    recovery: &Recovery,
    consumer: ConsumerId,
) -> anyhow::Result<String> {
    let mut messages = 0_u64;
    each_owed(journal, recovery, consumer, |_| {
        messages += 1;
        Ok(())
    })?;
    Ok(match messages {
        0 => "nothing waits".to_owned(),
        1 => "1 message waits".to_owned(),
        _ => format!("{messages} messages wait"),
    })
}

/// Visits everything that is owed to a consumer, in order.
fn each_owed(
    journal: &mut Journal<ReadOnly<FileDisk>>,
    recovery: &Recovery,
    consumer: ConsumerId,
    mut visit: impl FnMut(&LoadedDelivery) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let last = recovery.queued.get(&consumer).copied().unwrap_or_default();
    let mut after = Sequence::ZERO;
    while after < last {
        // What the last commit holds waits to be written again, and is not said to be on disk.
        let load = Load {
            consumer,
            after,
            max_messages: PAGE_MESSAGES,
            max_bytes: LOAD_BYTES,
            committed_only: false,
        };
        let loaded = journal.load(&load);
        loaded.deliveries.iter().try_for_each(&mut visit)?;
        if loaded.through <= after {
            anyhow::bail!("message {} cannot be read", after.next());
        }
        after = loaded.through;
    }
    Ok(())
}

/// What is wrong, one line each.
fn verdict(report: &Report) -> String {
    let mut lines = vec![match report.is_sound() {
        true => format!("sound: {} commits", report.commits),
        false => format!("damaged; messages lost: {}", report.messages_lost()),
    }];
    lines.extend(report.lost.iter().map(|lost| {
        format!(
            "segment {} at {}: {} bytes are unreadable, {} commits with {} messages stood there",
            lost.place.segment, lost.place.offset, lost.place.bytes, lost.commits, lost.messages
        )
    }));
    lines.extend(report.unreadable_files.iter().map(|name| format!("{name}: the file is unreadable")));
    lines.extend(report.torn_tail.map(|tail| {
        format!(
            "segment {} at {}: the last commit was not written to its end, and never acknowledged",
            tail.segment, tail.offset
        )
    }));
    lines.join("\n")
}
