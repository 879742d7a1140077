//! When the gateway is killed: what its journal's thread is at, as far as it can be seen from outside.
//!
//! Knows the format from its description at the top of `src/journal`, not from its code.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::gateway::Gateway;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// A commit is written and not synced: the thread was stopped on its way out of that write.
    Append,
    /// The sync of a commit is under way.
    Sync,
    /// A file for a segment is made, or the first commit of a segment is being synced.
    SegmentChange,
    /// The sync of a commit that carries copies of older messages is under way.
    Compaction,
    /// A publisher has PUBREC and has said nothing since.
    PubRec,
    /// A publisher has sent PUBREL and has no answer.
    PubRel,
}

pub(super) const PHASES: [Phase; 6] =
    [Phase::PubRec, Phase::Append, Phase::Compaction, Phase::PubRel, Phase::Sync, Phase::SegmentChange];

const PAGE: u64 = 4096;
const FRAME_HEADER: usize = 20;
const MOVED: u8 = 2;

/// System calls as `/proc` numbers them.
const IS_ARM: bool = cfg!(target_arch = "aarch64");
const FDATASYNC: u64 = if IS_ARM { 83 } else { 75 };
const FSYNC: u64 = if IS_ARM { 82 } else { 74 };
const PWRITE: u64 = if IS_ARM { 68 } else { 18 };

/// A system call and its arguments.
struct Call {
    number: u64,
    arguments: Vec<u64>,
}

/// The newest commit of the file that is synced.
#[derive(Default)]
struct Tail {
    name: PathBuf,
    /// Where the next commit will stand, and its number.
    end: u64,
    next: u64,
    commits: u64,
    has_copies: bool,
}

/// Looks at the journal's thread of one life of the gateway.
pub(super) struct Observer<'a> {
    gateway: &'a Gateway,
    thread: PathBuf,
    tail: RefCell<Tail>,
    is_stopped: Cell<bool>,
}

impl<'a> Observer<'a> {
    pub(super) fn new(gateway: &'a Gateway) -> Observer<'a> {
        let tasks = fs::read_dir(format!("/proc/{}/task", gateway.process())).unwrap();
        let mut tasks = tasks.filter_map(Result::ok).map(|task| task.path());
        let is_it =
            |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "journal");
        let thread = tasks.find(is_it).expect("the journal has a thread of its own");
        Observer { gateway, thread, tail: RefCell::default(), is_stopped: Cell::new(false) }
    }

    /// Whether the kernel says what a thread is at.
    pub(super) fn can_see(&self) -> bool {
        fs::read_to_string(self.thread.join("syscall")).is_ok_and(|text| !text.is_empty())
    }

    /// Whether the thread is at it now. After [`Phase::Append`] the process stands still.
    pub(super) fn sees(&self, phase: Phase) -> bool {
        match phase {
            Phase::Append => self.stops_behind_a_write(),
            Phase::Sync => self.call().is_some_and(|call| call.number == FDATASYNC),
            Phase::SegmentChange => {
                self.call().is_some_and(|call| call.number == FSYNC) || self.syncs(|tail| tail.commits == 1)
            }
            Phase::Compaction => self.syncs(|tail| tail.has_copies),
            Phase::PubRec | Phase::PubRel => false,
        }
    }

    /// What the thread asks the kernel for; nothing while it computes.
    fn call(&self) -> Option<Call> {
        let text = fs::read_to_string(self.thread.join("syscall")).ok()?;
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let number_of = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        Some(Call { number, arguments: words.filter_map(number_of).collect() })
    }

    fn file(&self, descriptor: u64) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/fd/{descriptor}", self.gateway.process())).ok()
    }

    /// Stops the process; if its journal has just written a commit it stays so.
    fn stops_behind_a_write(&self) -> bool {
        self.gateway.signal(Signal::STOP);
        self.is_stopped.set(true);
        let start = Instant::now();
        while !self.stands_still() && start.elapsed() < Duration::from_secs(1) {}
        let has_written = self.call().is_some_and(|call| {
            let at = call.arguments.get(3).copied().unwrap_or(0);
            let name = call.arguments.first().and_then(|descriptor| self.file(*descriptor));
            call.number == PWRITE && at >= PAGE && name.is_some_and(|name| holds_commit(&name, at))
        });
        if !has_written {
            self.goes_on();
        }
        has_written
    }

    fn stands_still(&self) -> bool {
        let text = fs::read_to_string(self.thread.join("stat")).unwrap_or_default();
        text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    fn goes_on(&self) {
        if self.is_stopped.replace(false) {
            self.gateway.signal(Signal::CONT);
        }
    }

    /// Whether a commit is being synced, and is as wanted.
    fn syncs(&self, is_wanted: impl Fn(&Tail) -> bool) -> bool {
        let Some(call) = self.call().filter(|call| call.number == FDATASYNC) else { return false };
        let Some(name) = call.arguments.first().and_then(|descriptor| self.file(*descriptor)) else {
            return false;
        };
        let mut tail = self.tail.borrow_mut();
        tail.follow(name).is_some() && is_wanted(&tail)
    }
}

fn holds_commit(name: &PathBuf, at: u64) -> bool {
    let Some((first, _)) = File::open(name).ok().and_then(|file| head(&file)) else { return false };
    File::open(name).ok().and_then(|file| frame(&file, at)).is_some_and(|(number, _)| number >= first)
}

/// Number of the first commit of a segment, and its length.
fn head(file: &File) -> Option<(u64, u64)> {
    let mut page = [0; 64];
    file.read_exact_at(&mut page, 0).ok()?;
    page.starts_with(b"TIDEGATE").then(|| (number_at(&page, 32), number_at(&page, 48)))
}

/// Number and bytes of the entries of what stands at `at`.
fn frame(file: &File, at: u64) -> Option<(u64, usize)> {
    let mut header = [0; FRAME_HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let bytes = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize;
    (bytes > 0).then(|| (number_at(&header, 8), bytes))
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl Tail {
    /// Goes to the newest commit of that file.
    fn follow(&mut self, name: PathBuf) -> Option<()> {
        let file = File::open(&name).ok()?;
        let (first, length) = head(&file)?;
        if name != self.name || first > self.next || first + self.commits != self.next {
            *self = Tail { name, end: PAGE, next: first, ..Tail::default() };
        }
        let mut newest = None;
        while let Some((number, bytes)) = frame(&file, self.end).filter(|_| self.end < length - PAGE)
            && number == self.next
        {
            newest = Some((self.end, bytes));
            self.end += ((FRAME_HEADER + bytes) as u64).next_multiple_of(PAGE);
            self.next += 1;
            self.commits += 1;
        }
        if let Some((at, bytes)) = newest {
            let mut entries = vec![0; bytes];
            file.read_exact_at(&mut entries, at + FRAME_HEADER as u64).ok()?;
            self.has_copies = has_copies(&entries);
        }
        (self.commits > 0).then_some(())
    }
}

/// Each entry: its length (varint), its kind, its body.
fn has_copies(entries: &[u8]) -> bool {
    let mut at = 0;
    while at < entries.len() {
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let Some(byte) = entries.get(at) else { return false };
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if entries.get(at) == Some(&MOVED) {
            return true;
        }
        at += length;
    }
    false
}
