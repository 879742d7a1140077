//! Shared subscriptions: each message to one member, in turn, and to another when that one leaves (section 4.8.2).

use std::time::Duration;

use super::world::*;
use crate::broker::ConnectionId;
use crate::durable::{ConsumerId, DropReason};
use crate::limits::Limits;
use crate::mqtt::{Acknowledgement, Disconnect, Packet, ReasonCode};

const FILTER: &str = "$share/workers/job/#";

/// Members of one group, each subscribed at this quality of service.
fn members<const N: usize>(world: &mut World, logins: [Login; N], qos: u8) -> [ConnectionId; N] {
    logins.map(|login| {
        let member = world.join(login);
        world.subscribe(member, FILTER, qos);
        member
    })
}

fn clean(name: &str) -> Login {
    Login::v5(name)
}

fn kept(name: &str) -> Login {
    Login::v5(name).persistent()
}

/// One message of every member's turn; never two copies.
#[test]
fn members_take_turns() {
    let mut world = World::new();
    let all = members(&mut world, [clean("a"), clean("b"), Login::v311("c")], 1);
    let publisher = world.join(clean("p"));
    for round in 0..2 {
        for (place, member) in all.iter().enumerate() {
            let number = u16::try_from(3 * round + place + 1).unwrap();
            world.send(publisher, qos1("job/1", number, "work"));
            world.hears(*member, [&format!("publish job/1 q1 #{} work", round + 1)]);
            for other in all.iter().filter(|other| *other != member) {
                world.hears(*other, []);
            }
        }
    }
}

/// Different names share apart from each other, and what is not shared comes besides `[MQTT-3.8.4-8]`.
#[test]
fn every_name_is_a_group_of_its_own() {
    let mut world = World::new();
    let member = world.join(clean("m"));
    world.subscribe(member, "$share/one/t", 0);
    world.subscribe(member, "$share/two/t", 0);
    world.subscribe(member, "t", 0);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos0("t", "x"));
    world.hears(member, ["publish t q0 x", "publish t q0 x", "publish t q0 x"]);
    // The whole filter names the subscription, `$share` and name included [MQTT-3.10.4-1].
    world.send(member, unsubscribe(2, &["$share/one/t", "$share/three/t"]));
    world.hears(member, ["unsuback #2 00 11"]);
    world.send(publisher, qos0("t", "y"));
    world.hears(member, ["publish t q0 y", "publish t q0 y"]);
}

/// The granted quality of service of the one that gets it counts `[MQTT-4.8.2-3]`, and so do its other options.
#[test]
fn each_member_has_its_own_options() {
    let mut world = World::new();
    let low = world.join(clean("low"));
    world.send(low, subscribe_as(1, Some(7), &[(FILTER, options(0))]));
    let high = world.join(clean("high"));
    world.send(high, subscribe_as(1, Some(9), &[(FILTER, options(2))]));
    world.hears(low, ["suback #1 00"]);
    world.hears(high, ["suback #1 02"]);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.send(publisher, qos1("job/1", 2, "y"));
    world.hears(low, ["publish job/1 q0 sub=7 x"]);
    world.hears(high, ["publish job/1 q1 #1 sub=9 y"]);
}

/// No retained message comes with a shared subscription (section 4.8.2).
#[test]
fn nothing_retained_is_sent() {
    let mut world = World::new();
    let publisher = world.join(clean("p"));
    world.send(publisher, retained("job/1", 1, 1, "old"));
    let [member] = members(&mut world, [clean("m")], 1);
    world.hears(member, []);
    world.send(publisher, retained("job/1", 1, 2, "new"));
    world.hears(member, ["publish job/1 q1 #1 new"]);
}

#[test]
fn who_has_no_room_is_passed_over() {
    let mut world = World::new();
    let [small, large] = members(&mut world, [clean("s").receive_maximum(1), clean("l")], 1);
    let publisher = world.join(clean("p"));
    for number in 1..=3 {
        world.send(publisher, qos1("job/1", number, &number.to_string()));
    }
    world.hears(small, ["publish job/1 q1 #1 1"]);
    world.hears(large, ["publish job/1 q1 #1 2", "publish job/1 q1 #2 3"]);
}

/// When nobody has room, messages wait for whoever has it first, in order.
#[test]
fn without_room_they_wait_in_order() {
    let mut world = World::new();
    let logins = [clean("a").receive_maximum(1), clean("b").receive_maximum(1)];
    let [a, b] = members(&mut world, logins, 1);
    let publisher = world.join(clean("p"));
    for number in 1..=5 {
        world.send(publisher, qos1("job/1", number, &number.to_string()));
    }
    world.hears(a, ["publish job/1 q1 #1 1"]);
    world.hears(b, ["publish job/1 q1 #1 2"]);
    world.send(b, puback(1));
    world.send(b, puback(2));
    world.hears(b, ["publish job/1 q1 #2 3", "publish job/1 q1 #3 4"]);
    world.send(a, puback(1));
    world.hears(a, ["publish job/1 q1 #2 5"]);
}

#[test]
fn what_waits_in_memory_is_bounded() {
    let mut world = World::with(Limits { max_queued_messages: 2, ..Limits::default() });
    let [member] = members(&mut world, [clean("m").receive_maximum(1)], 1);
    let publisher = world.join(clean("p"));
    for number in 1..=6 {
        world.send(publisher, qos1("job/1", number, &number.to_string()));
    }
    // One is open, two wait; the oldest that waited are gone.
    assert_eq!(world.dropped(DropReason::QueueFull), 3);
    world.hears(member, ["publish job/1 q1 #1 1"]);
    world.send(member, puback(1));
    world.hears(member, ["publish job/1 q1 #2 5"]);
}

#[test]
fn at_most_once_never_waits() {
    let mut world = World::with(Limits { max_outbox_bytes: 0, ..Limits::default() });
    world.writes = false;
    let [member] = members(&mut world, [clean("m")], 0);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos0("job/1", "1"));
    world.send(publisher, qos0("job/1", "2"));
    world.hears(member, ["publish job/1 q0 1"]);
    assert_eq!(world.dropped(DropReason::SlowSubscriber), 1);
}

/// What a member did not acknowledge goes to another when its session ends.
#[test]
fn another_gets_what_a_lost_member_left_open() {
    let mut world = World::new();
    let [a, b] = members(&mut world, [clean("a"), clean("b")], 1);
    let publisher = world.join(clean("p"));
    for number in 1..=4 {
        world.send(publisher, qos1("job/1", number, &number.to_string()));
    }
    world.hears(a, ["publish job/1 q1 #1 1", "publish job/1 q1 #2 3"]);
    world.send(a, puback(1));
    world.lose(a);
    world.hears(b, ["publish job/1 q1 #1 2", "publish job/1 q1 #2 4", "publish job/1 q1 #3 3"]);
}

/// What a persistent member did not acknowledge goes to another one that is there, and not to both.
#[test]
fn another_gets_what_an_absent_member_left_open() {
    let mut world = World::new();
    let [a, b] = members(&mut world, [kept("a"), kept("b")], 1);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.hears(a, ["publish job/1 q1 #1 x"]);
    world.lose(a);
    world.hears(b, ["publish job/1 q1 #1 x"]);
    world.send(b, puback(1));
    let a = world.connect(kept("a"));
    world.hears(a, ["connack 00 present"]);
    assert!(world.journal.owed(ConsumerId(2)).is_empty(), "the group is owed nothing more");
}

/// The only member gets it again under its identifier, with DUP `[MQTT-4.4.0-1]` `[MQTT-3.3.1-1]`.
#[test]
fn the_only_member_gets_it_again() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a")], 1);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.send(publisher, qos1("job/1", 2, "y"));
    world.hears(a, ["publish job/1 q1 #1 x", "publish job/1 q1 #2 y"]);
    world.lose(a);
    world.send(publisher, qos1("job/1", 3, "z"));
    let a = world.connect(kept("a"));
    world.hears(
        a,
        [
            "connack 00 present",
            "publish job/1 q1 #1 dup x",
            "publish job/1 q1 #2 dup y",
            "publish job/1 q1 #3 z",
        ],
    );
}

/// With every member away, messages wait in the journal, also while the gateway is dead.
#[test]
fn messages_wait_for_persistent_members_across_a_restart() {
    let mut world = World::new();
    let [a, b] = members(&mut world, [kept("a"), kept("b")], 1);
    world.lose(a);
    world.lose(b);
    let publisher = world.join(clean("p"));
    for number in 1..=3 {
        world.send(publisher, qos1("job/1", number, &number.to_string()));
    }
    let mut world = world.crash();
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 4, "4"));
    let b = world.connect(kept("b"));
    world.hears(
        b,
        [
            "connack 00 present",
            "publish job/1 q1 #1 1",
            "publish job/1 q1 #2 2",
            "publish job/1 q1 #3 3",
            "publish job/1 q1 #4 4",
        ],
    );
    for number in 1..=4 {
        world.send(b, puback(number));
    }
    assert!(world.journal.owed(ConsumerId(2)).is_empty());
    let a = world.connect(kept("a"));
    world.hears(a, ["connack 00 present"]);
    world.send(publisher, qos1("job/1", 5, "5"));
    world.send(publisher, qos1("job/1", 6, "6"));
    assert_eq!((world.heard(a).len(), world.heard(b).len()), (1, 1), "both are members still");
}

/// A member with a session that ends with its connection works for a group that the journal keeps.
#[test]
fn a_passing_member_helps() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a")], 2);
    world.lose(a);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.send(publisher, qos2("job/1", 2, "y"));
    let b = world.join(clean("b"));
    world.send(b, subscribe(1, &[(FILTER, options(2))]));
    world.hears(b, ["suback #1 02", "publish job/1 q1 #1 x", "publish job/1 q2 #2 y"]);
    world.send(b, puback(1));
    assert!(world.journal.owed(ConsumerId(2)).is_empty(), "QoS 2 is the member's once it is assigned");
    world.send(b, pubrec(2));
    world.send(b, pubcomp(2));
    world.hears(b, ["pubrel #2"]);
}

/// That a QoS 2 message is one member's is on disk before it is sent.
#[test]
fn an_assignment_at_qos_2_waits_for_the_disk() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a")], 2);
    world.lose(a);
    let [b] = members(&mut world, [clean("b")], 2);
    let publisher = world.join(clean("p"));
    world.commits = false;
    world.send(publisher, qos2("job/1", 1, "y"));
    world.commit();
    world.hears(b, []);
    world.commit();
    world.hears(b, ["publish job/1 q2 #1 y"]);
}

/// A QoS 2 message is completed with its member when that comes back `[MQTT-4.8.2-4]`.
#[test]
fn qos_2_waits_for_its_member() {
    let mut world = World::new();
    let [a, b] = members(&mut world, [kept("a"), kept("b")], 2);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos2("job/1", 1, "x"));
    world.hears(a, ["publish job/1 q2 #1 x"]);
    world.lose(a);
    world.hears(b, []);
    let mut world = world.crash();
    let b = world.connect(kept("b"));
    world.hears(b, ["connack 00 present"]);
    let a = world.connect(kept("a"));
    world.hears(a, ["connack 00 present", "publish job/1 q2 #1 dup x"]);
    world.send(a, pubrec(1));
    world.send(a, pubcomp(1));
    world.hears(a, ["pubrel #1"]);
}

/// When the session of its member ends, nobody else gets a QoS 2 message `[MQTT-4.8.2-5]`.
#[test]
fn qos_2_ends_with_the_session_of_its_member() {
    for login in [clean("a"), kept("a").expiry(10)] {
        let mut world = World::new();
        let [a, b] = members(&mut world, [login, kept("b")], 2);
        let publisher = world.join(clean("p"));
        world.send(publisher, qos2("job/1", 1, "x"));
        world.hears(a, ["publish job/1 q2 #1 x"]);
        world.lose(a);
        world.wait(Duration::from_secs(11));
        world.hears(b, []);
    }
}

/// A QoS 2 message that a member has no room for stays the group's.
#[test]
fn qos_2_waits_with_the_group_while_nobody_has_room() {
    let mut world = World::new();
    let logins = [kept("a").receive_maximum(1), kept("b").receive_maximum(1)];
    let [a, b] = members(&mut world, logins, 2);
    let publisher = world.join(clean("p"));
    for number in 1..=3 {
        world.send(publisher, qos2("job/1", number, &number.to_string()));
    }
    world.hears(a, ["publish job/1 q2 #1 1"]);
    world.hears(b, ["publish job/1 q2 #1 2"]);
    world.send(b, pubrec(1));
    world.send(b, pubcomp(1));
    world.hears(b, ["pubrel #1", "publish job/1 q2 #2 3"]);
}

/// What a member refuses nobody else gets `[MQTT-4.8.2-6]`.
#[test]
fn what_a_member_refuses_is_dropped() {
    let refusal = |number| Acknowledgement::new(identifier(number), ReasonCode::NotAuthorized);
    let mut world = World::new();
    let [a, b] = members(&mut world, [kept("a"), clean("b")], 2);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.send(publisher, qos1("job/1", 2, "y"));
    world.send(a, Packet::PubAck(refusal(1)));
    world.send(b, Packet::PubAck(refusal(1)));
    world.send(publisher, qos2("job/1", 3, "z"));
    world.send(a, Packet::PubRec(refusal(2)));
    assert_eq!(world.dropped(DropReason::Refused), 3);
    world.hears(a, ["publish job/1 q1 #1 x", "publish job/1 q2 #2 z"]);
    world.hears(b, ["publish job/1 q1 #1 y"]);
    assert!(world.journal.owed(ConsumerId(2)).is_empty());
}

/// What is too large for one member goes to one that takes it; for all of them, to nobody `[MQTT-3.1.2-25]`.
#[test]
fn who_takes_small_packets_is_passed_over() {
    let mut world = World::new();
    let [small, large] =
        members(&mut world, [clean("s").maximum_packet_size(30), clean("l").maximum_packet_size(60)], 1);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, &"x".repeat(30)));
    world.send(publisher, qos1("job/1", 2, &"x".repeat(60)));
    world.hears(small, []);
    assert_eq!(world.heard(large).len(), 1);
    assert_eq!(world.dropped(DropReason::PacketTooLarge), 1);
}

/// Who unsubscribes may finish what it has begun `[MQTT-3.10.4-3]`; nothing new comes `[MQTT-3.10.4-2]`.
#[test]
fn who_leaves_finishes_what_it_has() {
    let mut world = World::new();
    let [a, b] = members(&mut world, [kept("a"), kept("b")], 1);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.send(a, unsubscribe(2, &[FILTER]));
    world.send(publisher, qos1("job/1", 2, "y"));
    world.send(publisher, qos1("job/1", 3, "z"));
    world.send(a, puback(1));
    world.hears(a, ["publish job/1 q1 #1 x", "unsuback #2 00"]);
    world.hears(b, ["publish job/1 q1 #1 y", "publish job/1 q1 #2 z"]);
    assert_eq!(world.journal.owed(ConsumerId(2)), ["job/1 q1", "job/1 q1"]);
}

/// With the last member the group ends, and what waited for it.
#[test]
fn the_group_ends_with_its_last_member() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a").expiry(60)], 1);
    world.lose(a);
    let publisher = world.join(clean("p"));
    world.send(publisher, qos1("job/1", 1, "x"));
    assert_eq!(world.journal.owed(ConsumerId(2)), ["job/1 q1"]);
    world.wait(Duration::from_secs(61));
    assert!(world.journal.owed(ConsumerId(2)).is_empty());
    world.heard(publisher);
    world.send(publisher, qos1("job/1", 2, "y"));
    world.hears(publisher, ["puback #2 10"]);

    let [b] = members(&mut world, [clean("b").receive_maximum(1)], 1);
    world.send(publisher, qos1("job/1", 3, "open"));
    world.send(publisher, qos1("job/1", 4, "waits"));
    world.send(b, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))));
    assert_eq!(world.dropped(DropReason::SessionEnded), 2);
}

/// A group whose members did not outlive a crash does not outlive it either.
#[test]
fn a_deserted_group_is_closed_after_a_crash() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a")], 1);
    let [b] = members(&mut world, [clean("b")], 1);
    world.send(a, unsubscribe(2, &[FILTER]));
    world.lose(b);
    let [_] = members(&mut world, [kept("c")], 1);
    let [_] = members(&mut world, [clean("d")], 1);
    let c = world.join(kept("c"));
    world.send(c, unsubscribe(2, &[FILTER]));
    let mut world = world.crash();
    let publisher = world.join(clean("p"));
    assert_eq!(world.journal.kinds().first().map(String::as_str), Some("ConsumerClosed"));
    world.send(publisher, qos1("job/1", 1, "x"));
    world.hears(publisher, ["puback #1 10"]);
}

/// What waits too long for a member expires like everything else `[MQTT-3.3.2-5]`.
#[test]
fn what_waits_for_a_member_expires() {
    let mut world = World::new();
    let [a] = members(&mut world, [kept("a")], 1);
    world.lose(a);
    let publisher = world.join(clean("p"));
    world.send(publisher, expiring("job/1", 1, 1, 10));
    world.send(publisher, expiring("job/1", 1, 2, 100));
    world.wait(Duration::from_secs(20));
    let a = world.connect(kept("a"));
    world.hears(a, ["connack 00 present", "publish job/1 q1 #1 expiry=80 short-lived"]);
    assert_eq!(world.dropped(DropReason::Expired), 1);
}

/// Names and filters that are none are refused `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`.
#[test]
fn a_share_has_a_name_and_a_filter() {
    let mut world = World::new();
    let client = world.join(clean("c"));
    let bad = ["$share", "$share/", "$share/a", "$share/a/", "$share//t", "$share/a+/t", "$share/a#/t"];
    let requests: Vec<_> = bad.iter().map(|filter| (*filter, options(0))).collect();
    world.send(client, subscribe(1, &requests));
    world.hears(client, ["suback #1 8f 8f 8f 8f 8f 8f 8f"]);
    world.send(client, subscribe(2, &[("$share/a/+/#", options(1)), ("$share/a/$SYS/#", options(0))]));
    world.hears(client, ["suback #2 01 00"]);
}
