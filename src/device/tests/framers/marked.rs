//! Frames between opening and closing bytes, byte stuffing, and frames that silence ends.

use super::plain::of_language;
use super::{Dialect, Next, X25, crc, find, high_first, low_first, sum, xor};

/// STX, digits, ETX and the exclusive or of what follows STX.
#[test]
fn a_block_with_its_check_behind_the_end() {
    for restart in [true, false] {
        let make = |number: [u8; 4]| {
            let digits = format!("{:08X}", u32::from_be_bytes(number));
            let guarded = [digits.as_bytes(), &[3]].concat();
            [&[2][..], &guarded, &[xor(&guarded)]].concat()
        };
        let whole = move |bytes: &[u8]| {
            let end = find(bytes, &[3], 1).filter(|end| bytes[0] == 2 && end + 2 <= 12)?;
            let said = *bytes.get(end + 1)?;
            let has_another = restart && bytes[1..=end].contains(&2);
            (xor(&bytes[1..=end]) == said && !has_another).then_some(end + 2)
        };
        let frame = format!(
            "start = \"02\", end = \"03\", trailer = 1, restart = {restart}, longest = 12, \
             checksum = {{ kind = \"xor8\", over = \"1..-1\", at = -1 }}"
        );
        let mut dialect = of_language(&frame, 1, 12, &[2, 3, b'0'], make, whole);
        dialect.shows = Box::new(|number| {
            format!("n={}", u32::from_be_bytes(format!("{number:08X}").as_bytes()[..4].try_into().unwrap()))
        });
        dialect.holds();
    }
}

/// As NMEA 0183: a checksum in hexadecimal digits before the line's end, and a start that never stands inside.
#[test]
fn a_sentence_with_a_checksum_in_digits() {
    let make = |number: [u8; 4]| {
        let body = format!("IIMTW,{},C", u32::from_be_bytes(number) / 10_000);
        format!("${body}*{:02X}\r\n", xor(body.as_bytes())).into_bytes()
    };
    let whole = |bytes: &[u8]| {
        let end = find(bytes, b"\r\n", 1).filter(|end| bytes[0] == b'$' && (9..=120).contains(&(end + 2)))?;
        let body = &bytes[1..end - 3];
        let digits = std::str::from_utf8(&bytes[end - 2..end]).ok()?;
        let holds = u8::from_str_radix(digits, 16).ok()? == xor(body) && !digits.starts_with('+');
        (holds && !bytes[1..end].contains(&b'$')).then_some(end + 2)
    };
    let mut dialect = of_language("start = \"24\", length = 9", 0, 120, b"$*\r\n,0", make, whole);
    dialect.profile = crate::device::tests::shipped("nmea0183");
    dialect.shows = Box::new(|number| format!("temperature={}", number / 10_000));
    dialect.holds();
}

/// Content that is followed by a CRC, stuffed, and ended.
fn stuffed(
    name: &str,
    end: &'static [u8],
    stuff: fn(&[u8]) -> Vec<u8>,
    plain: fn(&[u8]) -> Option<Vec<u8>>,
) -> Dialect {
    let make = move |number: [u8; 4]| {
        // Bytes that must be stuffed are not rare.
        let content = [&number[..], &[0, end[0], 0x7D, 0xDB, 0x10]].concat();
        let guarded = [&content[..], &low_first(X25.of(&content))].concat();
        [&stuff(&guarded)[..], end].concat()
    };
    let whole = move |bytes: &[u8]| {
        let at = find(bytes, end, 0).filter(|at| at + end.len() <= 64)?;
        let content = plain(&bytes[..at]).filter(|content| content.len() >= 6)?;
        let (guarded, said) = content.split_last_chunk::<2>()?;
        (low_first(X25.of(guarded)) == *said).then_some(at + end.len())
    };
    let frame = format!(
        "stuffing = \"{name}\", shortest = 6, longest = 64, \
         checksum = {{ kind = \"crc16-x25\", over = \"0..-2\", at = -2, order = \"little\" }}"
    );
    let mut dialect =
        of_language(&frame, 0, 64, &[0, 0xC0, 0xDB, 0xDC, 0x7E, 0x7D, 0x10, 2, 3, 1], make, whole);
    dialect.next = Next::Line(end);
    dialect
}

/// A byte that stands for `byte` behind the escape.
fn escaped(bytes: &[u8], escape: u8, other: impl Fn(u8) -> Option<u8>) -> Vec<u8> {
    bytes.iter().flat_map(|byte| other(*byte).map_or(vec![*byte], |other| vec![escape, other])).collect()
}

fn unescaped(bytes: &[u8], escape: u8, other: impl Fn(u8) -> Option<u8>) -> Option<Vec<u8>> {
    let (mut plain, mut rest) = (Vec::new(), bytes);
    while let Some((byte, behind)) = rest.split_first() {
        (plain, rest) = if *byte == escape {
            let (second, behind) = behind.split_first()?;
            plain.push(other(*second)?);
            (plain, behind)
        } else {
            plain.push(*byte);
            (plain, behind)
        };
    }
    Some(plain)
}

/// Cheshire and Baker, 1999.
#[test]
fn cobs() {
    let stuff = |bytes: &[u8]| {
        // A block ends before each zero, and behind the last byte.
        let block = |block: &[u8]| [&[u8::try_from(block.len() + 1).unwrap()], block].concat();
        bytes.split(|byte| *byte == 0).flat_map(block).collect()
    };
    let plain = |mut rest: &[u8]| {
        let mut plain = Vec::new();
        while let Some((code, behind)) = rest.split_first() {
            let block = behind.get(..usize::from(*code).checked_sub(1)?)?;
            plain.extend(block);
            rest = &behind[block.len()..];
            if !rest.is_empty() && *code < 255 {
                plain.push(0);
            }
        }
        Some(plain)
    };
    stuffed("cobs", &[0], stuff, plain).holds();
}

/// RFC 1055.
#[test]
fn slip() {
    let stuff = |bytes: &[u8]| {
        escaped(bytes, 0xDB, |byte| match byte {
            0xC0 => Some(0xDC),
            0xDB => Some(0xDD),
            _ => None,
        })
    };
    let plain = |bytes: &[u8]| {
        unescaped(bytes, 0xDB, |byte| match byte {
            0xDC => Some(0xC0),
            0xDD => Some(0xDB),
            _ => None,
        })
    };
    stuffed("slip", &[0xC0], stuff, plain).holds();
}

/// RFC 1662, 4.2.
#[test]
fn hdlc() {
    let stuff =
        |bytes: &[u8]| escaped(bytes, 0x7D, |byte| matches!(byte, 0x7D | 0x7E).then_some(byte ^ 0x20));
    let plain = |bytes: &[u8]| unescaped(bytes, 0x7D, |byte| Some(byte ^ 0x20));
    stuffed("hdlc", &[0x7E], stuff, plain).holds();
}

/// ISO 1745: DLE STX, content in which a DLE is doubled, DLE ETX; the CRC inside, or a sum behind the end.
#[test]
fn dle() {
    for behind in [false, true] {
        let make = move |number: [u8; 4]| {
            let content = [&number[..], &[0x10, 0x03, 0x10, 0x10, 0x02]].concat();
            let inside =
                if behind { content.clone() } else { [&content[..], &low_first(X25.of(&content))].concat() };
            let doubled = escaped(&inside, 0x10, |byte| (byte == 0x10).then_some(0x10));
            let sum = if behind { vec![sum(&content)] } else { Vec::new() };
            [&[0x10, 0x02][..], &doubled, &[0x10, 0x03], &sum].concat()
        };
        let whole = move |bytes: &[u8]| {
            let mut plain = Vec::new();
            let mut at = 2;
            while bytes.starts_with(&[0x10, 0x02]) {
                match bytes.get(at..at + 2)? {
                    [0x10, 0x10] => {
                        plain.push(0x10);
                        at += 2;
                    }
                    [0x10, 0x03] => {
                        let length = at + 2 + usize::from(behind);
                        let holds = if behind {
                            plain.len() >= 5 && *bytes.get(at + 2)? == sum(&plain)
                        } else {
                            plain.len() >= 6 && plain.ends_with(&low_first(X25.of(&plain[..plain.len() - 2])))
                        };
                        return (holds && length <= 64).then_some(length);
                    }
                    [0x10, _] => return None,
                    [byte, _] => {
                        plain.push(*byte);
                        at += 1;
                    }
                    _ => return None,
                }
            }
            None
        };
        let guard = if behind {
            "trailer = 1, shortest = 6, checksum = { kind = \"sum8\", over = \"0..-1\", at = -1 }"
        } else {
            "shortest = 6, checksum = { kind = \"crc16-x25\", over = \"0..-2\", at = -2, order = \"little\" }"
        };
        let frame = format!("stuffing = \"dle\", longest = 64, {guard}");
        of_language(&frame, 0, 64, &[0x10, 0x10, 0x02, 0x03], make, whole).holds();
    }
}

/// A frame is what stands between two silences.
#[test]
fn a_frame_that_silence_ends() {
    let guard = |bytes: &[u8]| high_first(crc(16, 0x8005, 0xFFFF, true, 0).of(bytes));
    let make = move |number: [u8; 4]| [&number[..], &guard(&number)].concat();
    // Where no silence stands before and behind, it is none: the stretch is all that there is.
    let whole = move |bytes: &[u8]| {
        let (content, said) = bytes.split_last_chunk::<2>().filter(|_| (6..=24).contains(&bytes.len()))?;
        (guard(content) == *said).then_some(bytes.len())
    };
    let frame = r#"until_silence = true, shortest = 6, longest = 24, checksum = { kind = "crc16-modbus", over = "0..-2", at = -2 }"#;
    let mut dialect = of_language(frame, 0, 24, &[0, 0xFF], make, whole);
    dialect.next = Next::Own(<[u8]>::len);
    dialect.holds();
}
