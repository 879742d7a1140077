//! Topic aliases, both ways (section 3.3.2.3.4 of 5.0).

use tidegate::limits::Limits;

use super::packets::*;
use super::site::Site;

/// Every alias up to the maximum is accepted, named anew at will, and belongs to its connection `[MQTT-3.3.2-12]`
/// `[MQTT-3.3.2-7]`.
#[test]
fn a_client_uses_aliases() {
    let mut site = Site::with(Limits { topic_alias_maximum: 3, ..Limits::default() });
    let subscriber = site.join(v5("s"));
    site.send(subscriber, subscribe(1, "#", 0));
    site.heard(subscriber);
    let client = site.join(v5("a").persistent());
    for alias in 1..=3 {
        site.send(client, publish(&format!("t/{alias}"), 0, 1, "named").alias(alias));
    }
    site.send(client, publish("t", 1, 1, "by alias").without_topic().alias(2));
    site.send(client, publish("u", 0, 1, "renamed").alias(2));
    site.send(client, publish("t", 0, 1, "by alias").without_topic().alias(2));
    site.hears(
        subscriber,
        [
            "publish t/1 q0 named",
            "publish t/2 q0 named",
            "publish t/3 q0 named",
            "publish t/2 q0 by alias",
            "publish u q0 renamed",
            "publish u q0 by alias",
        ],
    );
    site.lose(client);
    let client = site.join(v5("a").persistent());
    site.send(client, publish("t", 0, 1, "forgotten").without_topic().alias(1));
    site.hears(client, ["disconnect 82", "closed"]);
}

/// 0, what is above the maximum, and what stands for nothing `[MQTT-3.3.2-8]` `[MQTT-3.3.2-9]`.
#[test]
fn bad_aliases_end_the_connection() {
    let cases: [(&[u8], &str); 4] = [
        (b"\x30\x07\x00\x01t\x03\x23\x00\x00", "disconnect 94"),
        (b"\x30\x07\x00\x01t\x03\x23\x00\x04", "disconnect 94"),
        (b"\x30\x06\x00\x00\x03\x23\x00\x01", "disconnect 82"),
        (b"\x30\x03\x00\x00\x00", "disconnect 82"),
    ];
    for (packet, answer) in cases {
        let mut site = Site::with(Limits { topic_alias_maximum: 3, ..Limits::default() });
        let client = site.join(v5("a"));
        site.send_bytes(client, packet);
        site.hears(client, [answer, "closed"]);
    }
}

/// Towards a client that takes aliases long topics are named once; never above its maximum `[MQTT-3.1.2-26]`
/// `[MQTT-3.3.2-11]`, and never towards one that takes none `[MQTT-3.1.2-27]`.
#[test]
fn the_server_uses_aliases() {
    let mut site = Site::new();
    let takes_one = site.join(v5("one").topic_alias_maximum(1));
    let takes_two = site.join(v5("two").topic_alias_maximum(2));
    let takes_none = site.join(v5("none").topic_alias_maximum(0));
    let says_nothing = site.join(v5("nothing"));
    for client in [takes_one, takes_two, takes_none, says_nothing] {
        site.send(client, subscribe(1, "#", 1));
        site.heard(client);
    }
    let publisher = site.join(v5("p"));
    for topic in ["house/kitchen", "house/cellar", "house/kitchen", "house/cellar", "t"] {
        site.send(publisher, publish(topic, 0, 1, "x"));
    }
    site.hears(
        takes_one,
        [
            "publish house/kitchen q0 alias=1 x",
            "publish house/cellar q0 x",
            "publish  q0 alias=1 x",
            "publish house/cellar q0 x",
            "publish t q0 x",
        ],
    );
    site.hears(
        takes_two,
        [
            "publish house/kitchen q0 alias=1 x",
            "publish house/cellar q0 alias=2 x",
            "publish  q0 alias=1 x",
            "publish  q0 alias=2 x",
            "publish t q0 x",
        ],
    );
    for client in [takes_none, says_nothing] {
        assert!(site.heard(client).iter().all(|line| !line.contains("alias")));
    }
}

/// Aliases end with their connection `[MQTT-3.3.2-7]`, and what is repeated or has waited names its topic.
#[test]
fn what_is_repeated_names_its_topic() {
    for hello in [v5("s").topic_alias_maximum(5).persistent(), v5("s").topic_alias_maximum(5)] {
        let is_persistent = !hello.0.clean_start;
        let mut site = Site::new();
        let client = site.join(hello.clone().receive_maximum(2));
        site.send(client, subscribe(1, "house/#", 1));
        site.heard(client);
        let publisher = site.join(v5("p"));
        for identifier in 1..=3 {
            site.send(publisher, publish("house/kitchen", 1, identifier, "x"));
        }
        site.hears(client, ["publish house/kitchen q1 #1 alias=1 x", "publish  q1 #2 alias=1 x"]);
        site.send(client, puback(1));
        site.hears(client, ["publish house/kitchen q1 #3 x"]);
        site.send(client, puback(3));
        site.send(publisher, publish("house/kitchen", 0, 1, "y"));
        site.hears(client, ["publish  q0 alias=1 y"]);
        if is_persistent {
            site.lose(client);
            let client = site.connect(hello);
            site.hears(client, ["connack 00 present", "publish house/kitchen q1 #2 dup x"]);
            site.send(publisher, publish("house/kitchen", 0, 1, "z"));
            site.hears(client, ["publish house/kitchen q0 alias=1 z"]);
        }
    }
}

/// An alias that would make a packet too large is not used `[MQTT-3.1.2-24]`.
#[test]
fn an_alias_makes_no_packet_too_large() {
    let mut site = Site::new();
    let client = site.join(v5("s").topic_alias_maximum(5).maximum_packet_size(40));
    site.send(client, subscribe(1, "#", 0));
    site.heard(client);
    let publisher = site.join(v5("p"));
    // 2 + 2 + 13 + 1 bytes before the payload.
    site.send(publisher, publish("house/kitchen", 0, 1, &"x".repeat(22)));
    site.send(publisher, publish("house/kitchen", 0, 1, "y"));
    site.hears(
        client,
        [&format!("publish house/kitchen q0 {}", "x".repeat(22)), "publish house/kitchen q0 alias=1 y"],
    );
}
