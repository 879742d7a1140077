//! A property of every framer, those of the language and those of the protocols: whatever stands before, between and
//! behind whole frames, and however the stream is split, the whole ones come out, once and in order, and nothing that
//! is none.
//!
//! What must come out is said by the slowest way of framing there is: at each place of the stream, is what begins here
//! a whole frame? It is written anew for each dialect, from its specification, and shares nothing with the framers.

mod lines;
mod marked;
mod meters;
mod plain;
mod radio;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::device::{Found, Listener, Profile, Request};

/// The length of the whole frame that begins here; `None`: there is none.
type Reference = Box<dyn Fn(&[u8]) -> Option<usize>>;

/// One way of framing, as its specification has it.
struct Dialect {
    profile: Arc<Profile>,
    /// What was asked, where frames are answers.
    asked: Option<Request>,
    /// A frame that says a number...
    frame: Box<dyn Fn(u32) -> Vec<u8>>,
    /// ...and how its reading shows that.
    shows: Box<dyn Fn(u32) -> String>,
    /// The length of the whole frame that begins here.
    whole: Reference,
    /// Where the search goes on behind the first byte of what is no frame.
    next: Next,
    /// Bytes that garbage likes: those that mean something.
    spice: &'static [u8],
    /// The most bytes that may be kept.
    longest: usize,
}

/// Where the search for a frame goes on.
#[derive(Clone, Copy)]
enum Next {
    /// At the next byte.
    Byte,
    /// Behind the end of the line.
    Line(&'static [u8]),
    /// Where the protocol says.
    Own(fn(&[u8]) -> usize),
}

/// What stands on the line.
#[derive(Debug, Clone)]
enum Piece {
    Frame(u32),
    Noise(Vec<u8>),
    /// Bytes that look like the beginning of something.
    Spice(Vec<usize>),
    /// A frame without its end, or without its beginning.
    Cut(u32, usize, bool),
    /// A frame with one byte changed, lost, or doubled.
    Changed(u32, usize, u8),
    Lost(u32, usize),
    Doubled(u32, usize),
    /// Nothing, for long enough.
    Silence,
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let noise = proptest::collection::vec(any::<u8>(), 1..24).prop_map(Piece::Noise);
    let spice = proptest::collection::vec(any::<usize>(), 1..12).prop_map(Piece::Spice);
    let place = || any::<usize>();
    let piece = prop_oneof![
        6 => any::<u32>().prop_map(Piece::Frame),
        1 => noise,
        1 => spice,
        1 => (any::<u32>(), place(), any::<bool>()).prop_map(|(number, at, front)| Piece::Cut(number, at, front)),
        1 => (any::<u32>(), place(), 0_u8..8).prop_map(|(number, at, bit)| Piece::Changed(number, at, 1 << bit)),
        1 => (any::<u32>(), place()).prop_map(|(number, at)| Piece::Lost(number, at)),
        1 => (any::<u32>(), place()).prop_map(|(number, at)| Piece::Doubled(number, at)),
        1 => Just(Piece::Silence),
    ];
    proptest::collection::vec(piece, 0..16)
}

/// Bytes between two silences, with the places of the whole frames that were put there.
#[derive(Debug, Default)]
struct Stretch {
    bytes: Vec<u8>,
    frames: Vec<(usize, u32)>,
}

impl Dialect {
    fn stretches(&self, pieces: &[Piece]) -> Vec<Stretch> {
        let mut stretches = vec![Stretch::default()];
        for piece in pieces {
            let stretch = stretches.last_mut().unwrap();
            let frame = |number: &u32| (self.frame)(*number);
            match piece {
                Piece::Frame(number) => {
                    stretch.frames.push((stretch.bytes.len(), *number));
                    stretch.bytes.extend(frame(number));
                }
                Piece::Noise(bytes) => stretch.bytes.extend(bytes),
                Piece::Spice(picks) => {
                    stretch.bytes.extend(picks.iter().map(|pick| self.spice[pick % self.spice.len()]));
                }
                Piece::Cut(number, at, front) => {
                    let frame = frame(number);
                    let (head, tail) = frame.split_at(at % frame.len());
                    stretch.bytes.extend(if *front { head } else { tail });
                }
                Piece::Changed(number, at, bit) => {
                    let mut frame = frame(number);
                    let at = at % frame.len();
                    frame[at] ^= bit;
                    stretch.bytes.extend(frame);
                }
                Piece::Lost(number, at) => {
                    let mut frame = frame(number);
                    frame.remove(at % frame.len());
                    stretch.bytes.extend(frame);
                }
                Piece::Doubled(number, at) => {
                    let mut frame = frame(number);
                    let at = at % frame.len();
                    frame.insert(at, frame[at]);
                    stretch.bytes.extend(frame);
                }
                Piece::Silence => stretches.push(Stretch::default()),
            }
        }
        stretches
    }

    /// The whole frames of a stretch: where they begin, and where they end.
    fn frames_of(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match ((self.whole)(rest), self.next) {
                (Some(length), _) => {
                    found.push((at, at + length));
                    length
                }
                (None, Next::Byte) => 1,
                (None, Next::Own(next)) => next(rest).max(1),
                (None, Next::Line(end)) => {
                    let line = rest.windows(end.len()).position(|window| window == end);
                    line.map_or(rest.len(), |line| line + end.len())
                }
            };
        }
        found
    }

    fn listener(&self) -> Listener {
        let mut listener = Listener::new(Arc::clone(&self.profile));
        if let Some(request) = &self.asked {
            listener.ask(request.clone());
        }
        listener
    }

    /// What stretches say, each cut at `cuts`; the most bytes that were kept on the way.
    fn hear(&self, stretches: &[Stretch], cuts: &[usize]) -> (Vec<String>, usize) {
        let (mut readings, mut most) = (Vec::new(), 0);
        let mut take = |found: Found| readings.extend(found.ok().map(|found| super::show(&found)));
        let mut listener = self.listener();
        for stretch in stretches {
            for piece in super::split(&stretch.bytes, cuts) {
                listener.push(piece, &mut take);
                most = most.max(listener.held_bytes());
            }
            listener.silence(&mut take);
        }
        (readings, most)
    }

    /// What the frame alone says.
    fn alone(&self, frame: &[u8]) -> Vec<String> {
        self.hear(&[Stretch { bytes: frame.to_vec(), frames: Vec::new() }], &[]).0
    }

    fn check(&self, pieces: &[Piece], cuts: &[usize]) -> Result<(), TestCaseError> {
        let stretches = self.stretches(pieces);
        let mut wanted = Vec::new();
        for stretch in &stretches {
            let found = self.frames_of(&stretch.bytes);
            for (at, number) in &stretch.frames {
                // What was put there whole is there, unless a checksum that holds by chance reaches into it, or the
                // line before it has no end.
                let is_found = found.iter().any(|(from, _)| from == at);
                let by_chance = found.iter().any(|(from, to)| from < at && at < to);
                let is_joined = !matches!(self.next, Next::Byte);
                prop_assert!(is_found || by_chance || is_joined, "the reference loses frame {number}");
            }
            for (from, to) in found {
                let said = self.alone(&stretch.bytes[from..to]);
                if let Some((_, number)) = stretch.frames.iter().find(|(at, _)| *at == from) {
                    let shown = (self.shows)(*number);
                    prop_assert!(
                        said.iter().any(|said| said.contains(&shown)),
                        "{said:?} does not say {shown}"
                    );
                }
                wanted.extend(said);
            }
        }
        let (readings, most) = self.hear(&stretches, cuts);
        prop_assert_eq!(&readings, &wanted);
        prop_assert!(most <= 8 * self.longest.max(16), "{most} bytes are kept");
        Ok(())
    }

    /// Streams that never become a frame: little is kept, every byte is looked at for a bounded number of times, and
    /// the frame behind comes out.
    fn endure(&self) {
        let frame = (self.frame)(7);
        let many = |pattern: &[u8]| pattern.iter().copied().cycle().take(40_000).collect::<Vec<u8>>();
        let head = frame.len().min(3).max(frame.len() / 2);
        let spice: Vec<u8> = (0..40_000_u32)
            .map(|at| {
                self.spice[usize::try_from(at.wrapping_mul(2_654_435_761) >> 16).unwrap() % self.spice.len()]
            })
            .collect();
        let streams =
            [many(&[0]), many(&[0xFF]), many(&frame[..1]), many(&frame[..head]), many(&frame[head..]), spice];
        for stream in streams {
            let mut listener = self.listener();
            let (mut findings, mut readings) = (0_usize, Vec::new());
            for piece in stream.chunks(62) {
                listener.push(piece, &mut |_| findings += 1);
                assert!(
                    listener.held_bytes() <= 8 * self.longest.max(16),
                    "{} bytes are kept",
                    listener.held_bytes()
                );
            }
            listener.silence(&mut |_| findings += 1);
            let most = 4 * stream.len() + stream.len() / 62;
            assert!(listener.looks() <= most, "{} looks at {} bytes", listener.looks(), stream.len());
            assert!(findings <= 2 * stream.len());
            if let Next::Line(end) = self.next {
                listener.push(end, &mut |_| {});
            }
            listener.push(&frame, &mut |found| readings.extend(found.ok().map(|found| super::show(&found))));
            listener.silence(&mut |found| readings.extend(found.ok().map(|found| super::show(&found))));
            assert!(readings.iter().any(|said| said.contains(&(self.shows)(7))), "{readings:?}");
        }
    }

    /// Both properties. `PROPTEST_CASES` says of how many streams.
    fn holds(&self) {
        self.endure();
        let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let streams = (pieces(), proptest::collection::vec(any::<usize>(), 0..24));
        TestRunner::new(config)
            .run(&streams, |(pieces, cuts)| self.check(&pieces, &cuts))
            .unwrap_or_else(|failure| panic!("{}: {failure}", self.profile.id));
    }
}

/// A CRC as the RevEng catalogue names its parameters, one bit at a time.
struct Crc {
    width: u32,
    polynomial: u32,
    init: u32,
    reflected: bool,
    xor_out: u32,
}

impl Crc {
    fn of(&self, bytes: &[u8]) -> u32 {
        let mut register = self.init;
        for byte in bytes {
            let byte = if self.reflected { byte.reverse_bits() } else { *byte };
            for bit in (0..8).rev() {
                let carry = (register >> (self.width - 1) ^ u32::from(byte >> bit)) & 1;
                register = ((register << 1) ^ (carry * self.polynomial)) & ((1 << self.width) - 1);
            }
        }
        let register = if self.reflected { register.reverse_bits() >> (32 - self.width) } else { register };
        register ^ self.xor_out
    }
}

const fn crc(width: u32, polynomial: u32, init: u32, reflected: bool, xor_out: u32) -> Crc {
    Crc { width, polynomial, init, reflected, xor_out }
}

const MODBUS: Crc = crc(16, 0x8005, 0xFFFF, true, 0);
const ARC: Crc = crc(16, 0x8005, 0, true, 0);
const X25: Crc = crc(16, 0x1021, 0xFFFF, true, 0xFFFF);
const KERMIT: Crc = crc(16, 0x1021, 0, true, 0);

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |xor, byte| xor ^ byte)
}

fn low_first(crc: u32) -> [u8; 2] {
    let [low, high, ..] = crc.to_le_bytes();
    [low, high]
}

fn high_first(crc: u32) -> [u8; 2] {
    let [low, high, ..] = crc.to_le_bytes();
    [high, low]
}

/// Where `needle` first stands at or behind `from`.
fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| bytes[*at..].starts_with(needle))
}

#[test]
fn the_reference_computes_the_check_values_of_the_catalogue() {
    let check = b"123456789";
    assert_eq!(
        (MODBUS.of(check), ARC.of(check), X25.of(check), KERMIT.of(check)),
        (0x4B37, 0xBB3D, 0x906E, 0x2189)
    );
}
