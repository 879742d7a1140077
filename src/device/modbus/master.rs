//! Who is asked when on a Modbus line, and when an answer is overdue: a machine over time alone.
//!
//! - One request at a time, due ones in the order in which they became due; commands go first.
//! - A request is sent into silence only: 3.5 characters (MODBUS over Serial Line 1.02, 2.5.1.1), and when somebody
//!   babbles without an end, all the same after a while.
//! - A unit that fails once is asked again soon; one that goes on failing is asked ever more rarely, with one request,
//!   so that the others keep their intervals. One answer, and it is as before.
//! - After a time-out the same request is asked again, and nothing else for a while: a late answer is then an answer
//!   to what was asked, or to nobody.
//!
//! Never sends anything itself.

use std::collections::VecDeque;
use std::time::Duration;

use super::Request;
use crate::device::profile::ModbusRead;
use crate::time::Instant;

/// The longest that a dead unit is left alone, unless its interval is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// How long the line may be busy before a request is sent all the same.
const BABBLE_PATIENCE: Duration = Duration::from_millis(100);
/// Silence after which a damaged answer is over: no unit pauses so long inside of one.
const BROKEN_OFF: Duration = Duration::from_millis(40);
/// Commands that wait.
const COMMANDS: usize = 16;
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1000);

/// One unit of a line, and what is read of it.
#[derive(Debug, Clone)]
pub struct UnitPlan {
    /// Its number.
    pub unit: u8,
    /// What is read, and how often.
    pub reads: Vec<ModbusRead>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterAction {
    /// Send this to the unit of that place in the list.
    Send {
        /// Its place.
        unit: usize,
        /// What is sent.
        request: Request,
        /// Whether it is a command: somebody waits for its outcome.
        is_command: bool,
    },
    /// The unit of that place did not answer in time.
    NoAnswer {
        /// Its place.
        unit: usize,
        /// Whether a command was lost with it.
        is_command: bool,
    },
}

/// How an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was what was asked for.
    Good,
    /// The unit is there, and cannot do what was asked.
    Refused,
}

/// The master of one line.
#[derive(Debug)]
pub struct Master {
    units: Vec<Unit>,
    baud: u32,
    waiting: Option<Waiting>,
    /// When the last byte came, ours or another's.
    last_byte: Instant,
    /// Since when a due request waits for silence.
    held_since: Option<Instant>,
    commands: VecDeque<(usize, Request)>,
}

#[derive(Debug)]
struct Unit {
    number: u8,
    reads: Vec<(ModbusRead, Instant)>,
    /// Requests in a row that nobody answered.
    failures: u32,
    /// It is not asked before.
    not_before: Instant,
    /// What it did not answer: that is asked next.
    missed: Option<usize>,
}

#[derive(Debug)]
struct Waiting {
    unit: usize,
    /// Which read; `None`: a command.
    read: Option<usize>,
    until: Instant,
    answer_bytes: usize,
    heard: usize,
}

impl Master {
    /// A master whose first requests are due one after the other, from `now` on.
    #[must_use]
    pub fn new(units: &[UnitPlan], baud: u32, now: Instant) -> Master {
        let units = units.iter().map(|plan| Unit {
            number: plan.unit,
            reads: plan.reads.iter().map(|read| (read.clone(), now)).collect(),
            failures: 0,
            not_before: now,
            missed: None,
        });
        Master {
            units: units.collect(),
            baud: baud.max(1),
            waiting: None,
            last_byte: now,
            held_since: None,
            commands: VecDeque::new(),
        }
    }

    /// Asks for a command to be sent; `false` when too many wait already.
    pub fn command(&mut self, unit: usize, request: &Request) -> bool {
        let Some(number) = self.units.get(unit).map(|unit| unit.number) else { return false };
        let has_room = self.commands.len() < COMMANDS;
        if has_room {
            self.commands.push_back((unit, request.to_unit(number)));
        }
        has_room
    }

    /// Which unit is to answer now, by its place in the list.
    #[must_use]
    pub fn asked(&self) -> Option<usize> {
        self.waiting.as_ref().map(|waiting| waiting.unit)
    }

    /// Whether the unit of that place does not answer.
    #[must_use]
    pub fn is_dead(&self, unit: usize) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.failures > 1)
    }

    /// Bytes came, whoever sent them.
    pub fn heard(&mut self, now: Instant, bytes: usize) {
        self.last_byte = now;
        if let Some(waiting) = &mut self.waiting {
            waiting.heard = waiting.heard.saturating_add(bytes);
        }
    }

    /// The answer came; returns whether it was one to a command.
    pub fn answered(&mut self, now: Instant, outcome: Outcome) -> bool {
        let Some(waiting) = self.waiting.take() else { return false };
        self.last_byte = now;
        let Some(unit) = self.units.get_mut(waiting.unit) else { return false };
        // Its answer to what it missed may still come: nothing else is asked for so long.
        if unit.failures > 0 {
            let grace = unit.reads.iter().map(|(read, _)| read.timeout).max().unwrap_or(COMMAND_TIMEOUT);
            unit.not_before = now + grace;
        }
        unit.failures = 0;
        unit.missed = None;
        // A register that is not there is not asked for at every beat.
        if let (Outcome::Refused, Some((read, due))) =
            (outcome, waiting.read.and_then(|at| unit.reads.get_mut(at)))
        {
            *due = (*due).max(now + (read.interval * 10).min(LONGEST_BACKOFF).max(read.interval));
        }
        waiting.read.is_none()
    }

    /// When [`Master::timeout`] is due next; `None`: nothing is ever due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if let Some(waiting) = &self.waiting {
            return Some(self.overdue_at(waiting));
        }
        let due =
            if self.commands.is_empty() { self.next_read().map(|(_, _, due)| due)? } else { self.last_byte };
        Some(due.max(self.silent_at()))
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Instant) -> Option<MasterAction> {
        if let Some(waiting) = &self.waiting {
            return if now < self.overdue_at(waiting) { None } else { self.missed(now) };
        }
        let next = self.next_read().filter(|(_, _, due)| *due <= now);
        if self.commands.is_empty() && next.is_none() {
            return None;
        }
        let held_since = *self.held_since.get_or_insert(now);
        if now < self.silent_at() && now < held_since + BABBLE_PATIENCE {
            return None;
        }
        self.held_since = None;
        let (unit, read, request, timeout) = match self.commands.pop_front() {
            Some((unit, request)) => (unit, None, request, COMMAND_TIMEOUT),
            None => {
                let (unit, at, _) = next?;
                let (request, timeout) = self.take_read(unit, at, now)?;
                (unit, Some(at), request, timeout)
            }
        };
        let (sent, answer_bytes) = (request.bytes().len(), request.answer_bytes());
        let until = now + self.airtime(sent + answer_bytes) + timeout;
        self.last_byte = now + self.airtime(sent);
        self.waiting = Some(Waiting { unit, read, until, answer_bytes, heard: 0 });
        Some(MasterAction::Send { unit, request, is_command: read.is_none() })
    }

    /// The read of a unit, whose beat goes on from when it was due.
    fn take_read(&mut self, unit: usize, at: usize, now: Instant) -> Option<(Request, Duration)> {
        let unit = self.units.get_mut(unit)?;
        let (read, due) = unit.reads.get_mut(at)?;
        // What is asked again keeps the beat that it had.
        if unit.missed != Some(at) || *due <= now {
            let next = *due + read.interval;
            *due = if next > now { next } else { now + read.interval };
        }
        Some((read.request.to_unit(unit.number), read.timeout))
    }

    /// Which read of which unit is due next, and when.
    fn next_read(&self) -> Option<(usize, usize, Instant)> {
        let due_of = |(place, unit): (usize, &Unit)| {
            let due =
                |(at, (_, due)): (usize, &(ModbusRead, Instant))| (place, at, (*due).max(unit.not_before));
            match unit.missed {
                // What was missed is due at once, when its unit is asked again.
                Some(at) => Some((place, at, unit.not_before)),
                None => unit.reads.iter().enumerate().map(due).min_by_key(|(_, _, due)| *due),
            }
        };
        self.units.iter().enumerate().filter_map(due_of).min_by_key(|(_, _, due)| *due)
    }

    fn missed(&mut self, now: Instant) -> Option<MasterAction> {
        let waiting = self.waiting.take()?;
        let unit = self.units.get_mut(waiting.unit)?;
        unit.failures = unit.failures.saturating_add(1);
        unit.missed = waiting.read.or(unit.missed);
        let interval = unit.reads.iter().map(|(read, _)| read.interval).min().unwrap_or(COMMAND_TIMEOUT);
        // One that was there and was damaged is worth another try or two.
        let is_damaged = waiting.heard >= waiting.answer_bytes;
        let backoff = match unit.failures {
            1 => Duration::ZERO,
            2 | 3 if is_damaged => Duration::ZERO,
            failures => {
                (interval * 2_u32.saturating_pow(failures.min(16) - 2)).min(LONGEST_BACKOFF.max(interval))
            }
        };
        unit.not_before = now + backoff;
        Some(MasterAction::NoAnswer { unit: waiting.unit, is_command: waiting.read.is_none() })
    }

    /// When the unit that is asked has had its time; earlier when what it said is over and was no answer.
    fn overdue_at(&self, waiting: &Waiting) -> Instant {
        if waiting.heard >= waiting.answer_bytes {
            waiting.until.min(self.last_byte + BROKEN_OFF.max(self.silence()))
        } else {
            waiting.until
        }
    }

    fn silent_at(&self) -> Instant {
        self.last_byte + self.silence()
    }

    /// 3.5 characters; 1.75 ms above 19200 baud, as the standard recommends.
    fn silence(&self) -> Duration {
        if self.baud > 19_200 { Duration::from_micros(1750) } else { self.airtime(7) / 2 }
    }

    /// How long so many characters of 11 bits take.
    fn airtime(&self, bytes: usize) -> Duration {
        let bits = u64::try_from(bytes).unwrap_or(0).saturating_mul(11);
        Duration::from_micros(bits.saturating_mul(1_000_000) / u64::from(self.baud))
    }
}
