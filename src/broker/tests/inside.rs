//! Readings and presence from inside the gateway; uplinks as durable consumers.

use bytes::Bytes;
use smallvec::smallvec;

use super::world::*;
use crate::broker::{ForwardRule, Relay, UplinkRules};
use crate::durable::{DropReason, JournalHealth, Message, MessageBody};
use crate::mqtt::{QoS, TopicFilter};
use crate::reading::{Reading, SensorName};

fn rules(rules: &[(&str, u8)]) -> UplinkRules {
    let rule = |(filter, qos): &(&str, u8)| ForwardRule {
        filter: TopicFilter::parse(*filter).unwrap(),
        maximum_qos: QoS::from_u8(*qos).unwrap(),
        queue: bytestring::ByteString::new(),
    };
    UplinkRules { name: "cloud".into(), forward: rules.iter().map(rule).collect() }
}

/// A reading is accepted when it is on disk for the uplink; live subscribers have it before, rendered.
#[test]
fn a_reading_is_accepted_when_it_is_on_disk() {
    let mut world = World::new();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 0);
    let uplink = world.add_uplink(&rules(&[("site/#", 1)]));
    world.commits = false;
    let reading = Reading {
        sensor: SensorName::parse("kitchen").unwrap(),
        taken_at: world.now,
        rssi: None,
        measurements: smallvec![],
    };
    let reading = Message { body: MessageBody::Reading(Box::new(reading)), ..message(&world, "site/k", "") };
    world.ingest(1, reading, Relay::All);
    world.hears(live, ["publish site/k q0 kitchen"]);
    assert_eq!(world.accepted, []);
    world.commit();
    assert_eq!(world.accepted, [(1, Ok(()))]);
    assert_eq!(world.journal.owed(uplink), ["site/k q1"]);
    // Nobody durable wants this: nothing to wait for.
    let other = message(&world, "elsewhere", "x");
    world.ingest(2, other, Relay::All);
    assert_eq!(world.accepted, [(1, Ok(())), (2, Ok(()))]);
}

/// The first rule that matches decides; QoS 0 is kept at QoS 1 unless the rule says 0.
#[test]
fn the_first_rule_that_matches_decides() {
    let mut world = World::new();
    let uplink = world.add_uplink(&rules(&[("a/live", 0), ("a/+", 1), ("#", 2)]));
    let publisher = world.join(Login::v311("p"));
    for topic in ["a/live", "a/x", "b"] {
        world.send(publisher, qos0(topic, "0"));
        world.send(publisher, qos1(topic, 1, "1"));
        world.send(publisher, qos2(topic, 2, "2"));
        world.send(publisher, pubrel(2));
    }
    assert_eq!(
        world.journal.owed(uplink),
        ["a/live q0", "a/live q0", "a/live q0", "a/x q1", "a/x q1", "a/x q1", "b q1", "b q1", "b q2"]
    );
}

/// Presence is not history: it is retained and passed on, and never kept for uplinks.
#[test]
fn presence_is_not_kept_for_uplinks() {
    let mut world = World::new();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 0);
    let uplink = world.add_uplink(&rules(&[("#", 1)]));
    let online = Message { retain: true, ..message(&world, "gw/status", "online") };
    world.ingest(1, online, Relay::None);
    world.hears(live, ["publish gw/status q0 online"]);
    assert_eq!(world.journal.owed(uplink), [""; 0]);
    assert_eq!(world.accepted, [(1, Ok(()))]);
    let late = world.join(Login::v311("late"));
    world.send(late, subscribe(1, &[("#", options(0))]));
    world.hears(late, ["suback #1 00", "publish gw/status q0 retain online"]);
}

/// What came down through an uplink goes to clients and to the other uplinks, and never up the same way again.
#[test]
fn what_came_down_through_an_uplink_does_not_go_up_again() {
    let mut world = World::new();
    let live = world.join(Login::v311("live"));
    world.subscribe(live, "#", 0);
    let uplink = world.add_uplink(&rules(&[("gw/#", 1)]));
    let other = world.add_uplink(&UplinkRules { name: "other".into(), ..rules(&[("gw/#", 1)]) });
    let command = message(&world, "gw/lamp/set", "on");
    world.ingest(1, command, Relay::AllBut(uplink));
    world.hears(live, ["publish gw/lamp/set q0 on"]);
    assert_eq!(world.journal.owed(uplink), [""; 0]);
    assert_eq!(world.journal.owed(other), ["gw/lamp/set q1"]);
}

/// An uplink of the same name goes on with its queue after a restart; another name is another consumer.
#[test]
fn an_uplink_is_known_by_its_name() {
    let mut world = World::new();
    let first = world.add_uplink(&rules(&[("#", 1)]));
    let mut world = world.crash();
    let other = UplinkRules { name: "other".into(), ..rules(&[("#", 1)]) };
    let other = world.add_uplink(&other);
    let again = world.add_uplink(&rules(&[("#", 1)]));
    assert_eq!(again, first);
    assert_ne!(other, first);
    assert_eq!(world.journal.kinds(), ["UplinkOpened"]);
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos1("t", 1, "x"));
    assert_eq!(world.journal.owed(first), ["t q1"]);
    assert_eq!(world.journal.owed(other), ["t q1"]);
}

/// A message for several durable consumers is kept once.
#[test]
fn a_message_is_kept_once_for_all() {
    let mut world = World::new();
    world.add_uplink(&rules(&[("#", 1)]));
    for client_id in ["a", "b"] {
        let client = world.join(Login::v311(client_id).persistent());
        world.subscribe(client, "t", 1);
        world.leave(client);
    }
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos1("t", 1, "x"));
    assert_eq!(world.journal.kinds().iter().filter(|kind| *kind == "Kept").count(), 1);
}

/// When the journal takes nothing, a reading goes to who is there, and its loss for the uplink is counted.
#[test]
fn a_reading_that_cannot_be_kept_is_counted() {
    for (health, reason) in
        [(JournalHealth::Dead, DropReason::JournalDead), (JournalHealth::Full, DropReason::JournalFullNewest)]
    {
        let mut world = World::new();
        let live = world.join(Login::v311("live"));
        world.subscribe(live, "t", 0);
        world.add_uplink(&rules(&[("#", 1)]));
        world.health(health);
        let reading = message(&world, "t", "x");
        world.ingest(1, reading, Relay::All);
        world.hears(live, ["publish t q0 x"]);
        assert_eq!(world.accepted, [(1, Err(reason))]);
        assert_eq!(world.dropped(reason), 1);
        // A QoS 0 publisher hears nothing of it, and it is counted too.
        let publisher = world.join(Login::v311("p"));
        world.send(publisher, qos0("t", "y"));
        assert_eq!(world.dropped(reason), 2);
    }
}

/// Readings are cheap to encode: once per version and QoS, however many listen.
#[test]
fn a_message_is_encoded_once_for_many() {
    let mut world = World::new();
    let clients: Vec<_> = (0..10).map(|number| world.join(Login::v311(&format!("c{number}")))).collect();
    for client in clients {
        world.subscribe(client, "t", 0);
    }
    let mut out = Vec::new();
    let input = crate::broker::Input::Ingest {
        source: crate::broker::SourceId(1),
        token: 1,
        message: message(&world, "t", "x"),
        relay: Relay::All,
        urgency: crate::durable::Urgency::Lingers,
    };
    world.broker.handle(world.now, input, &mut out);
    let frames: Vec<Bytes> = out
        .into_iter()
        .filter_map(|output| match output {
            crate::broker::Output::SendPublish { frame, .. } => Some(frame.bytes),
            _ => None,
        })
        .collect();
    assert_eq!(frames.len(), 10);
    assert!(frames.iter().all(|bytes| bytes.as_ptr() == frames[0].as_ptr()), "all share one allocation");
}
