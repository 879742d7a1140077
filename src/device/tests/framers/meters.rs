//! The frames of meters and chargers, each from its own standard.

use super::{ARC, Dialect, KERMIT, Next, X25, find, high_first, low_first, sum, xor};
use crate::device::Options;
use crate::device::tests::{shipped, with};
use crate::limits;

fn of_protocol(
    profile: &str,
    spice: &'static [u8],
    frame: impl Fn(u32) -> Vec<u8> + 'static,
    shows: impl Fn(u32) -> String + 'static,
    whole: impl Fn(&[u8]) -> Option<usize> + 'static,
) -> Dialect {
    Dialect {
        profile: shipped(profile),
        asked: None,
        frame: Box::new(frame),
        shows: Box::new(shows),
        whole: Box::new(whole),
        next: Next::Byte,
        spice,
        longest: limits::FRAME_BYTES,
    }
}

/// EN 13757-2: 68 L L 68, content, its sum, 16.
#[test]
fn m_bus() {
    let frame = |number: u32| {
        let mut content =
            vec![0x08, 1, 0x72, 0x78, 0x56, 0x34, 0x12, 0x24, 0x40, 1, 7, 0x55, 0, 0, 0, 0x04, 0x2B];
        content.extend((number >> 1).to_le_bytes());
        let length = u8::try_from(content.len()).unwrap();
        [&[0x68, length, length, 0x68][..], &content, &[sum(&content), 0x16]].concat()
    };
    let whole = |bytes: &[u8]| {
        let [0x68, length, again, 0x68, rest @ ..] = bytes else { return None };
        let (content, behind) = rest.split_at_checked(usize::from(*length))?;
        let closed = behind.len() >= 2 && behind[..2] == [sum(content), 0x16];
        (length == again && content.len() >= 3 && closed).then_some(content.len() + 6)
    };
    let shows = |number: u32| format!("power={}", number >> 1);
    of_protocol("m-bus", &[0x68, 0x16, 3, 0x10, 0xE5], frame, shows, whole).holds();
}

/// BSI TR-03109-1, annex IV: escape sequences, fill bytes, a CRC over all of it; Holley's other CRC too.
#[test]
fn sml() {
    for holley in [false, true] {
        let guard = move |bytes: &[u8]| low_first(if holley { KERMIT.of(bytes) } else { X25.of(bytes) });
        let frame = move |number: u32| {
            // One entry of a list: name, status, time, unit, scaler, value, signature. Some need escaping.
            let mut entry = vec![0x77, 0x07, 1, 0, 16, 7, 0, 255, 1, 1, 0x62, 0x1B, 0x52, 0, 0x65];
            entry.extend(number.to_be_bytes());
            entry.push(1);
            let signature =
                if number.is_multiple_of(3) { vec![0x06, 0x1B, 0x1B, 0x1B, 0x1B, 0x1B] } else { vec![1] };
            let mut stuffed = Vec::new();
            for part in [&entry[..], &signature] {
                match find(part, &[0x1B; 4], 0) {
                    Some(at) => stuffed.extend([&part[..at], &[0x1B; 8], &part[at + 4..]].concat()),
                    None => stuffed.extend(part),
                }
            }
            let fill = (4 - (entry.len() + signature.len()) % 4) % 4;
            let mut file = vec![0x1B, 0x1B, 0x1B, 0x1B, 1, 1, 1, 1];
            file.extend(stuffed);
            file.extend(vec![0; fill]);
            file.extend([0x1B, 0x1B, 0x1B, 0x1B, 0x1A, u8::try_from(fill).unwrap()]);
            file.extend(guard(&file));
            file
        };
        let whole = |bytes: &[u8]| {
            let mut at = 8;
            let starts = bytes.starts_with(&[0x1B, 0x1B, 0x1B, 0x1B, 1, 1, 1, 1]);
            loop {
                let escape = find(bytes, &[0x1B; 4], at).filter(|_| starts)?;
                at = match bytes.get(escape + 4..escape + 8)? {
                    [0x1B, 0x1B, 0x1B, 0x1B] => escape + 8,
                    [0x1A, 0..=8, said @ ..] => {
                        let guarded = &bytes[..escape + 6];
                        let holds =
                            said == low_first(X25.of(guarded)) || said == low_first(KERMIT.of(guarded));
                        return holds.then_some(escape + 8);
                    }
                    [1, 1, 1, 1] => return None,
                    _ => escape + 1,
                };
            }
        };
        of_protocol(
            "sml",
            &[0x1B, 0x1B, 0x1B, 1, 1, 0x1A, 0x77],
            frame,
            |number| format!("power={number}"),
            whole,
        )
        .holds();
    }
}

/// DSMR 4 and 5: a CRC over everything from the slash to the exclamation mark.
#[test]
fn a_p1_telegram() {
    of_protocol("dsmr-p1", b"/!\r\n(ABC5x", p1, p1_shows, telegram).holds();
}

fn p1(number: u32) -> Vec<u8> {
    let (whole, part) = (number % 1_000_000 / 1000, number % 1000);
    let text = format!(
        "/XMX5LGF0010455445\r\n\r\n1-3:0.2.8(50)\r\n0-0:96.13.0()\r\n1-0:1.8.1({whole:06}.{part:03}*kWh)\r\n!"
    );
    let guard = ARC.of(text.as_bytes());
    format!("{text}{guard:04X}\r\n").into_bytes()
}

fn p1_shows(number: u32) -> String {
    format!("energy_import_t1={}", f64::from(number % 1_000_000) / 1000.0)
}

/// The same telegram, encrypted: what does not open is none, and neither is what is in the clear.
#[test]
fn a_p1_telegram_that_is_encrypted() {
    use aes_gcm::aead::consts::U12;
    use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
    use aes_gcm::aes::Aes128;

    type Gcm = aes_gcm::AesGcm<Aes128, U12, U12>;
    const KEY: [u8; 16] = *b"key of one meter";
    let other: Vec<u8> = (0..=255).step_by(17).collect();
    let aad = [&[0x30][..], &other].concat();
    let around = aad.clone();
    let frame = move |number: u32| {
        let text = p1(number);
        let (title, counter) = (*b"SMSe\x67\x00\x01\x02", number.to_be_bytes());
        let nonce: [u8; 12] = [&title[..], &counter].concat().try_into().unwrap();
        let payload = Payload { msg: &text, aad: &around };
        let sealed = Gcm::new(&KEY.into()).encrypt(&nonce.into(), payload).unwrap();
        let length = u16::try_from(5 + sealed.len()).unwrap().to_be_bytes();
        [&[0xDB, 0x08][..], &title, &[0x82], &length, &[0x30], &counter, &sealed].concat()
    };
    let whole = move |bytes: &[u8]| {
        let [0xDB, 0x08, rest @ ..] = bytes else { return None };
        let (title, rest) = rest.split_first_chunk::<8>()?;
        let [0x82, high, low, 0x30, behind @ ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(1)?;
        let (counter, sealed) = behind.get(..length)?.split_first_chunk::<4>()?;
        let nonce: [u8; 12] = [&title[..], counter].concat().try_into().ok()?;
        let payload = Payload { msg: sealed, aad: &aad };
        Gcm::new(&KEY.into()).decrypt(&nonce.into(), payload).ok().map(|_| 14 + length)
    };
    let digits: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let spice = &[0xDB, 0x08, 0x82, 0, 0x30, 0x81, b'/'];
    let mut dialect = of_protocol("dsmr-p1", spice, frame, p1_shows, whole);
    dialect.profile = with("dsmr-p1", Options { key: digits.parse().ok(), ..Options::default() });
    dialect.holds();
}

/// IEC 62056-21: the exclusive or of what follows STX, ETX included.
#[test]
fn a_data_block_of_a_meter() {
    let frame = |number: u32| {
        let block = format!("0.0.0(12345678)\r\n1.8.0({:06}.0*kWh)\r\n!\r\n\u{3}", number % 1_000_000);
        [b"/ESY5Q3DA1004 V3.04\r\n\r\n\x02", block.as_bytes(), &[xor(block.as_bytes())]].concat()
    };
    let shows = |number: u32| format!("energy_import={}", number % 1_000_000);
    of_protocol("iec62056-21", b"/!\r\n\x02\x03(ABC5x", frame, shows, telegram).holds();
}

/// A telegram that begins here, whichever guard it has.
fn telegram(bytes: &[u8]) -> Option<usize> {
    let letters = bytes.get(1..4).filter(|_| bytes[0] == b'/')?;
    let is_header = letters.iter().all(u8::is_ascii_alphabetic) && bytes.get(4)?.is_ascii_alphanumeric();
    let mark = find(bytes, b"\n!", 1).filter(|_| is_header)? + 1;
    let line = find(bytes, b"\n", mark).filter(|line| line - mark < 9)?;
    let said = bytes[mark + 1..line].trim_ascii();
    if !said.is_empty() {
        let digits = std::str::from_utf8(said).ok().filter(|digits| digits.len() == 4)?;
        let holds = u32::from_str_radix(digits, 16).ok()? == ARC.of(&bytes[..=mark]);
        return holds.then_some(line + 1);
    }
    let Some(stx) = bytes[..mark].iter().position(|byte| *byte == 2) else {
        // Those of old have no guard at all: no other may begin inside, and what has lost its guard is none.
        let body = &bytes[..mark];
        let begins = |at: &usize| {
            let rest = &body[*at..];
            rest.len() > 4
                && rest[0] == b'/'
                && rest[1..4].iter().all(u8::is_ascii_alphabetic)
                && rest[4].is_ascii_alphanumeric()
        };
        let is_old =
            find(body, b"1-3:0.2.8(", 0).is_none_or(|at| !matches!(body.get(at + 10), Some(b'4'..=b'9')));
        return (is_old && body.is_ascii() && !(1..body.len()).any(|at| begins(&at))).then_some(line + 1);
    };
    let [3, said] = bytes.get(line + 1..line + 3)? else { return None };
    (xor(&bytes[stx + 1..line + 2]) == *said).then_some(line + 3)
}

/// Enedis-NOI-CPT_54E: STX, lines that guard themselves, ETX.
#[test]
fn teleinfo() {
    let frame = |number: u32| {
        let line = |content: String| {
            let guard = char::from((sum(content.as_bytes()) & 0x3F) + 0x20);
            format!("\n{content}{guard}\r")
        };
        let text = line("VTIC\t02\t".to_owned()) + &line(format!("EAST\t{number:09}\t"));
        format!("\u{2}{text}\u{3}").into_bytes()
    };
    let whole = |bytes: &[u8]| {
        let end = (1..bytes.len()).find(|at| matches!(bytes[*at], 2..=4))?;
        (bytes[0] == 2 && bytes[end] == 3).then_some(end + 1)
    };
    let shows = |number: u32| format!("energy_import={}", f64::from(number) / 1000.0);
    let mut dialect =
        of_protocol("linky-teleinfo-standard", &[2, 3, 4, b'\n', b'\r', b'\t'], frame, shows, whole);
    // A sum of six bits lets some changed bytes through, as nothing else in the frame tells them: see the test of
    // single bits for those that it must find.
    dialect.longest = limits::FRAME_BYTES;
    dialect.holds();
}

/// HEX messages: the digits from a colon on, and the end of their line.
fn message(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(1..)?.iter().take(256).take_while(|byte| byte.is_ascii_hexdigit()).count();
    (bytes[0] == b':' && digits > 0 && digits < 256 && bytes.get(digits + 1) == Some(&b'\n'))
        .then_some(digits + 2)
}

/// VE.Direct 3.34, HEX: the sum of command and bytes is 0x55.
fn sound_message(bytes: &[u8]) -> Option<usize> {
    let length = message(bytes)?;
    let digits = std::str::from_utf8(&bytes[1..length - 1]).ok()?;
    let padded = format!("0{digits}");
    let pairs: Option<Vec<u8>> = padded
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    (padded.len() % 2 == 0 && sum(&pairs?) == 0x55).then_some(length)
}

fn hex_message(number: u32) -> Vec<u8> {
    // Register ED8D, voltage: 0.01 V.
    let [low, high, ..] = (number % 0x7FFF).to_le_bytes();
    let content = [0x07, 0x8D, 0xED, 0x00, low, high];
    let guard = 0x55_u8.wrapping_sub(sum(&content));
    let digits: String = content[1..].iter().chain([&guard]).map(|byte| format!("{byte:02X}")).collect();
    format!(":7{digits}\n").into_bytes()
}

#[test]
fn ve_direct_hex() {
    let shows = |number: u32| format!("voltage={}", f64::from(number % 0x7FFF) / 100.0);
    of_protocol("victron-ve-direct-hex", b":7\nAED", hex_message, shows, sound_message).holds();
}

/// The block that begins here: its length, and its bytes without the messages in it, up to the checksum's own.
fn block(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut plain) = (0, Vec::new());
    while at < bytes.len().min(2048) && bytes.starts_with(b"\r\n") {
        if let Some(length) = message(&bytes[at..]) {
            at += length;
            continue;
        }
        plain.push(bytes[at]);
        at += 1;
        if plain.ends_with(b"\r\nChecksum\t") {
            plain.push(*bytes.get(at)?);
            return Some((at + 1, plain));
        }
    }
    None
}

/// VE.Direct 3.34, text: the sum of a block's bytes is 0, without the messages in it.
#[test]
fn ve_direct() {
    let frame = |number: u32| {
        let mut text =
            format!("\r\nPID\t0xA042\r\nV\t{}\r\nLOAD\tON\r\nChecksum\t", number >> 1).into_bytes();
        text.push(0_u8.wrapping_sub(sum(&text)));
        if number.is_multiple_of(4) {
            // A message in the middle of the block.
            let inside = hex_message(number);
            let at = 2 + text[2..].iter().position(|byte| *byte == b'\r').unwrap();
            text.splice(at..at, inside);
        }
        text
    };
    let whole = |bytes: &[u8]| {
        sound_message(bytes)
            .or_else(|| block(bytes).filter(|(_, plain)| sum(plain) == 0).map(|(length, _)| length))
    };
    // Single lines prove nothing: behind a broken block the search goes on where the next one opens.
    let next = |bytes: &[u8]| match block(bytes).filter(|_| message(bytes).is_none()) {
        None => 1,
        Some((length, _)) => {
            let opens = |first| find(&bytes[..length], first, 1);
            let opening = [opens(b"\r\nPID\t"), opens(b"\r\nH1\t")].into_iter().flatten().min();
            opening.unwrap_or(length - usize::from(bytes[length - 1] == b'\r'))
        }
    };
    let shows = |number: u32| format!("voltage={}", f64::from(number >> 1) / 1000.0);
    let mut dialect = of_protocol("victron-ve-direct", b"\r\n\t:7CHPV", frame, shows, whole);
    dialect.next = Next::Own(next);
    dialect.holds();
}

#[test]
fn the_reference_knows_the_check_bytes_of_the_standards() {
    assert_eq!(high_first(ARC.of(b"123456789")), [0xBB, 0x3D]);
    assert_eq!(sound_message(b":154\n"), Some(5), "the ping of VE.Direct 3.34");
}
