//! What a message carries, and what its properties ask of the server (section 3.3.2.3).

use bytes::Bytes;
use tidegate::mqtt::{Packet, PublishProperties};

use super::packets::*;
use super::site::Site;

fn everything() -> PublishProperties {
    PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval_seconds: None,
        response_topic: Some(name("answers/here")),
        correlation_data: Some(Bytes::from_static(b"\x00\xFFdata")),
        user_properties: [("z", "1"), ("a", ""), ("z", "2"), ("", "empty")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        subscription_identifiers: Vec::new(),
        content_type: Some("application/json".into()),
    }
}

/// Everything is carried as it came, live, retained, queued and over a restart; user properties in their order
/// `[MQTT-3.3.2-4]` `[MQTT-3.3.2-15]` `[MQTT-3.3.2-16]` `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]` `[MQTT-3.3.2-20]`
/// `[MQTT-1.5.7-1]`.
#[test]
fn properties_are_carried_unaltered() {
    let mut site = Site::new();
    let live = site.join(v5("live"));
    let away = site.join(v5("away").persistent());
    for client in [live, away] {
        site.send(client, subscribe(1, "t", 1));
        site.heard(client);
    }
    site.lose(away);
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("t", 1, 1, "x").retained().with(|all| *all = everything()));
    let received = |site: &mut Site, client| {
        let (packets, _) = site.take(client);
        let found = packets.into_iter().find_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        });
        *found.expect("a message").properties.expect("properties")
    };
    assert_eq!(received(&mut site, live), everything());
    let mut site = site.restart();
    let away = site.connect(v5("away").persistent());
    assert_eq!(received(&mut site, away), everything());
    let late = site.join(v5("late"));
    site.send(late, subscribe(1, "t", 0));
    assert_eq!(received(&mut site, late), everything());
}

/// Clients of 3.1.1 get the message without, their own messages have none.
#[test]
fn older_clients_get_the_message_alone() {
    let mut site = Site::new();
    let old = site.join(v311("old"));
    site.send(old, subscribe(1, "t", 0));
    site.heard(old);
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("t", 1, 1, "x").with(|all| *all = everything()));
    assert_eq!(&site.take_bytes(old)[..], *b"\x30\x04\x00\x01tx");
}

/// Strings that are none, wildcards in the response topic, values out of range `[MQTT-3.3.2-13]`
/// `[MQTT-3.3.2-14]` `[MQTT-3.3.2-19]` `[MQTT-1.5.7-1]` `[MQTT-1.5.4-2]`.
#[test]
fn malformed_properties_end_the_connection() {
    let cases: [&[u8]; 7] = [
        b"\x08\x00\x01\xFF",
        b"\x08\x00\x03a/+",
        b"\x08\x00\x00",
        b"\x03\x00\x01\x80",
        b"\x26\x00\x01a\x00\x01\xC0",
        b"\x26\x00\x01\x00\x00\x01a",
        b"\x01\x02",
    ];
    for properties in cases {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        let mut packet = vec![0x30, 4 + properties.len() as u8, 0x00, 0x01, b't', properties.len() as u8];
        packet.extend_from_slice(properties);
        site.send_bytes(client, &packet);
        let heard = site.heard(client);
        let is_told = matches!(&heard[..], [line, _] if line == "disconnect 81" || line == "disconnect 82");
        assert!(is_told, "{properties:?}: {heard:?}");
    }
}

/// The message expiry interval counts down while a message waits; what is over is deleted `[MQTT-3.3.2-5]`
/// `[MQTT-3.3.2-6]`.
#[test]
fn messages_expire_while_they_wait() {
    let mut site = Site::new();
    let away = site.join(v5("away").persistent());
    site.send(away, subscribe(1, "#", 1));
    site.lose(away);
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("a", 1, 1, "short").expiry(10));
    site.send(publisher, publish("b", 1, 2, "long").expiry(100).retained());
    site.send(publisher, publish("c", 1, 3, "for ever"));
    site.send(publisher, publish("d", 1, 4, "short").expiry(10).retained());
    site.wait(30);
    let away = site.connect(v5("away").persistent());
    site.hears(away, ["connack 00 present", "publish b q1 #1 expiry=70 long", "publish c q1 #2 for ever"]);
    let late = site.join(v5("late"));
    site.send(late, subscribe(1, "+", 0));
    site.hears(late, ["suback #1 00", "publish b q0 retain expiry=70 long"]);
}

/// The same while it waits in memory for a client's window.
#[test]
fn messages_expire_while_they_wait_for_the_window() {
    let mut site = Site::new();
    let client = site.join(v5("a").receive_maximum(1));
    site.send(client, subscribe(1, "t", 1));
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("t", 1, 1, "first"));
    site.send(publisher, publish("t", 1, 2, "short").expiry(10));
    site.send(publisher, publish("t", 1, 3, "long").expiry(100));
    site.wait(30);
    site.send(client, puback(1));
    site.hears(client, ["suback #1 01", "publish t q1 #1 first", "publish t q1 #2 expiry=70 long"]);
}
