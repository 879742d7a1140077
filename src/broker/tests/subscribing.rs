//! SUBSCRIBE and UNSUBSCRIBE: codes, overlaps, options.

use super::world::*;
use crate::limits::Limits;
use crate::mqtt::SubscriptionOptions;

/// One code per filter, in order `[MQTT-3.8.4-5]` `[MQTT-3.8.4-6]`; what is refused does not spoil the rest.
#[test]
fn every_filter_gets_its_own_code() {
    let mut world = World::with(Limits { max_subscriptions: 3, ..Limits::default() });
    let client = world.join(Login::v5("c"));
    let deep = "a/".repeat(200) + "a";
    let requests = [
        ("a", options(0)),
        ("b/+", options(1)),
        ("c/#", options(2)),
        ("d#", options(0)),
        ("", options(0)),
        (&*deep, options(0)),
        ("$share/group/a", options(1)),
        ("e", options(0)),
        ("a", options(2)),
    ];
    world.send(client, subscribe(9, &requests));
    world.hears(client, ["suback #9 00 01 02 8f 8f 8f 97 97 02"]);
}

/// A subscription to the same filter replaces the older one `[MQTT-3.8.4-3]`.
#[test]
fn the_same_filter_replaces() {
    let mut world = World::new();
    let client = world.join(Login::v311("c"));
    let publisher = world.join(Login::v311("p"));
    world.subscribe(client, "t", 2);
    world.subscribe(client, "t", 0);
    world.send(publisher, qos1("t", 1, "x"));
    world.hears(client, ["publish t q0 x"]);
}

/// Overlapping subscriptions: one copy, the highest QoS `[MQTT-3.3.4-2]`, every identifier `[MQTT-3.3.4-4]`.
#[test]
fn overlapping_subscriptions_give_one_copy() {
    let mut world = World::new();
    let client = world.join(Login::v5("c"));
    let publisher = world.join(Login::v5("p"));
    world.send(client, subscribe_as(1, Some(11), &[("t/#", options(0))]));
    world.send(client, subscribe_as(2, Some(12), &[("t/+", options(2))]));
    world.send(client, subscribe_as(3, None, &[("+/x", options(1))]));
    world.send(client, subscribe_as(4, Some(14), &[("other", options(1))]));
    world.heard(client);
    world.send(publisher, qos1("t/x", 1, "x"));
    let heard = world.heard(client);
    let mut words: Vec<&str> = heard[0].split(' ').collect();
    words.sort_unstable();
    assert_eq!(words, ["#1", "publish", "q1", "sub=11", "sub=12", "t/x", "x"]);
    assert_eq!(heard.len(), 1);
}

/// No Local: not one's own messages `[MQTT-3.8.3-3]`.
#[test]
fn no_local_leaves_out_own_messages() {
    let mut world = World::new();
    let client = world.join(Login::v5("c"));
    let other = world.join(Login::v5("o"));
    let no_local = SubscriptionOptions { no_local: true, ..options(1) };
    world.send(client, subscribe(1, &[("t", no_local)]));
    world.heard(client);
    world.send(client, qos1("t", 1, "mine"));
    world.hears(client, ["puback #1 10"]);
    world.send(other, qos1("t", 1, "theirs"));
    world.hears(client, ["publish t q1 #1 theirs"]);
}

/// The retain flag is passed on only to who asked for it `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`.
#[test]
fn the_retain_flag_is_passed_on_as_asked() {
    let mut world = World::new();
    let plain = world.join(Login::v5("a"));
    let bridge = world.join(Login::v5("b"));
    let publisher = world.join(Login::v5("p"));
    world.subscribe(plain, "t", 0);
    let as_published = SubscriptionOptions { retain_as_published: true, ..options(0) };
    world.send(bridge, subscribe(1, &[("t", as_published)]));
    world.heard(bridge);
    world.send(publisher, retained("t", 0, 1, "x"));
    world.hears(plain, ["publish t q0 x"]);
    world.hears(bridge, ["publish t q0 retain x"]);
}

/// `$` topics are not for wildcards at the first level `[MQTT-4.7.2-1]`, nor for clients to publish to.
#[test]
fn the_servers_own_tree_is_apart() {
    let mut world = World::new();
    let client = world.join(Login::v311("c"));
    let publisher = world.join(Login::v5("p"));
    world.subscribe(client, "#", 0);
    world.subscribe(client, "+/x", 0);
    world.send(publisher, qos0("$other/x", "hidden"));
    world.hears(client, []);
    world.subscribe(client, "$other/#", 0);
    world.send(publisher, qos0("$other/x", "asked for"));
    world.hears(client, ["publish $other/x q0 asked for"]);
    world.send(publisher, qos1("$SYS/broker", 1, "forged"));
    world.hears(publisher, ["puback #1 87"]);
}

/// UNSUBSCRIBE stops delivery `[MQTT-3.10.4-1]` `[MQTT-3.10.4-2]`, with one code per filter `[MQTT-3.10.4-6]`.
#[test]
fn unsubscribing_stops_delivery() {
    let mut world = World::new();
    let client = world.join(Login::v5("c"));
    let publisher = world.join(Login::v5("p"));
    world.subscribe(client, "t/#", 0);
    world.subscribe(client, "t/x", 0);
    world.send(client, unsubscribe(5, &["t/#", "never", "b#d"]));
    world.hears(client, ["unsuback #5 00 11 8f"]);
    world.send(publisher, qos1("t/y", 1, "1"));
    world.hears(publisher, ["puback #1 10"]);
    world.send(publisher, qos1("t/x", 2, "2"));
    world.hears(client, ["publish t/x q0 2"]);
}

/// Whoever has no subscription left is not matched by what others subscribe.
#[test]
fn subscriptions_of_sessions_do_not_mix() {
    let mut world = World::new();
    let publisher = world.join(Login::v5("p"));
    let clients: Vec<_> = (0..20).map(|number| world.join(Login::v311(&format!("c{number}")))).collect();
    for client in &clients {
        world.subscribe(*client, "t", 0);
    }
    for gone in clients.iter().step_by(2) {
        world.lose(*gone);
    }
    let late = world.join(Login::v311("late"));
    world.send(publisher, qos0("t", "x"));
    for (number, client) in clients.iter().enumerate() {
        let expected: &[&str] = if number % 2 == 1 { &["publish t q0 x"] } else { &[] };
        assert_eq!(world.heard(*client), expected);
    }
    world.hears(late, []);
}
