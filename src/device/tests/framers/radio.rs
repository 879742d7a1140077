//! Packets of radio sticks, and answers on a Modbus line.

use super::{Dialect, MODBUS, Next, crc, low_first};
use crate::device::tests::{shipped, with};
use crate::device::{Options, Request};
use crate::limits;

/// EnOcean ESP3 1.51: 55, header with its CRC, data and optional data with theirs.
#[test]
fn esp3() {
    let crc8 = |bytes: &[u8]| u8::try_from(crc(8, 0x07, 0, false, 0).of(bytes)).unwrap();
    // A door contact (D5-00-01), shut when the lowest bit is set; the rest of the number is in its optional data.
    let frame = move |number: u32| {
        let header = [0, 7, 7, 1];
        let state = if number % 2 == 1 { 0x09 } else { 0x08 };
        let mut content = vec![0xD5, state, 0x01, 0x81, 0xB7, 0xEE, 0x00, 3];
        content.extend(number.to_be_bytes());
        content.extend([u8::try_from(number % 100).unwrap(), 0]);
        [&[0x55][..], &header, &[crc8(&header)], &content, &[crc8(&content)]].concat()
    };
    let whole = move |bytes: &[u8]| {
        let header = bytes.get(..6).filter(|header| header[0] == 0x55 && crc8(&header[1..5]) == header[5])?;
        let content = usize::from(header[1]) * 256 + usize::from(header[2]) + usize::from(header[3]);
        let packet = bytes.get(..content + 7).filter(|packet| packet.len() <= limits::FRAME_BYTES)?;
        (crc8(&packet[6..content + 6]) == packet[content + 6]).then_some(content + 7)
    };
    let eep = Some([("0181b7ee".to_owned(), "D5-00-01".to_owned())].into());
    let profile = with("enocean-esp3", Options { eep, ..Options::default() });
    let shows = |number: u32| {
        format!("opening={} sender=\"0181b7ee\" rssi=-{}", number.is_multiple_of(2), number % 100)
    };
    Dialect {
        profile,
        asked: None,
        frame: Box::new(frame),
        shows: Box::new(move |number| shows(number).split(' ').next().unwrap().to_owned()),
        whole: Box::new(whole),
        next: Next::Byte,
        spice: &[0x55, 0, 7, 1, 0xD5],
        longest: limits::FRAME_BYTES,
    }
    .holds();
}

/// MODBUS over Serial Line 1.02: the one answer that was asked for.
#[test]
fn modbus() {
    let request = Request::read(1, 4, 1, 2);
    let frame = |number: u32| {
        let content = [1, 4, 4, 0, number.to_le_bytes()[0], 1, 0x90];
        [&content[..], &low_first(MODBUS.of(&content))].concat()
    };
    let whole = |bytes: &[u8]| {
        let answer = bytes.get(..9).filter(|answer| answer[..3] == [1, 4, 4])?;
        (low_first(MODBUS.of(&answer[..7])) == answer[7..]).then_some(9)
    };
    // An exception is a frame too, and says nothing.
    let next = |bytes: &[u8]| {
        let refused = bytes.get(..5).is_some_and(|answer| {
            answer[..2] == [1, 0x84] && low_first(MODBUS.of(&answer[..3])) == answer[3..]
        });
        if refused { 5 } else { 1 }
    };
    Dialect {
        profile: shipped("xy-md02"),
        asked: Some(request),
        frame: Box::new(frame),
        shows: Box::new(|number| format!("temperature={} humidity=40", f64::from(number & 0xFF) / 10.0)),
        whole: Box::new(whole),
        next: Next::Own(next),
        spice: &[1, 4, 4, 0x84, 2],
        longest: limits::FRAME_BYTES,
    }
    .holds();
}
