//! Clients that break the rules: they are told why and closed, and nobody else notices.

use std::num::{NonZeroU16, NonZeroU32};

use super::world::*;
use crate::limits::Limits;
use crate::mqtt::{Acknowledgement, Auth, Packet, Publish, PublishProperties, ReasonCode};

fn with_alias(topic: Option<&str>, alias: u16) -> Packet {
    Packet::Publish(Publish {
        topic: topic.map(name),
        topic_alias: NonZeroU16::new(alias),
        ..publish("t", 0, 1, "x")
    })
}

/// Each of these ends a 5.0 connection with its own code `[MQTT-4.13.1-1]`, and a 3.1.1 connection in silence.
#[test]
fn broken_rules_end_the_connection_with_the_right_code() {
    let with_identifier = || {
        let properties = PublishProperties {
            subscription_identifiers: vec![NonZeroU32::MIN],
            ..PublishProperties::default()
        };
        Packet::Publish(Publish { properties: Some(Box::new(properties)), ..publish("t", 0, 1, "x") })
    };
    let auth = || {
        Packet::Auth(Box::new(Auth {
            reason: ReasonCode::ReAuthenticate,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: Vec::new(),
        }))
    };
    let cases: [(&str, Packet, &str); 9] = [
        ("PINGRESP", Packet::PingResp, "82"),
        ("AUTH", auth(), "82"),
        ("[MQTT-3.3.4-6]", with_identifier(), "82"),
        ("an alias of nothing", with_alias(None, 1), "82"),
        ("neither topic nor alias", with_alias(None, 0), "82"),
        ("[MQTT-3.3.2-9]", with_alias(Some("t"), 17), "94"),
        ("a topic of 201 levels", qos0(&"/".repeat(200), "x"), "90"),
        ("the server's own topics", qos0("$SYS/uptime", "x"), "87"),
        ("the server's own topic", qos0("$SYS", "x"), "87"),
    ];
    for (case, packet, code) in cases {
        let mut world = World::new();
        let witness = world.join(Login::v311("w"));
        world.subscribe(witness, "#", 0);
        let client = world.join(Login::v5("c"));
        world.send(client, packet);
        let heard = world.heard(client);
        assert_eq!(heard[0], format!("disconnect {code}"), "{case}");
        assert!(heard[1].starts_with("closed Refused"), "{case}");
        world.hears(witness, []);
    }
    let mut world = World::new();
    let client = world.join(Login::v311("c"));
    world.send(client, Packet::PingResp);
    world.hears(client, ["closed Refused(ProtocolError)"]);
}

/// Aliases stand for topics on their connection, and may be changed `[MQTT-3.3.2-8]`.
#[test]
fn topic_aliases_are_understood() {
    let mut world = World::new();
    let witness = world.join(Login::v311("w"));
    world.subscribe(witness, "#", 0);
    let client = world.join(Login::v5("c"));
    world.send(client, with_alias(Some("a"), 16));
    world.send(client, with_alias(None, 16));
    world.send(client, with_alias(Some("b"), 16));
    world.send(client, with_alias(None, 16));
    world.hears(witness, ["publish a q0 x", "publish a q0 x", "publish b q0 x", "publish b q0 x"]);
    world.lose(client);
    let client = world.join(Login::v5("c"));
    world.send(client, with_alias(None, 16));
    world.hears(client, ["disconnect 82", "closed Refused(ProtocolError)"]);
}

/// More open than the server said it takes `[MQTT-3.3.4-7]`; whoever was acknowledged may send on.
#[test]
fn the_receive_maximum_of_the_server_is_enforced() {
    let mut world = World::with(Limits { receive_maximum: 3, ..Limits::default() });
    let client = world.join(Login::v5("c"));
    for number in 1..=3 {
        world.send(client, qos2("t", number, "x"));
    }
    world.send(client, qos2("t", 3, "a repetition takes no place"));
    world.send(client, pubrel(1));
    world.send(client, qos1("t", 4, "acknowledged at once"));
    world.send(client, qos1("t", 5, "acknowledged at once"));
    world.heard(client);
    world.send(client, qos2("t", 6, "x"));
    world.hears(client, ["pubrec #6 10"]);
    world.send(client, qos1("t", 7, "one too many"));
    world.hears(client, ["disconnect 93", "closed Refused(ReceiveMaximumExceeded)"]);
    // 3.1.1 knows no such bound.
    let client = world.join(Login::v311("old"));
    for number in 1..=100 {
        world.send(client, qos2("t", number, "x"));
    }
    assert_eq!(world.heard(client).len(), 100);
}

/// Acknowledgements of nothing change nothing; PUBREC and PUBREL are answered, so that the other side can end
/// `[MQTT-4.3.3-5]` `[MQTT-4.3.3-11]`.
#[test]
fn acknowledgements_of_nothing_are_harmless() {
    let mut world = World::new();
    let client = world.join(Login::v5("c"));
    world.subscribe(client, "t", 2);
    world.send(client, puback(9));
    world.send(client, pubcomp(9));
    world.hears(client, []);
    world.send(client, pubrec(9));
    world.hears(client, ["pubrel #9 92"]);
    world.send(client, pubrel(9));
    world.hears(client, ["pubcomp #9 92"]);
    world.send(client, Packet::PubRec(Acknowledgement::new(identifier(9), ReasonCode::UnspecifiedError)));
    world.hears(client, []);
}

/// The wrong acknowledgement for a QoS does not end a delivery.
#[test]
fn the_wrong_acknowledgement_ends_nothing() {
    let mut world = World::new();
    let client = world.join(Login::v5("c").receive_maximum(1));
    world.subscribe(client, "t", 2);
    let publisher = world.join(Login::v311("p"));
    world.send(publisher, qos2("t", 1, "x"));
    world.send(publisher, qos2("t", 2, "y"));
    world.heard(client);
    world.send(client, puback(1));
    world.send(client, pubcomp(1));
    world.hears(client, []);
    world.send(client, pubrec(1));
    world.send(client, pubcomp(1));
    world.hears(client, ["pubrel #1", "publish t q2 #2 y"]);
}

/// A will that nobody may publish lets nobody in.
#[test]
fn a_forged_will_is_refused() {
    let mut world = World::new();
    let client = world.connect(Login::v5("c").will("$SYS/broker/clients", 0, 0));
    world.hears(client, ["connack 87", "closed Refused(NotAuthorized)"]);
}
