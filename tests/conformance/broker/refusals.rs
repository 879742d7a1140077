//! What a client is told in words: reason strings, and who does not want them.

use tidegate::limits::Limits;
use tidegate::mqtt::{ConnectProperties, Packet};

use super::lines::words;
use super::packets::*;
use super::site::Site;

/// The words of the last packet that a client heard.
fn last_words(site: &mut Site, client: tidegate::broker::ConnectionId) -> Option<String> {
    words(site.take(client).0.last().expect("an answer"))
}

fn no_words(all: &mut ConnectProperties) {
    all.request_problem_information = Some(false);
}

fn a_word(all: &mut ConnectProperties) {
    all.request_problem_information = Some(true);
}

/// Every refusal of 5.0 can say why in words; who turns them off hears none `[MQTT-3.1.2-29]`.
#[test]
fn refusals_come_in_words() {
    for (change, is_wordy) in [(no_words as fn(&mut ConnectProperties), false), (a_word, true)] {
        let mut site = Site::new();
        let client = site.join(v5("a").with(change));
        let refused: [Packet; 4] = [
            subscribe(1, "#bad", 0),
            unsubscribe(2, &["#bad"]),
            publish("$SYS/x", 1, 3, "").into(),
            publish("$SYS/x", 2, 4, "").into(),
        ];
        for packet in refused {
            site.send(client, packet);
            assert_eq!(last_words(&mut site, client).is_some(), is_wordy);
        }
        site.send(client, pubrel(9));
        assert_eq!(last_words(&mut site, client).is_some(), is_wordy);
        site.send_bytes(client, &[0x00, 0x00]);
        assert_eq!(last_words(&mut site, client).is_some(), is_wordy);
        let method = site.connect(v5("b").with(|all| {
            change(all);
            all.authentication_method = Some("m".into());
        }));
        assert_eq!(last_words(&mut site, method).is_some(), is_wordy);
    }
}

/// What is granted needs no words.
#[test]
fn success_is_short() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let granted: [Packet; 3] =
        [subscribe(1, "t", 0), unsubscribe(2, &["t"]), publish("nobody", 1, 3, "").into()];
    for packet in granted {
        site.send(client, packet);
        assert_eq!(last_words(&mut site, client), None);
    }
}

/// Words are left out where they would make a packet too large `[MQTT-3.2.2-19]` `[MQTT-3.2.2-20]`
/// `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]` `[MQTT-3.7.2-2]` `[MQTT-3.7.2-3]`
/// `[MQTT-3.9.2-1]` `[MQTT-3.9.2-2]` `[MQTT-3.11.2-1]` `[MQTT-3.11.2-2]` `[MQTT-3.14.2-3]` `[MQTT-3.14.2-4]`.
#[test]
fn words_make_no_packet_too_large() {
    let mut site = Site::with(Limits { max_connections: 1, ..Limits::default() });
    let client = site.join(v5("a").maximum_packet_size(30));
    let crowded = site.connect(v5("b").maximum_packet_size(30));
    site.hears(crowded, ["connack 89", "closed"]);
    let refused: [(Packet, &str); 5] = [
        (subscribe(1, "#bad", 0), "suback #1 8f"),
        (unsubscribe(2, &["#bad"]), "unsuback #2 8f"),
        (publish("$SYS/x", 1, 3, "").into(), "puback #3 87"),
        (publish("$SYS/x", 2, 4, "").into(), "pubrec #4 87"),
        (pubrel(9), "pubcomp #9 92"),
    ];
    for (packet, answer) in refused {
        site.send(client, packet);
        let bytes = site.take_bytes(client);
        assert!(bytes.len() <= 30, "{answer}");
        assert!(bytes.len() <= 6, "{answer}: {bytes:?}");
    }
    site.send_bytes(client, &[0x00, 0x00]);
    assert!(site.take_bytes(client).len() <= 4);
}

/// PUBREL carries neither words nor user properties, whatever the client takes `[MQTT-3.6.2-2]` `[MQTT-3.6.2-3]`
/// `[MQTT-3.6.2-1]`; nor does the server ever send AUTH `[MQTT-3.15.2-2]` `[MQTT-3.15.2-3]`.
#[test]
fn pubrel_is_short() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(client, pubrec(5));
    assert_eq!(&site.take_bytes(client)[..], [0x62, 0x03, 0x00, 0x05, 0x92]);
}
