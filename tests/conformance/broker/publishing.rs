//! PUBLISH as it comes in (section 3.3): form, quality of service, limits on what may be open.

use tidegate::limits::Limits;
use tidegate::mqtt::{Acknowledgement, Packet, ReasonCode};

use super::packets::*;
use super::site::Site;

/// DUP at QoS 0, QoS 3, wildcards, no topic, identifier 0, strings that are none `[MQTT-3.3.1-2]` `[MQTT-3.3.1-4]`
/// `[MQTT-3.3.2-1]` `[MQTT-3.3.2-2]` `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]` `[MQTT-2.2.1-2]`.
#[test]
fn malformed_publishes_end_the_connection() {
    let cases: [(&[u8], &str); 7] = [
        (b"\x38\x04\x00\x01t\x00", "disconnect 81"),
        (b"\x36\x06\x00\x01t\x00\x01\x00", "disconnect 81"),
        (b"\x30\x04\x00\x01#\x00", "disconnect 81"),
        (b"\x30\x06\x00\x03a/+\x00", "disconnect 81"),
        (b"\x30\x03\x00\x00\x00", "disconnect 82"),
        (b"\x32\x06\x00\x01t\x00\x00\x00", "disconnect 81"),
        (b"\x30\x04\x00\x01\x00\x00", "disconnect 81"),
    ];
    for (packet, answer) in cases {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        site.send_bytes(client, packet);
        site.hears(client, [answer, "closed"]);
    }
}

/// Each quality of service has its answer, with the identifier of the PUBLISH `[MQTT-2.2.1-5]` `[MQTT-3.3.4-1]`
/// `[MQTT-4.3.2-4]` `[MQTT-4.3.3-8]` `[MQTT-4.3.3-11]` `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]` `[MQTT-3.7.2-1]`.
#[test]
fn every_publish_has_its_answer() {
    let mut site = Site::new();
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "t", 0));
    let client = site.join(v5("a"));
    site.send(client, publish("t", 0, 1, "x"));
    site.hears(client, []);
    site.send(client, publish("t", 1, 65_535, "x"));
    site.send(client, publish("t", 2, 1, "x"));
    site.send(client, pubrel(1));
    site.hears(client, ["puback #65535", "pubrec #1", "pubcomp #1"]);
    // Nobody listens: 5.0 clients are told.
    site.send(client, publish("nobody", 1, 2, "x"));
    site.send(client, publish("nobody", 2, 3, "x"));
    site.hears(client, ["puback #2 10", "pubrec #3 10"]);
}

/// After its PUBACK an identifier names a new message, DUP or not `[MQTT-4.3.2-5]`; DUP is not passed on
/// `[MQTT-3.3.1-3]`.
#[test]
fn an_identifier_of_qos_1_is_free_after_puback() {
    let mut site = Site::new();
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "t", 2));
    site.heard(subscriber);
    let client = site.join(v5("a"));
    site.send(client, publish("t", 1, 7, "one"));
    site.send(client, publish("t", 1, 7, "two").again());
    site.send(client, publish("t", 2, 8, "three").again());
    site.hears(subscriber, ["publish t q1 #1 one", "publish t q1 #2 two", "publish t q2 #3 three"]);
}

/// Until PUBREL an identifier of QoS 2 names the same message; after PUBCOMP a new one `[MQTT-4.3.3-10]`
/// `[MQTT-4.3.3-12]`, over connections and restarts `[MQTT-4.1.0-1]`.
#[test]
fn an_identifier_of_qos_2_is_taken_until_pubrel() {
    let mut site = Site::new();
    let subscriber = site.join(v5("s").persistent());
    site.send(subscriber, subscribe(1, "t", 0));
    site.heard(subscriber);
    let client = site.join(v5("a").persistent());
    site.send(client, publish("t", 2, 7, "one"));
    site.send(client, publish("t", 2, 7, "one").again());
    site.hears(client, ["pubrec #7", "pubrec #7"]);
    site.hears(subscriber, ["publish t q0 one"]);
    let mut site = site.restart();
    let subscriber = site.join(v5("s").persistent());
    let client = site.join(v5("a").persistent());
    site.send(client, publish("t", 2, 7, "one").again());
    site.send(client, pubrel(7));
    site.send(client, pubrel(7));
    site.hears(client, ["pubrec #7", "pubcomp #7", "pubcomp #7 92"]);
    site.hears(subscriber, []);
    site.send(client, publish("t", 2, 7, "two"));
    site.hears(subscriber, ["publish t q0 two"]);
}

/// After a PUBREC that refused, the identifier names a new message `[MQTT-4.3.3-9]`.
#[test]
fn a_refused_identifier_is_free() {
    let mut site = Site::new();
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "#", 0));
    site.heard(subscriber);
    let client = site.join(v5("a"));
    site.send(client, publish("$SYS/x", 2, 7, "forged"));
    site.send(client, publish("t", 2, 7, "sound"));
    site.hears(client, ["pubrec #7 87", "pubrec #7"]);
    site.hears(subscriber, ["publish t q0 sound"]);
}

/// The answers of QoS 2 go on when the message has expired meanwhile `[MQTT-4.3.3-13]`.
#[test]
fn an_expired_exchange_is_completed() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(client, publish("t", 2, 1, "x").expiry(1));
    site.wait(10);
    site.send(client, pubrel(1));
    site.hears(client, ["pubrec #1 10", "pubcomp #1"]);
}

/// More than the receive maximum at once ends the connection; what is answered does not count `[MQTT-3.3.4-7]`
/// `[MQTT-4.9.0-1]`.
#[test]
fn the_receive_maximum_of_the_server_is_enforced() {
    let mut site = Site::with(Limits { receive_maximum: 2, ..Limits::default() });
    let client = site.join(v5("a"));
    for identifier in 1..=10 {
        site.send(client, publish("t", 1, identifier, "x"));
    }
    assert_eq!(site.heard(client).len(), 10);
    site.send(client, publish("t", 2, 1, "x"));
    site.send(client, publish("t", 2, 2, "x"));
    site.send(client, publish("t", 2, 2, "x").again());
    assert_eq!(site.heard(client).len(), 3);
    site.send(client, publish("t", 2, 3, "x"));
    site.hears(client, ["disconnect 93", "closed"]);
}

/// A client sends no subscription identifier `[MQTT-3.3.4-6]`.
#[test]
fn a_client_sends_no_subscription_identifier() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send_bytes(client, b"\x30\x06\x00\x01t\x02\x0B\x01");
    site.hears(client, ["disconnect 82", "closed"]);
}

/// Messages of one publisher, topic and quality of service stay in order, on every way `[MQTT-4.6.0-5]`
/// `[MQTT-4.6.0-6]`.
#[test]
fn order_is_kept() {
    let mut site = Site::new();
    let quick = site.join(v5("quick"));
    let slow = site.join(v5("slow").receive_maximum(1));
    let away = site.join(v5("away").persistent());
    for client in [quick, slow, away] {
        site.send(client, subscribe(1, "t", 2));
        site.heard(client);
    }
    site.lose(away);
    let publisher = site.join(v311("p"));
    for identifier in 1..=20 {
        site.send(publisher, publish("t", 1 + (identifier % 2) as u8, identifier, &identifier.to_string()));
    }
    let away = site.connect(v5("away").persistent());
    for client in [quick, slow, away] {
        let mut numbers: [Vec<u32>; 3] = Default::default();
        loop {
            let (packets, _) = site.take(client);
            let mut is_over = true;
            for packet in packets {
                let Packet::Publish(publish) = packet else { continue };
                is_over = false;
                let qos = publish.qos.qos().as_u8();
                numbers[usize::from(qos)]
                    .push(std::str::from_utf8(&publish.payload).unwrap().parse().unwrap());
                let identifier = publish.qos.packet_identifier().unwrap().get();
                match qos {
                    1 => site.send(client, puback(identifier)),
                    _ => {
                        site.send(client, pubrec(identifier));
                        site.send(client, pubcomp(identifier));
                    }
                }
            }
            if is_over {
                break;
            }
        }
        assert_eq!(numbers[1], (1..=20).filter(|number| number % 2 == 0).collect::<Vec<_>>());
        assert_eq!(numbers[2], (1..=20).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    }
}

/// Acknowledgements come in the order of what they acknowledge (3.1.1: `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`
/// `[MQTT-4.6.0-4]`).
#[test]
fn acknowledgements_come_in_order() {
    let mut site = Site::new();
    let client = site.join(v311("a").persistent());
    for identifier in [5, 3, 9, 1] {
        site.send(client, publish("t", 1, identifier, "x"));
        site.send(client, publish("t", 2, identifier + 10, "x"));
    }
    site.hears(
        client,
        [
            "puback #5",
            "pubrec #15",
            "puback #3",
            "pubrec #13",
            "puback #9",
            "pubrec #19",
            "puback #1",
            "pubrec #11",
        ],
    );
}

/// Acknowledgements of nothing are answered where the standard has an answer `[MQTT-3.6.2-1]`.
#[test]
fn acknowledgements_of_nothing_are_harmless() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(client, puback(1));
    site.send(client, pubcomp(1));
    site.send(client, pubrec(1));
    site.send(client, Packet::PubRec(Acknowledgement::new(number(2), ReasonCode::UnspecifiedError)));
    site.send(client, pubrel(3));
    site.hears(client, ["pubrel #1 92", "pubcomp #3 92"]);
}

/// Codes that are not of the packet's table are refused `[MQTT-3.4.2-1]` `[MQTT-3.14.2-1]` `[MQTT-3.15.2-1]`.
#[test]
fn foreign_reason_codes_are_refused() {
    let packets: [&[u8]; 4] =
        [b"\x40\x03\x00\x01\x01", b"\x62\x03\x00\x01\x10", b"\xE0\x01\x01", b"\xE0\x01\x8E"];
    for packet in packets {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        site.send_bytes(client, packet);
        let heard = site.heard(client);
        assert!(matches!(&heard[..], [line, _] if line.starts_with("disconnect 8")), "{heard:?}");
    }
}

/// Every 5.0 packet that has properties says how long they are, and that is in its shortest form `[MQTT-2.2.2-1]`
/// `[MQTT-1.5.5-1]`.
#[test]
fn the_length_of_properties_is_said() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(client, subscribe(1, "t", 0));
    assert_eq!(&site.take_bytes(client)[..], [0x90, 0x04, 0x00, 0x01, 0x00, 0x00]);
    site.send(client, publish("t", 0, 1, "x"));
    assert_eq!(&site.take_bytes(client)[..], *b"\x30\x05\x00\x01t\x00x");
    site.send_bytes(client, b"\x30\x05\x00\x01t\x80\x00");
    site.hears(client, ["disconnect 81", "closed"]);
}
