//! What 3.1 and 3.1.1 have of their own, and clients of all versions together on one broker.

use tidegate::mqtt::{Packet, QoS, Will};

use super::packets::*;
use super::site::Site;

/// Clients of every version hear each other.
#[test]
fn all_versions_hear_each_other() {
    let mut site = Site::new();
    let clients = [v31("a"), v311("b"), v5("c")].map(|hello| {
        let client = site.join(hello);
        site.send(client, subscribe(1, "t", 2));
        site.heard(client);
        client
    });
    for from in clients {
        site.send(from, publish("t", 2, 9, "x"));
        for to in clients {
            let heard = site.heard(to);
            let count = heard.iter().filter(|line| line.starts_with("publish t q2")).count();
            assert_eq!(count, 1, "{heard:?}");
        }
    }
}

/// The fixed bytes of 3.1.1: CONNACK, PUBACK and the others have neither codes nor properties.
#[test]
fn answers_of_3_1_1_have_their_length() {
    let mut site = Site::new();
    let client = site.connect(v311("a"));
    assert_eq!(&site.take_bytes(client)[..], [0x20, 0x02, 0x00, 0x00]);
    let cases: [(Packet, &[u8]); 5] = [
        (publish("nobody", 1, 5, "").into(), &[0x40, 0x02, 0x00, 0x05]),
        (publish("nobody", 2, 6, "").into(), &[0x50, 0x02, 0x00, 0x06]),
        (pubrel(6), &[0x70, 0x02, 0x00, 0x06]),
        (pubrec(77), &[0x62, 0x02, 0x00, 0x4D]),
        (unsubscribe(7, &["t"]), &[0xB0, 0x02, 0x00, 0x07]),
    ];
    for (packet, answer) in cases {
        site.send(client, packet);
        assert_eq!(&site.take_bytes(client)[..], answer);
    }
}

/// Without a code that could refuse it, a publication that is not allowed is acknowledged and dropped (3.1.1:
/// `[MQTT-3.3.5-2]`).
#[test]
fn a_forbidden_publication_of_3_1_1_is_acknowledged() {
    let mut site = Site::new();
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "$SYS/#", 0));
    site.heard(subscriber);
    let client = site.join(v311("a"));
    site.send(client, publish("$SYS/x", 0, 1, "forged"));
    site.send(client, publish("$SYS/x", 1, 1, "forged"));
    site.send(client, publish("$SYS/x", 2, 2, "forged"));
    site.send(client, pubrel(2));
    site.hears(client, ["puback #1", "pubrec #2", "pubcomp #2"]);
    site.hears(subscriber, []);
}

/// A password needs a user name in 3.1.1 (there `[MQTT-3.1.2-22]`), and the connection just ends.
#[test]
fn a_password_of_3_1_1_needs_a_user_name() {
    let mut site = Site::new();
    let client = site.open();
    site.send_bytes(client, b"\x10\x11\x00\x04MQTT\x04\x42\x00\x00\x00\x01b\x00\x02pw");
    site.hears(client, ["closed"]);
}

/// Malformed packets of 3.1.1 end the connection without a word, and the will is published (3.1.1:
/// `[MQTT-1.5.3-1]` `[MQTT-1.5.3-2]` `[MQTT-2.2.2-2]` `[MQTT-2.3.1-1]` `[MQTT-3.8.3-3]` `[MQTT-3.10.3-2]`
/// `[MQTT-4.8.0-1]`).
#[test]
fn malformed_packets_of_3_1_1_end_the_connection() {
    let cases: [&[u8]; 13] = [
        b"\x30\x04\x00\x02\xC3\x28",
        b"\x30\x03\x00\x01\x00",
        b"\x30\x03\x00\x01+",
        b"\x30\x02\x00\x00",
        b"\x36\x05\x00\x01t\x00\x01",
        b"\x38\x03\x00\x01t",
        b"\x32\x05\x00\x01t\x00\x00",
        b"\x80\x06\x00\x01\x00\x01t\x00",
        b"\x82\x02\x00\x01",
        b"\x82\x06\x00\x01\x00\x01t\x04",
        b"\x82\x06\x00\x01\x00\x01t\x03",
        b"\xA2\x02\x00\x01",
        b"\xF0\x00",
    ];
    for packet in cases {
        let mut site = Site::new();
        let watcher = site.join(v311("w"));
        site.send(watcher, subscribe(1, "w", 0));
        site.heard(watcher);
        let last = Will { qos: QoS::AtMostOnce, ..will("w", "gone") };
        let client = site.join(v311("a").will(last));
        site.send_bytes(client, packet);
        site.hears(client, ["closed"]);
        site.hears(watcher, ["publish w q0 gone"]);
    }
}

/// Clean session 1 keeps nothing, clean session 0 everything (3.1.1: `[MQTT-3.1.2-4]` to `[MQTT-3.1.2-6]`).
#[test]
fn a_clean_session_ends_with_its_connection() {
    let mut site = Site::new();
    let client = site.join(v311("a"));
    site.send(client, subscribe(1, "t", 1));
    site.lose(client);
    let publisher = site.join(v311("p"));
    site.send(publisher, publish("t", 1, 1, "lost"));
    let client = site.connect(v311("a").persistent());
    site.hears(client, ["connack 00"]);
    site.send(client, subscribe(1, "t", 1));
    site.lose(client);
    site.send(publisher, publish("t", 1, 1, "kept"));
    site.wait(1_000_000_000);
    let client = site.connect(v311("a").persistent());
    site.hears(client, ["connack 00 present", "publish t q1 #1 kept"]);
}

/// A filter that is refused has the return code 0x80, also a shared one without a name; a sound one is shared.
#[test]
fn shared_subscriptions_work_for_3_1_1() {
    let mut site = Site::new();
    let workers = ["a", "b"].map(|name| {
        let client = site.join(v311(name));
        site.send(client, subscribe_all(1, None, &[("$share/x", options(1)), ("$share/g/t", options(1))]));
        assert_eq!(&site.take_bytes(client)[..], [0x90, 0x04, 0x00, 0x01, 0x80, 0x01]);
        client
    });
    let publisher = site.join(v311("p"));
    site.send(publisher, publish("t", 1, 1, "one"));
    site.send(publisher, publish("t", 1, 2, "two"));
    site.hears(workers[0], ["publish t q1 #1 one"]);
    site.hears(workers[1], ["publish t q1 #1 two"]);
}
