//! How large things may be: topics, levels, packets, both ways.

use tidegate::broker::Denial;
use tidegate::durable::DropReason;
use tidegate::limits::{Limits, TOPIC_LEVELS};
use tidegate::mqtt::{Packet, ReasonCode};

use super::packets::*;
use super::site::Site;

fn deep(levels: usize) -> String {
    vec!["l"; levels].join("/")
}

/// 200 levels pass, in names and filters; one more is refused by its own code.
#[test]
fn two_hundred_levels_pass() {
    assert_eq!(TOPIC_LEVELS, 200);
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let with_wildcards = vec!["+"; 199].join("/") + "/#";
    for (filter, code) in
        [(deep(200), "00"), (with_wildcards, "00"), (deep(201), "8f"), (deep(201) + "/#", "8f")]
    {
        site.send(client, subscribe(1, &filter, 0));
        site.hears(client, [&format!("suback #1 {code}")]);
    }
    site.send(client, publish(&deep(200), 1, 2, "x"));
    assert_eq!(site.heard(client).len(), 2, "PUBACK, and the message");
    site.send(client, publish(&deep(201), 1, 3, "x"));
    site.hears(client, ["puback #3 90"]);
    site.send(client, publish(&deep(201), 2, 4, "x"));
    site.hears(client, ["pubrec #4 90"]);
    // Without an answer that could say it the connection ends.
    site.send(client, publish(&deep(201), 0, 4, "x"));
    site.hears(client, ["disconnect 90", "closed"]);
    let refused = site.connect(v5("w").will(will(&deep(201), "")));
    site.hears(refused, ["connack 90", "closed"]);
}

/// A topic and a filter of 65,535 bytes are used like any other `[MQTT-4.7.3-3]`.
#[test]
fn the_longest_topic_is_a_topic() {
    let mut site = Site::new();
    let longest = "x".repeat(65_535);
    for hello in [v5("a"), v311("b")] {
        let client = site.join(hello);
        site.send(client, subscribe(1, &longest, 1));
        site.hears(client, ["suback #1 01"]);
        site.send(client, publish(&longest, 1, 7, "y"));
        let heard = site.heard(client);
        assert!(heard == [format!("publish {longest} q1 #1 y"), "puback #7".to_owned()]);
        site.send(client, unsubscribe(2, &[&longest]));
        assert_eq!(site.heard(client).len(), 1);
    }
}

/// A packet of 256 MB is refused by its first five bytes, before and after CONNECT `[MQTT-4.13.1-1]`.
#[test]
fn a_huge_packet_is_refused_at_once() {
    let mut site = Site::new();
    let early = site.open();
    site.send_bytes(early, b"\x10\xFF\xFF\xFF\x7F");
    site.hears(early, ["closed"]);
    let client = site.join(v5("a"));
    site.send_bytes(client, b"\x30\xFF\xFF\xFF\x7F");
    site.hears(client, ["disconnect 95", "closed"]);
    let old = site.join(v311("b"));
    site.send_bytes(old, b"\x30\xFF\xFF\xFF\x7F");
    site.hears(old, ["closed"]);
    let endless = site.join(v5("c"));
    site.send_bytes(endless, b"\x30\xFF\xFF\xFF\xFF\x01");
    site.hears(endless, ["disconnect 81", "closed"]);
}

/// The server's own maximum: exactly so many bytes pass, one more does not, and CONNACK says how many.
#[test]
fn the_maximum_packet_size_of_the_server() {
    let mut site = Site::with(Limits { max_packet_bytes: 100, ..Limits::default() });
    let client = site.connect(v5("a"));
    let (packets, _) = site.take(client);
    let [Packet::ConnAck(answer)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(answer.properties.maximum_packet_size.map(|size| size.get()), Some(100));
    // 2 + 2 + 1 + 2 + 1 bytes before the payload.
    site.send(client, publish("t", 1, 1, &"x".repeat(92)));
    site.hears(client, ["puback #1 10"]);
    site.send(client, publish("t", 1, 1, &"x".repeat(93)));
    site.hears(client, ["disconnect 95", "closed"]);
}

/// Nothing larger than the client takes is sent; it counts as delivered `[MQTT-3.1.2-24]` `[MQTT-3.1.2-25]`.
#[test]
fn the_maximum_packet_size_of_the_client() {
    for hello in [v5("a").maximum_packet_size(60), v5("a").maximum_packet_size(60).persistent()] {
        let mut site = Site::new();
        let client = site.join(hello.clone());
        site.send(client, subscribe(1, "t", 2));
        site.heard(client);
        let publisher = site.join(v5("p"));
        for (identifier, qos) in [(1, 0), (2, 1), (3, 2)] {
            site.send(publisher, publish("t", qos, identifier, &"x".repeat(100)));
        }
        site.send(publisher, publish("t", 1, 4, "small"));
        site.hears(client, ["publish t q1 #1 small"]);
        assert_eq!(site.dropped.get(&DropReason::PacketTooLarge), Some(&3));
    }
}

/// Neither is any other packet: who cannot take the answer it needs is told so and let go `[MQTT-3.1.2-24]`.
#[test]
fn answers_are_no_larger_than_the_client_takes() {
    let mut site = Site::new();
    let tiny = site.connect(v5("a").maximum_packet_size(10));
    site.hears(tiny, ["connack 95", "closed"]);
    let tinier = site.connect(v5("a").maximum_packet_size(4));
    site.hears(tinier, ["closed"]);
    let nameless = site.connect(v5("").maximum_packet_size(50));
    site.hears(nameless, ["connack 95", "closed"]);
    let small = site.join(v5("a").maximum_packet_size(40));
    let requests = vec![("t", options(0)); 40];
    site.send(small, subscribe_all(1, None, &requests[..35]));
    assert_eq!(site.heard(small).len(), 1);
    site.send(small, subscribe_all(1, None, &requests));
    site.hears(small, ["disconnect 95", "closed"]);
}

/// What an administrator allows less of than the standard does is refused by its own code, and counted.
#[test]
fn narrower_bounds_are_kept_and_counted() {
    let limits = Limits {
        max_topic_levels: 3,
        max_topic_bytes: 10,
        max_user_properties: 2,
        max_subscriptions: 1,
        max_connect_packet_bytes: 200,
        ..Limits::default()
    };
    let mut site = Site::with(limits);
    let client = site.join(v5("a"));
    for (identifier, filter, code) in
        [(1, "a/b/c/d", "8f"), (2, "12345678901", "8f"), (3, "a/b/+", "00"), (4, "x", "97")]
    {
        site.send(client, subscribe(identifier, filter, 0));
        site.hears(client, [&format!("suback #{identifier} {code}")]);
    }
    let mut with_properties = |count: usize, topic: &str, qos, identifier| {
        let mut message = publish(topic, qos, identifier, "x");
        let pair = ("name".into(), "value".into());
        message.0.properties.get_or_insert_default().user_properties = vec![pair; count];
        site.send(client, message);
        site.heard(client)
    };
    assert_eq!(with_properties(2, "1234567890", 1, 1), ["puback #1 10"]);
    assert_eq!(with_properties(0, "12345678901", 1, 2), ["puback #2 90"]);
    assert_eq!(with_properties(0, "a/b/c/d", 2, 3), ["pubrec #3 90"]);
    assert_eq!(with_properties(3, "t", 1, 4), ["puback #4 97"]);
    assert_eq!(with_properties(3, "t", 0, 0), ["disconnect 97", "closed"]);
    let invalid = (Denial::Subscribe, ReasonCode::TopicFilterInvalid);
    let (name, quota) = (ReasonCode::TopicNameInvalid, ReasonCode::QuotaExceeded);
    let published = [name, name, quota, quota].map(|reason| (Denial::Publish, reason));
    assert_eq!(site.denied[..3], [invalid, invalid, (Denial::Subscribe, quota)]);
    assert_eq!(site.denied[3..], published);
    let deep = site.connect(v5("w").will(will("a/b/c/d", "")));
    site.hears(deep, ["connack 90", "closed"]);
    let long = site.connect(v5(&"c".repeat(200)));
    site.hears(long, ["closed"]);
}
