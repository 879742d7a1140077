//! Retained messages: set, cleared, sent to new subscriptions, kept over a restart, bounded.

use super::world::*;
use crate::broker::{Figures, Relay};
use crate::durable::DropReason;
use crate::limits::Limits;
use crate::mqtt::{QoS, RetainHandling};

/// The last retained message of a topic goes to new subscriptions, with the flag `[MQTT-3.3.1-5]`
/// `[MQTT-3.3.1-8]`; an empty one removes it and is passed on as any other `[MQTT-3.3.1-6]`.
#[test]
fn the_last_one_of_a_topic_is_sent_to_new_subscriptions() {
    let mut world = World::new();
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, retained("a/1", 0, 1, "old"));
    world.send(publisher, retained("a/1", 1, 1, "new"));
    world.send(publisher, retained("a/2", 0, 1, "other"));
    world.send(publisher, qos0("a/2", "not retained, so it replaces nothing"));
    let client = world.join(Login::v311("c"));
    world.send(client, subscribe(1, &[("a/#", options(2))]));
    world.hears(client, ["suback #1 02", "publish a/1 q1 #1 retain new", "publish a/2 q0 retain other"]);
    world.send(publisher, retained("a/1", 0, 1, ""));
    world.hears(client, ["publish a/1 q0 "]);
    world.send(client, subscribe(2, &[("a/#", options(2))]));
    world.hears(client, ["suback #2 02", "publish a/2 q0 retain other"]);
}

/// Which topics a filter finds among the retained ones.
#[test]
fn filters_find_retained_messages() {
    let topics = ["a", "a/b", "a/b/c", "ab", "ab/b", "b/b", "/b", "$dollar/b"];
    let cases: [(&str, &[&str]); 9] = [
        ("a", &["a"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("a/+", &["a/b"]),
        ("+", &["a", "ab"]),
        ("+/b", &["/b", "a/b", "ab/b", "b/b"]),
        ("#", &["/b", "a", "a/b", "a/b/c", "ab", "ab/b", "b/b"]),
        ("$dollar/#", &["$dollar/b"]),
        ("a/+/c", &["a/b/c"]),
        ("nothing/here", &[]),
    ];
    let mut world = World::new();
    let publisher = world.join(Login::v311("p"));
    for topic in topics {
        world.send(publisher, retained(topic, 0, 1, "x"));
    }
    for (filter, expected) in cases {
        let client = world.join(Login::v311("c"));
        world.send(client, subscribe(1, &[(filter, options(0))]));
        let heard = world.heard(client);
        let found: Vec<&str> = heard.iter().skip(1).map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

/// Retain handling: always, only if new, never `[MQTT-3.3.1-9]` `[MQTT-3.3.1-10]` `[MQTT-3.3.1-11]`.
#[test]
fn retain_handling_is_obeyed() {
    let mut world = World::new();
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, retained("t", 0, 1, "x"));
    let client = world.join(Login::v5("c"));
    let sent = "publish t q0 retain x";
    for (handling, first, again) in [
        (RetainHandling::Send, true, true),
        (RetainHandling::SendIfNew, true, false),
        (RetainHandling::DoNotSend, false, false),
    ] {
        for wanted in [first, again] {
            world.send(client, subscribe(1, &[("t", retain_handling(0, handling))]));
            let heard = world.heard(client);
            assert_eq!(heard.contains(&sent.to_owned()), wanted, "{handling:?}");
        }
        world.send(client, unsubscribe(2, &["t"]));
        world.heard(client);
    }
}

/// A QoS 1 retained message is acknowledged when it is on disk; it is there after a crash, and so is its removal.
#[test]
fn retained_messages_survive_a_crash() {
    let mut world = World::new();
    world.commits = false;
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, retained("t", 1, 1, "x"));
    world.hears(publisher, []);
    world.commit();
    world.hears(publisher, ["puback #1"]);

    let mut world = world.crash();
    let client = world.join(Login::v311("c"));
    world.send(client, subscribe(1, &[("t", options(0))]));
    world.hears(client, ["suback #1 00", "publish t q0 retain x"]);
    world.send(client, retained("t", 1, 1, ""));
    world.commit();

    let mut world = world.crash();
    let client = world.join(Login::v311("c"));
    world.send(client, subscribe(1, &[("t", options(0))]));
    world.hears(client, ["suback #1 00"]);
}

/// To a persistent session retained messages of QoS 1 are owed like all others.
#[test]
fn a_persistent_session_is_owed_retained_messages() {
    let mut world = World::new();
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, retained("t", 1, 1, "x"));
    let client = world.join(Login::v311("c").persistent());
    world.send(client, subscribe(1, &[("t", options(1))]));
    world.hears(client, ["publish t q1 #1 retain x", "suback #1 01"]);
    let mut world = world.crash();
    let client = world.connect(Login::v311("c").persistent());
    world.hears(client, ["connack 00 present", "publish t q1 #1 dup retain x"]);
}

/// What does not fit is passed on, not retained, and counted.
#[test]
fn retained_messages_are_bounded() {
    for limits in [
        Limits { max_retained_messages: 1, ..Limits::default() },
        Limits { max_retained_bytes: 10, ..Limits::default() },
    ] {
        let mut world = World::with(limits);
        let client = world.join(Login::v311("c"));
        world.subscribe(client, "#", 0);
        let publisher = world.join(Login::v311("p"));
        world.send(publisher, retained("a", 1, 1, "12345"));
        world.send(publisher, retained("b", 1, 2, "67890"));
        world.send(publisher, retained("a", 1, 3, "1234"));
        world.hears(publisher, ["puback #1", "puback #2", "puback #3"]);
        world.hears(client, ["publish a q0 12345", "publish b q0 67890", "publish a q0 1234"]);
        assert_eq!(world.dropped(DropReason::QueueFull), 1);
        world.send(client, subscribe(1, &[("#", options(0))]));
        world.hears(client, ["suback #1 00", "publish a q0 retain 1234"]);
    }
}

/// More retained messages than the socket takes at once wait for it, also at QoS 0.
#[test]
fn retained_messages_wait_for_a_slow_socket() {
    let mut world = World::with(Limits { max_outbox_bytes: 100, ..Limits::default() });
    let publisher = world.join(Login::v311("p"));
    for number in 0..30 {
        world.send(publisher, retained(&format!("t/{number:02}"), 0, 1, "0123456789"));
    }
    let client = world.join(Login::v311("c"));
    world.writes = false;
    world.send(client, subscribe(1, &[("t/#", options(0))]));
    assert!(world.heard(client).len() < 10);
    // What is published meanwhile comes behind.
    world.send(publisher, qos0("t/00", "later"));
    world.writes = true;
    world.write(client);
    world.settle();
    let heard = world.heard(client);
    assert_eq!(heard.last().unwrap(), "publish t/00 q0 later");
    assert_eq!(world.dropped(DropReason::SlowSubscriber), 0);
}

/// The server's own figures are for this run: they are retained, and never on disk.
#[test]
fn the_servers_own_topics_are_not_on_disk() {
    let mut world = World::new();
    let mut uptime = message(&world, "$SYS/broker/uptime", "1 seconds");
    (uptime.retain, uptime.qos) = (true, QoS::AtMostOnce);
    world.ingest(1, uptime, Relay::None);
    assert!(world.journal.kinds().is_empty(), "{:?}", world.journal.kinds());
    let client = world.join(Login::v5("c"));
    world.send(client, subscribe(1, &[("$SYS/#", options(1))]));
    world.hears(client, ["suback #1 01", "publish $SYS/broker/uptime q0 retain 1 seconds"]);
    let figures = Figures { sessions: 1, connected: 1, subscriptions: 1, retained: 0 };
    assert_eq!(world.broker.figures(), figures);
}
