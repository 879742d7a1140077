//! Finds frames in a stream of bytes that may be split, damaged or joined anywhere.
//!
//! A candidate that fails (checksum, closing bytes, impossible length) costs one byte: the search goes on at the
//! next, so that a whole frame behind or inside a broken one is never lost. Memory is bounded by the longest frame
//! of the profile. Lines, which have no opening bytes to find again, go on behind the next line's end instead.
//!
//! Never interprets what a frame says, and gives out none whose checksum does not hold.

use std::sync::Arc;
use std::time::Duration;

use super::checksum::Checksum;
use super::modbus::Request;
use super::number::NumberType;
use super::problem::{Problem, ProblemKind};
use super::protocol::Protocol;
use super::secret::MeterKeys;
use super::stuffing::{self, Stuffing};
use crate::limits;

/// How the frames of a device are recognised.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Framing {
    /// The bytes that open a frame; empty: a frame begins where the last one ended.
    pub(super) start: Vec<u8>,
    /// Where it ends.
    pub(super) length: LengthRule,
    /// The bytes that close a frame, part of it.
    pub(super) end: Vec<u8>,
    /// Bytes behind those that belong to the frame too: a checksum.
    pub(super) trailer: usize,
    /// The opening bytes never stand inside of a frame: there it begins anew.
    pub(super) restart: bool,
    /// Knows better than all the others how its frames are recognised.
    pub(super) protocol: Option<Protocol>,
    /// What opens frames that are encrypted.
    pub(super) keys: Option<MeterKeys>,
    /// How the closing bytes are kept out of a frame; its bytes are those without the stuffing and the marks.
    pub(super) stuffing: Option<Stuffing>,
    /// The fewest bytes that a frame has.
    pub(super) shortest: usize,
    /// The most bytes that a frame has.
    pub(super) longest: usize,
    /// What guards it.
    pub(super) checksum: Option<Checksum>,
    /// After this silence inside a frame its rest does not come any more.
    pub(super) gap: Option<Duration>,
}

/// Where a frame ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LengthRule {
    /// Every frame has as many bytes.
    Fixed(usize),
    /// A number in the frame says it.
    Field(LengthField),
    /// With the first occurrence of the closing bytes.
    UntilEnd,
    /// When the line falls silent.
    UntilSilence,
}

/// A number in a frame that says how long it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LengthField {
    /// Where it stands, counted from the start.
    pub(super) at: usize,
    /// How it is written.
    pub(super) number: NumberType,
    /// Bytes of the frame that it does not count.
    pub(super) add: i64,
}

/// What can be said of the bytes at hand.
#[derive(Debug)]
pub(super) enum Verdict {
    /// No frame begins in so many bytes: garbage, an empty line.
    Garbage(usize),
    /// More bytes are needed.
    Incomplete,
    /// So many bytes are a frame.
    Whole(usize),
    /// What looked like a frame is none; the search goes on behind so many bytes.
    Broken(usize, Problem),
    /// A line, or a frame that silence ends, is longer than any may be; it goes on until its end...
    Overlong,
    /// ...which is behind so many bytes.
    OverlongEnd(usize),
}

/// What is known of the bytes at the front that may become a frame.
#[derive(Debug, Default)]
struct Candidate {
    /// How many of them were searched for the closing bytes.
    searched: usize,
    /// What they are without their stuffing.
    plain: Vec<u8>,
}

/// Collects the bytes of one port and hands out whole frames.
#[derive(Debug)]
pub(super) struct Framer {
    framing: Arc<Framing>,
    buffer: Vec<u8>,
    candidate: Candidate,
    /// What is overlong is being thrown away, until its end.
    skipping: bool,
    /// What was asked: of a device that only answers, the one answer is a frame.
    asked: Option<Request>,
    /// How many times the bytes at hand were judged.
    #[cfg(test)]
    looks: usize,
}

impl Framer {
    /// A framer that has heard nothing yet.
    pub(super) fn new(framing: Arc<Framing>) -> Framer {
        Framer {
            framing,
            buffer: Vec::new(),
            candidate: Candidate::default(),
            skipping: false,
            asked: None,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// Takes bytes as they arrived, split anywhere, and gives every frame and every problem found in them to
    /// `found`, in order.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(Result<&[u8], Problem>)) {
        let framing = Arc::clone(&self.framing);
        for piece in bytes.chunks(framing.longest.max(1)) {
            self.buffer.extend_from_slice(piece);
            self.scan(&framing, found);
        }
    }

    /// The line fell silent, was closed or ended: no candidate can become whole any more. Whole frames that stood
    /// inside one are found.
    pub(super) fn silence(&mut self, found: &mut impl FnMut(Result<&[u8], Problem>)) {
        let framing = Arc::clone(&self.framing);
        let mut told = self.skipping;
        if framing.length == LengthRule::UntilSilence && framing.protocol.is_none() && !self.buffer.is_empty()
        {
            match framing.check(&self.buffer, &mut self.candidate.plain) {
                Ok(()) => found(Ok(&self.buffer)),
                Err(problem) => found(Err(problem)),
            }
            self.discard(self.buffer.len());
        }
        while !self.buffer.is_empty() {
            if !told {
                let detail = format!("a frame broke off after {} bytes", self.buffer.len());
                found(Err(Problem::new(ProblemKind::Truncated, detail)));
                told = true;
            }
            let dropped = if framing.is_line() { self.buffer.len() } else { 1 };
            self.discard(dropped);
            self.scan(&framing, found);
        }
        self.skipping = false;
    }

    /// Says what was asked; the answer to something else is no frame any more.
    pub(super) fn ask(&mut self, request: Request) {
        self.asked = Some(request);
    }

    /// Forgets what has come.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.candidate = Candidate::default();
        self.skipping = false;
    }

    /// Whether a frame has begun and waits for more bytes, or what is overlong for its end.
    pub(super) fn is_inside_frame(&self) -> bool {
        self.skipping || !self.buffer.is_empty()
    }

    /// What is kept of what has come, in bytes of memory.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.candidate.plain.capacity()
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks
    }

    /// How long the inside of a frame may be silent.
    pub(super) fn gap(&self) -> Option<Duration> {
        self.framing.gap
    }

    fn discard(&mut self, count: usize) {
        self.buffer.drain(..count.min(self.buffer.len()));
        self.candidate.searched = 0;
    }

    fn scan(&mut self, framing: &Framing, found: &mut impl FnMut(Result<&[u8], Problem>)) {
        // One move of the buffer for all that this piece holds.
        let mut done = 0;
        while let Some(pending) = self.buffer.get(done..).filter(|pending| !pending.is_empty()) {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let verdict = if self.skipping {
                framing.skip(pending)
            } else {
                framing.inspect(pending, self.asked.as_ref(), &mut self.candidate)
            };
            if !matches!(verdict, Verdict::Incomplete) {
                self.candidate.searched = 0;
            }
            match verdict {
                Verdict::Incomplete => break,
                // At least one byte: no verdict stops the search for ever.
                Verdict::Garbage(count) => done += count.max(1),
                Verdict::Whole(length) => {
                    let stuffed = framing.stuffing.is_some() || framing.protocol.is_some();
                    let frame = if stuffed {
                        &self.candidate.plain
                    } else {
                        pending.get(..length).unwrap_or_default()
                    };
                    found(Ok(frame));
                    done += length;
                }
                Verdict::Broken(count, problem) => {
                    found(Err(problem));
                    done += count.max(1);
                }
                Verdict::Overlong => {
                    self.skipping = true;
                    let detail = format!("nothing ends it within {} bytes", framing.longest);
                    found(Err(Problem::new(ProblemKind::TooLong, detail)));
                }
                Verdict::OverlongEnd(count) => {
                    self.skipping = false;
                    done += count;
                }
            }
        }
        self.buffer.drain(..done.min(self.buffer.len()));
    }
}

impl Framing {
    /// The frames of a protocol.
    pub(super) fn of(protocol: Protocol) -> Framing {
        Framing { protocol: Some(protocol), ..Framing::until_silence() }
    }

    /// A frame is what comes until nothing more does.
    pub(super) fn until_silence() -> Framing {
        Framing {
            start: Vec::new(),
            length: LengthRule::UntilSilence,
            end: Vec::new(),
            trailer: 0,
            restart: false,
            protocol: None,
            keys: None,
            stuffing: None,
            shortest: 1,
            longest: limits::FRAME_BYTES,
            checksum: None,
            gap: Some(Duration::from_secs(3)),
        }
    }

    /// Judges the bytes at hand, which are not empty.
    fn inspect(&self, pending: &[u8], asked: Option<&Request>, candidate: &mut Candidate) -> Verdict {
        if let Some(protocol) = self.protocol {
            return protocol.inspect(pending, asked, self.keys.as_ref(), &mut candidate.plain);
        }
        match self.garbage(pending) {
            0 => {}
            count => return Verdict::Garbage(count),
        }
        if pending.len() < self.start.len() {
            return Verdict::Incomplete;
        }
        let length = match self.length {
            LengthRule::Fixed(length) => length,
            LengthRule::Field(field) => match field.read(pending) {
                None => return Verdict::Incomplete,
                Some(length) if (self.shortest..=self.longest).contains(&length) => length,
                Some(length) => {
                    let detail = format!(
                        "a frame of {length} bytes is announced, it has {} to {}",
                        self.shortest, self.longest
                    );
                    return Verdict::Broken(1, Problem::new(ProblemKind::Length, detail));
                }
            },
            LengthRule::UntilEnd => match self.until_end(pending, &mut candidate.searched) {
                Ok(length) => length,
                Err(verdict) => return verdict,
            },
            LengthRule::UntilSilence if pending.len() <= self.longest => return Verdict::Incomplete,
            // The rest of what is too long is no frame either.
            LengthRule::UntilSilence => return Verdict::Overlong,
        };
        let Some(frame) = pending.get(..length) else {
            return Verdict::Incomplete;
        };
        // Behind the first of the opening bytes: they may overlap with themselves in a false start. A checksum behind
        // the end may be any byte.
        let inside = frame.get(..length.saturating_sub(self.trailer)).unwrap_or_default();
        if self.restart
            && let Some(again) = find(inside, &self.start, 1)
        {
            let detail = "a frame begins inside of one: the first was cut short";
            return Verdict::Broken(again, Problem::new(ProblemKind::Truncated, detail));
        }
        self.judge(frame, &mut candidate.plain)
    }

    /// Looks for the end of an overlong line; its end may be cut in two. Silence says itself that it has come.
    fn skip(&self, pending: &[u8]) -> Verdict {
        if self.length == LengthRule::UntilSilence {
            return Verdict::Garbage(pending.len());
        }
        if let Some(at) = find(pending, &self.end, 0) {
            return Verdict::OverlongEnd(at + self.end.len());
        }
        match pending.len().saturating_sub(self.end.len().saturating_sub(1)) {
            0 => Verdict::Incomplete,
            count => Verdict::Garbage(count),
        }
    }

    /// How many bytes at the front cannot begin a frame.
    fn garbage(&self, pending: &[u8]) -> usize {
        let Some(first) = self.start.first() else {
            return 0;
        };
        let mut from = 0;
        while let Some(rest) = pending.get(from..) {
            let Some(at) = rest.iter().position(|byte| byte == first) else {
                return pending.len();
            };
            from += at;
            let candidate = pending.get(from..).unwrap_or_default();
            let known = candidate.len().min(self.start.len());
            if candidate.get(..known) == self.start.get(..known) {
                return from;
            }
            from += 1;
        }
        pending.len()
    }

    /// The length of a frame that its closing bytes end.
    fn until_end(&self, pending: &[u8], searched: &mut usize) -> Result<usize, Verdict> {
        let from = (*searched).max(self.start.len());
        let end = match self.stuffing {
            Some(Stuffing::Dle) => stuffing::end_of_dle(pending)?,
            _ => find(pending, &self.end, from),
        };
        let length = end.map(|at| at + self.end.len() + self.trailer);
        match length {
            Some(length) if length <= self.longest => Ok(length),
            None if pending.len() < self.longest => {
                // The closing bytes may be cut in two.
                *searched = pending.len().saturating_sub(self.end.len().saturating_sub(1));
                Err(Verdict::Incomplete)
            }
            _ if self.is_line() => Err(Verdict::Overlong),
            _ => {
                let detail = format!("nothing ends the frame within {} bytes", self.longest);
                Err(Verdict::Broken(1, Problem::new(ProblemKind::TooLong, detail)))
            }
        }
    }

    /// Judges what has the length of a frame.
    fn judge(&self, whole: &[u8], plain: &mut Vec<u8>) -> Verdict {
        if self.is_line() && self.is_blank(whole) {
            return Verdict::Garbage(whole.len());
        }
        match self.check(whole, plain) {
            Ok(()) => Verdict::Whole(whole.len()),
            // Where nothing marks the start of a line, the next begins behind this one.
            Err(problem) if self.is_line() => Verdict::Broken(whole.len(), problem),
            Err(problem) => Verdict::Broken(1, problem),
        }
    }

    fn check(&self, whole: &[u8], plain: &mut Vec<u8>) -> Result<(), Problem> {
        let before_trailer = whole.get(..whole.len().saturating_sub(self.trailer)).unwrap_or_default();
        let Some(content) = before_trailer.strip_suffix(self.end.as_slice()) else {
            return Err(Problem::new(ProblemKind::End, "the frame does not end as it must"));
        };
        let frame = match self.stuffing {
            Some(stuffing) => {
                stuffing.remove(content.get(self.start.len()..).unwrap_or_default(), plain)?;
                plain.extend_from_slice(whole.get(before_trailer.len()..).unwrap_or_default());
                plain.as_slice()
            }
            None => whole,
        };
        if frame.len() < self.shortest {
            let detail = format!("the frame has {} bytes, it has at least {}", frame.len(), self.shortest);
            return Err(Problem::new(ProblemKind::Length, detail));
        }
        self.checksum.as_ref().map_or(Ok(()), |checksum| checksum.verify(frame))
    }

    /// Whether there is nothing between two ends.
    fn is_blank(&self, whole: &[u8]) -> bool {
        match self.stuffing {
            Some(_) => whole.len() == self.end.len(),
            None => whole.iter().all(u8::is_ascii_whitespace),
        }
    }

    /// Whether frames are what stands between two ends.
    fn is_line(&self) -> bool {
        self.start.is_empty() && self.length == LengthRule::UntilEnd && self.protocol.is_none()
    }
}

impl LengthField {
    /// The length of the frame that begins here; a negative one counts as 0, which no frame has.
    fn read(self, pending: &[u8]) -> Option<usize> {
        let bytes = pending.get(self.at..self.at + self.number.bytes)?;
        let said = i64::try_from(self.number.unsigned(bytes)).unwrap_or(i64::MAX);
        Some(usize::try_from(said.saturating_add(self.add)).unwrap_or(0))
    }
}

/// Where `needle`, which is not empty, first stands in `bytes` at or behind `from`.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = from;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes.get(at + 1..).is_some_and(|behind| behind.starts_with(rest)) {
            return Some(at);
        }
        from = at + 1;
    }
}
