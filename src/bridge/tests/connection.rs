//! CONNECT, deadlines, pings, pauses between attempts, presence and good-bye.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::{Event, Fault, Input, Receive};
use super::world::{World, ack, version_3};
use crate::mqtt::{
    Connect, Disconnect, Packet, ProtocolVersion, Publish, PublishQoS, QoS, ReasonCode, TopicFilter,
    TopicName,
};
use crate::time::Instant;

fn topic(text: &str) -> TopicName {
    TopicName::parse(text.to_owned()).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn last_fault(world: &World) -> &Fault {
    world.forwarder.status().last_fault.as_ref().unwrap()
}

fn connects(world: &mut World) -> Vec<Connect> {
    let packets = world.take_sent().into_iter();
    packets
        .filter_map(|packet| match packet {
            Packet::Connect(connect) => Some(*connect),
            _ => None,
        })
        .collect()
}

#[test]
fn connect_asks_for_a_lasting_session_and_leaves_the_gateways_status_as_will() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
        let mut world = World::with(|options| {
            options.version = version;
            options.username = Some("gw".into());
            options.password = Some(Bytes::from_static(b"secret"));
            options.status_topic = Some(topic("tidegate/gh/status"));
        });
        world.connect();
        let connect = connects(&mut world).remove(0);
        assert!(!connect.clean_start);
        assert_eq!((connect.client_id, connect.keep_alive_seconds), ("gateway".into(), 60));
        assert_eq!((connect.username, connect.password), (Some("gw".into()), Some("secret".into())));
        let expiry = connect.properties.session_expiry_interval_seconds;
        assert_eq!(expiry.is_some(), version == ProtocolVersion::V5);
        let will = connect.will.unwrap();
        assert_eq!((will.topic, will.payload), (topic("tidegate/gh/status"), Bytes::from_static(b"offline")));
        assert!(will.retain && will.qos == QoS::AtLeastOnce);
    }
}

#[test]
fn options_never_show_the_password() {
    let world = World::with(|options| options.password = Some(Bytes::from_static(b"secret")));
    assert!(!format!("{:?} {:?}", world.options, world.forwarder).contains("secret"));
}

#[test]
fn an_attempt_that_leads_nowhere_ends_at_its_deadline() {
    let mut world = World::new();
    world.input(Input::Timeout);
    assert!(world.opening);
    world.advance(seconds(19));
    assert!(world.opening);
    world.advance(seconds(1));
    assert_eq!(*last_fault(&world), Fault::OpenTimeout(seconds(20)));
}

#[test]
fn a_server_that_does_not_answer_connect_is_left_at_its_deadline() {
    let mut world = World::new();
    world.input(Input::Timeout);
    world.answer_open();
    world.advance(seconds(10));
    assert_eq!(*last_fault(&world), Fault::GreetingTimeout(seconds(10)));
    assert!(!world.connected);
}

#[test]
fn pauses_between_attempts_grow_and_start_anew_after_a_stable_connection() {
    let mut world = World::new();
    world.network = false;
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        world.settle();
        let pause = world.forwarder.next_timeout().unwrap().since(world.now.monotonic);
        assert!(pause >= Duration::from_millis(100) && pause <= seconds(60), "{pause:?}");
        longest = longest.max(pause);
        world.wait();
    }
    assert!(longest > seconds(10));
    assert!(matches!(last_fault(&world), Fault::Unreachable(_)));
    world.network = true;
    world.connect();
    // A short connection does not count as a good one.
    world.break_link();
    let after_a_short_one = world.forwarder.next_timeout().unwrap().since(world.now.monotonic);
    world.connect();
    world.now.monotonic = world.now.monotonic + seconds(31);
    world.break_link();
    let after_a_stable_one = world.forwarder.next_timeout().unwrap().since(world.now.monotonic);
    assert!(after_a_stable_one <= seconds(1) && after_a_short_one > seconds(1), "{after_a_short_one:?}");
}

#[test]
fn an_idle_link_is_pinged_each_keep_alive_and_found_dead_within_one_and_a_half() {
    // [MQTT-3.1.2-20]
    for keep_alive in [1_u16, 10, 60, 1200] {
        let mut world = World::with(|options| options.keep_alive_seconds = keep_alive);
        world.connect();
        let started = world.now.monotonic;
        let keep_alive = seconds(u64::from(keep_alive));
        for round in 1..4 {
            world.take_sent();
            world.wait();
            assert_eq!(world.take_sent(), [Packet::PingReq]);
            assert_eq!(world.now.monotonic.since(started), keep_alive * round);
            world.settle();
        }
        // From now on nothing is heard.
        let silent_since = world.now.monotonic;
        world.wait();
        world.wait();
        assert!(matches!(last_fault(&world), Fault::PingTimeout(_)), "{:?}", last_fault(&world));
        assert!(world.now.monotonic.since(silent_since) <= keep_alive * 3 / 2);
    }
}

#[test]
fn pings_go_on_while_traffic_flows_one_way_only() {
    let mut world = World::with(|options| options.keep_alive_seconds = 30);
    world.connect();
    world.take_sent();
    // QoS 0 goes out and is never answered.
    for _ in 0..4 {
        world.keep(1, QoS::AtMostOnce);
        world.answer_load();
        world.advance(seconds(8));
    }
    assert!(world.sent.contains(&Packet::PingReq), "nothing was heard for 32 s");
}

#[test]
fn the_servers_keep_alive_wins() {
    // [MQTT-3.2.2-21]
    let mut world = World::new();
    world.cloud.connack.server_keep_alive_seconds = Some(7);
    world.connect();
    let started = world.now.monotonic;
    world.wait();
    assert_eq!(world.now.monotonic.since(started), seconds(7));
}

#[test]
fn silence_while_sending_is_found_within_ten_seconds() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        world.connect();
        world.keep(1, qos);
        world.answer_load();
        world.commit();
        let sent_at = world.now.monotonic;
        // More is accepted all the time; the window is not full.
        for _ in 0..9 {
            world.advance(seconds(1));
            world.keep(1, qos);
            world.answer_load();
            world.commit();
            assert!(world.connected);
        }
        world.advance(seconds(1));
        assert!(!world.connected);
        assert_eq!(world.now.monotonic.since(sent_at), seconds(10));
        assert_eq!(*last_fault(&world), Fault::AcknowledgementTimeout(seconds(10)));
        world.connect();
        world.settle();
        assert_eq!(world.cloud.numbers(), (1..=10).collect::<Vec<_>>());
    }
}

#[test]
fn one_acknowledgement_that_never_comes_does_not_hold_its_place_for_ever() {
    let mut world = World::new();
    world.connect();
    world.keep(1, QoS::AtLeastOnce);
    world.answer_load();
    world.to_cloud.pop_back();
    for _ in 0..12 {
        world.keep(1, QoS::AtLeastOnce);
        world.settle();
        world.advance(seconds(1));
    }
    assert!(matches!(last_fault(&world), Fault::AcknowledgementTimeout(_)));
    world.connect();
    world.settle();
    assert_eq!(world.journal.owed(), [0_u64; 0]);
}

#[test]
fn a_blocked_write_ends_the_connection_unless_it_advances() {
    let mut world = World::new();
    world.connect();
    for _ in 0..5 {
        world.input(Input::WriteBlocked);
        world.advance(seconds(9));
        world.input(Input::WriteAdvanced);
    }
    assert!(world.connected);
    world.input(Input::WriteBlocked);
    world.advance(seconds(10));
    assert_eq!(*last_fault(&world), Fault::WriteTimeout(seconds(10)));
}

#[test]
fn a_slow_link_that_takes_bytes_is_not_called_dead_before_it_could_answer() {
    let mut world = World::new();
    world.connect();
    world.keep(1, QoS::AtLeastOnce);
    world.answer_load();
    for _ in 0..20 {
        world.input(Input::WriteBlocked);
        world.advance(seconds(8));
        world.input(Input::WriteAdvanced);
    }
    assert!(world.connected);
    world.settle();
    assert_eq!(world.forwarder.status().acknowledged, 1);
}

#[test]
fn a_refusal_is_told_in_plain_words_and_tried_again_later() {
    let mut world = World::new();
    world.input(Input::Timeout);
    world.answer_open();
    let connack = crate::mqtt::ConnAck {
        session_present: false,
        reason: ReasonCode::BadUserNameOrPassword,
        properties: crate::mqtt::ConnAckProperties::default(),
    };
    world.input(Input::Packets(vec![Packet::ConnAck(Box::new(connack))]));
    assert!(!world.connected);
    assert_eq!(
        last_fault(&world).to_string(),
        "the server refuses the login: user name or password is wrong"
    );
    world.connect();
}

#[test]
fn what_the_server_must_not_say_ends_the_connection() {
    let connack = || {
        let properties = crate::mqtt::ConnAckProperties::default();
        let reason = ReasonCode::Success;
        Packet::ConnAck(Box::new(crate::mqtt::ConnAck { session_present: false, reason, properties }))
    };
    for packet in
        [connack(), Packet::PingReq, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::ServerBusy)))]
    {
        let mut world = World::new();
        world.connect();
        world.input(Input::Packets(vec![packet, Packet::PubAck(ack(1, ReasonCode::Success))]));
        assert!(!world.connected);
        assert_eq!(world.forwarder.status().unexpected_acknowledgements, 0, "what follows is ignored");
    }
    let mut world = World::new();
    world.input(Input::Timeout);
    world.answer_open();
    world.input(Input::Packets(vec![Packet::PingResp]));
    assert!(matches!(last_fault(&world), Fault::Protocol(_)), "CONNACK comes first [MQTT-3.2.0-1]");
}

#[test]
fn a_session_that_is_not_ours_is_cleared_before_anything_is_sent() {
    // [MQTT-3.2.2-4]
    for version in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
        let mut world = World::with(|options| options.version = version);
        world.renew();
        world.cloud.has_session = true;
        world.keep(3, QoS::ExactlyOnce);
        world.connect();
        world.settle();
        let clean: Vec<bool> = connects(&mut world).iter().map(|connect| connect.clean_start).collect();
        let expected: &[bool] =
            if version == ProtocolVersion::V5 { &[false, true] } else { &[false, true, false] };
        assert_eq!(clean, expected);
        assert_eq!(world.cloud.numbers(), [1, 2, 3]);
        assert_eq!(world.now.monotonic, Instant::from_millis(1000), "without a pause");
    }
}

#[test]
fn presence_is_published_retained_at_each_connect_then_what_changes() {
    let mut world = World::with(|options| options.status_topic = Some(topic("s")));
    let presence = |states: &[(&str, &str)]| {
        let states = states.iter().map(|(name, state)| (topic(name), Bytes::from(state.to_string())));
        Input::Presence(Arc::new(states.collect::<BTreeMap<_, _>>()))
    };
    world.input(presence(&[("a", "online"), ("b", "offline")]));
    world.connect();
    world.settle();
    let arrived = |world: &mut World| -> Vec<String> {
        let arrived = world.cloud.arrived.drain(..);
        arrived.map(|(topic, payload)| format!("{topic}={}", String::from_utf8_lossy(&payload))).collect()
    };
    assert_eq!(arrived(&mut world), ["s=online", "a=online", "b=offline"]);
    let retained = |packet: &Packet| match packet {
        Packet::Publish(publish) => publish.retain && publish.qos.qos() == QoS::AtLeastOnce,
        _ => true,
    };
    assert!(world.sent.iter().all(retained));
    world.input(presence(&[("a", "online"), ("b", "online")]));
    world.settle();
    assert_eq!(arrived(&mut world), ["b=online"]);
    world.break_link();
    world.input(presence(&[("a", "offline"), ("b", "online")]));
    world.connect();
    world.settle();
    assert_eq!(arrived(&mut world), ["s=online", "a=offline", "b=online"]);
    assert_eq!(world.journal.appended, [], "presence is no history");
    assert_eq!(world.forwarder.status().acknowledged, 0);
}

#[test]
fn a_link_that_flaps_does_not_pile_up_presence() {
    let mut world = World::with(|options| options.status_topic = Some(topic("s")));
    for _ in 0..20 {
        world.wait();
        world.answer_open();
        world.step_cloud();
        world.step_gateway();
        assert_eq!(world.forwarder.status().in_flight, 1);
        world.break_link();
    }
    world.connect();
    world.settle();
    assert_eq!(world.cloud.arrived.len(), 1);
}

#[test]
fn presence_goes_ahead_of_the_backlog_and_without_retain_where_the_server_has_none() {
    let mut world = World::with(|options| {
        options.status_topic = Some(topic("s"));
        options.window = 1;
    });
    world.cloud.connack.retain_available = Some(false);
    world.keep(5, QoS::AtLeastOnce);
    world.connect();
    world.settle();
    assert_eq!(world.cloud.arrived[0].0, topic("s"));
    assert_eq!(world.cloud.arrived.len(), 6);
    // [MQTT-3.2.2-14]
    assert!(world.sent.iter().all(|packet| !matches!(packet, Packet::Publish(publish) if publish.retain)));
}

#[test]
fn good_bye_publishes_the_status_and_disconnects_and_nothing_follows() {
    let mut world = World::with(|options| {
        version_3(options);
        options.status_topic = Some(topic("s"));
    });
    world.connect();
    world.settle();
    world.take_sent();
    world.input(Input::Stop);
    let sent = world.take_sent();
    let offline = Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtMostOnce,
        retain: true,
        topic: Some(topic("s")),
        topic_alias: None,
        payload: Bytes::from_static(b"offline"),
        properties: None,
    });
    assert_eq!(sent, [offline, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)))]);
    assert_eq!(world.forwarder.next_timeout(), None);
    world.keep(1, QoS::AtLeastOnce);
    world.input(Input::Timeout);
    assert!(world.sent.is_empty() && !world.opening);
}

#[test]
fn subscriptions_are_made_on_each_connection_and_refusals_are_told() {
    let filters: Vec<_> =
        (0..10).map(|number| TopicFilter::parse(format!("set/{number}")).unwrap()).collect();
    let mut world = World::with(|options| {
        options.receive = filters.iter().map(|filter| Receive::new(filter.clone())).collect();
    });
    world.connect();
    world.settle();
    let subscribes = world.sent.iter().filter_map(|packet| match packet {
        Packet::Subscribe(subscribe) => Some(subscribe.requests.len()),
        _ => None,
    });
    assert_eq!(subscribes.collect::<Vec<_>>(), [8, 2], "some clouds refuse more than 8 filters at once");
    assert_eq!(world.cloud.subscribed.len(), 10);
    world.break_link();
    world.take_sent();
    world.connect();
    let identifiers: Vec<_> = world
        .sent
        .iter()
        .filter_map(|packet| match packet {
            Packet::Subscribe(subscribe) => Some(subscribe.packet_identifier),
            _ => None,
        })
        .collect();
    assert_eq!(identifiers.len(), 2);
    world.break_link();
    world.wait();
    world.answer_open();
    world.step_cloud();
    world.step_gateway();
    let packet_identifier = world
        .sent
        .iter()
        .rev()
        .find_map(|packet| match packet {
            Packet::Subscribe(subscribe) => Some(subscribe.packet_identifier),
            _ => None,
        })
        .unwrap();
    let reasons = vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    let sub_ack = crate::mqtt::SubAck { packet_identifier, properties: None, reasons };
    world.input(Input::Packets(vec![Packet::SubAck(Box::new(sub_ack))]));
    let refused = Event::SubscriptionRefused { filter: "set/9".into(), reason: ReasonCode::NotAuthorized };
    assert!(world.events.contains(&refused));
}

#[test]
fn a_server_that_never_answers_subscribe_is_left() {
    let mut world = World::with(|options| {
        options.receive = vec![Receive::new(TopicFilter::parse("x").unwrap())];
    });
    world.input(Input::Timeout);
    world.answer_open();
    world.step_cloud();
    world.step_gateway();
    world.advance(seconds(10));
    assert!(matches!(last_fault(&world), Fault::AcknowledgementTimeout(_)));
}
