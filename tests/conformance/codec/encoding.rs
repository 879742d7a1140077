//! What is particular to writing: a PUBLISH encoded once for many, and what cannot be written.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use proptest::prelude::*;
use tidegate::mqtt::{
    ConnAck, ConnAckProperties, Decoder, EncodeError, EncodedPublish, OutgoingPublish, Packet, Publish,
    PublishQoS, QoS, ReasonCode, TopicName, encode, encoded_len,
};

use super::arbitrary;
use super::wire::{Side, V3_1, V3_1_1, V5, VERSIONS};

/// What a connection does with an encoded PUBLISH.
fn fill_in(encoded: &EncodedPublish, dup: bool, qos: PublishQoS) -> Vec<u8> {
    let mut wire = encoded.bytes.to_vec();
    if dup {
        wire[0] |= EncodedPublish::DUP;
    }
    assert_eq!(encoded.packet_identifier_at.is_some(), qos.packet_identifier().is_some());
    if let (Some(at), Some(identifier)) = (encoded.packet_identifier_at, qos.packet_identifier()) {
        assert_eq!(wire[at..at + 2], [0, 0]);
        wire[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
    }
    wire
}

fn any_publish() -> impl Strategy<Value = (tidegate::mqtt::ProtocolVersion, Publish)> {
    prop::sample::select(VERSIONS.to_vec()).prop_flat_map(|version| {
        arbitrary::packet(version, Side::Server).prop_filter_map("a PUBLISH", move |packet| match packet {
            Packet::Publish(publish) => Some((version, publish)),
            _ => None,
        })
    })
}

/// The parts of a PUBLISH.
fn outgoing(publish: &Publish) -> OutgoingPublish<'_> {
    let properties = publish.properties.as_deref();
    OutgoingPublish {
        qos: publish.qos.qos(),
        retain: publish.retain,
        topic: publish.topic.as_ref(),
        topic_alias: publish.topic_alias,
        payload: &publish.payload,
        properties,
        added_user_property: None,
        message_expiry_interval_seconds: properties.and_then(|all| all.message_expiry_interval_seconds),
        subscription_identifiers: properties.map_or(&[], |all| &all.subscription_identifiers),
    }
}

proptest! {
    #[test]
    fn a_publish_encoded_for_many_is_the_publish_of_each((version, publish) in any_publish()) {
        let outgoing = outgoing(&publish);
        let encoded = outgoing.encode(version).unwrap();
        prop_assert_eq!(outgoing.encoded_len(version), Ok(encoded.bytes.len()));
        let mut wire = BytesMut::new();
        encode(version, &Packet::Publish(publish.clone()), &mut wire).unwrap();
        prop_assert_eq!(fill_in(&encoded, publish.dup, publish.qos), &*wire);
        let mut appended = BytesMut::from("before");
        let identifier = publish.qos.packet_identifier();
        let bytes = outgoing.append_to(version, identifier, publish.dup, &mut appended).unwrap();
        prop_assert_eq!(bytes, wire.len());
        prop_assert_eq!(appended, [b"before", &*wire].concat());
    }

    #[test]
    fn a_user_property_that_is_added_is_the_last_of_them((version, publish) in any_publish(), name in "[a-zä]{0,9}") {
        let outgoing = OutgoingPublish { added_user_property: Some((&name, "value")), ..outgoing(&publish) };
        let mut wire = BytesMut::new();
        outgoing.append_to(version, publish.qos.packet_identifier(), publish.dup, &mut wire).unwrap();
        let (read, _) = Decoder::of_server(version, usize::MAX).decode(&mut wire).unwrap().unwrap();
        let mut wanted = publish.clone();
        if version == V5 {
            let added = (name.clone().into(), "value".into());
            wanted.properties.get_or_insert_default().user_properties.push(added);
        }
        prop_assert_eq!(read, Packet::Publish(wanted));
    }
}

fn publish(topic: Option<TopicName>, payload: Bytes) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: false,
        topic,
        topic_alias: 1.try_into().ok(),
        payload,
        properties: None,
    })
}

#[test]
fn what_a_version_cannot_say_is_an_error_and_writes_nothing() {
    let mut wire = BytesMut::new();
    for version in [V3_1, V3_1_1] {
        let without_topic = publish(None, Bytes::new());
        assert!(matches!(encode(version, &without_topic, &mut wire), Err(EncodeError::NotInThisVersion(_))));
    }
    let without_topic = publish(None, Bytes::new());
    assert_eq!(encode(V5, &without_topic, &mut BytesMut::new()), Ok(()));
    assert!(wire.is_empty());
}

#[test]
fn what_is_too_long_for_a_packet_is_an_error_and_writes_nothing() {
    let connack = |reason_string: ByteString| {
        let properties = ConnAckProperties { reason_string: Some(reason_string), ..Default::default() };
        Packet::ConnAck(Box::new(ConnAck { session_present: false, reason: ReasonCode::Success, properties }))
    };
    let mut wire = BytesMut::new();
    let too_long = connack("x".repeat(65_536).into());
    assert_eq!(encode(V5, &too_long, &mut wire), Err(EncodeError::TooLong));
    assert_eq!(encoded_len(V5, &too_long), Err(EncodeError::TooLong));
    assert!(wire.is_empty());
    assert_eq!(encode(V5, &connack("x".repeat(65_535).into()), &mut wire), Ok(()));

    // One zeroed page of memory stands for many: nothing is touched.
    let topic = TopicName::parse("t").unwrap();
    let huge = Bytes::from(vec![0; 268_435_456]);
    let outgoing = |payload| OutgoingPublish {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Some(&topic),
        topic_alias: None,
        payload,
        properties: None,
        added_user_property: None,
        message_expiry_interval_seconds: None,
        subscription_identifiers: &[],
    };
    // Three bytes of topic, and in 5.0 one of properties, belong to Remaining Length too.
    assert_eq!(outgoing(&huge[..268_435_452]).encoded_len(V3_1_1), Ok(268_435_460));
    assert_eq!(outgoing(&huge[..268_435_453]).encoded_len(V3_1_1), Err(EncodeError::TooLong));
    assert_eq!(outgoing(&huge[..268_435_451]).encoded_len(V5), Ok(268_435_460));
    assert_eq!(outgoing(&huge[..268_435_452]).encoded_len(V5), Err(EncodeError::TooLong));
}

#[test]
fn a_refusal_never_claims_a_session() {
    // [MQTT-3.2.2-6], in 3.1.1 [MQTT-3.2.2-4]; 3.1 has no such flag.
    let connack = |reason| {
        let properties = ConnAckProperties::default();
        Packet::ConnAck(Box::new(ConnAck { session_present: true, reason, properties }))
    };
    for (version, reason, expected) in [
        (V3_1, ReasonCode::Success, 0),
        (V3_1_1, ReasonCode::Success, 1),
        (V3_1_1, ReasonCode::NotAuthorized, 0),
        (V5, ReasonCode::Success, 1),
        (V5, ReasonCode::NotAuthorized, 0),
    ] {
        let mut wire = BytesMut::new();
        encode(version, &connack(reason), &mut wire).unwrap();
        assert_eq!(wire[2], expected, "{version:?} {reason:?}");
    }
}
