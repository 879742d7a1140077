//! The form of packets, rule by rule: what is refused, with which reason, and what must not be.

use bytes::BytesMut;
use tidegate::mqtt::ReasonCode::{
    MalformedPacket as Malformed, PacketTooLarge, ProtocolError as Protocol, TopicAliasInvalid,
    UnsupportedProtocolVersion,
};
use tidegate::mqtt::{Decoder, Packet, PublishQoS, ReasonCode};

use super::wire::{
    MAX, SIDES, Side, V3_1, V3_1_1, V5, VERSIONS, accepted, bytes, connect, decoder, packet, refused,
};

/// Statement, first byte, body and the reason of the refusal, read from a client that speaks 5.0.
const REFUSED_FROM_A_CLIENT_OF_5: &[(&str, u8, &str, ReasonCode)] = &[
    // Strings, in places where each is read in its own way.
    ("1.5.4-1 cut off", 0x10, "s:MQTT 05 02 003c 00 0002 c3", Malformed),
    ("1.5.4-1 lone continuation", 0x10, "s:MQTT 05 02 003c 00 0001 80", Malformed),
    ("1.5.4-1 overlong", 0x10, "s:MQTT 05 02 003c 00 0002 c080", Malformed),
    ("1.5.4-1 surrogate", 0x10, "s:MQTT 05 02 003c 00 0003 eda080", Malformed),
    ("1.5.4-1 above U+10FFFF", 0x10, "s:MQTT 05 02 003c 00 0004 f4908080", Malformed),
    ("1.5.4-1 surrogate in a topic", 0x30, "0003 edbfbf 00", Malformed),
    ("1.5.4-1 surrogate in a filter", 0x82, "0001 00 0003 eda080 00", Malformed),
    ("1.5.4-1 in the client identifier [MQTT-3.1.3-4]", 0x10, "s:MQTT 05 02 003c 00 0001 ff", Malformed),
    (
        "1.5.4-1 in the will topic [MQTT-3.1.3-11]",
        0x10,
        "s:MQTT 05 06 003c 00 s:c 00 0001 ff 0000",
        Malformed,
    ),
    ("1.5.4-1 in the user name [MQTT-3.1.3-12]", 0x10, "s:MQTT 05 82 003c 00 s:c 0001 ff", Malformed),
    ("1.5.4-1 in a response topic [MQTT-3.3.2-13]", 0x30, "s:t ( 08 0001 ff )", Malformed),
    ("1.5.4-1 in a content type [MQTT-3.3.2-19]", 0x30, "s:t ( 03 0001 ff )", Malformed),
    ("1.5.4-1 in an unsubscribed filter [MQTT-3.10.3-1]", 0xa2, "0001 00 0001 ff", Malformed),
    ("1.5.4-2 null in the client identifier", 0x10, "s:MQTT 05 02 003c 00 0001 00", Malformed),
    ("1.5.4-2 null in a topic", 0x30, "0003 610062 00", Malformed),
    ("1.5.4-2 null in a filter", 0x82, "0001 00 0003 610062 00", Malformed),
    ("1.5.5-1 property length in two bytes for one", 0x30, "s:t 8000", Malformed),
    ("1.5.5-1 property length of five bytes", 0x30, "s:t 8080808001", Malformed),
    ("1.5.7-1 name of a user property", 0x30, "s:t ( 26 0001 ff 0000 )", Malformed),
    ("1.5.7-1 value of a user property", 0x30, "s:t ( 26 0000 0001 00 )", Malformed),
    ("2.2.1-3 PUBLISH with identifier 0", 0x32, "s:t 0000 00", Malformed),
    ("2.2.1-3 SUBSCRIBE with identifier 0", 0x82, "0000 00 s:t 00", Malformed),
    ("2.2.1-3 UNSUBSCRIBE with identifier 0", 0xa2, "0000 00 s:t", Malformed),
    ("2.2.1-5 PUBACK with identifier 0", 0x40, "0000", Malformed),
    ("2.2.2-1 no property length", 0x30, "s:t", Malformed),
    ("3.1.2-3", 0x10, "s:MQTT 05 03 003c 00 s:c", Malformed),
    ("3.1.2-9 will without properties", 0x10, "s:MQTT 05 06 003c 00 s:c", Malformed),
    ("3.1.2-9 will without payload", 0x10, "s:MQTT 05 06 003c 00 s:c 00 s:t", Malformed),
    ("3.1.2-11", 0x10, "s:MQTT 05 0a 003c 00 s:c", Malformed),
    ("3.1.2-12", 0x10, "s:MQTT 05 1e 003c 00 s:c 00 s:t s:p", Malformed),
    ("3.1.2-13", 0x10, "s:MQTT 05 22 003c 00 s:c", Malformed),
    ("3.1.2-16 and -18: fields without flags", 0x10, "s:MQTT 05 02 003c 00 s:c s:u", Malformed),
    ("3.1.2-17", 0x10, "s:MQTT 05 82 003c 00 s:c", Malformed),
    ("3.1.2-19", 0x10, "s:MQTT 05 c2 003c 00 s:c s:u", Malformed),
    ("3.1.3-3 no client identifier", 0x10, "s:MQTT 05 02 003c 00", Malformed),
    ("3.3.2-2 in the will topic", 0x10, "s:MQTT 05 06 003c 00 s:c 00 s:t/# s:p", Malformed),
    ("4.7.3-1 empty will topic", 0x10, "s:MQTT 05 06 003c 00 s:c 00 0000 s:p", Malformed),
    ("3.3.1-2", 0x38, "s:t 00", Malformed),
    ("3.3.1-4", 0x36, "s:t 0001 00", Malformed),
    ("3.3.2-1 no topic", 0x30, "", Malformed),
    ("3.3.2-1 topic longer than the packet", 0x30, "0009 74", Malformed),
    ("3.3.2-2 +", 0x30, "s:a/+/b 00", Malformed),
    ("3.3.2-2 #", 0x30, "s:# 00", Malformed),
    ("section 3.3.2.1: neither topic nor alias", 0x30, "0000 00", Protocol),
    ("3.3.2-8", 0x30, "s:t ( 23 0000 )", TopicAliasInvalid),
    ("3.3.2-14", 0x30, "s:t ( 08 s:a/+ )", Malformed),
    ("3.3.4-6", 0x30, "s:t ( 0b01 )", Protocol),
    ("2.2.1-2 has no other form; no identifier at QoS 1", 0x32, "s:t", Malformed),
    ("3.8.3-2", 0x82, "0001 00", Protocol),
    ("section 3.8.3.1: QoS 3", 0x82, "0001 00 s:t 03", Protocol),
    ("section 3.8.3.1: Retain Handling 3", 0x82, "0001 00 s:t 30", Protocol),
    ("3.8.3-4", 0x82, "0001 00 s:$share/g/t 04", Protocol),
    ("3.8.3-5", 0x82, "0001 00 s:t 40", Malformed),
    ("3.8.3-5", 0x82, "0001 00 s:t 80", Malformed),
    ("section 3.8.3: no options", 0x82, "0001 00 s:t", Malformed),
    ("3.10.3-2", 0xa2, "0001 00", Protocol),
    ("section 3.12: PINGREQ with a body", 0xc0, "00", Malformed),
    ("section 3.4.2: bytes behind the properties", 0x40, "0001 00 00 00", Malformed),
    ("section 3.14.2: bytes behind the properties", 0xe0, "00 00 00", Malformed),
    ("section 2.2.2: properties longer than the packet", 0xe0, "00 05 11", Malformed),
    ("section 2.2.2: a property longer than the properties", 0xe0, "00 02 11 00000000", Malformed),
    ("section 3.15.2: no method", 0xf0, "18 00", Protocol),
    ("section 3.15.2: no properties", 0xf0, "18", Protocol),
];

#[test]
fn a_client_of_5_0_is_refused_what_the_standard_forbids() {
    for (why, first, body, reason) in REFUSED_FROM_A_CLIENT_OF_5 {
        refused(Side::Client, V5, &packet(*first, body), *reason, why);
    }
}

/// As above, from a client that speaks 3.1.1. Numbers are those of 3.1.1.
const REFUSED_FROM_A_CLIENT_OF_3_1_1: &[(&str, u8, &str, ReasonCode)] = &[
    ("1.5.3-1", 0x10, "s:MQTT 04 02 003c 0003 eda080", Malformed),
    ("1.5.3-2", 0x10, "s:MQTT 04 02 003c 0001 00", Malformed),
    ("2.3.1-1 PUBLISH", 0x32, "s:t 0000", Malformed),
    ("2.3.1-1 SUBSCRIBE", 0x82, "0000 s:t 00", Malformed),
    ("2.3.1-1 UNSUBSCRIBE", 0xa2, "0000 s:t", Malformed),
    ("3.1.2-3", 0x10, "s:MQTT 04 03 003c s:c", Malformed),
    ("3.1.2-9", 0x10, "s:MQTT 04 06 003c s:c s:t", Malformed),
    ("3.1.2-11 and -13", 0x10, "s:MQTT 04 0a 003c s:c", Malformed),
    ("3.1.2-14", 0x10, "s:MQTT 04 1e 003c s:c s:t s:p", Malformed),
    ("3.1.2-15", 0x10, "s:MQTT 04 22 003c s:c", Malformed),
    ("3.1.2-18 and -20", 0x10, "s:MQTT 04 02 003c s:c s:u", Malformed),
    ("3.1.2-19", 0x10, "s:MQTT 04 82 003c s:c", Malformed),
    ("3.1.2-21", 0x10, "s:MQTT 04 c2 003c s:c s:u", Malformed),
    ("3.1.2-22", 0x10, "s:MQTT 04 42 003c s:c s:p", Malformed),
    ("3.1.3-3", 0x10, "s:MQTT 04 02 003c", Malformed),
    ("3.1.3-4", 0x10, "s:MQTT 04 02 003c 0001 ff", Malformed),
    ("3.1.3-10", 0x10, "s:MQTT 04 06 003c s:c 0001 ff s:p", Malformed),
    ("3.1.3-11", 0x10, "s:MQTT 04 82 003c s:c 0001 ff", Malformed),
    ("3.3.1-2", 0x38, "s:t", Malformed),
    ("3.3.1-4", 0x36, "s:t 0001", Malformed),
    ("3.3.2-1", 0x30, "0001 ff", Malformed),
    ("3.3.2-2", 0x30, "s:a/#", Malformed),
    ("4.7.3-1", 0x30, "0000", Malformed),
    ("3.8.3-1", 0x82, "0001 0001 ff 00", Malformed),
    ("3.8.3-3", 0x82, "0001", Protocol),
    ("3-8.3-4 (so it is written) reserved bits", 0x82, "0001 s:t 04", Malformed),
    ("3-8.3-4 QoS 3", 0x82, "0001 s:t 03", Protocol),
    ("3.10.3-1", 0xa2, "0001 0001 ff", Malformed),
    ("3.10.3-2", 0xa2, "0001", Protocol),
    ("section 3.4.2: PUBACK of three bytes", 0x40, "0001 00", Malformed),
    ("section 3.14: DISCONNECT with a body", 0xe0, "00", Malformed),
    ("table 2.1: type 15", 0xf0, "", Malformed),
];

#[test]
fn a_client_of_3_1_1_is_refused_what_the_standard_forbids() {
    for (why, first, body, reason) in REFUSED_FROM_A_CLIENT_OF_3_1_1 {
        refused(Side::Client, V3_1_1, &packet(*first, body), *reason, why);
    }
}

#[test]
fn a_client_of_3_1_is_forgiven_what_its_standard_leaves_open() {
    let lenient = [
        ("SUBSCRIBE sent again with DUP", 0x8a, "0001 s:t 01"),
        ("UNSUBSCRIBE sent again with DUP", 0xaa, "0001 s:t"),
        ("PUBREL sent again with DUP", 0x6a, "0001"),
        ("unused flags", 0xcf, ""),
        ("Will QoS without a will", 0x10, "s:MQIsdp 03 1a 003c s:c"),
        ("the reserved flag", 0x10, "s:MQIsdp 03 03 003c s:c"),
        ("a user name is promised and does not come", 0x10, "s:MQIsdp 03 82 003c s:c"),
        ("a password is promised and does not come", 0x10, "s:MQIsdp 03 c2 003c s:c s:u"),
    ];
    for (why, first, body) in lenient {
        accepted(Side::Client, V3_1, &packet(first, body), why);
    }
    let wire = packet(0x38, "s:t");
    let Packet::Publish(publish) = accepted(Side::Client, V3_1, &wire, "DUP at QoS 0") else { panic!() };
    assert!(!publish.dup);
    let password_alone = packet(0x10, "s:MQIsdp 03 42 003c s:c s:p");
    refused(Side::Client, V3_1, &password_alone, Malformed, "a password without a user name");
}

/// From a server; version by version.
#[test]
fn a_server_is_refused_what_the_standard_forbids() {
    let cases = [
        ("3.2.2-1", V5, 0x20, "02 00 00", Malformed),
        ("3.2.2-1", V3_1_1, 0x20, "02 00", Malformed),
        ("table 3.1 of 3.1.1: return codes above 5", V3_1_1, 0x20, "00 06", Protocol),
        ("section 3.2: properties missing", V5, 0x20, "00 00", Malformed),
        ("3.9.3-2 of 3.1.1", V3_1_1, 0x90, "0001 03", Protocol),
        ("section 3.9.3: no return code", V3_1_1, 0x90, "0001", Malformed),
        ("section 3.9.3: no reason code", V5, 0x90, "0001 00", Malformed),
        ("section 3.11.3: no reason code", V5, 0xb0, "0001 00", Malformed),
        ("section 3.11 of 3.1.1: no payload", V3_1_1, 0xb0, "0001 00", Malformed),
        ("3.14.2-2", V5, 0xe0, "00 ( 11 00000001 )", Protocol),
        ("section 3.14 of 3.1.1: clients send it", V3_1_1, 0xe0, "", Protocol),
        ("section 3.13: PINGRESP with a body", V5, 0xd0, "00", Malformed),
        ("3.3.2-2", V3_1_1, 0x30, "s:a/+", Malformed),
        ("section 3.3.2.3.8: Subscription Identifier 0", V5, 0x30, "s:t ( 0b00 )", Protocol),
    ];
    for (why, version, first, body, reason) in cases {
        refused(Side::Server, version, &packet(first, body), reason, why);
    }
}

#[test]
fn the_first_packet_of_a_client_is_connect() {
    // [MQTT-3.1.0-1]: whatever else, one byte is enough to see it.
    for first in 0..=0xFF_u8 {
        let mut decoder = Decoder::of_client(MAX);
        let outcome = decoder.decode(&mut BytesMut::from(&[first][..]));
        if first == 0x10 {
            assert_eq!(outcome, Ok(None));
        } else {
            let expected = if first >> 4 <= 1 { Malformed } else { Protocol };
            assert_eq!(outcome.unwrap_err().reason, expected, "{first:#04x}");
        }
        assert_eq!(decoder.version(), None, "no answer would be understood");
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    // [MQTT-3.1.0-2]
    for version in VERSIONS {
        let mut decoder = decoder(Side::Client, version);
        let error = decoder.decode(&mut BytesMut::from(&*connect(version))).unwrap_err();
        assert_eq!(error.reason, Protocol);
    }
}

#[test]
fn an_unknown_version_is_refused_in_words_that_the_client_understands() {
    // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
    let cases = [
        ("s:MQTT 06 02 003c 00 s:c", Some(V5), "a later standard"),
        ("s:MQTT 02 02 003c s:c", Some(V3_1_1), "an earlier one"),
        ("s:MQTT 03 02 003c s:c", Some(V3_1_1), "3.1 is called MQIsdp"),
        ("s:MQIsdp 04 02 003c s:c", Some(V3_1_1), "3.1.1 is not"),
        ("s:MQTT 84 02 003c s:c", Some(V3_1_1), "a bridge of mosquitto, which then tries 4"),
        ("s:HTTP 05 02 003c s:c", None, "not MQTT"),
        ("s:MQT 04 02 003c s:c", None, "not MQTT"),
        ("s:mqtt 04 02 003c s:c", None, "not MQTT"),
    ];
    for (body, answer_in, why) in cases {
        let mut decoder = Decoder::of_client(MAX);
        let error = decoder.decode(&mut BytesMut::from(&*packet(0x10, body))).unwrap_err();
        assert_eq!(error.reason, UnsupportedProtocolVersion, "{why}");
        assert_eq!(decoder.version(), answer_in, "{why}");
    }
}

#[test]
fn the_flags_of_the_first_byte_are_those_of_table_2_2() {
    // [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1], in 3.1.1
    // [MQTT-2.2.2-1] [MQTT-2.2.2-2].
    for version in [V3_1_1, V5] {
        for side in SIDES {
            for number in (2..=15).filter(|number| *number != 3 && may_send(side, version, *number)) {
                let wanted = if matches!(number, 6 | 8 | 10) { 0b0010 } else { 0 };
                for flags in 0..16 {
                    let mut buffer = BytesMut::from(&[number << 4 | flags][..]);
                    let outcome = decoder(side, version).decode(&mut buffer);
                    match outcome {
                        Ok(None) => assert_eq!(flags, wanted, "{version:?} {side:?} {number}"),
                        Err(error) => {
                            assert_ne!(flags, wanted, "{version:?} {side:?} {number}: {error}");
                            assert_eq!(error.reason, Malformed);
                        }
                        Ok(Some(_)) => panic!("one byte is no packet"),
                    }
                }
            }
        }
    }
}

#[test]
fn each_side_is_refused_what_only_the_other_may_send() {
    for version in VERSIONS {
        for side in SIDES {
            for number in (1..=15).filter(|number| !may_send(side, version, *number)) {
                let flags = if matches!(number, 6 | 8 | 10) { 0b0010 } else { 0 };
                let outcome = decoder(side, version).decode(&mut BytesMut::from(&[number << 4 | flags][..]));
                let expected = if number == 15 { Malformed } else { Protocol };
                assert_eq!(outcome.unwrap_err().reason, expected, "{version:?} {side:?} {number}");
            }
        }
    }
}

/// Tables 2-1 of 5.0 and 2.1 of 3.1.1, in the middle of a connection.
fn may_send(side: Side, version: tidegate::mqtt::ProtocolVersion, number: u8) -> bool {
    match (number, side) {
        (3..=7, _) => true,
        (8 | 10 | 12, side) => side == Side::Client,
        (2 | 9 | 11 | 13, side) => side == Side::Server,
        (14, side) => side == Side::Client || version == V5,
        (15, _) => version == V5,
        _ => false,
    }
}

#[test]
fn remaining_length_has_at_most_four_bytes() {
    let too_long = bytes("30 ffffffff");
    for version in VERSIONS {
        let error = decoder(Side::Client, version).decode(&mut BytesMut::from(&*too_long)).unwrap_err();
        assert_eq!(error.reason, Malformed, "{error}");
    }
    // Before CONNECT nothing is better known.
    let error = Decoder::of_client(MAX).decode(&mut BytesMut::from(&*bytes("10 80808080"))).unwrap_err();
    assert_eq!(error.reason, Malformed, "{error}");
}

#[test]
fn remaining_length_is_in_its_shortest_form_in_5_0() {
    // [MQTT-1.5.5-1]; 3.1.1 does not ask for it.
    let ping = bytes("c0 8000");
    refused(Side::Client, V5, &ping, Malformed, "1.5.5-1");
    accepted(Side::Client, V3_1_1, &ping, "3.1.1 does not say");
    refused(Side::Client, V5, &bytes("10 8e00 s:MQTT 05 02 003c 00 s:c"), Malformed, "1.5.5-1");
    accepted(Side::Client, V3_1_1, &bytes("10 8d00 s:MQTT 04 02 003c s:c"), "3.1.1 does not say");
}

#[test]
fn a_packet_that_is_too_large_is_refused_before_its_body_comes() {
    let mut decoder = decoder(Side::Client, V5);
    decoder.set_max_packet_bytes(100);
    let exactly = bytes("30 62");
    assert_eq!(decoder.decode(&mut BytesMut::from(&*exactly)), Ok(None));
    let error = decoder.decode(&mut BytesMut::from(&*bytes("30 63"))).unwrap_err();
    assert_eq!(error.reason, PacketTooLarge);
    assert_eq!(error.to_string(), "PUBLISH: 101 bytes, but at most 100 are accepted");
}

#[test]
fn a_byte_order_mark_is_part_of_the_string() {
    // [MQTT-1.5.4-3]
    let wire = packet(0x30, "0004 efbbbf61 00");
    let Packet::Publish(publish) = accepted(Side::Client, V5, &wire, "1.5.4-3") else { panic!() };
    assert_eq!(publish.topic.unwrap().as_str(), "\u{feff}a");
}

#[test]
fn a_bad_filter_is_handed_on_for_its_own_reason_code() {
    for filter in ["s:a/#/b", "s:a+", "0000", "s:$share//a"] {
        accepted(Side::Client, V5, &packet(0x82, &format!("0001 00 {filter} 00")), filter);
        accepted(Side::Client, V5, &packet(0xa2, &format!("0001 00 {filter}")), filter);
    }
}

#[test]
fn an_alias_may_stand_for_the_topic_in_5_0_only() {
    let wire = packet(0x32, "0000 0007 ( 23 0005 ) 70");
    let Packet::Publish(publish) = accepted(Side::Client, V5, &wire, "section 3.3.2.3.4") else { panic!() };
    assert_eq!((publish.topic, publish.topic_alias.map(|alias| alias.get())), (None, Some(5)));
    assert_eq!(publish.qos, PublishQoS::AtLeastOnce(tidegate::mqtt::PacketIdentifier::new(7).unwrap()));
    assert_eq!(&*publish.payload, b"p");
    refused(Side::Client, V3_1_1, &packet(0x32, "0000 0007 70"), Malformed, "4.7.3-1");
}

#[test]
fn a_body_that_ends_early_or_late_is_malformed() {
    let whole = [
        (Side::Client, 0x10, "s:MQTT 05 c6 003c ( 11 00000001 ) s:c 00 s:t s:p s:u s:w"),
        (Side::Server, 0x20, "00 00 ( 21 0001 )"),
        (Side::Client, 0x40, "0001 10 ( 1f s:ok )"),
        (Side::Client, 0x62, "0001 00 ( 1f s:ok )"),
        (Side::Client, 0x82, "0001 ( 0b01 ) s:t 00"),
        (Side::Client, 0xa2, "0001 00 s:t"),
        (Side::Client, 0xe0, "00 ( 11 00000001 )"),
        (Side::Client, 0xf0, "18 ( 15 s:m1 )"),
    ];
    for (side, first, body) in whole {
        accepted(side, V5, &packet(first, body), "whole");
        let body = bytes(body);
        for length in 0..body.len() {
            let mut wire = vec![first, u8::try_from(length).unwrap()];
            wire.extend(&body[..length]);
            // The short forms of acknowledgements, DISCONNECT and AUTH are the only beginnings that are packets.
            let short_form = match first {
                0x40 | 0x62 => matches!(length, 2 | 3),
                0xe0 => matches!(length, 0 | 1),
                _ => false,
            };
            match super::wire::read(side, V5, &wire) {
                Ok(packet) => assert!(short_form, "{wire:02x?} was read as {packet:?}"),
                Err(error) => {
                    assert!(!short_form, "{wire:02x?}: {error}");
                    assert!(matches!(error.reason, Malformed | Protocol), "{wire:02x?}: {error}");
                }
            }
        }
        let mut long = vec![first, u8::try_from(body.len() + 1).unwrap()];
        long.extend(&body);
        long.push(0);
        refused(side, V5, &long, Malformed, "one byte too many");
    }
}

#[test]
fn errors_say_in_which_packet() {
    let error = super::wire::read(Side::Client, V5, &packet(0x82, "0001 00")).unwrap_err();
    assert_eq!(error.to_string(), "SUBSCRIBE: no topic filter [MQTT-3.8.3-2]");
}
