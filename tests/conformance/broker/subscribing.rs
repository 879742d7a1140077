//! SUBSCRIBE and UNSUBSCRIBE, retained messages, filters (sections 3.8 to 3.11, 3.3.1.3 and 4.7).

use tidegate::broker::ConnectionId;
use tidegate::mqtt::{RetainHandling, SubscriptionOptions};

use super::packets::*;
use super::site::Site;

fn publisher(site: &mut Site) -> ConnectionId {
    site.join(v5("publisher"))
}

/// SUBACK has the identifier of its SUBSCRIBE and one code per filter, in order `[MQTT-2.2.1-6]` `[MQTT-3.8.4-1]`
/// `[MQTT-3.8.4-2]` `[MQTT-3.8.4-5]` `[MQTT-3.8.4-6]` `[MQTT-3.8.4-7]` `[MQTT-3.9.3-1]` `[MQTT-3.9.3-2]`.
#[test]
fn every_filter_has_its_code() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let requests = [("a", options(0)), ("b#", options(1)), ("c/+", options(1)), ("#", options(2))];
    site.send(client, subscribe_all(4711, None, &requests));
    site.hears(client, ["suback #4711 00 8f 01 02"]);
    let old = site.join(v311("b"));
    site.send(old, subscribe_all(7, None, &requests));
    assert_eq!(&site.take_bytes(old)[..], [0x90, 0x06, 0x00, 0x07, 0x00, 0x80, 0x01, 0x02]);
}

/// Each filter of one packet counts as if it had come alone: the later of two alike replaces `[MQTT-3.8.4-5]`.
#[test]
fn filters_of_one_packet_are_taken_one_by_one() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(client, subscribe_all(1, None, &[("t", options(2)), ("t", options(0))]));
    site.hears(client, ["suback #1 02 00"]);
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 2, 1, "x"));
    site.hears(client, ["publish t q0 x"]);
}

/// A payload without filters, reserved option bits, QoS 3, Retain Handling 3 and bad strings end the connection
/// `[MQTT-3.8.3-1]` `[MQTT-3.8.3-2]` `[MQTT-3.8.3-5]` `[MQTT-3.10.3-1]` `[MQTT-3.10.3-2]`.
#[test]
fn bad_requests_end_the_connection() {
    let cases: [(&[u8], &str); 8] = [
        (b"\x82\x03\x00\x01\x00", "disconnect 82"),
        (b"\x82\x07\x00\x01\x00\x00\x01t\x40", "disconnect 81"),
        (b"\x82\x07\x00\x01\x00\x00\x01t\x03", "disconnect 82"),
        (b"\x82\x07\x00\x01\x00\x00\x01t\x30", "disconnect 82"),
        (b"\x82\x07\x00\x01\x00\x00\x01\xFF\x00", "disconnect 81"),
        (b"\x82\x07\x00\x00\x00\x00\x01t\x00", "disconnect 81"),
        (b"\xA2\x03\x00\x01\x00", "disconnect 82"),
        (b"\xA2\x06\x00\x01\x00\x00\x01\xFF", "disconnect 81"),
    ];
    for (packet, answer) in cases {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        site.send_bytes(client, packet);
        site.hears(client, [answer, "closed"]);
    }
}

/// The same filter again replaces the subscription, and loses nothing `[MQTT-3.8.4-3]` `[MQTT-3.8.4-4]`.
#[test]
fn the_same_filter_replaces() {
    let mut site = Site::new();
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t/1", 1, 1, "kept").retained());
    let client = site.join(v5("a").receive_maximum(1));
    site.send(client, subscribe_all(1, Some(1), &[("t/+", options(2))]));
    site.hears(client, ["suback #1 02", "publish t/1 q1 #1 retain sub=1 kept"]);
    site.send(publisher, publish("t/2", 1, 2, "waits"));
    site.send(client, subscribe_all(2, Some(2), &[("t/+", options(1))]));
    site.send(client, puback(1));
    site.hears(client, ["suback #2 01", "publish t/2 q1 #2 sub=1 waits"]);
    site.send(client, puback(2));
    site.hears(client, ["publish t/1 q1 #3 retain sub=2 kept"]);
    site.send(publisher, publish("t/2", 2, 3, "new"));
    site.send(client, puback(3));
    site.hears(client, ["publish t/2 q1 #4 sub=2 new"]);
}

/// A retained message is replaced by the next, removed by an empty one, and left alone by others
/// `[MQTT-3.3.1-5]` `[MQTT-3.3.1-6]` `[MQTT-3.3.1-7]` `[MQTT-3.3.1-8]`.
#[test]
fn the_last_retained_message_counts() {
    let mut site = Site::new();
    let publisher = publisher(&mut site);
    let live = site.join(v5("live"));
    site.send(live, subscribe(1, "t", 1));
    site.heard(live);
    let mut round = 0;
    let mut seen_by_new = |site: &mut Site| {
        round += 1;
        let new = site.join(v5(&format!("new {round}")));
        site.send(new, subscribe(1, "t", 1));
        site.heard(new).split_off(1)
    };
    site.send(publisher, publish("t", 1, 1, "one").retained());
    site.send(publisher, publish("t", 0, 1, "two").retained());
    assert_eq!(seen_by_new(&mut site), ["publish t q0 retain two"]);
    site.send(publisher, publish("t", 1, 1, "passing"));
    site.send(publisher, publish("t", 1, 1, ""));
    assert_eq!(seen_by_new(&mut site), ["publish t q0 retain two"]);
    site.send(publisher, publish("t", 1, 1, "").retained());
    assert_eq!(seen_by_new(&mut site), [""; 0]);
    // Who was there gets all of them as they come, the empty ones too.
    site.hears(
        live,
        [
            "publish t q1 #1 one",
            "publish t q0 two",
            "publish t q1 #2 passing",
            "publish t q1 #3 ",
            "publish t q1 #4 ",
        ],
    );
}

/// Which subscriptions get retained messages `[MQTT-3.3.1-9]` `[MQTT-3.3.1-10]` `[MQTT-3.3.1-11]`.
#[test]
fn retain_handling_is_obeyed() {
    let mut site = Site::new();
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 1, 1, "kept").retained());
    let client = site.join(v5("a"));
    let steps = [
        (RetainHandling::DoNotSend, false),
        (RetainHandling::SendIfNew, false),
        (RetainHandling::Send, true),
        (RetainHandling::Send, true),
    ];
    for (handling, is_sent) in steps {
        site.send(client, subscribe_all(1, None, &[("t", retain_handling(0, handling))]));
        assert_eq!(site.heard(client).len(), 1 + usize::from(is_sent), "{handling:?}");
    }
    site.send(client, unsubscribe(2, &["t"]));
    site.send(client, subscribe_all(3, None, &[("t", retain_handling(0, RetainHandling::SendIfNew))]));
    site.hears(client, ["unsuback #2 00", "suback #3 00", "publish t q0 retain kept"]);
}

/// The retain flag on the way out `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`; in 3.1.1 `[MQTT-3.3.1-8]` `[MQTT-3.3.1-9]`.
#[test]
fn the_retain_flag_is_passed_on_as_asked() {
    let mut site = Site::new();
    let plain = site.join(v5("plain"));
    site.send(plain, subscribe(1, "t", 0));
    let exact = site.join(v5("exact"));
    let options = SubscriptionOptions { retain_as_published: true, ..options(0) };
    site.send(exact, subscribe_all(1, None, &[("t", options)]));
    let old = site.join(v311("old"));
    site.send(old, subscribe(1, "t", 0));
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 0, 1, "retained").retained());
    site.send(publisher, publish("t", 0, 1, "passing"));
    site.hears(plain, ["suback #1 00", "publish t q0 retained", "publish t q0 passing"]);
    site.hears(exact, ["suback #1 00", "publish t q0 retain retained", "publish t q0 passing"]);
    site.hears(old, ["suback #1 00", "publish t q0 retained", "publish t q0 passing"]);
}

/// No Local leaves out what the same client published, and nothing else `[MQTT-3.8.3-3]`; with a shared
/// subscription it is a protocol error `[MQTT-3.8.3-4]`.
#[test]
fn no_local_leaves_out_own_messages() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let no_local = SubscriptionOptions { no_local: true, ..options(0) };
    site.send(client, subscribe_all(1, None, &[("t", no_local)]));
    site.heard(client);
    site.send(client, publish("t", 0, 1, "own"));
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 0, 1, "other"));
    site.hears(client, ["publish t q0 other"]);
    site.send(client, subscribe_all(2, None, &[("$share/g/t", no_local)]));
    site.hears(client, ["disconnect 82", "closed"]);
}

/// Overlapping subscriptions: one copy, the highest quality of service, all identifiers `[MQTT-3.3.4-2]`
/// `[MQTT-3.3.4-3]` `[MQTT-3.3.4-4]`.
#[test]
fn overlapping_subscriptions_give_one_copy() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    for (identifier, filter, qos) in [(Some(1), "a/#", 0), (Some(268_435_455), "a/b", 2), (None, "+/b", 1)] {
        site.send(client, subscribe_all(1, identifier, &[(filter, options(qos))]));
    }
    site.heard(client);
    let publisher = publisher(&mut site);
    site.send(publisher, publish("a/b", 2, 1, "x"));
    let heard = site.heard(client);
    let [line] = &heard[..] else { panic!("{heard:?}") };
    assert!(line.starts_with("publish a/b q2 #1"), "{line}");
    assert!(line.contains(" sub=1 ") && line.contains(" sub=268435455 "), "{line}");
}

/// Filters are compared character by character; UNSUBACK answers each, found or not `[MQTT-3.10.4-1]`
/// `[MQTT-3.10.4-2]` `[MQTT-3.10.4-4]` `[MQTT-3.10.4-5]` `[MQTT-3.10.4-6]` `[MQTT-3.11.3-1]` `[MQTT-3.11.3-2]`
/// `[MQTT-2.2.1-6]`.
#[test]
fn unsubscribing_stops_delivery() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    site.send(
        client,
        subscribe_all(1, None, &[("a/+", options(0)), ("a/#", options(0)), ("A/b", options(0))]),
    );
    site.heard(client);
    let publisher = publisher(&mut site);
    site.send(client, unsubscribe(77, &["a/b", "a/+", "a/b#", "a/+", "a/#"]));
    site.hears(client, ["unsuback #77 11 00 8f 11 00"]);
    site.send(publisher, publish("a/b", 0, 1, "x"));
    site.send(publisher, publish("A/b", 0, 1, "y"));
    site.hears(client, ["publish A/b q0 y"]);
    let old = site.join(v311("b"));
    site.send(old, unsubscribe(5, &["nothing"]));
    assert_eq!(&site.take_bytes(old)[..], [0xB0, 0x02, 0x00, 0x05]);
}

/// What was begun before UNSUBSCRIBE is completed `[MQTT-3.10.4-3]`.
#[test]
fn what_was_begun_is_completed() {
    let mut site = Site::new();
    let client = site.join(v5("a").persistent());
    site.send(client, subscribe(1, "t", 2));
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 2, 1, "x"));
    site.send(client, unsubscribe(2, &["t"]));
    site.hears(client, ["suback #1 02", "publish t q2 #1 x", "unsuback #2 00"]);
    site.lose(client);
    let client = site.connect(v5("a").persistent());
    site.send(client, pubrec(1));
    site.send(client, pubcomp(1));
    site.hears(client, ["connack 00 present", "publish t q2 #1 dup x", "pubrel #1"]);
}

/// The lower of what is published and what is granted `[MQTT-3.8.4-8]`.
#[test]
fn the_lower_quality_of_service_counts() {
    let mut site = Site::new();
    let clients = [0, 1, 2].map(|qos| {
        let client = site.join(v5(&format!("c{qos}")));
        site.send(client, subscribe(1, "t", qos));
        site.heard(client);
        (qos, client)
    });
    let publisher = publisher(&mut site);
    for published in 0..=2 {
        site.send(publisher, publish("t", published, 1, "x"));
        site.send(publisher, pubrel(1));
        for (granted, client) in clients {
            let heard = site.heard(client);
            assert!(heard[0].starts_with(&format!("publish t q{}", granted.min(published))), "{heard:?}");
        }
    }
}

/// Wildcards stand for whole levels, and match as section 4.7 says `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]`
/// `[MQTT-4.7.0-1]` `[MQTT-4.7.3-1]` `[MQTT-3.3.2-3]`.
#[test]
fn wildcards_match_levels() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("#", &["a", "/", "a/b/c", "/a"], &["$SYS/x"]),
        ("a/#", &["a", "a/", "a/b/c"], &["ab", "b/a"]),
        ("+", &["a", "é"], &["a/b", "/a", "a/", "$x"]),
        ("+/+", &["/a", "a/b", "a/"], &["a", "a/b/c"]),
        ("/+", &["/a", "/"], &["a", "a/b"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
        ("+/b/#", &["a/b", "a/b/c/d", "/b"], &["a/c", "b"]),
        ("$x/#", &["$x", "$x/y"], &["x/y"]),
        ("A", &["A"], &["a"]),
    ];
    for (filter, matching, others) in cases {
        let mut site = Site::new();
        let client = site.join(v5("a"));
        site.send(client, subscribe(1, filter, 0));
        site.hears(client, ["suback #1 00"]);
        let publisher = publisher(&mut site);
        for topic in matching.iter().chain(others).filter(|topic| !topic.starts_with("$SYS")) {
            site.send(publisher, publish(topic, 0, 1, "x"));
            assert_eq!(site.heard(client).len(), usize::from(matching.contains(topic)), "{filter}: {topic}");
        }
    }
    let mut site = Site::new();
    let client = site.join(v5("a"));
    for filter in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+"] {
        site.send(client, subscribe(1, filter, 0));
        site.hears(client, ["suback #1 8f"]);
    }
}

/// Topics that begin with `$` are apart: no wildcard in the first place finds them `[MQTT-4.7.2-1]`.
#[test]
fn dollar_topics_are_apart() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let filters = ["#", "+/b", "$x/#", "+/#"].map(|filter| (filter, options(0)));
    site.send(client, subscribe_all(1, None, &filters));
    site.heard(client);
    let publisher = publisher(&mut site);
    site.send(publisher, publish("$x/b", 1, 1, "mine").retained());
    site.hears(client, ["publish $x/b q0 mine"]);
    let late = site.join(v5("late"));
    site.send(late, subscribe(1, "#", 0));
    site.hears(late, ["suback #1 00"]);
    // $SYS is the server's own: clients may read it, not write.
    site.send(publisher, publish("$SYS/broker/uptime", 1, 2, "forged"));
    site.hears(publisher, ["puback #1", "puback #2 87"]);
}

/// Names and filters are bytes: nothing is folded, normalised or dropped `[MQTT-4.7.3-4]` `[MQTT-1.5.4-3]`.
#[test]
fn topics_are_compared_as_they_are() {
    let mut site = Site::new();
    let client = site.join(v5("a"));
    let composed = "caf\u{e9}";
    let decomposed = "cafe\u{301}";
    let marked = "\u{feff}t";
    for filter in [composed, marked] {
        site.send(client, subscribe(1, filter, 0));
    }
    site.heard(client);
    let publisher = publisher(&mut site);
    for topic in [composed, decomposed, marked, "t", "a//b"] {
        site.send(publisher, publish(topic, 0, 1, "x"));
    }
    site.hears(client, [&format!("publish {composed} q0 x"), &format!("publish {marked} q0 x")]);
}

/// A message is added to the session of everybody who has subscribed, there or not `[MQTT-4.5.0-1]`.
#[test]
fn every_session_that_matches_gets_it() {
    let mut site = Site::new();
    let here = site.join(v5("here"));
    site.send(here, subscribe(1, "t", 1));
    let away = site.join(v5("away").persistent());
    site.send(away, subscribe(1, "t", 1));
    site.lose(away);
    let publisher = publisher(&mut site);
    site.send(publisher, publish("t", 1, 1, "x"));
    site.hears(here, ["suback #1 01", "publish t q1 #1 x"]);
    let away = site.connect(v5("away").persistent());
    site.hears(away, ["connack 00 present", "publish t q1 #1 x"]);
}
