//! Packets written by hand, and decoders to try them on.

use bytes::BytesMut;
use tidegate::mqtt::{DecodeError, Decoder, Packet, ProtocolVersion, ReasonCode};

pub(crate) use ProtocolVersion::{V3_1, V3_1_1, V5};

pub(crate) const VERSIONS: [ProtocolVersion; 3] = [V3_1, V3_1_1, V5];
pub(crate) const MAX: usize = 1 << 20;

/// Who wrote the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

pub(crate) const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// A packet from its first byte and a body in the language of [`bytes`].
pub(crate) fn packet(first: u8, body: &str) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(with_length(bytes(body)));
    packet
}

/// Bytes in a small language: hexadecimal digits in pairs; `s:text` for a string with its length; `( ... )` for
/// properties with theirs.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut outside = None;
    for token in text.split_whitespace() {
        if token == "(" {
            outside = Some(std::mem::take(&mut bytes));
        } else if token == ")" {
            let properties = with_length(bytes);
            bytes = outside.take().expect("a ( before each )");
            bytes.extend(properties);
        } else if let Some(text) = token.strip_prefix("s:") {
            bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
        } else {
            assert!(token.len().is_multiple_of(2), "{token}");
            let pairs = (0..token.len()).step_by(2);
            bytes.extend(pairs.map(|at| u8::from_str_radix(&token[at..at + 2], 16).unwrap()));
        }
    }
    assert!(outside.is_none(), "a ) behind each (");
    bytes
}

fn with_length(body: Vec<u8>) -> Vec<u8> {
    let mut bytes = varint(body.len());
    bytes.extend(body);
    bytes
}

/// A Variable Byte Integer.
pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value % 0x80) as u8 | 0x80);
        value /= 0x80;
    }
    bytes.push(value as u8);
    bytes
}

/// The shortest CONNECT of a version.
pub(crate) fn connect(version: ProtocolVersion) -> Vec<u8> {
    packet(
        0x10,
        match version {
            V3_1 => "s:MQIsdp 03 02 003c s:c",
            V3_1_1 => "s:MQTT 04 02 003c s:c",
            V5 => "s:MQTT 05 02 003c 00 s:c",
        },
    )
}

/// A decoder in the middle of a connection.
pub(crate) fn decoder(side: Side, version: ProtocolVersion) -> Decoder {
    match side {
        Side::Server => Decoder::of_server(version, MAX),
        Side::Client => {
            let mut decoder = Decoder::of_client(MAX);
            decoder.decode(&mut BytesMut::from(&*connect(version))).unwrap().unwrap();
            decoder
        }
    }
}

/// Reads exactly one packet in the middle of a connection; a CONNECT at its start.
pub(crate) fn read(side: Side, version: ProtocolVersion, wire: &[u8]) -> Result<Packet, DecodeError> {
    let is_connect = wire[0] >> 4 == 1 && side == Side::Client;
    let mut decoder = if is_connect { Decoder::of_client(MAX) } else { decoder(side, version) };
    let mut buffer = BytesMut::from(wire);
    let (packet, size) = decoder.decode(&mut buffer)?.expect("the whole packet is there");
    assert_eq!(size, wire.len());
    assert!(buffer.is_empty());
    Ok(packet)
}

/// Asserts that a packet is refused with this reason.
#[track_caller]
pub(crate) fn refused(side: Side, version: ProtocolVersion, wire: &[u8], reason: ReasonCode, why: &str) {
    match read(side, version, wire) {
        Ok(packet) => panic!("{why}: {version:?} {wire:02x?} was read as {packet:?}"),
        Err(error) => assert_eq!(error.reason, reason, "{why}: {version:?} {wire:02x?}: {error}"),
    }
}

/// Asserts that a packet is read.
#[track_caller]
pub(crate) fn accepted(side: Side, version: ProtocolVersion, wire: &[u8], why: &str) -> Packet {
    read(side, version, wire)
        .unwrap_or_else(|error| panic!("{why}: {version:?} {wire:02x?} was refused: {error}"))
}
