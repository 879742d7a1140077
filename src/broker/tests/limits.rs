//! What a slow or greedy client can make grow, and what happens at the bound.

use super::world::*;
use crate::durable::DropReason;
use crate::limits::Limits;

/// A socket that does not take more: QoS 0 is dropped and counted, QoS 1 waits.
#[test]
fn a_slow_socket_costs_qos0_and_delays_the_rest() {
    let mut world = World::with(Limits { max_outbox_bytes: 40, ..Limits::default() });
    let client = world.join(Login::v311("c"));
    world.subscribe(client, "t", 1);
    let publisher = world.join(Login::v311("p"));
    world.writes = false;
    for _ in 0..5 {
        world.send(publisher, qos0("t", "0123456789"));
    }
    for number in 1..=3 {
        world.send(publisher, qos1("t", number, &format!("{number}")));
    }
    assert_eq!(world.heard(client).len(), 3, "one more than fits, so that a large one goes at all");
    assert_eq!(world.dropped(DropReason::SlowSubscriber), 2);
    world.write(client);
    world.settle();
    world.hears(client, ["publish t q1 #1 1", "publish t q1 #2 2", "publish t q1 #3 3"]);
}

/// The queue in memory is bounded by count and by bytes; the oldest goes first, QoS 0 before all.
#[test]
fn a_queue_in_memory_is_bounded() {
    for limits in [
        Limits { max_queued_messages: 3, ..Limits::default() },
        Limits { max_queued_bytes: 30, ..Limits::default() },
    ] {
        let mut world = World::with(limits);
        let client = world.join(Login::v5("c").receive_maximum(1));
        world.subscribe(client, "t", 1);
        let publisher = world.join(Login::v311("p"));
        for number in 1..=6 {
            world.send(publisher, qos1("t", number, &format!("{number}")));
        }
        world.hears(client, ["publish t q1 #1 1"]);
        assert_eq!(world.dropped(DropReason::QueueFull), 2);
        for number in 1..=3 {
            world.send(client, puback(number));
        }
        world.hears(client, ["publish t q1 #2 4", "publish t q1 #3 5", "publish t q1 #4 6"]);
    }
}

/// What waits in memory for a client that goes is counted.
#[test]
fn what_waits_for_a_client_that_goes_is_counted() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").receive_maximum(1));
    world.subscribe(client, "t", 1);
    let publisher = world.join(Login::v311("p"));
    for number in 1..=4 {
        world.send(publisher, qos1("t", number, "x"));
    }
    world.lose(client);
    // The one that was sent was not acknowledged: nobody knows whether it arrived.
    assert_eq!(world.dropped(DropReason::SessionEnded), 4);
}

/// The client's receive maximum is kept `[MQTT-3.3.4-9]`, with acknowledgements of QoS 2 counted at PUBCOMP.
#[test]
fn no_more_is_open_than_the_client_takes() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").receive_maximum(2));
    world.subscribe(client, "t", 2);
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos2("t", 1, "1"));
    world.send(publisher, qos1("t", 2, "2"));
    world.send(publisher, qos1("t", 3, "3"));
    world.send(publisher, qos0("t", "0"));
    world.hears(client, ["publish t q2 #1 1", "publish t q1 #2 2", "publish t q0 0"]);
    world.send(client, pubrec(1));
    world.hears(client, ["pubrel #1"]);
    world.send(client, pubcomp(1));
    world.hears(client, ["publish t q1 #3 3"]);
}

/// What is larger than the client takes is left out for it alone `[MQTT-3.1.2-24]`.
#[test]
fn too_large_messages_are_left_out() {
    let mut world = World::new();
    let small = world.join(Login::v5("s").maximum_packet_size(30));
    let large = world.join(Login::v5("l"));
    world.subscribe(small, "t", 1);
    world.subscribe(large, "t", 0);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, qos1("t", 1, &"x".repeat(30)));
    world.hears(publisher, ["puback #1"]);
    world.hears(small, []);
    assert_eq!(world.heard(large).len(), 1);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 1);
}

/// A session that is away has bounds, too, by count and by bytes: what is new is not kept for it. What an earlier run
/// left counts.
#[test]
fn what_the_journal_owes_to_a_session_is_bounded() {
    for limits in [
        Limits { max_queued_messages: 3, ..Limits::default() },
        Limits { max_queued_bytes: 25, ..Limits::default() },
    ] {
        let mut world = World::with(limits);
        let away = world.join(Login::v5("c").persistent());
        world.subscribe(away, "t", 1);
        world.leave(away);
        let publisher = world.join(Login::v311("p"));
        for number in 1..=5 {
            world.send(publisher, qos1("t", number, "12345678"));
        }
        assert_eq!(world.dropped(DropReason::QueueFull), 2);
        let mut world = world.crash();
        let publisher = world.join(Login::v311("p"));
        world.send(publisher, qos1("t", 6, "12345678"));
        assert_eq!(world.dropped(DropReason::QueueFull), 1, "what an earlier run left counts");
    }
}
