//! Pause, resume, discard; refusals for now and for ever; names, circles, commands that come too late.

use std::time::Duration;

use bytes::Bytes;

use super::super::{Fault, Input, MESSAGE_ID_PROPERTY, MessageId, Receive, Target};
use super::world::{World, identifier};
use crate::durable::{DropReason, MessageBody};
use crate::mqtt::{
    Disconnect, Packet, Publish, PublishProperties, PublishQoS, QoS, ReasonCode, TopicFilter, TopicName,
};

fn down(topic: &str, payload: &'static str, properties: Option<PublishProperties>) -> Input {
    Input::Packets(vec![Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtLeastOnce(identifier(5)),
        retain: false,
        topic: Some(TopicName::parse(topic.to_owned()).unwrap()),
        topic_alias: None,
        payload: Bytes::from_static(payload.as_bytes()),
        properties: properties.map(Box::new),
    })])
}

fn names(world: &World) -> Vec<String> {
    let publishes = world.sent.iter().filter_map(|packet| match packet {
        Packet::Publish(publish) => publish.properties.as_ref(),
        _ => None,
    });
    let all = publishes.flat_map(|properties| &properties.user_properties);
    all.filter(|(key, _)| *key == MESSAGE_ID_PROPERTY).map(|(_, name)| name.to_string()).collect()
}

#[test]
fn a_paused_uplink_says_goodbye_keeps_everything_and_goes_on_at_a_word() {
    let mut world = World::new();
    world.connect();
    world.input(Input::Pause);
    assert!(matches!(world.sent.last(), Some(Packet::Disconnect(_))));
    assert_eq!(world.forwarder.status().last_fault, Some(Fault::Paused));
    assert_eq!(world.forwarder.next_timeout(), None, "it sleeps");
    world.connected = false;
    world.keep(50, QoS::AtLeastOnce);
    world.settle();
    assert_eq!(world.cloud.numbers().len(), 0);
    world.input(Input::Resume);
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), (1..=50).collect::<Vec<_>>());
}

#[test]
fn discarding_drops_what_waits_with_its_reason_also_without_a_link_and_nothing_that_comes_later() {
    for is_up in [false, true] {
        let mut world = World::with_queues(|_| {});
        world.network = is_up;
        world.input(Input::Timeout);
        world.answer_open();
        for number in 0..3000 {
            world.keep_on(["t/1", "alarm/1", "bulk/1"][number % 3], QoS::AtLeastOnce);
        }
        world.commit();
        world.input(Input::Discard);
        let later = world.keep_on("t/1", QoS::AtLeastOnce);
        world.commit();
        world.settle();
        let dropped = world.forwarder.status().dropped[&DropReason::Discarded];
        world.network = true;
        world.connect();
        world.settle();
        let arrived = world.cloud.numbers();
        assert!(arrived.contains(&later));
        assert_eq!(u64::try_from(arrived.len()).unwrap() + dropped, 3001, "{dropped} dropped, up {is_up}");
        assert!(dropped >= 2900 && world.dead_letters.is_empty());
        assert_eq!(world.journal.owed(), [0_u64; 0]);
    }
}

#[test]
fn what_the_server_refuses_for_now_is_sent_again_after_a_pause() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        world.connect();
        world.cloud.refuses.extend([ReasonCode::QuotaExceeded; 3]);
        world.keep(5, qos);
        world.settle();
        let before = world.cloud.numbers();
        assert!(before.len() < 5, "{qos:?}");
        let pause = world.forwarder.next_timeout().unwrap().since(world.now.monotonic);
        assert!(pause >= Duration::from_secs(1) && pause <= Duration::from_secs(10), "{pause:?}");
        for _ in 0..5 {
            world.wait();
            world.settle();
        }
        let mut arrived = world.cloud.numbers();
        arrived.sort_unstable();
        assert_eq!(arrived, [1, 2, 3, 4, 5], "{qos:?}");
        assert_eq!(world.forwarder.status().postponed, 3);
        assert!(world.dead_letters.is_empty() && world.journal.phases().is_empty());
    }
}

#[test]
fn what_the_server_refuses_for_ever_is_laid_aside_and_blocks_nothing() {
    let mut world = World::new();
    world.connect();
    world.cloud.refuses.push_back(ReasonCode::NotAuthorized);
    world.keep(3, QoS::AtLeastOnce);
    world.settle();
    assert_eq!(world.cloud.numbers(), [2, 3]);
    let letter = &world.dead_letters[0];
    assert_eq!((letter.reason, &*letter.payload), (DropReason::Refused, &b"1"[..]));
    assert!(letter.detail.contains("may not"), "{}", letter.detail);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn topics_that_the_server_does_not_take_are_laid_aside_with_the_reason() {
    let mut world = World::with(|options| {
        options.takes.topic_slashes = Some(2);
        options.takes.no_characters = " ";
    });
    world.keep_on("a/b/c", QoS::AtLeastOnce);
    world.keep_on("a/b/c/d", QoS::AtLeastOnce);
    world.keep_on("a b", QoS::AtLeastOnce);
    world.commit();
    world.connect();
    world.settle();
    assert_eq!(world.cloud.numbers(), [1]);
    let details: Vec<_> = world.dead_letters.iter().map(|letter| letter.detail.as_str()).collect();
    assert_eq!(
        details,
        ["the topic has 3 slashes, the server takes 2", "the server takes no topic with ' '"]
    );
    assert_eq!(world.forwarder.status().dropped[&DropReason::TopicNotAllowed], 2);
}

#[test]
fn a_server_that_says_it_has_too_much_is_left_alone_and_gets_less_at_once() {
    let mut world = World::new();
    world.connect();
    world.keep(30, QoS::AtLeastOnce);
    world.answer_load();
    let complaint = Disconnect::new(ReasonCode::ReceiveMaximumExceeded);
    world.input(Input::Packets(vec![Packet::Disconnect(Box::new(complaint))]));
    world.connected = false;
    world.to_cloud.clear();
    let pause = world.forwarder.next_timeout().unwrap().since(world.now.monotonic);
    assert!(pause >= Duration::from_secs(2), "{pause:?}");
    world.cloud.most_open = 0;
    world.connect();
    world.settle();
    assert!(world.cloud.most_open <= 5);
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn a_message_keeps_its_name_however_often_it_is_sent_and_across_a_crash() {
    let mut world = World::with(|options| options.message_id = MessageId::Property);
    world.connect();
    world.keep(2, QoS::AtLeastOnce);
    world.answer_load();
    let first = names(&world);
    assert_eq!(first, ["gateway-1-0", "gateway-2-0"]);
    world.break_link();
    world.take_sent();
    world.connect();
    assert_eq!(names(&world), first);
    world.keep(1, QoS::AtLeastOnce);
    world.answer_load();
    world.crash();
    world.take_sent();
    world.connect();
    world.settle();
    assert_eq!(names(&world), ["gateway-3-0"]);
}

#[test]
fn the_name_may_stand_in_the_payload_of_json_objects() {
    let mut world = World::with(|options| options.message_id = MessageId::Field);
    let object = MessageBody::Publish { payload: Bytes::from_static(b"{\"t\":1}"), properties: None };
    world.keep_message("t", QoS::AtLeastOnce, object);
    world.commit();
    world.connect();
    world.settle();
    assert_eq!(world.cloud.arrived[0].1, &br#"{"t":1,"message_id":"gateway-1-0"}"#[..]);
}

#[test]
fn what_this_gateway_sent_is_not_taken_when_it_comes_down_again() {
    let mut world = World::new();
    world.connect();
    let named = |name: &'static str| {
        let user_properties = vec![(MESSAGE_ID_PROPERTY, name.into())];
        Some(PublishProperties { user_properties, ..PublishProperties::default() })
    };
    world.take_sent();
    world.input(down("x", "own", named("gateway-12-19ab")));
    assert!(world.ingested.is_empty());
    assert!(matches!(world.take_sent()[..], [Packet::PubAck(_)]), "the server is done with it");
    world.input(down("x", "another's", named("other-12-19ab")));
    assert_eq!(world.ingested.len(), 1);
    assert_eq!(world.forwarder.status().dropped[&DropReason::Looped], 1);
}

fn receiving(max_age: Option<Duration>) -> World {
    let mut world = World::with(|options| {
        let filter = TopicFilter::parse("cmd/#").unwrap();
        options.receive =
            vec![Receive { to: Target::parse("local/#").unwrap(), max_age, ..Receive::new(filter) }];
    });
    world.connect();
    world.settle();
    world
}

#[test]
fn what_comes_down_is_renamed() {
    let mut world = receiving(None);
    world.input(down("cmd/a/set", "1", None));
    assert_eq!(world.ingested[0].1.topic.as_str(), "local/a/set");
}

#[test]
fn commands_that_waited_longer_than_they_may_are_dropped_and_fresh_ones_are_not() {
    let mut world = receiving(Some(Duration::from_secs(60)));
    world.advance(Duration::from_secs(5));
    world.input(down("cmd/a", "fresh", None));
    assert_eq!(world.ingested.len(), 1);
    // A short break: what waited at the server is not old.
    world.break_link();
    world.connect();
    world.input(down("cmd/a", "young", None));
    assert_eq!(world.ingested.len(), 2);
    // A long one.
    world.network = false;
    world.break_link();
    world.advance(Duration::from_secs(300));
    world.network = true;
    world.connect();
    world.input(down("cmd/a", "old", None));
    world.input(down("cmd/a", "old, too", None));
    assert_eq!(world.ingested.len(), 2);
    assert_eq!(world.forwarder.status().dropped[&DropReason::Stale], 2);
    // Once the server was silent for a moment, what comes is new.
    world.now.monotonic = world.now.monotonic + Duration::from_millis(1500);
    world.input(down("cmd/a", "new", None));
    assert_eq!(world.ingested.len(), 3);
}

#[test]
fn a_command_that_says_its_time_is_judged_by_that() {
    let mut world = receiving(Some(Duration::from_secs(60)));
    world.now.unix_ms = 1_795_408_169_007;
    for (payload, taken) in [
        (r#"{"ts":1795408160000}"#, true),
        (r#"{"ts":1795408160}"#, true),
        (r#"{"ts":"2026-11-23T04:29:00Z"}"#, true),
        (r#"{"ts":1795408000000}"#, false),
        (r#"{"ts":"2026-11-23T04:20:00Z"}"#, false),
    ] {
        let before = world.ingested.len();
        world.input(down("cmd/a", payload, None));
        assert_eq!(world.ingested.len() > before, taken, "{payload}");
    }
}

#[test]
fn a_login_that_is_valid_for_an_hour_is_renewed_without_losing_or_repeating_anything() {
    let mut world = World::with(|options| options.renew_after = Some(Duration::from_secs(5)));
    send_five(&mut world);
    world.now.monotonic = world.now.monotonic + Duration::from_secs(5);
    connects_anew_behind_them(&mut world, Input::Timeout);
}

#[test]
fn the_way_back_to_a_better_server_waits_for_what_is_under_way() {
    let mut world = World::new();
    send_five(&mut world);
    connects_anew_behind_them(&mut world, Input::Prefer);
}

/// Five messages are under way.
fn send_five(world: &mut World) {
    world.connect();
    world.settle();
    world.keep(5, QoS::AtLeastOnce);
    world.answer_load();
}

/// What calls for another connection waits for what is under way, which is neither lost nor repeated.
fn connects_anew_behind_them(world: &mut World, why: Input) {
    world.take_sent();
    world.input(why);
    assert!(world.forwarder.status().connected_since.is_some(), "what is open is waited for");
    world.settle();
    world.connect();
    world.settle();
    let sent = world.take_sent();
    assert!(sent.iter().any(|packet| matches!(packet, Packet::Connect(_))));
    assert_eq!(world.cloud.numbers(), [1, 2, 3, 4, 5]);
    assert_eq!(world.forwarder.status().possible_duplicates, 0);
}
