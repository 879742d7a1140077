//! What must hold for any bytes that a peer sends: no panic; the same outcome however they are split; and whatever
//! is read can be written in no more bytes and read again as the same.

use bytes::BytesMut;
use tidegate::mqtt::{DecodeError, Decoder, Packet, ProtocolVersion, encode, encoded_len};

const MAX_PACKET_BYTES: usize = 1 << 20;

/// Tries some bytes. The first chooses the situation, the rest is what the peer sends.
pub(crate) fn fuzz_codec(data: &[u8]) {
    let Some((&choice, sent)) = data.split_first() else { return };
    let situation = Situation::new(choice);
    let whole = read_all(situation.decoder(), sent, sent.len().max(1));
    let in_pieces = read_all(situation.decoder(), sent, 1 + usize::from(choice >> 3));
    assert_eq!(whole, in_pieces);
    for (packet, size, version) in whole.0 {
        write_and_read(&situation, &packet, size, version);
    }
}

/// Who sends, and what was said before.
struct Situation {
    from_client: bool,
    /// `None`: a client that has not sent CONNECT yet.
    version: Option<ProtocolVersion>,
}

/// Packets with their size and the version in which they were read, and how it ended.
type Outcome = (Vec<(Packet, usize, ProtocolVersion)>, Option<DecodeError>);

impl Situation {
    fn new(choice: u8) -> Situation {
        let version = match choice & 0b11 {
            0 => Some(ProtocolVersion::V3_1),
            1 => Some(ProtocolVersion::V3_1_1),
            2 => Some(ProtocolVersion::V5),
            _ => None,
        };
        Situation { from_client: version.is_none() || choice & 0b100 != 0, version }
    }

    fn decoder(&self) -> Decoder {
        let Some(version) = self.version else { return Decoder::of_client(MAX_PACKET_BYTES) };
        if !self.from_client {
            return Decoder::of_server(version, MAX_PACKET_BYTES);
        }
        let connect: &[u8] = match version {
            ProtocolVersion::V3_1 => b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01c",
            ProtocolVersion::V3_1_1 => b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c",
            ProtocolVersion::V5 => b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c",
        };
        let mut decoder = Decoder::of_client(MAX_PACKET_BYTES);
        let outcome = decoder.decode(&mut BytesMut::from(connect));
        assert!(matches!(outcome, Ok(Some(_))), "{outcome:?}");
        decoder
    }
}

fn read_all(mut decoder: Decoder, sent: &[u8], piece: usize) -> Outcome {
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in sent.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some((packet, size))) => {
                    let version = decoder.version().expect("known with the first packet");
                    packets.push((packet, size, version));
                }
                Ok(None) => break,
                Err(error) => return (packets, Some(error)),
            }
        }
    }
    (packets, None)
}

fn write_and_read(situation: &Situation, packet: &Packet, size: usize, version: ProtocolVersion) {
    let mut wire = BytesMut::new();
    encode(version, packet, &mut wire).expect("what was read can be written");
    assert_eq!(encoded_len(version, packet), Ok(wire.len()));
    // DISCONNECT is written with a length of properties that may be left out.
    let spare = usize::from(matches!(packet, Packet::Disconnect(_)));
    assert!(wire.len() <= size + spare, "{packet:?} came in {size} bytes and is written in {}", wire.len());
    let mut decoder = match packet {
        Packet::Connect(_) => Decoder::of_client(MAX_PACKET_BYTES),
        _ => Situation { version: Some(version), ..*situation }.decoder(),
    };
    let length = wire.len();
    assert_eq!(decoder.decode(&mut wire), Ok(Some((packet.clone(), length))));
}
