//! Every field lands in its place: packets written by hand from the standard's figures, read into values and written
//! back, byte by byte.

use bytes::BytesMut;
use tidegate::mqtt::{Acknowledgement, encoded_len};
use tidegate::mqtt::{
    AcknowledgementProperties, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties, PublishQoS, QoS, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicName, UnsubAck, Unsubscribe, Will, encode,
};

use super::wire::{Side, V3_1, V3_1_1, V5, packet, read};

fn topic(name: &'static str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

#[track_caller]
fn same(side: Side, version: ProtocolVersion, first: u8, body: &str, value: Packet) {
    let wire = packet(first, body);
    assert_eq!(read(side, version, &wire).as_ref(), Ok(&value));
    let mut written = BytesMut::new();
    encode(version, &value, &mut written).unwrap();
    assert_eq!(written, &*wire, "{value:?}");
    assert_eq!(encoded_len(version, &value), Ok(wire.len()));
}

fn plain_connect(version: ProtocolVersion) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: "c".into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

#[test]
fn connect_of_3_1_and_3_1_1() {
    let plain = |version| Packet::Connect(Box::new(plain_connect(version)));
    same(Side::Client, V3_1, 0x10, "s:MQIsdp 03 02 003c s:c", plain(V3_1));
    same(Side::Client, V3_1_1, 0x10, "s:MQTT 04 02 003c s:c", plain(V3_1_1));
    let full = Connect {
        clean_start: false,
        keep_alive_seconds: 0x0102,
        client_id: "".into(),
        will: Some(Box::new(Will {
            topic: topic("t"),
            payload: "p".into(),
            qos: QoS::ExactlyOnce,
            retain: true,
            delay_interval_seconds: 0,
            properties: PublishProperties::default(),
        })),
        username: Some("u".into()),
        password: Some("w".into()),
        ..plain_connect(V3_1_1)
    };
    let body = "s:MQTT 04 f4 0102 0000 s:t s:p s:u s:w";
    same(Side::Client, V3_1_1, 0x10, body, Packet::Connect(Box::new(full)));
}

#[test]
fn connect_of_5_0() {
    let plain = Packet::Connect(Box::new(plain_connect(V5)));
    same(Side::Client, V5, 0x10, "s:MQTT 05 02 003c 00 s:c", plain);
    let full = Connect {
        will: Some(Box::new(Will {
            topic: topic("t"),
            payload: "".into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_interval_seconds: 5,
            properties: PublishProperties { content_type: Some("x".into()), ..Default::default() },
        })),
        password: Some("w".into()),
        properties: ConnectProperties {
            session_expiry_interval_seconds: Some(1),
            receive_maximum: 2.try_into().ok(),
            maximum_packet_size: 3.try_into().ok(),
            topic_alias_maximum: Some(4),
            request_response_information: Some(true),
            request_problem_information: Some(false),
            user_properties: vec![("a".into(), "b".into()), ("a".into(), "".into())],
            authentication_method: Some("m".into()),
            authentication_data: Some("d".into()),
        },
        ..plain_connect(V5)
    };
    let body = "s:MQTT 05 4e 003c ( 11 00000001 21 0002 27 00000003 22 0004 1901 1700 26 s:a s:b 26 s:a 0000 \
                15 s:m 16 s:d ) s:c ( 18 00000005 03 s:x ) s:t 0000 s:w";
    same(Side::Client, V5, 0x10, body, Packet::Connect(Box::new(full)));
}

#[test]
fn connack() {
    let connack = |session_present, reason, properties| {
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    };
    let none = ConnAckProperties::default;
    same(Side::Server, V3_1, 0x20, "00 00", connack(false, ReasonCode::Success, none()));
    same(Side::Server, V3_1_1, 0x20, "01 00", connack(true, ReasonCode::Success, none()));
    same(Side::Server, V3_1_1, 0x20, "00 05", connack(false, ReasonCode::NotAuthorized, none()));
    same(Side::Server, V5, 0x20, "01 00 00", connack(true, ReasonCode::Success, none()));
    same(Side::Server, V5, 0x20, "00 9f 00", connack(false, ReasonCode::ConnectionRateExceeded, none()));
    let all = ConnAckProperties {
        session_expiry_interval_seconds: Some(1),
        receive_maximum: 2.try_into().ok(),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: 3.try_into().ok(),
        assigned_client_identifier: Some("i".into()),
        topic_alias_maximum: Some(4),
        reason_string: Some("r".into()),
        user_properties: vec![("a".into(), "b".into())],
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive_seconds: Some(5),
        response_information: Some("q".into()),
        server_reference: Some("s".into()),
        authentication_method: Some("m".into()),
        authentication_data: Some("d".into()),
    };
    let body = "00 00 ( 11 00000001 21 0002 2401 2500 27 00000003 12 s:i 22 0004 1f s:r 26 s:a s:b 2801 2900 \
                2a01 13 0005 1a s:q 1c s:s 15 s:m 16 s:d )";
    same(Side::Server, V5, 0x20, body, connack(false, ReasonCode::Success, all));
}

#[test]
fn publish() {
    let plain = Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic: Some(topic("t")),
        topic_alias: None,
        payload: "p".into(),
        properties: None,
    };
    let retained = Publish { retain: true, payload: "".into(), ..plain.clone() };
    let again = Publish { dup: true, qos: PublishQoS::ExactlyOnce(identifier(0x0102)), ..plain.clone() };
    for side in [Side::Client, Side::Server] {
        same(side, V3_1_1, 0x30, "s:t 70", Packet::Publish(plain.clone()));
        same(side, V3_1_1, 0x31, "s:t", Packet::Publish(retained.clone()));
        same(side, V3_1_1, 0x3c, "s:t 0102 70", Packet::Publish(again.clone()));
        same(side, V5, 0x30, "s:t 00 70", Packet::Publish(plain.clone()));
        same(side, V5, 0x3c, "s:t 0102 00 70", Packet::Publish(again.clone()));
    }
    let full = Publish {
        qos: PublishQoS::AtLeastOnce(identifier(7)),
        topic_alias: 6.try_into().ok(),
        properties: Some(Box::new(PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval_seconds: Some(9),
            response_topic: Some(topic("r")),
            correlation_data: Some("d".into()),
            user_properties: vec![("a".into(), "b".into())],
            subscription_identifiers: vec![1.try_into().unwrap(), 268_435_455.try_into().unwrap()],
            content_type: Some("x".into()),
        })),
        ..plain
    };
    let body = "s:t 0007 ( 23 0006 0101 02 00000009 08 s:r 09 s:d 26 s:a s:b 03 s:x 0b01 0bffffff7f ) 70";
    same(Side::Server, V5, 0x32, body, Packet::Publish(full));
}

#[test]
fn acknowledgements() {
    let of_five = [
        (0x40, Packet::PubAck as fn(Acknowledgement) -> Packet, ReasonCode::NoMatchingSubscribers),
        (0x50, Packet::PubRec, ReasonCode::QuotaExceeded),
        (0x62, Packet::PubRel, ReasonCode::PacketIdentifierNotFound),
        (0x70, Packet::PubComp, ReasonCode::PacketIdentifierNotFound),
    ];
    for (first, wrap, reason) in of_five {
        let success = Acknowledgement::new(identifier(0x0102), ReasonCode::Success);
        let failure = Acknowledgement::new(identifier(0x0102), reason);
        let explained = Acknowledgement {
            properties: Some(Box::new(AcknowledgementProperties {
                reason_string: Some("r".into()),
                user_properties: vec![("a".into(), "b".into())],
            })),
            ..failure.clone()
        };
        let code = format!("{:02x}", reason.as_u8());
        for side in [Side::Client, Side::Server] {
            for version in [V3_1, V3_1_1, V5] {
                same(side, version, first, "0102", wrap(success.clone()));
            }
            same(side, V5, first, &format!("0102 {code}"), wrap(failure.clone()));
            let body = format!("0102 {code} ( 1f s:r 26 s:a s:b )");
            same(side, V5, first, &body, wrap(explained.clone()));
        }
    }
}

#[test]
fn subscribe_and_suback() {
    let old = Subscribe {
        packet_identifier: identifier(1),
        subscription_identifier: None,
        user_properties: Vec::new(),
        requests: vec![
            ("a/#".into(), SubscriptionOptions::new(QoS::AtMostOnce)),
            ("+".into(), SubscriptionOptions::new(QoS::ExactlyOnce)),
        ],
    };
    same(Side::Client, V3_1_1, 0x82, "0001 s:a/# 00 s:+ 02", Packet::Subscribe(Box::new(old.clone())));
    let options = SubscriptionOptions {
        maximum_qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let new = Subscribe {
        subscription_identifier: 200.try_into().ok(),
        user_properties: vec![("a".into(), "b".into())],
        requests: vec![("t".into(), options)],
        ..old
    };
    let body = "0001 ( 0bc801 26 s:a s:b ) s:t 2d";
    same(Side::Client, V5, 0x82, body, Packet::Subscribe(Box::new(new)));

    let old = SubAck {
        packet_identifier: identifier(1),
        properties: None,
        reasons: vec![ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError],
    };
    same(Side::Server, V3_1_1, 0x90, "0001 00 02 80", Packet::SubAck(Box::new(old.clone())));
    same(Side::Server, V5, 0x90, "0001 00 00 02 80", Packet::SubAck(Box::new(old)));
}

#[test]
fn unsubscribe_and_unsuback() {
    let unsubscribe = Unsubscribe {
        packet_identifier: identifier(1),
        user_properties: Vec::new(),
        filters: vec!["a/#".into(), "+".into()],
    };
    let packet = Packet::Unsubscribe(Box::new(unsubscribe));
    same(Side::Client, V3_1_1, 0xa2, "0001 s:a/# s:+", packet.clone());
    same(Side::Client, V5, 0xa2, "0001 00 s:a/# s:+", packet);

    let mut unsuback = UnsubAck { packet_identifier: identifier(1), properties: None, reasons: Vec::new() };
    same(Side::Server, V3_1_1, 0xb0, "0001", Packet::UnsubAck(Box::new(unsuback.clone())));
    unsuback.reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    same(Side::Server, V5, 0xb0, "0001 00 00 11", Packet::UnsubAck(Box::new(unsuback)));
}

#[test]
fn pings() {
    for version in [V3_1, V3_1_1, V5] {
        same(Side::Client, version, 0xc0, "", Packet::PingReq);
        same(Side::Server, version, 0xd0, "", Packet::PingResp);
    }
}

#[test]
fn disconnect_and_auth() {
    let disconnect = |disconnect| Packet::Disconnect(Box::new(disconnect));
    for version in [V3_1, V3_1_1, V5] {
        same(Side::Client, version, 0xe0, "", disconnect(Disconnect::new(ReasonCode::Success)));
    }
    let with_will = Disconnect::new(ReasonCode::DisconnectWithWillMessage);
    same(Side::Client, V5, 0xe0, "04 00", disconnect(with_will.clone()));
    let expiring = Disconnect { session_expiry_interval_seconds: Some(1), ..with_will };
    same(Side::Client, V5, 0xe0, "04 ( 11 00000001 )", disconnect(expiring));
    let moved = Disconnect {
        reason_string: Some("r".into()),
        user_properties: vec![("a".into(), "b".into())],
        server_reference: Some("s".into()),
        ..Disconnect::new(ReasonCode::ServerMoved)
    };
    same(Side::Server, V5, 0xe0, "9d ( 1f s:r 26 s:a s:b 1c s:s )", disconnect(moved));

    let auth = Auth {
        reason: ReasonCode::ContinueAuthentication,
        authentication_method: Some("m".into()),
        authentication_data: Some("d".into()),
        reason_string: Some("r".into()),
        user_properties: vec![("a".into(), "b".into())],
    };
    let body = "18 ( 15 s:m 16 s:d 1f s:r 26 s:a s:b )";
    same(Side::Client, V5, 0xf0, body, Packet::Auth(Box::new(auth)));
}
