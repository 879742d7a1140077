//! What reading costs in memory: nothing before the bytes are there, nothing for a PUBLISH of 3.1.1, and little for
//! what is made to be greedy.

use allocation_counter::measure;
use bytes::BytesMut;
use tidegate::durable::{Message, MessageBody};
use tidegate::limits;
use tidegate::mqtt::{Decoder, Packet};
use tidegate::time::{BootId, Instant, Moment, TimeQuality};

use super::wire::{Side, V3_1_1, V5, connect, decoder, packet};

#[test]
fn a_publish_of_3_1_1_is_slices_of_what_was_read() {
    let one = packet(0x32, "s:greenhouse/air/state 0001 0000000000000000");
    let mut decoder = decoder(Side::Client, V3_1_1);
    let mut buffer = BytesMut::from(&*one.repeat(1000));
    // The first slice makes the buffer shared, which costs one small allocation for all slices of it.
    decoder.decode(&mut buffer).unwrap().unwrap();
    let cost = measure(|| {
        for _ in 1..1000 {
            let (packet, size) = decoder.decode(&mut buffer).unwrap().unwrap();
            assert_eq!(size, one.len());
            std::hint::black_box(packet);
        }
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}

#[test]
fn acknowledgements_and_pings_cost_no_memory() {
    for (version, first, body) in [
        (V3_1_1, 0x40, "0001"),
        (V5, 0x40, "0001"),
        (V5, 0x62, "0001"),
        (V5, 0x50, "0001 97"),
        (V5, 0xc0, ""),
    ] {
        let mut buffer = BytesMut::from(&*packet(first, body).repeat(100));
        let mut decoder = decoder(Side::Client, version);
        decoder.decode(&mut buffer).unwrap().unwrap();
        let cost = measure(|| while decoder.decode(&mut buffer).unwrap().is_some() {});
        assert!(buffer.is_empty());
        assert_eq!(cost.count_total, 0, "{version:?} {body}: {cost:?}");
    }
}

#[test]
fn nothing_is_allocated_for_bytes_that_are_only_promised() {
    let mut decoder = decoder(Side::Client, V5);
    decoder.set_max_packet_bytes(limits::PACKET_BYTES_MAX);
    let promised = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    for length in 0..=promised.len() {
        let mut buffer = BytesMut::from(&promised[..length]);
        let cost = measure(|| assert_eq!(decoder.decode(&mut buffer), Ok(None)));
        assert_eq!(cost.count_total, 0, "{cost:?}");
    }
    // The same inside of a packet: lengths that reach behind its end.
    for body in ["ffff 61", "s:t ffffff7f", "s:t 03 09 ffff"] {
        let mut buffer = BytesMut::from(&*packet(0x30, body));
        let cost = measure(|| drop(decoder.decode(&mut buffer).unwrap_err()));
        assert!(cost.bytes_max < 512, "{body}: {cost:?}");
    }
}

#[test]
fn the_greediest_packets_take_little_memory() {
    // The greediest packets: as many of the shortest elements as are allowed, and more.
    let lists = [
        (Side::Client, 0x82, "0001 00", "0000 00", limits::PACKET_FILTERS),
        (Side::Client, 0xa2, "0001 00", "0000", limits::PACKET_FILTERS),
        (Side::Server, 0x90, "0001 00", "00", 900_000),
    ];
    for (side, first, before, element, count) in lists {
        let body = |count: usize| format!("{before} {}", format!("{element} ").repeat(count));
        cost_is_bounded(side, first, &body(count), true);
        if side == Side::Client {
            cost_is_bounded(side, first, &body(count + 1), false);
        }
    }
    let properties = |element: &str, count: usize| format!("s:t ( {})", element.repeat(count));
    cost_is_bounded(Side::Client, 0x30, &properties("26 0000 0000 ", limits::USER_PROPERTIES), true);
    cost_is_bounded(Side::Client, 0x30, &properties("26 0000 0000 ", 100_000), false);
    cost_is_bounded(Side::Server, 0x30, &properties("0b 01 ", 100_000), true);
}

fn cost_is_bounded(side: Side, first: u8, body: &str, sound: bool) {
    let wire = packet(first, body);
    let mut decoder = decoder(side, V5);
    let mut buffer = BytesMut::from(&*wire);
    let mut is_ok = !sound;
    let cost = measure(|| is_ok = decoder.decode(&mut buffer).is_ok());
    assert_eq!(is_ok, sound);
    assert!(cost.bytes_max < 2 * 1024 * 1024, "{first:#04x}: {} bytes took {cost:?}", wire.len());
}

#[test]
fn what_lives_as_long_as_a_session_keeps_no_read_buffer_alive() {
    let subscribe = packet(0x82, "0001 00 s:greenhouse/+/state 01");
    for wire in [connect(V5), subscribe] {
        let mut decoder =
            if wire[0] == 0x10 { Decoder::of_client(1 << 20) } else { decoder(Side::Client, V5) };
        let kept = measure(|| {
            let mut buffer = BytesMut::with_capacity(limits::READ_BUFFER_BYTES);
            buffer.extend_from_slice(&wire);
            std::mem::forget(decoder.decode(&mut buffer).unwrap());
        });
        assert!(kept.bytes_current < 1024, "{kept:?}");
    }
}

#[test]
fn a_detached_message_keeps_no_read_buffer_alive() {
    let wire = packet(0x30, "s:t ( 03 s:x 08 s:r 09 s:d 26 s:a s:b ) 70");
    let mut decoder = decoder(Side::Client, V5);
    let kept = measure(|| {
        let mut buffer = BytesMut::with_capacity(limits::READ_BUFFER_BYTES);
        buffer.extend_from_slice(&wire);
        let Some((Packet::Publish(publish), _)) = decoder.decode(&mut buffer).unwrap() else { panic!() };
        let message = Message {
            topic: publish.topic.clone().unwrap(),
            qos: publish.qos.qos(),
            retain: publish.retain,
            accepted_at: Moment {
                boot: BootId(1),
                monotonic: Instant::from_nanos(0),
                unix_ms: 0,
                quality: TimeQuality::Unsynced,
            },
            body: MessageBody::Publish {
                payload: publish.payload.clone(),
                properties: publish.properties.clone(),
            },
        };
        let detached = message.detached();
        assert_eq!(detached, message);
        std::mem::forget(detached);
    });
    assert!(kept.bytes_current < 1024, "{kept:?}");
}
