//! What simulated meters and instruments send: text and binary protocols with their own ways of framing.
//!
//! The bytes are made here, from the standards, and not by the decoders' profiles: the two must not agree by sharing a
//! mistake.

use super::device::{low, sum};

fn low_byte(sum: u16) -> u8 {
    let [_, low] = sum.to_be_bytes();
    low
}

/// A reflected CRC of 16 bits, one bit at a time.
fn crc(bytes: &[u8], polynomial: u16, start: u16) -> u16 {
    bytes.iter().fold(start, |register, byte| {
        (0..8).fold(register ^ u16::from(*byte), |register, _| {
            let shifted = register >> 1;
            if register & 1 == 1 { shifted ^ polynomial } else { shifted }
        })
    })
}

/// MTW: the temperature counts tenths.
pub(super) fn nmea(number: u64) -> Vec<u8> {
    let body = format!("IIMTW,{}.{},C", number / 10, number % 10);
    let guard = body.bytes().fold(0, |xor, byte| xor ^ byte);
    format!("${body}*{guard:02X}\r\n").into_bytes()
}

/// The voltage counts to twenty volts, the power the twenty volts.
pub(super) fn ve_direct(number: u64) -> Vec<u8> {
    let (millivolts, watts) = (number % 20_000, number / 20_000);
    let mut block = format!(
        "\r\nPID\t0xA389\r\nV\t{millivolts}\r\nI\t-1200\r\nP\t{watts}\r\nSOC\t876\r\nAlarm\tOFF\r\nChecksum\t"
    )
    .into_bytes();
    block.push(low_byte(sum(&block)).wrapping_neg());
    block
}

/// The energy counts watt hours, as that of all meters here.
pub(super) fn dsmr_p1(number: u64) -> Vec<u8> {
    let telegram = format!(
        "/TID5SIMULATED\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261123120000W)\r\n1-0:1.8.0({:06}.{:03}*kWh)\r\n\
         1-0:1.7.0(00.415*kW)\r\n1-0:32.7.0(231.4*V)\r\n!",
        number / 1000,
        number % 1000
    );
    let guard = crc(telegram.as_bytes(), 0xA001, 0);
    format!("{telegram}{guard:04X}\r\n").into_bytes()
}

/// One list of values between the frame of the transport; nothing in it needs an escape.
pub(super) fn sml(number: u64) -> Vec<u8> {
    let mut file = vec![0x1B, 0x1B, 0x1B, 0x1B, 1, 1, 1, 1];
    // Name 1-0:1.8.0*255, no status, no time, Wh, 10^0, the number, no signature.
    let head = [0x71, 0x77, 0x07, 1, 0, 1, 8, 0, 255, 0x01, 0x01, 0x62, 0x1E, 0x52, 0x00, 0x59];
    file.extend(head);
    file.extend(number.to_be_bytes());
    // The end of the entry, then what fills up to a multiple of four.
    file.extend([0x01, 0, 0, 0, 0x1B, 0x1B, 0x1B, 0x1B, 0x1A, 3]);
    let guard = crc(&file, 0x8408, 0xFFFF) ^ 0xFFFF;
    file.extend(guard.to_le_bytes());
    file
}

/// Three lines of standard mode.
pub(super) fn linky(number: u64) -> Vec<u8> {
    let line = |content: String| {
        let guard = char::from((low_byte(sum(content.as_bytes())) & 0x3F) + 0x20);
        format!("\n{content}{guard}\r")
    };
    let lines = [
        line("ADSC\t811776001234\t".to_owned()),
        line(format!("EAST\t{number:09}\t")),
        line("URMS1\t233\t".to_owned()),
    ];
    format!("\u{2}{}\u{3}", lines.concat()).into_bytes()
}

/// The answer of a heat meter: energy, and a volume that counts litres.
pub(super) fn m_bus(number: u64) -> Vec<u8> {
    let digits = format!("{:08}", number % 100_000_000);
    let bcd =
        (0..4).rev().filter_map(|byte| u8::from_str_radix(digits.get(byte * 2..byte * 2 + 2)?, 16).ok());
    let mut content = vec![0x08, 0x01, 0x72, 0x78, 0x56, 0x34, 0x12, 0x24, 0x23, 0x28, 0x04, 0x01, 0, 0, 0];
    content.extend([0x0C, 0x06, 0x34, 0x12, 0x00, 0x00, 0x0C, 0x13]);
    content.extend(bcd);
    let length = low_byte(low(u64::try_from(content.len()).unwrap_or(0)));
    let guard = low_byte(sum(&content));
    [&[0x68, length, length, 0x68][..], &content, &[guard, 0x16]].concat()
}

/// The temperature counts tenths to fifty degrees, the humidity the fifty degrees.
pub(super) fn xy_md02(number: u64) -> Vec<u8> {
    let mut answer = vec![0x01, 0x04, 0x04];
    answer.extend(low(number % 500).to_be_bytes());
    answer.extend(low(number / 500).to_be_bytes());
    answer.extend(crc(&answer, 0xA001, 0xFFFF).to_le_bytes());
    answer
}
