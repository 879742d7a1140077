//! Frames of fixed length, and those that say how long they are, with every checksum of the language.

use super::{Crc, Dialect, Next, crc, high_first, low_first, sum, xor};
use crate::device::tests::own;

/// A dialect of the language whose frames hold a number of four bytes at `at`.
pub(super) fn of_language(
    frame: &str,
    at: i32,
    longest: usize,
    spice: &'static [u8],
    make: impl Fn([u8; 4]) -> Vec<u8> + 'static,
    whole: impl Fn(&[u8]) -> Option<usize> + 'static,
) -> Dialect {
    let text = format!("frame = {{ {frame} }}\nfield = [{{ name = \"n\", at = {at}, type = \"u32be\" }}]\n");
    Dialect {
        profile: own(&text),
        asked: None,
        frame: Box::new(move |number| make(number.to_be_bytes())),
        shows: Box::new(|number| format!("n={number}")),
        whole: Box::new(whole),
        next: Next::Byte,
        spice,
        longest,
    }
}

/// Two opening bytes, a number, its sum, a closing byte.
#[test]
fn a_fixed_length_between_marks() {
    let make = |number: [u8; 4]| [&[0xAA, 0xC0][..], &number, &[sum(&number), 0xAB]].concat();
    let whole = |bytes: &[u8]| {
        let frame: &[u8; 8] = bytes.first_chunk()?;
        (frame[..2] == [0xAA, 0xC0] && frame[7] == 0xAB && sum(&frame[2..6]) == frame[6]).then_some(8)
    };
    let frame =
        r#"start = "AA C0", length = 8, end = "AB", checksum = { kind = "sum8", over = "2..6", at = 6 }"#;
    of_language(frame, 2, 8, &[0xAA, 0xC0, 0xAB, 0], make, whole).holds();
}

/// Opening bytes that overlap with themselves.
#[test]
fn a_start_that_repeats_itself() {
    let make = |number: [u8; 4]| {
        let content = [&[0x59, 0x59][..], &number].concat();
        [&content[..], &[sum(&content)]].concat()
    };
    let whole = |bytes: &[u8]| {
        let frame: &[u8; 7] = bytes.first_chunk()?;
        (frame[..2] == [0x59, 0x59] && sum(&frame[..6]) == frame[6]).then_some(7)
    };
    let frame = r#"start = "59 59", length = 7, checksum = { kind = "sum8", over = "0..6", at = 6 }"#;
    of_language(frame, 2, 7, &[0x59, 0x59, 0x59, 0], make, whole).holds();
}

type Guard = fn(&[u8]) -> Vec<u8>;

/// Every checksum; its bytes high end first.
const GUARDS: [(&str, Guard); 15] = [
    ("sum8", |bytes| vec![sum(bytes)]),
    ("negated-sum8", |bytes| vec![0_u8.wrapping_sub(sum(bytes))]),
    ("inverted-sum8", |bytes| vec![255 - sum(bytes)]),
    ("xor8", |bytes| vec![xor(bytes)]),
    ("sum16", |bytes| high_first(bytes.iter().map(|byte| u32::from(*byte)).sum()).to_vec()),
    ("crc8-smbus", |bytes| narrow(&crc(8, 0x07, 0, false, 0), bytes)),
    ("crc8-maxim", |bytes| narrow(&crc(8, 0x31, 0, true, 0), bytes)),
    ("crc8-nrsc5", |bytes| narrow(&crc(8, 0x31, 0xFF, false, 0), bytes)),
    ("crc16-modbus", |bytes| high_first(super::MODBUS.of(bytes)).to_vec()),
    ("crc16-arc", |bytes| high_first(super::ARC.of(bytes)).to_vec()),
    ("crc16-x25", |bytes| high_first(super::X25.of(bytes)).to_vec()),
    ("crc16-kermit", |bytes| high_first(super::KERMIT.of(bytes)).to_vec()),
    ("crc16-mcrf4xx", |bytes| high_first(crc(16, 0x1021, 0xFFFF, true, 0).of(bytes)).to_vec()),
    ("crc16-xmodem", |bytes| high_first(crc(16, 0x1021, 0, false, 0).of(bytes)).to_vec()),
    ("crc16-ccitt-false", |bytes| high_first(crc(16, 0x1021, 0xFFFF, false, 0).of(bytes)).to_vec()),
];

fn narrow(crc: &Crc, bytes: &[u8]) -> Vec<u8> {
    vec![high_first(crc.of(bytes))[1]]
}

/// A number and its checksum, with one opening byte; and where the checksum is strong enough, with none at all.
#[test]
fn a_fixed_length_with_every_checksum() {
    let known: Vec<&str> = GUARDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, crate::device::checksum::ChecksumKind::names().collect::<Vec<_>>());
    for (kind, guard) in GUARDS {
        for start in [true, false] {
            let width = guard(&[0]).len();
            if !start && width == 1 {
                continue;
            }
            let opening: &[u8] = if start { &[0x3C] } else { &[] };
            let length = opening.len() + 4 + width;
            let make = move |number: [u8; 4]| {
                let content = [opening, &number].concat();
                let guard = guard(&content);
                [content, guard].concat()
            };
            let whole = move |bytes: &[u8]| {
                let (content, said) = bytes.get(..length)?.split_at(length - width);
                (content.starts_with(opening) && guard(content) == said).then_some(length)
            };
            let frame = format!(
                "{} length = {length}, checksum = {{ kind = \"{kind}\", over = \"0..-{width}\", at = -{width} }}",
                if start { "start = \"3C\"," } else { "" }
            );
            let at = i32::from(start);
            of_language(&frame, at, length, &[0x3C, 0, 0xFF], make, whole).holds();
        }
    }
}

/// A length of two bytes in either order, which counts the content alone, and content of any length.
#[test]
fn a_length_that_stands_in_the_frame() {
    for order in ["be", "le"] {
        let written = move |length: usize| {
            let length = u16::try_from(length).unwrap();
            if order == "be" { length.to_be_bytes() } else { length.to_le_bytes() }
        };
        let make = move |number: [u8; 4]| {
            let content = [&number[..], &vec![0x5A; usize::from(number[3] % 20)]].concat();
            let guarded = [&written(content.len())[..], &content].concat();
            [&[0xA5][..], &guarded, &low_first(super::X25.of(&guarded))].concat()
        };
        let whole = move |bytes: &[u8]| {
            let head: &[u8; 3] = bytes.first_chunk()?;
            let said = [head[1], head[2]];
            let content = if order == "be" { u16::from_be_bytes(said) } else { u16::from_le_bytes(said) };
            let length = usize::from(content) + 5;
            let frame = bytes.get(..length).filter(|_| head[0] == 0xA5 && (9..=40).contains(&length))?;
            (low_first(super::X25.of(&frame[1..length - 2])) == frame[length - 2..]).then_some(length)
        };
        let frame = format!(
            "start = \"A5\", length_field = {{ at = 1, type = \"u16{order}\", add = 5 }}, shortest = 9, longest = 40, \
             checksum = {{ kind = \"crc16-x25\", over = \"1..-2\", at = -2, order = \"little\" }}"
        );
        of_language(&frame, 3, 40, &[0xA5, 0, 9, 40], make, whole).holds();
    }
}

/// A length of one byte that counts more than the frame has: the sum is taken off.
#[test]
fn a_length_that_counts_what_is_not_there() {
    let make = |number: [u8; 4]| {
        let content = [&[0x7E, 11][..], &number].concat();
        [&content[..], &[xor(&content)]].concat()
    };
    let whole = |bytes: &[u8]| {
        let length = usize::from(*bytes.get(1)?).checked_sub(4)?;
        let frame = bytes.get(..length).filter(|_| bytes[0] == 0x7E && (7..=16).contains(&length))?;
        (xor(&frame[..length - 1]) == frame[length - 1]).then_some(length)
    };
    let frame = r#"start = "7E", length_field = { at = 1, type = "u8", add = -4 }, shortest = 7, longest = 16,
        checksum = { kind = "xor8", over = "0..-1", at = -1 }"#;
    of_language(&frame.replace('\n', " "), 2, 16, &[0x7E, 11, 0, 255], make, whole).holds();
}
