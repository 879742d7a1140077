//! Window, order, acknowledgements and refusals on one connection.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use super::super::{Event, Forward, Input, Target};
use super::world::{CONSUMER, World, ack, version_3};
use crate::durable::{DropReason, MessageBody, Record, Sequence};
use crate::mqtt::{Packet, PublishProperties, QoS, ReasonCode, TopicFilter};
use crate::reading::{Reading, SensorName};

#[test]
fn a_backlog_is_drained_in_order_and_each_message_is_done_at_each_qos() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        world.keep(3000, qos);
        world.connect();
        world.settle();
        assert_eq!(world.cloud.numbers(), (1..=3000).collect::<Vec<_>>(), "{qos:?}");
        assert_eq!(world.journal.owed(), [0_u64; 0]);
        assert!(world.journal.phases().is_empty());
        assert_eq!(world.forwarder.status().possible_duplicates, 0);
    }
}

#[test]
fn no_more_is_open_than_the_window_and_the_servers_receive_maximum_allow() {
    for (receive_maximum, expected) in [(None, 10), (Some(3), 3), (Some(1), 1), (Some(500), 10)] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut world = World::new();
            world.cloud.connack.receive_maximum = receive_maximum.and_then(NonZeroU16::new);
            world.connect();
            world.keep(40, qos);
            world.settle();
            // [MQTT-3.3.4-7]
            if qos == QoS::ExactlyOnce || expected == 1 {
                assert_eq!(world.cloud.most_open, expected);
            }
            assert!(world.cloud.most_open <= expected);
            assert_eq!(world.cloud.numbers().len(), 40);
        }
    }
}

#[test]
fn the_window_is_filled_without_waiting_for_acknowledgements() {
    let mut world = World::new();
    world.connect();
    world.take_sent();
    world.keep(25, QoS::AtLeastOnce);
    world.answer_load();
    assert_eq!(world.sent_briefly(), "P1 P2 P3 P4 P5 P6 P7 P8 P9 P10");
    world.input(Input::Packets(vec![Packet::PubAck(ack(1, ReasonCode::Success))]));
    assert_eq!(world.sent_briefly(), "P11");
}

#[test]
fn acknowledgements_out_of_order_are_fine_and_unknown_or_repeated_ones_are_counted() {
    let mut world = World::new();
    world.connect();
    world.keep(3, QoS::AtLeastOnce);
    world.answer_load();
    for number in [3, 1, 1, 77, 2] {
        world.input(Input::Packets(vec![Packet::PubAck(ack(number, ReasonCode::Success))]));
    }
    assert_eq!(world.forwarder.status().acknowledged, 3);
    assert_eq!(world.forwarder.status().unexpected_acknowledgements, 2);
    for packet in [Packet::PubRec(ack(9, ReasonCode::Success)), Packet::PubComp(ack(9, ReasonCode::Success))]
    {
        world.input(Input::Packets(vec![packet]));
    }
    assert_eq!(world.forwarder.status().unexpected_acknowledgements, 4);
    assert!(world.forwarder.status().connected_since.is_some());
    world.commit();
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn acknowledgements_of_the_wrong_kind_change_nothing() {
    let mut world = World::new();
    world.connect();
    world.keep_on("t", QoS::AtLeastOnce);
    world.keep_on("t", QoS::ExactlyOnce);
    world.commit();
    world.answer_load();
    world.commit();
    let wrong = [Packet::PubRec(ack(1, ReasonCode::Success)), Packet::PubComp(ack(1, ReasonCode::Success))];
    world.input(Input::Packets(wrong.into()));
    let wrong = [Packet::PubAck(ack(2, ReasonCode::Success)), Packet::PubComp(ack(2, ReasonCode::Success))];
    world.input(Input::Packets(wrong.into()));
    assert_eq!(world.forwarder.status().acknowledged, 0);
    assert_eq!(world.forwarder.status().in_flight, 2);
    world.settle();
    assert_eq!(world.forwarder.status().acknowledged, 2);
}

#[test]
fn at_qos_2_identifiers_are_on_disk_before_publish_and_releases_before_pubrel() {
    let mut world = World::new();
    world.connect();
    world.take_sent();
    world.keep(2, QoS::ExactlyOnce);
    world.answer_load();
    assert_eq!(world.sent_briefly(), "", "the identifiers are not committed");
    world.commit();
    assert_eq!(world.sent_briefly(), "P1 P2");
    while world.step_cloud() {}
    while world.step_gateway() {}
    assert_eq!(world.sent_briefly(), "", "the releases are not committed");
    // A repeated PUBREC does not change that.
    world.input(Input::Packets(vec![Packet::PubRec(ack(1, ReasonCode::Success))]));
    assert_eq!(world.sent_briefly(), "");
    world.commit();
    assert_eq!(world.sent_briefly(), "R1 R2");
    world.input(Input::Packets(vec![Packet::PubRec(ack(1, ReasonCode::Success))]));
    assert_eq!(world.sent_briefly(), "R1", "a PUBREC after the release is answered again");
    world.settle();
    assert_eq!(world.forwarder.status().acknowledged, 2);
}

#[test]
fn one_refill_of_the_window_is_one_batch_and_what_follows_keeps_its_place() {
    let mut world = World::new();
    world.connect();
    world.take_sent();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.keep_on("t", qos);
    }
    world.commit();
    world.answer_load();
    assert_eq!(world.sent_briefly(), "P1", "what stands before the first of QoS 2 need not wait");
    world.keep(1, QoS::AtLeastOnce);
    world.answer_load();
    assert_eq!(world.sent_briefly(), "P2 P3 P4 P5");
    world.settle();
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_refused_message_is_counted_and_blocks_nothing() {
    let mut world = World::new();
    world.connect();
    world.keep_on("t", QoS::AtLeastOnce);
    world.keep_on("t", QoS::ExactlyOnce);
    world.keep_on("t", QoS::AtLeastOnce);
    world.commit();
    world.answer_load();
    world.commit();
    // After PUBREC with an error the identifier is free and no PUBREL is sent (section 4.3.3).
    world.input(Input::Packets(vec![
        Packet::PubAck(ack(1, ReasonCode::NotAuthorized)),
        Packet::PubRec(ack(2, ReasonCode::TopicNameInvalid)),
    ]));
    world.input(Input::Packets(vec![Packet::PubAck(ack(3, ReasonCode::NoMatchingSubscribers))]));
    world.commit();
    assert_eq!(world.journal.owed(), [0_u64; 0]);
    assert!(world.journal.phases().is_empty());
    let status = world.forwarder.status();
    assert_eq!((status.acknowledged, status.dropped[&DropReason::Refused]), (1, 2));
    let dropped = Event::Dropped { count: 1, reason: DropReason::Refused };
    assert_eq!(world.events.iter().filter(|event| **event == dropped).count(), 2);
}

#[test]
fn what_is_larger_than_the_server_takes_is_dropped_with_a_reason_and_blocks_nothing() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        world.cloud.connack.maximum_packet_size = NonZeroU32::new(100);
        world.connect();
        world.keep(1, qos);
        let body = MessageBody::Publish { payload: Bytes::from(vec![b'x'; 100]), properties: None };
        world.keep_message("t", qos, body);
        world.keep(1, qos);
        world.settle();
        assert_eq!(world.cloud.numbers(), [1, 3]);
        assert_eq!(world.forwarder.status().dropped[&DropReason::PacketTooLarge], 1);
        assert_eq!(world.journal.owed(), [0_u64; 0]);
    }
}

#[test]
fn a_packet_of_exactly_the_servers_maximum_size_is_sent() {
    let mut world = World::new();
    world.cloud.connack.maximum_packet_size = NonZeroU32::new(100);
    world.connect();
    // Fixed header 2, topic 3, identifier 2, property length 1: 92 bytes are left.
    for bytes in [92, 93] {
        let body = MessageBody::Publish { payload: Bytes::from(vec![b'x'; bytes]), properties: None };
        world.keep_message("t", QoS::AtLeastOnce, body);
    }
    world.commit();
    world.settle();
    assert_eq!(world.cloud.arrived.len(), 1);
    assert_eq!(world.cloud.arrived[0].1.len(), 92);
}

#[test]
fn the_servers_maximum_qos_lowers_ours() {
    let mut world = World::new();
    world.cloud.connack.maximum_qos = Some(QoS::AtLeastOnce);
    world.connect();
    world.keep(5, QoS::ExactlyOnce);
    world.settle();
    let assigned = |record: &&Record| matches!(record, Record::Assigned { .. });
    assert_eq!(world.journal.appended.iter().filter(assigned).count(), 0);
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 4, 5]);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn a_message_that_expired_while_it_waited_is_dropped_and_the_others_carry_what_is_left() {
    let mut world = World::new();
    let expiring = |seconds| MessageBody::Publish {
        payload: Bytes::from_static(b"1"),
        properties: Some(Box::new(PublishProperties {
            message_expiry_interval_seconds: Some(seconds),
            ..PublishProperties::default()
        })),
    };
    world.keep_message("t", QoS::AtLeastOnce, expiring(10));
    world.keep_message("t", QoS::AtLeastOnce, expiring(100));
    world.commit();
    world.now.monotonic = world.now.monotonic + std::time::Duration::from_secs(30);
    world.connect();
    world.settle();
    assert_eq!(world.forwarder.status().dropped[&DropReason::Expired], 1);
    let left = world.sent.iter().find_map(|packet| match packet {
        Packet::Publish(publish) => publish.properties.as_ref()?.message_expiry_interval_seconds,
        _ => None,
    });
    assert_eq!(left, Some(70), "[MQTT-3.3.2-6]");
}

#[test]
fn a_reading_is_rendered_when_it_is_sent_and_a_repetition_does_not_differ() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let sensor = SensorName::parse("air").unwrap();
        let reading =
            Reading { sensor, taken_at: world.now, rssi: None, measurements: smallvec::smallvec![] };
        world.connect();
        world.keep_message("t", qos, MessageBody::Reading(Box::new(reading)));
        world.commit();
        world.answer_load();
        world.commit();
        if qos == QoS::ExactlyOnce {
            // The identifier and the bytes are on disk.
            world.crash();
        } else {
            world.break_link();
        }
        world.connect();
        let sent = world.take_sent();
        let payloads: Vec<_> = sent
            .iter()
            .filter_map(|packet| match packet {
                Packet::Publish(publish) => Some(publish.payload.clone()),
                _ => None,
            })
            .collect();
        assert!(payloads.len() >= 2);
        assert!(payloads.iter().all(|payload| *payload == payloads[0]), "{payloads:?}");
    }
}

#[test]
fn forwarded_topics_are_renamed_and_a_rename_into_nothing_is_dropped() {
    let mut world = World::with(|options| {
        let line = |filter: &str, to: &str| Forward {
            to: Target::parse(to).unwrap(),
            ..Forward::new(TopicFilter::parse(filter.to_owned()).unwrap())
        };
        options.forward = vec![line("a/#", "acme/#"), line("gone/#", "#")];
    });
    world.keep_on("a/b", QoS::AtLeastOnce);
    world.keep_on("gone", QoS::AtLeastOnce);
    world.keep_on("c", QoS::AtLeastOnce);
    world.commit();
    world.connect();
    world.settle();
    let topics: Vec<_> = world.cloud.arrived.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["acme/b", "c"]);
    assert_eq!(world.forwarder.status().dropped[&DropReason::TopicNotAllowed], 1);
    assert_eq!(world.dead_letters.len(), 1);
}

#[test]
fn towards_3_1_1_nothing_of_5_0_is_sent() {
    let mut world = World::with(version_3);
    let properties = PublishProperties { content_type: Some("x".into()), ..PublishProperties::default() };
    let body =
        MessageBody::Publish { payload: Bytes::from_static(b"1"), properties: Some(Box::new(properties)) };
    world.keep_message("t", QoS::AtLeastOnce, body);
    world.commit();
    world.connect();
    world.settle();
    let mut seen = 0;
    for packet in world.take_sent() {
        match packet {
            Packet::Publish(publish) => {
                assert_eq!(publish.properties, None);
                seen += 1;
            }
            Packet::Connect(connect) => {
                assert_eq!(connect.properties, crate::mqtt::ConnectProperties::default())
            }
            _ => {}
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn towards_3_1_1_no_more_is_open_at_qos_2_than_a_silent_server_takes() {
    let mut world = World::with(|options| {
        version_3(options);
        options.window = 1000;
    });
    world.connect();
    world.keep(200, QoS::ExactlyOnce);
    world.settle();
    assert_eq!(world.cloud.most_open, 20);
    assert_eq!(world.cloud.numbers(), (1..=200).collect::<Vec<_>>());
}

#[test]
fn a_load_that_finds_nothing_is_not_repeated() {
    let mut world = World::new();
    world.connect();
    world.input(Input::Available { consumer: CONSUMER, through: Sequence(50) });
    assert!(world.answer_load());
    assert!(!world.answer_load(), "what was available is gone");
}
