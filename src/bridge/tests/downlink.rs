//! Messages of the server: accepted once, acknowledged when the broker has them.

use bytes::Bytes;

use super::super::{Fault, Input};
use super::world::{World, ack, identifier, version_3};
use crate::durable::{DropReason, MessageBody};
use crate::mqtt::{Packet, Publish, PublishProperties, PublishQoS, QoS, ReasonCode, TopicName};

fn publish(qos: PublishQoS) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::parse("tidegate/gh/relay/set").unwrap()),
        topic_alias: None,
        payload: Bytes::from_static(b"on"),
        properties: None,
    })
}

fn connected() -> World {
    let mut world = World::new();
    world.connect();
    world.take_sent();
    world
}

fn hear(world: &mut World, packet: Packet) {
    world.input(Input::Packets(vec![packet]));
}

fn accept(world: &mut World, at: usize, outcome: Result<(), DropReason>) {
    let token = world.ingested[at].0;
    world.input(Input::Accepted { token, outcome });
}

#[test]
fn a_message_is_handed_to_the_broker_and_acknowledged_when_it_is_accepted() {
    let mut world = connected();
    hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(5))));
    assert!(world.sent.is_empty(), "the broker has not accepted it");
    let message = world.ingested[0].1.clone();
    assert_eq!((message.topic.as_str(), message.qos), ("tidegate/gh/relay/set", QoS::AtLeastOnce));
    accept(&mut world, 0, Ok(()));
    assert_eq!(world.take_sent(), [Packet::PubAck(ack(5, ReasonCode::Success))]);
    hear(&mut world, publish(PublishQoS::AtMostOnce));
    accept(&mut world, 1, Ok(()));
    assert!(world.sent.is_empty());
    assert_eq!(world.forwarder.status().received, 2);
}

#[test]
fn qos_2_is_accepted_once_whatever_is_repeated() {
    // [MQTT-4.3.3-10] [MQTT-4.3.3-11]
    let mut world = connected();
    let two = || publish(PublishQoS::ExactlyOnce(identifier(5)));
    hear(&mut world, two());
    hear(&mut world, two());
    assert_eq!(world.ingested.len(), 1);
    assert!(world.sent.is_empty());
    accept(&mut world, 0, Ok(()));
    hear(&mut world, two());
    let pub_rec = || Packet::PubRec(ack(5, ReasonCode::Success));
    assert_eq!(world.take_sent(), [pub_rec(), pub_rec()]);
    hear(&mut world, Packet::PubRel(ack(5, ReasonCode::Success)));
    hear(&mut world, Packet::PubRel(ack(5, ReasonCode::Success)));
    let pub_comp = |reason| Packet::PubComp(ack(5, reason));
    let unknown = ReasonCode::PacketIdentifierNotFound;
    assert_eq!(world.take_sent(), [pub_comp(ReasonCode::Success), pub_comp(unknown)]);
    hear(&mut world, two());
    assert_eq!(world.ingested.len(), 2, "after the release the identifier stands for another message");
}

#[test]
fn across_a_broken_link_qos_2_is_still_accepted_once_while_the_session_lasts() {
    let mut world = connected();
    let two = || publish(PublishQoS::ExactlyOnce(identifier(5)));
    hear(&mut world, two());
    world.break_link();
    accept(&mut world, 0, Ok(()));
    assert!(world.sent.is_empty(), "there is nobody to tell");
    world.connect();
    world.take_sent();
    hear(&mut world, two());
    assert_eq!(world.ingested.len(), 1);
    assert_eq!(world.take_sent(), [Packet::PubRec(ack(5, ReasonCode::Success))]);
    world.break_link();
    world.cloud.forget();
    world.connect();
    hear(&mut world, two());
    assert_eq!(world.ingested.len(), 2, "a new session has new identifiers");
}

#[test]
fn an_answer_for_an_old_connection_is_not_sent_on_a_new_one_at_qos_1() {
    let mut world = connected();
    hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(5))));
    world.break_link();
    world.connect();
    world.take_sent();
    accept(&mut world, 0, Ok(()));
    assert!(world.sent.is_empty(), "the server sends it again, and that is answered");
    hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(5))));
    accept(&mut world, 1, Ok(()));
    assert_eq!(world.take_sent(), [Packet::PubAck(ack(5, ReasonCode::Success))]);
}

#[test]
fn an_answer_that_comes_after_the_repetition_on_a_new_connection_is_sent_there_at_qos_2() {
    let mut world = connected();
    hear(&mut world, publish(PublishQoS::ExactlyOnce(identifier(5))));
    world.break_link();
    world.connect();
    world.take_sent();
    hear(&mut world, publish(PublishQoS::ExactlyOnce(identifier(5))));
    assert!(world.sent.is_empty());
    accept(&mut world, 0, Ok(()));
    assert_eq!(world.take_sent(), [Packet::PubRec(ack(5, ReasonCode::Success))]);
    assert_eq!(world.ingested.len(), 1);
}

#[test]
fn what_the_broker_refuses_is_refused_in_5_0_and_not_acknowledged_in_3_1_1() {
    let mut world = connected();
    hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(1))));
    hear(&mut world, publish(PublishQoS::ExactlyOnce(identifier(2))));
    accept(&mut world, 0, Err(DropReason::JournalFullNewest));
    accept(&mut world, 1, Err(DropReason::JournalFullNewest));
    let refused = ReasonCode::QuotaExceeded;
    assert_eq!(world.take_sent(), [Packet::PubAck(ack(1, refused)), Packet::PubRec(ack(2, refused))]);
    hear(&mut world, publish(PublishQoS::ExactlyOnce(identifier(2))));
    assert_eq!(world.ingested.len(), 3, "a refused identifier is free");

    let mut world = World::with(version_3);
    world.connect();
    world.take_sent();
    hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(1))));
    accept(&mut world, 0, Err(DropReason::JournalFullNewest));
    assert!(world.sent.is_empty());
}

#[test]
fn a_server_that_exceeds_our_receive_maximum_is_left() {
    // [MQTT-3.3.4-9]
    let mut world = World::with(|options| options.receive_maximum = 3);
    world.connect();
    for number in 1..=4 {
        hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(number))));
    }
    assert_eq!(world.ingested.len(), 3);
    assert!(matches!(world.forwarder.status().last_fault, Some(Fault::Protocol(_))));

    let mut world = World::with(|options| {
        version_3(options);
        options.receive_maximum = 3;
    });
    world.connect();
    for number in 1..=4 {
        hear(&mut world, publish(PublishQoS::AtLeastOnce(identifier(number))));
    }
    assert_eq!(world.ingested.len(), 4, "3.1.1 has no way to tell it");
}

#[test]
fn a_topic_alias_that_was_never_allowed_ends_the_connection() {
    let mut world = connected();
    let Packet::Publish(mut nameless) = publish(PublishQoS::AtMostOnce) else { unreachable!() };
    nameless.topic = None;
    hear(&mut world, Packet::Publish(nameless));
    assert!(!world.connected);
}

#[test]
fn the_servers_subscription_identifiers_go_no_further() {
    let mut world = connected();
    let Packet::Publish(mut packet) = publish(PublishQoS::AtMostOnce) else { unreachable!() };
    packet.properties = Some(Box::new(PublishProperties {
        subscription_identifiers: vec![std::num::NonZeroU32::MIN],
        content_type: Some("text".into()),
        ..PublishProperties::default()
    }));
    hear(&mut world, Packet::Publish(packet));
    let MessageBody::Publish { properties, .. } = &world.ingested[0].1.body else { unreachable!() };
    let properties = properties.as_ref().unwrap();
    assert_eq!(properties.content_type, Some("text".into()));
    assert!(properties.subscription_identifiers.is_empty());
}
