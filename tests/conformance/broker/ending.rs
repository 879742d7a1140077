//! DISCONNECT, loss and the will (sections 3.1.2.5, 3.1.3.2 and 3.14).

use tidegate::mqtt::{Disconnect, Packet, QoS, ReasonCode, Will};

use super::packets::*;
use super::site::Site;

/// A site with somebody who listens to `w/#` at QoS 2, flags as published.
fn watched() -> (Site, tidegate::broker::ConnectionId) {
    let mut site = Site::new();
    let watcher = site.join(v5("watcher"));
    let options = tidegate::mqtt::SubscriptionOptions { retain_as_published: true, ..options(2) };
    site.send(watcher, subscribe_all(1, None, &[("w/#", options)]));
    site.heard(watcher);
    (site, watcher)
}

/// The will is published on every end but a DISCONNECT with code 0: loss, silence, take-over, a broken rule, a
/// DISCONNECT with another code `[MQTT-3.1.2-7]` `[MQTT-3.1.2-8]` `[MQTT-3.1.2-10]` `[MQTT-3.14.4-3]`.
#[test]
fn a_will_is_published_on_every_end_but_a_clean_one() {
    type End = fn(&mut Site, tidegate::broker::ConnectionId);
    let ends: [(End, usize); 7] = [
        (|site, client| site.lose(client), 1),
        (|site, _| site.wait(16), 1),
        (|site, _| _ = site.join(v5("a")), 1),
        (|site, client| site.send_bytes(client, &[0x00, 0x00]), 1),
        (|site, client| site.send(client, disconnect(ReasonCode::DisconnectWithWillMessage)), 1),
        (|site, client| site.send(client, disconnect(ReasonCode::UnspecifiedError)), 1),
        (|site, client| site.send(client, disconnect(ReasonCode::Success)), 0),
    ];
    for (place, (end, wills)) in ends.into_iter().enumerate() {
        let (mut site, watcher) = watched();
        let client = site.join(v5("a").keep_alive(10).will(will("w/a", "gone")));
        end(&mut site, client);
        site.wait(1000);
        assert_eq!(site.heard(watcher).len(), wills, "end {place}");
        // It is published once, and not again by a later connection's end.
        let client = site.join(v5("a"));
        site.lose(client);
        site.hears(watcher, []);
    }
}

/// Retained or not, as the will says `[MQTT-3.1.2-14]` `[MQTT-3.1.2-15]`.
#[test]
fn a_will_is_retained_as_it_says() {
    let (mut site, watcher) = watched();
    let client = site.join(v5("a").will(will("w/a", "passing")));
    site.lose(client);
    let client = site.join(v311("b").will(Will { retain: true, ..will("w/b", "staying") }));
    site.lose(client);
    site.hears(watcher, ["publish w/a q1 #1 passing", "publish w/b q1 #2 retain staying"]);
    let late = site.join(v5("late"));
    site.send(late, subscribe(1, "w/#", 0));
    site.hears(late, ["suback #1 00", "publish w/b q0 retain staying"]);
}

/// The quality of service of the will is its own, up to what is granted `[MQTT-3.1.2-12]`.
#[test]
fn a_will_has_its_own_quality_of_service() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut site, watcher) = watched();
        let client = site.join(v5("a").will(Will { qos, ..will("w/a", "gone") }));
        site.lose(client);
        let heard = site.heard(watcher);
        assert!(heard[0].starts_with(&format!("publish w/a q{}", qos.as_u8())), "{heard:?}");
    }
}

/// A will waits for its delay, or for the end of the session if that is sooner `[MQTT-3.1.2-8]`.
#[test]
fn a_will_waits_for_its_delay() {
    let delayed = Will { delay_interval_seconds: 30, ..will("w/a", "gone") };
    let (mut site, watcher) = watched();
    let client = site.join(v5("a").expiry(100).will(delayed.clone()));
    site.lose(client);
    site.wait(29);
    site.hears(watcher, []);
    site.wait(1);
    site.hears(watcher, ["publish w/a q1 #1 gone"]);
    let client = site.join(v5("a").expiry(10).will(delayed.clone()));
    site.lose(client);
    site.wait(10);
    site.hears(watcher, ["publish w/a q1 #2 gone"]);
    let client = site.join(v5("a").will(delayed));
    site.lose(client);
    site.hears(watcher, ["publish w/a q1 #3 gone"]);
}

/// Who comes back in time has no will any more `[MQTT-3.1.3-9]`.
#[test]
fn coming_back_cancels_a_delayed_will() {
    let delayed = Will { delay_interval_seconds: 30, ..will("w/a", "gone") };
    let (mut site, watcher) = watched();
    let client = site.join(v5("a").persistent().will(delayed.clone()));
    site.lose(client);
    site.wait(20);
    let client = site.join(v5("a").persistent());
    site.wait(100);
    site.send(client, disconnect(ReasonCode::Success));
    site.wait(100);
    site.hears(watcher, []);
    // A new session ends the old one: its will is due at once.
    let client = site.join(v5("a").persistent().will(delayed));
    site.lose(client);
    let _client = site.join(v5("a").clean_start(true));
    site.hears(watcher, ["publish w/a q1 #1 gone"]);
}

/// What the will carries is carried: properties, user properties in their order `[MQTT-3.1.3-10]`.
#[test]
fn a_will_carries_its_properties() {
    let (mut site, watcher) = watched();
    let mut last = will("w/a", "gone");
    last.properties.content_type = Some("text/plain".into());
    last.properties.message_expiry_interval_seconds = Some(60);
    last.properties.payload_format_indicator = Some(true);
    last.properties.user_properties =
        [("b", "1"), ("a", "2"), ("b", "3")].map(|(name, value)| (name.into(), value.into())).to_vec();
    let client = site.join(v5("a").will(last));
    site.lose(client);
    site.hears(watcher, ["publish w/a q1 #1 format=1 expiry=60 content=text/plain b:1 a:2 b:3 gone"]);
}

/// DISCONNECT may change how long the session lives, but not begin one `[MQTT-3.14.2-2]`.
#[test]
fn disconnect_changes_the_expiry() {
    let bye = |seconds| {
        Packet::Disconnect(Box::new(Disconnect {
            session_expiry_interval_seconds: Some(seconds),
            ..Disconnect::new(ReasonCode::Success)
        }))
    };
    let mut site = Site::new();
    let client = site.join(v5("a").expiry(10));
    site.send(client, bye(100));
    site.hears(client, ["closed"]);
    site.wait(50);
    let client = site.connect(v5("a").clean_start(false).expiry(10));
    site.hears(client, ["connack 00 present"]);
    site.send(client, bye(0));
    let client = site.connect(v5("a").clean_start(false));
    site.hears(client, ["connack 00"]);
    site.send(client, bye(5));
    site.hears(client, ["disconnect 82", "closed"]);
}

/// Nothing comes behind a DISCONNECT, from either side, and the connection is closed `[MQTT-3.14.4-1]`
/// `[MQTT-3.14.4-2]` `[MQTT-4.13.2-1]`.
#[test]
fn disconnect_is_the_last_packet() {
    let (mut site, watcher) = watched();
    let client = site.join(v5("a"));
    site.send(client, subscribe(1, "w/#", 0));
    site.heard(client);
    let mut bytes = vec![0x00, 0x00];
    bytes.extend_from_slice(b"\x30\x06\x00\x03w/a\x00");
    site.send_bytes(client, &bytes);
    site.hears(client, ["disconnect 81", "closed"]);
    site.hears(watcher, []);
    let client = site.join(v5("a"));
    site.send_bytes(client, b"\xE0\x00\x30\x06\x00\x03w/a\x00");
    site.hears(client, ["closed"]);
    site.hears(watcher, []);
}

/// A server says no DISCONNECT before it has said CONNACK, and none to 3.1.1 at all `[MQTT-3.14.0-1]`.
#[test]
fn disconnect_never_comes_before_connack() {
    let mut site = Site::new();
    let client = site.open();
    site.send_bytes(client, b"\x10\x0C\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00");
    assert_eq!(&site.take_bytes(client)[..], [0x20, 0x03, 0x00, 0x81, 0x00]);
    let old = site.join(v311("a"));
    site.send_bytes(old, &[0x00, 0x00]);
    site.hears(old, ["closed"]);
}

/// Reserved bits of any fixed header are malformed, and that is what DISCONNECT says `[MQTT-2.1.3-1]`
/// `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.14.1-1]` `[MQTT-3.15.1-1]` `[MQTT-4.13.1-1]`.
#[test]
fn reserved_bits_are_malformed() {
    let packets: [&[u8]; 9] = [
        b"\x41\x02\x00\x01",
        b"\x52\x02\x00\x01",
        b"\x60\x02\x00\x01",
        b"\x73\x02\x00\x01",
        b"\x80\x07\x00\x01\x00\x00\x01t\x00",
        b"\xA0\x06\x00\x01\x00\x00\x01t",
        b"\xC1\x00",
        b"\xE2\x00",
        b"\xF1\x00",
    ];
    for packet in packets {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        site.send_bytes(client, packet);
        site.hears(client, ["disconnect 81", "closed"]);
    }
}

/// PINGREQ is answered `[MQTT-3.12.4-1]`.
#[test]
fn a_ping_is_answered() {
    let mut site = Site::new();
    for hello in [v31("a"), v311("b"), v5("c")] {
        let client = site.join(hello);
        site.send_bytes(client, &[0xC0, 0x00]);
        assert_eq!(&site.take_bytes(client)[..], [0xD0, 0x00]);
    }
}
