//! CONNECT and CONNACK (sections 3.1 and 3.2): who is let in, what it is told, which session it gets.

use tidegate::broker::ConnectionId;
use tidegate::limits::Limits;
use tidegate::mqtt::{Packet, ReasonCode};

use super::packets::*;
use super::site::Site;

/// The first packet is CONNECT, a second one ends the connection `[MQTT-3.1.0-1]` `[MQTT-3.1.0-2]`.
#[test]
fn connect_comes_first_and_once() {
    let mut site = Site::new();
    let early = site.open();
    site.send_bytes(early, &[0xC0, 0x00]);
    site.hears(early, ["closed"]);

    let client = site.join(v5("a"));
    site.send(client, v5("a"));
    site.hears(client, ["disconnect 82", "closed"]);
    let old = site.join(v311("a"));
    site.send(old, v311("a"));
    site.hears(old, ["closed"]);
}

/// Other protocols and versions are told so, as far as they understand it `[MQTT-3.1.2-1]` `[MQTT-3.1.2-2]`
/// `[MQTT-3.2.2-7]`.
#[test]
fn other_protocols_are_refused() {
    let mut site = Site::new();
    let stranger = site.open();
    site.send_bytes(stranger, b"\x10\x0C\x00\x04MQTX\x05\x02\x00\x00\x00\x00\x00");
    site.hears(stranger, ["closed"]);
    let future = site.open();
    site.send_bytes(future, b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x00");
    assert_eq!(&site.take_bytes(future)[..], [0x20, 0x03, 0x00, 0x84, 0x00]);
    let past = site.open();
    site.send_bytes(past, b"\x10\x0C\x00\x04MQTT\x02\x02\x00\x00\x00\x00");
    assert_eq!(&site.take_bytes(past)[..], [0x20, 0x02, 0x00, 0x01], "the return code of 3.1.1");
}

/// The reserved flag, and flags that contradict each other or the payload, are malformed `[MQTT-3.1.2-3]`
/// `[MQTT-3.1.2-9]` `[MQTT-3.1.2-11]` `[MQTT-3.1.2-12]` `[MQTT-3.1.2-13]` `[MQTT-3.1.2-16]` `[MQTT-3.1.2-17]`
/// `[MQTT-3.1.2-18]` `[MQTT-3.1.2-19]` `[MQTT-3.1.4-1]` `[MQTT-4.13.1-1]`.
#[test]
fn contradictory_flags_are_malformed() {
    // Reserved; Will QoS, Will Retain without a will; Will QoS 3; a will, user name or password that is not there,
    // or is there and was not announced.
    let cases: [(u8, &[u8]); 9] = [
        (0x03, b"\x00\x01a"),
        (0x0A, b"\x00\x01a"),
        (0x22, b"\x00\x01a"),
        (0x1E, b"\x00\x01a\x00\x00\x01t\x00\x00"),
        (0x06, b"\x00\x01a"),
        (0x82, b"\x00\x01a"),
        (0x42, b"\x00\x01a"),
        (0x02, b"\x00\x01a\x00\x04user"),
        (0x82, b"\x00\x01a\x00\x04user\x00\x04pass"),
    ];
    for (flags, payload) in cases {
        let (mut site, client) = connects_with(flags, payload);
        assert_eq!(&site.take_bytes(client)[..], [0x20, 0x03, 0x00, 0x81, 0x00], "flags {flags:#04x}");
        site.hears(client, ["closed"]);
    }
}

/// User name and password stand behind the will, in this order, and each may be empty `[MQTT-3.1.3-1]`
/// `[MQTT-3.1.3-12]`; 5.0 allows a password alone. The flags of the answer are 0 `[MQTT-3.2.2-1]`.
#[test]
fn all_fields_together_are_understood() {
    let mut site = Site::new();
    let client = site.open();
    let body = b"\x00\x04MQTT\x05\xF6\x00\x00\x00\x00\x01a\x00\x00\x01t\x00\x02by\x00\x04user\x00\x04pass";
    let mut packet = vec![0x10, body.len() as u8];
    packet.extend_from_slice(body);
    site.send_bytes(client, &packet);
    let greeting = site.take_bytes(client);
    assert_eq!(greeting[..4], [0x20, greeting.len() as u8 - 2, 0x00, 0x00]);
    let alone = site.open();
    site.send_bytes(alone, b"\x10\x12\x00\x04MQTT\x05\x42\x00\x00\x00\x00\x01b\x00\x02pw");
    assert_eq!(site.take_bytes(alone)[2..4], [0x00, 0x00]);
}

/// Strings of CONNECT that are not UTF-8, or contain U+0000, are malformed `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`
/// `[MQTT-3.1.3-4]` `[MQTT-3.1.3-11]` `[MQTT-3.1.3-12]` `[MQTT-3.1.3-3]`.
#[test]
fn strings_are_utf_8() {
    let cases: [(u8, &[u8]); 6] = [
        (0x02, b"\x00\x02\xC3\x28"),
        (0x02, b"\x00\x02a\x00"),
        (0x02, b"\x00\x03\xED\xA0\x80"),
        (0x06, b"\x00\x01a\x00\x00\x01\xFF\x00\x00"),
        (0x82, b"\x00\x01a\x00\x01\xFE"),
        (0x02, b""),
    ];
    for (flags, payload) in cases {
        let (mut site, client) = connects_with(flags, payload);
        assert_eq!(&site.take_bytes(client)[..], [0x20, 0x03, 0x00, 0x81, 0x00], "{payload:?}");
    }
}

/// Any identifier of 1 to 23 letters and digits is accepted, and longer ones `[MQTT-3.1.3-5]` `[MQTT-3.1.4-5]`.
#[test]
fn client_identifiers_are_accepted() {
    let mut site = Site::new();
    let long = "x".repeat(60_000);
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for client_id in ["a", &all[..23], &all[23..46], &all[46..], "äöü €", &long] {
        let client = site.connect(v5(client_id));
        site.hears(client, ["connack 00"]);
    }
}

/// Without an identifier a client gets one that nobody has `[MQTT-3.1.3-6]` `[MQTT-3.1.3-7]` `[MQTT-3.2.2-16]`.
#[test]
fn a_nameless_client_is_given_a_name() {
    let mut site = Site::new();
    let taken = site.join(v5("tidegate-1").persistent());
    let first = site.connect(v5(""));
    let second = site.connect(v5("").clean_start(false).expiry(60));
    site.hears(first, ["connack 00 id=tidegate-2"]);
    site.hears(second, ["connack 00 id=tidegate-3"]);
    site.send(taken, Packet::PingReq);
    site.hears(taken, ["pingresp"]);
    // The name is as good as one of its own.
    site.lose(second);
    let again = site.connect(v5("tidegate-3").persistent());
    site.hears(again, ["connack 00 present"]);
}

/// 3.1.1 without an identifier must want a clean session (3.1.1: `[MQTT-3.1.3-7]` `[MQTT-3.1.3-8]`).
#[test]
fn a_nameless_client_of_3_1_1_keeps_nothing() {
    let mut site = Site::new();
    let client = site.connect(v311("").clean_start(false));
    site.hears(client, ["connack 85", "closed"]);
    let client = site.connect(v311(""));
    site.hears(client, ["connack 00"]);
    let old = site.connect(v31(""));
    site.hears(old, ["connack 85", "closed"]);
}

/// Clean Start discards the session, its absence resumes it, and CONNACK tells which `[MQTT-3.1.2-4]`
/// `[MQTT-3.1.2-5]` `[MQTT-3.1.2-6]` `[MQTT-3.1.3-2]` `[MQTT-3.1.4-4]` `[MQTT-3.2.2-2]` `[MQTT-3.2.2-3]`
/// `[MQTT-4.1.0-1]`.
#[test]
fn sessions_are_resumed_or_begun_anew() {
    for hello in [v5("a").persistent(), v311("a").persistent()] {
        let mut site = Site::new();
        let client = site.connect(hello.clone());
        site.hears(client, ["connack 00"]);
        site.send(client, subscribe(1, "t", 1));
        site.lose(client);
        let publisher = site.join(v5("p"));
        site.send(publisher, publish("t", 1, 1, "missed"));
        let mut site = site.restart();
        let client = site.connect(hello.clone());
        site.hears(client, ["connack 00 present", "publish t q1 #1 missed"]);
        site.lose(client);
        let client = site.connect(hello.clone().clean_start(true));
        site.hears(client, ["connack 00"]);
        let publisher = site.join(v5("p"));
        site.send(publisher, publish("t", 1, 1, "unwanted"));
        site.hears(publisher, ["puback #1 10"]);
        site.hears(client, []);
    }
}

/// A session that was resumed by a client of another version goes on `[MQTT-3.1.2-5]`.
#[test]
fn a_session_outlives_a_change_of_version() {
    let mut site = Site::new();
    let client = site.join(v311("a").persistent());
    site.send(client, subscribe(1, "t", 2));
    site.lose(client);
    let client = site.connect(v5("a").persistent());
    site.hears(client, ["connack 00 present"]);
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("t", 2, 1, "x"));
    site.hears(client, ["publish t q2 #1 x"]);
}

/// The newer connection takes over, the older one is told so `[MQTT-3.1.4-3]`.
#[test]
fn the_newer_connection_takes_over() {
    let mut site = Site::new();
    let first = site.join(v5("a").persistent());
    let second = site.connect(v5("a").persistent());
    site.hears(first, ["disconnect 8e", "closed"]);
    site.hears(second, ["connack 00 present"]);
    let third = site.connect(v311("a"));
    site.hears(second, ["disconnect 8e", "closed"]);
    site.hears(third, ["connack 00"]);
}

/// Everything that the standard offers is offered: CONNACK restricts nothing, and nothing is refused for being
/// unsupported `[MQTT-3.2.2-9]` `[MQTT-3.2.2-10]` `[MQTT-3.2.2-12]` `[MQTT-3.2.2-13]` `[MQTT-3.2.2-8]`.
#[test]
fn nothing_is_unsupported() {
    let mut site = Site::new();
    let mut last = will("w", "gone");
    (last.qos, last.retain) = (tidegate::mqtt::QoS::ExactlyOnce, true);
    let client = site.connect(v5("a").will(last));
    // No Maximum QoS, Retain Available, Wildcards, Subscription Identifiers: all as the standard has them.
    site.hears(client, ["connack 00"]);
    site.send(client, subscribe_all(1, Some(5), &[("+/#", options(2)), ("$share/g/t", options(2))]));
    site.hears(client, ["suback #1 02 02"]);
    site.send(client, publish("r", 2, 1, "kept").retained());
    site.hears(client, ["publish r q2 #1 sub=5 kept", "pubrec #1"]);
}

/// The server's keep-alive is told where there is one; otherwise the client's own counts `[MQTT-3.1.2-21]`
/// `[MQTT-3.2.2-21]` `[MQTT-3.2.2-22]` `[MQTT-3.1.2-22]`.
#[test]
fn the_keep_alive_that_counts() {
    let mut site = Site::new();
    let client = site.connect(v5("a").keep_alive(10));
    let idle = site.join(v5("never"));
    site.hears(client, ["connack 00"]);
    site.wait(14);
    site.hears(client, []);
    site.wait(1);
    site.hears(client, ["disconnect 8d", "closed"]);
    site.wait(1_000_000);
    site.hears(idle, []);

    let mut site = Site::with(Limits { server_keep_alive_seconds: 60, ..Limits::default() });
    let client = site.connect(v5("a").keep_alive(100));
    let silent = site.connect(v5("never"));
    let brisk = site.connect(v5("brisk").keep_alive(10));
    let old = site.join(v311("b").keep_alive(100));
    site.hears(client, ["connack 00 keep-alive=60"]);
    site.hears(silent, ["connack 00 keep-alive=60"]);
    site.hears(brisk, ["connack 00"]);
    site.wait(15);
    site.hears(brisk, ["disconnect 8d", "closed"]);
    site.wait(75);
    site.hears(client, ["disconnect 8d", "closed"]);
    site.hears(silent, ["disconnect 8d", "closed"]);
    site.wait(60);
    site.hears(old, ["closed"]);
}

/// Any packet is a sign of life, an incomplete one is not `[MQTT-3.1.2-22]`.
#[test]
fn any_packet_is_a_sign_of_life() {
    let mut site = Site::new();
    let client = site.join(v5("a").keep_alive(10));
    for packet in [Packet::PingReq, subscribe(1, "t", 0), publish("t", 0, 1, "x").into(), puback(9)] {
        site.wait(14);
        site.send(client, packet);
    }
    site.heard(client);
    site.wait(14);
    site.send_bytes(client, &[0xC0]);
    site.wait(1);
    site.hears(client, ["disconnect 8d", "closed"]);
}

/// A server that changes the session's expiry says so, and keeps to it (section 3.2.2.3.2).
#[test]
fn a_shorter_expiry_is_told() {
    let mut site = Site::with(Limits { max_session_expiry_seconds: 100, ..Limits::default() });
    let client = site.connect(v5("a").expiry(1000).clean_start(false));
    site.hears(client, ["connack 00 expiry=100"]);
    site.lose(client);
    site.wait(101);
    let client = site.connect(v5("a").expiry(10).clean_start(false));
    site.hears(client, ["connack 00"]);
}

/// The session lives as long as it was asked to, and not longer `[MQTT-3.1.2-23]` `[MQTT-4.1.0-2]`.
#[test]
fn a_session_lives_as_long_as_asked() {
    let mut site = Site::new();
    let client = site.join(v5("a").expiry(60).clean_start(false));
    site.wait(3600);
    site.lose(client);
    site.wait(59);
    let client = site.connect(v5("a").expiry(60).clean_start(false));
    site.hears(client, ["connack 00 present"]);
    site.lose(client);
    site.wait(60);
    let client = site.connect(v5("a").clean_start(false));
    site.hears(client, ["connack 00"]);
    site.lose(client);
    // Without an expiry it ends with its connection.
    let client = site.connect(v5("a").clean_start(false));
    site.hears(client, ["connack 00"]);
}

/// A refused CONNECT has no session, and nothing behind it is processed `[MQTT-3.1.4-2]` `[MQTT-3.1.4-6]`
/// `[MQTT-3.2.2-6]` `[MQTT-3.2.2-7]`.
#[test]
fn nothing_behind_a_refused_connect_is_processed() {
    let mut site = Site::with(Limits { max_connections: 2, ..Limits::default() });
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "t", 0));
    site.heard(subscriber);
    let _other = site.join(v5("o"));
    let refused = site.connect(v5("r"));
    site.send(refused, publish("t", 0, 1, "never"));
    site.hears(refused, ["connack 89", "closed"]);
    site.hears(subscriber, []);
}

/// CONNACK comes once and before everything else `[MQTT-3.2.0-1]` `[MQTT-3.2.0-2]`.
#[test]
fn the_greeting_comes_first() {
    let mut site = Site::new();
    let client = site.join(v5("a").persistent());
    site.send(client, subscribe(1, "t", 1));
    site.lose(client);
    let publisher = site.join(v5("p"));
    site.send(publisher, publish("t", 1, 1, "x"));
    let client = site.connect(v5("a").persistent());
    site.send(client, Packet::PingReq);
    let heard = site.heard(client);
    assert_eq!(heard[0], "connack 00 present");
    assert_eq!(heard.iter().filter(|line| line.starts_with("connack")).count(), 1);
    assert_eq!(heard.len(), 3);
}

/// An authentication method is refused by its own code, before anything is done `[MQTT-4.12.0-1]`
/// `[MQTT-4.12.0-4]` `[MQTT-4.12.0-6]`, so that no exchange ever begins `[MQTT-4.12.0-2]` `[MQTT-4.12.0-5]`
/// `[MQTT-4.12.1-1]` `[MQTT-4.12.1-2]`; who began without one may not send AUTH `[MQTT-4.12.0-7]`.
#[test]
fn enhanced_authentication_is_refused() {
    let mut site = Site::new();
    let method = |all: &mut tidegate::mqtt::ConnectProperties| {
        all.authentication_method = Some("SCRAM-SHA-256".into());
    };
    let client = site.connect(v5("a").with(method));
    site.hears(client, ["connack 8c", "closed"]);
    let plain = site.join(v5("a"));
    // AUTH, Re-authenticate, with a method.
    site.send_bytes(plain, b"\xF0\x06\x19\x04\x15\x00\x01m");
    site.hears(plain, ["disconnect 82", "closed"]);
}

/// No response information is given, asked for or not `[MQTT-3.1.2-28]`.
#[test]
fn no_response_information_is_given() {
    for wanted in [None, Some(false), Some(true)] {
        let mut site = Site::new();
        let client = site.connect(v5("a").with(|all| all.request_response_information = wanted));
        site.hears(client, ["connack 00"]);
    }
}

/// Only the session's own codes refuse: every CONNACK that says no closes `[MQTT-3.2.2-7]` `[MQTT-4.13.2-1]`.
#[test]
fn a_connack_that_says_no_is_the_last_packet() {
    let mut site = Site::with(Limits { max_sessions: 1, ..Limits::default() });
    let _first = site.join(v5("a"));
    let second = site.connect(v5("b"));
    let (packets, is_closed) = site.take(second);
    assert!(is_closed);
    let [Packet::ConnAck(answer)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!(answer.reason, ReasonCode::QuotaExceeded);
}

/// A CONNECT of 5.0 with these flags and this payload was sent.
fn connects_with(flags: u8, payload: &[u8]) -> (Site, ConnectionId) {
    let mut site = Site::new();
    let client = site.open();
    let mut packet = vec![0x10, 11 + payload.len() as u8];
    packet.extend_from_slice(b"\x00\x04MQTT\x05");
    packet.extend_from_slice(&[flags, 0x00, 0x00, 0x00]);
    packet.extend_from_slice(payload);
    site.send_bytes(client, &packet);
    (site, client)
}
