//! The server as the sender: identifiers, windows, repetition (sections 4.3, 4.4 and 4.9).

use tidegate::broker::ConnectionId;
use tidegate::mqtt::{Packet, PublishQoS};

use super::packets::*;
use super::site::Site;

/// A subscriber to `t`, and a publisher.
fn pair(hello: Hello, qos: u8) -> (Site, ConnectionId, ConnectionId) {
    let mut site = Site::new();
    let subscriber = site.join(hello);
    site.send(subscriber, subscribe(1, "t", qos));
    site.heard(subscriber);
    let publisher = site.join(v5("publisher"));
    (site, subscriber, publisher)
}

/// QoS 0: once, without DUP and without an identifier `[MQTT-4.3.1-1]` `[MQTT-2.2.1-2]` `[MQTT-3.3.1-2]`.
#[test]
fn qos_0_is_sent_once() {
    let (mut site, subscriber, publisher) = pair(v5("s").persistent(), 0);
    site.send(publisher, publish("t", 1, 1, "x"));
    site.hears(subscriber, ["publish t q0 x"]);
    site.lose(subscriber);
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present"]);
}

/// Every open message has an identifier of its own that is not 0, also after 65,535 of them `[MQTT-2.2.1-4]`
/// `[MQTT-4.3.2-1]` `[MQTT-4.3.2-2]` `[MQTT-4.3.3-1]` `[MQTT-4.3.3-2]`.
#[test]
fn identifiers_are_unused() {
    let (mut site, subscriber, publisher) = pair(v5("s").receive_maximum(3), 2);
    // One stays open all the time.
    site.send(publisher, publish("t", 2, 1, "open"));
    site.send(publisher, pubrel(1));
    site.hears(subscriber, ["publish t q2 #1 open"]);
    let mut last = 1;
    for round in 0..65_600_u32 {
        site.send(publisher, publish("t", 1, 2, "x"));
        let (packets, _) = site.take(subscriber);
        let [Packet::Publish(publish)] = &packets[..] else { panic!("{packets:?}") };
        let PublishQoS::AtLeastOnce(identifier) = publish.qos else { panic!("{publish:?}") };
        assert!(!publish.dup && identifier.get() > 1, "round {round}");
        assert_ne!(identifier.get(), last);
        last = identifier.get();
        site.send(subscriber, puback(last));
        if round % 256 == 0 {
            site.take(publisher);
        }
    }
}

/// QoS 1 is open until PUBACK, and repeated with its identifier and DUP on the next connection, only there
/// `[MQTT-4.3.2-3]` `[MQTT-4.4.0-1]` `[MQTT-3.3.1-1]`.
#[test]
fn qos_1_is_repeated_until_puback() {
    let (mut site, subscriber, publisher) = pair(v5("s").persistent(), 1);
    for identifier in 1..=3 {
        site.send(publisher, publish("t", 1, identifier, &identifier.to_string()));
    }
    site.heard(subscriber);
    site.wait(100_000);
    site.hears(subscriber, []);
    site.send(subscriber, puback(2));
    site.lose(subscriber);
    for _ in 0..2 {
        let subscriber = site.connect(v5("s").persistent());
        site.hears(subscriber, ["connack 00 present", "publish t q1 #1 dup 1", "publish t q1 #3 dup 3"]);
        site.lose(subscriber);
    }
    let mut site = site.restart();
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present", "publish t q1 #1 dup 1", "publish t q1 #3 dup 3"]);
    site.send(subscriber, puback(1));
    site.send(subscriber, puback(3));
    site.lose(subscriber);
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present"]);
}

/// QoS 2 step by step, with a lost connection after each `[MQTT-4.3.3-3]` `[MQTT-4.3.3-4]` `[MQTT-4.3.3-5]`
/// `[MQTT-4.3.3-6]` `[MQTT-4.4.0-1]`.
#[test]
fn qos_2_goes_on_where_it_was() {
    let (mut site, subscriber, publisher) = pair(v5("s").persistent(), 2);
    site.send(publisher, publish("t", 2, 1, "x"));
    site.hears(subscriber, ["publish t q2 #1 x"]);
    site.lose(subscriber);
    let mut site = site.restart();
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present", "publish t q2 #1 dup x"]);
    site.send(subscriber, pubrec(1));
    site.hears(subscriber, ["pubrel #1"]);
    site.lose(subscriber);
    let mut site = site.restart();
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present", "pubrel #1"]);
    // Repeated because the client may not have heard it, never the PUBLISH again.
    site.send(subscriber, pubrec(1));
    site.hears(subscriber, ["pubrel #1"]);
    site.send(subscriber, pubcomp(1));
    site.lose(subscriber);
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present"]);
}

/// What was sent at QoS 2 does not expire any more `[MQTT-4.3.3-7]`.
#[test]
fn what_was_sent_does_not_expire() {
    let (mut site, subscriber, publisher) = pair(v5("s").persistent(), 2);
    site.send(publisher, publish("t", 2, 1, "x").expiry(5));
    site.hears(subscriber, ["publish t q2 #1 expiry=5 x"]);
    site.lose(subscriber);
    site.wait(60);
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present", "publish t q2 #1 dup expiry=0 x"]);
    site.send(subscriber, pubrec(1));
    site.hears(subscriber, ["pubrel #1"]);
}

/// A refusal ends a delivery: it is not repeated `[MQTT-4.4.0-2]`.
#[test]
fn what_is_refused_is_not_repeated() {
    let (mut site, subscriber, publisher) = pair(v5("s").persistent(), 2);
    site.send(publisher, publish("t", 1, 1, "one"));
    site.send(publisher, publish("t", 2, 2, "two"));
    site.hears(subscriber, ["publish t q1 #1 one", "publish t q2 #2 two"]);
    site.send(subscriber, Packet::PubAck(refusal(1)));
    site.send(subscriber, Packet::PubRec(refusal(2)));
    site.hears(subscriber, []);
    site.lose(subscriber);
    let subscriber = site.connect(v5("s").persistent());
    site.hears(subscriber, ["connack 00 present"]);
}

/// No more is open than the client takes; PUBACK, PUBCOMP and a refusal make room, PUBREC does not
/// `[MQTT-3.3.4-9]` `[MQTT-4.9.0-1]` `[MQTT-4.9.0-2]`.
#[test]
fn no_more_is_open_than_the_client_takes() {
    for hello in [v5("s").receive_maximum(2), v5("s").receive_maximum(2).persistent()] {
        let (mut site, subscriber, publisher) = pair(hello, 2);
        for identifier in 1..=6 {
            site.send(publisher, publish("t", 2, identifier, &identifier.to_string()));
        }
        site.hears(subscriber, ["publish t q2 #1 1", "publish t q2 #2 2"]);
        site.send(subscriber, pubrec(1));
        site.hears(subscriber, ["pubrel #1"]);
        site.send(subscriber, pubcomp(1));
        site.hears(subscriber, ["publish t q2 #3 3"]);
        site.send(subscriber, Packet::PubRec(refusal(2)));
        site.hears(subscriber, ["publish t q2 #4 4"]);
    }
}

/// A full window delays nothing but PUBLISH of QoS 1 and 2 `[MQTT-3.3.4-10]` `[MQTT-4.9.0-3]` `[MQTT-3.3.4-8]`.
#[test]
fn a_full_window_delays_nothing_else() {
    let (mut site, subscriber, publisher) = pair(v5("s").receive_maximum(1), 1);
    site.send(publisher, publish("t", 1, 1, "open"));
    site.send(publisher, publish("t", 1, 2, "waits"));
    site.heard(subscriber);
    site.send(subscriber, Packet::PingReq);
    site.send(subscriber, subscribe(2, "u", 0));
    site.send(subscriber, unsubscribe(3, &["u"]));
    site.send(subscriber, publish("x", 1, 4, ""));
    site.send(subscriber, publish("x", 2, 5, ""));
    site.send(subscriber, pubrel(5));
    site.send(publisher, publish("t", 0, 1, "at once"));
    site.hears(
        subscriber,
        [
            "pingresp",
            "suback #2 00",
            "unsuback #3 00",
            "puback #4 10",
            "pubrec #5 10",
            "pubcomp #5",
            "publish t q0 at once",
        ],
    );
}

/// The window of a connection that says nothing is the server's own choice, at least 1 `[MQTT-4.9.0-1]`.
#[test]
fn a_window_is_never_empty() {
    let mut site = Site::with(tidegate::limits::Limits { receive_maximum: 0, ..Default::default() });
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "t", 1));
    let publisher = site.join(v311("p"));
    site.send(publisher, publish("t", 1, 1, "x"));
    site.hears(subscriber, ["suback #1 01", "publish t q1 #1 x"]);
}

/// The next connection may take fewer: what is open stays, no more comes `[MQTT-3.3.4-9]`.
#[test]
fn a_smaller_window_is_kept() {
    let (mut site, subscriber, publisher) = pair(v5("s").receive_maximum(3).persistent(), 1);
    for identifier in 1..=4 {
        site.send(publisher, publish("t", 1, identifier, &identifier.to_string()));
    }
    assert_eq!(site.heard(subscriber).len(), 3);
    site.lose(subscriber);
    let subscriber = site.connect(v5("s").receive_maximum(1).persistent());
    site.hears(subscriber, ["connack 00 present", "publish t q1 #1 dup 1"]);
    site.send(subscriber, puback(1));
    site.hears(subscriber, ["publish t q1 #2 dup 2"]);
}
