//! Message expiry (section 3.3.2.3.3 of 5.0): what is left is sent, what is over is dropped and counted.

use std::time::Duration;

use super::world::*;
use crate::durable::DropReason;

const SECOND: Duration = Duration::from_secs(1);

/// What waited in the journal is sent with the rest of its life `[MQTT-3.3.2-6]`, or not at all
/// `[MQTT-3.3.2-5]`.
#[test]
fn a_backlog_expires() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").persistent());
    world.subscribe(client, "t", 1);
    world.lose(client);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, expiring("t", 1, 1, 10));
    world.send(publisher, expiring("t", 1, 2, 60));
    world.wait(10 * SECOND);
    let client = world.connect(Login::v5("c").persistent());
    world.hears(client, ["connack 00 present", "publish t q1 #1 expiry=50 short-lived"]);
    assert_eq!(world.dropped(DropReason::Expired), 1);
    assert!(world.journal.kinds().contains(&"Dropped".to_owned()));
}

/// Live messages keep their whole life; 3.1.1 receivers hear nothing of it.
#[test]
fn a_live_message_has_its_whole_life() {
    let mut world = World::new();
    let new = world.join(Login::v5("n"));
    let old = world.join(Login::v311("o"));
    world.subscribe(new, "t", 0);
    world.subscribe(old, "t", 0);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, expiring("t", 0, 1, 10));
    world.hears(new, ["publish t q0 expiry=10 short-lived"]);
    world.hears(old, ["publish t q0 short-lived"]);
}

/// What waited in memory for the window is sent with the rest of its life.
#[test]
fn a_queue_in_memory_expires() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").receive_maximum(1));
    world.subscribe(client, "t", 1);
    let publisher = world.join(Login::v5("p"));
    for (number, seconds) in [(1, 100), (2, 5), (3, 100)] {
        world.send(publisher, expiring("t", 1, number, seconds));
    }
    world.hears(client, ["publish t q1 #1 expiry=100 short-lived"]);
    world.wait(7 * SECOND);
    world.send(client, puback(1));
    world.hears(client, ["publish t q1 #2 expiry=93 short-lived"]);
    assert_eq!(world.dropped(DropReason::Expired), 1);
}

/// An expired retained message is not sent, and leaves the store.
#[test]
fn a_retained_message_expires() {
    let mut world = World::new();
    let publisher = world.join(Login::v5("p"));
    let crate::mqtt::Packet::Publish(mut publish) = expiring("t", 0, 1, 10) else { unreachable!() };
    publish.retain = true;
    world.send(publisher, crate::mqtt::Packet::Publish(publish));
    let client = world.join(Login::v5("c"));
    world.wait(4 * SECOND);
    world.send(client, subscribe(1, &[("t", options(0))]));
    world.hears(client, ["suback #1 00", "publish t q0 retain expiry=6 short-lived"]);
    world.wait(6 * SECOND);
    world.send(client, subscribe(1, &[("t", options(0))]));
    world.hears(client, ["suback #1 00"]);
    assert_eq!(world.journal.kinds().last().unwrap(), "RetainedCleared");
    assert_eq!(world.dropped(DropReason::Expired), 0, "nobody was owed it");
}
