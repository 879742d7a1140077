//! Whatever we write, we read: every packet in every version, in whatever pieces it arrives.

use bytes::BytesMut;
use proptest::prelude::*;
use tidegate::mqtt::{Decoder, Packet, encode, encoded_len};

use super::arbitrary::{conversation, sent_packet};
use super::wire::{MAX, Side, read};

fn written(version: tidegate::mqtt::ProtocolVersion, packets: &[Packet]) -> BytesMut {
    let mut wire = BytesMut::new();
    for packet in packets {
        encode(version, packet, &mut wire).unwrap();
    }
    wire
}

proptest! {
    #[test]
    fn every_packet_is_read_as_it_was_written((version, side, packet) in sent_packet()) {
        let wire = written(version, std::slice::from_ref(&packet));
        prop_assert_eq!(encoded_len(version, &packet), Ok(wire.len()));
        prop_assert_eq!(read(side, version, &wire), Ok(packet));
    }

    #[test]
    fn any_split_gives_the_same_packets(
        (version, side, packets) in conversation(),
        pieces in proptest::collection::vec(1..40_usize, 1..20),
    ) {
        let wire = written(version, &packets);
        let mut decoder = match side {
            Side::Client => Decoder::of_client(MAX),
            Side::Server => Decoder::of_server(version, MAX),
        };
        let (mut buffer, mut got, mut bytes) = (BytesMut::new(), Vec::new(), 0);
        let mut rest = &wire[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*piece));
            buffer.extend_from_slice(now);
            while let Some((packet, size)) = decoder.decode(&mut buffer).unwrap() {
                got.push(packet);
                bytes += size;
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(bytes, wire.len());
        prop_assert_eq!(got, packets);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_not_all_there_is_left_alone((version, side, packet) in sent_packet(), cut in any::<prop::sample::Index>()) {
        let wire = written(version, std::slice::from_ref(&packet));
        let cut = cut.index(wire.len());
        let mut decoder = match packet {
            Packet::Connect(_) => Decoder::of_client(MAX),
            _ => super::wire::decoder(side, version),
        };
        let mut buffer = BytesMut::from(&wire[..cut]);
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
        prop_assert_eq!(&buffer[..], &wire[..cut]);
    }
}
