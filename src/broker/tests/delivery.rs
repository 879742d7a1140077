//! Messages from publisher to subscriber, at every quality of service.

use super::world::*;

#[test]
fn qos0_is_delivered_to_whoever_matches() {
    let mut world = World::new();
    let subscriber = world.join(Login::v311("s"));
    let other = world.join(Login::v311("o"));
    let publisher = world.join(Login::v5("p"));
    world.subscribe(subscriber, "a/+", 0);
    world.subscribe(other, "b/#", 2);
    world.send(publisher, qos0("a/b", "hello"));
    world.hears(subscriber, ["publish a/b q0 hello"]);
    world.hears(other, []);
    world.hears(publisher, []);
    assert!(world.journal.records.is_empty(), "nothing durable, nothing written");
}

/// The lower of publisher's and subscriber's QoS `[MQTT-3.8.4-8]`.
#[test]
fn the_granted_qos_is_the_lower_one() {
    for (published, subscribed) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
        let mut world = World::new();
        let subscriber = world.join(Login::v311("s"));
        let publisher = world.join(Login::v311("p"));
        world.subscribe(subscriber, "t", subscribed);
        world.send(publisher, Packet::Publish(publish("t", published, 7, "x")));
        let granted = published.min(subscribed);
        let number = if granted > 0 { " #1" } else { "" };
        world.hears(subscriber, [&*format!("publish t q{granted}{number} x")]);
        match published {
            0 => world.hears(publisher, []),
            1 => world.hears(publisher, ["puback #7"]),
            _ => world.hears(publisher, ["pubrec #7"]),
        }
    }
}

#[test]
fn qos2_goes_through_all_its_steps_on_both_sides() {
    let mut world = World::new();
    let subscriber = world.join(Login::v311("s"));
    let publisher = world.join(Login::v311("p"));
    world.subscribe(subscriber, "t", 2);
    world.send(publisher, qos2("t", 7, "x"));
    world.hears(publisher, ["pubrec #7"]);
    // Repeated before its release: answered, and not handed out again.
    world.send(publisher, qos2("t", 7, "x"));
    world.hears(publisher, ["pubrec #7"]);
    world.send(publisher, pubrel(7));
    world.hears(publisher, ["pubcomp #7"]);
    world.hears(subscriber, ["publish t q2 #1 x"]);
    world.send(subscriber, pubrec(1));
    world.hears(subscriber, ["pubrel #1"]);
    world.send(subscriber, pubrec(1));
    world.hears(subscriber, ["pubrel #1"]);
    world.send(subscriber, pubcomp(1));
    world.hears(subscriber, []);
    // The identifier is free again, for another message.
    world.send(publisher, qos2("t", 7, "y"));
    world.hears(subscriber, ["publish t q2 #2 y"]);
}

#[test]
fn a_persistent_session_gets_what_it_missed_in_order_also_after_a_crash() {
    let mut world = World::new();
    let subscriber = world.join(Login::v311("s").persistent());
    world.subscribe(subscriber, "t", 2);
    world.lose(subscriber);
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos1("t", 1, "one"));
    world.send(publisher, qos2("t", 2, "two"));
    world.send(publisher, qos0("t", "nobody keeps this"));
    world.send(publisher, qos1("t", 3, "three"));
    world.hears(publisher, ["puback #1", "pubrec #2", "puback #3"]);

    let mut world = world.crash();
    let subscriber = world.connect(Login::v311("s").persistent());
    world.hears(
        subscriber,
        ["connack 00 present", "publish t q1 #1 one", "publish t q1 #3 three", "publish t q2 #2 two"],
    );
    world.send(subscriber, puback(1));
    world.send(subscriber, pubrec(2));
    world.hears(subscriber, ["pubrel #2"]);
    world.lose(subscriber);

    let mut world = world.crash();
    let subscriber = world.connect(Login::v5("s").persistent());
    world.hears(subscriber, ["connack 00 present", "pubrel #2", "publish t q1 #3 dup three"]);
    world.send(subscriber, pubcomp(2));
    world.send(subscriber, puback(3));
    world.lose(subscriber);
    let subscriber = world.connect(Login::v5("s").persistent());
    world.hears(subscriber, ["connack 00 present"]);
}

use crate::mqtt::Packet;
