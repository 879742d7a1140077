//! Access rules at work: at PUBLISH, SUBSCRIBE, with wills, retained and queued messages, and when they change.

use super::world::*;
use crate::broker::{Actions, Denial, Effect, Event, Input, Rights, Rule, TopicPattern, Who};
use crate::durable::DropReason;
use crate::limits::Limits;
use crate::mqtt::ReasonCode;

/// A rule, written `allow publish a/#`, for a user or for everybody.
fn rule(user: Option<&str>, text: &str) -> Rule {
    let words: Vec<&str> = text.split(' ').collect();
    Rule {
        who: Who { user: user.map(Into::into), ..Who::default() },
        effect: if words[0] == "allow" { Effect::Allow } else { Effect::Deny },
        actions: match words[1] {
            "publish" => Actions::Publish,
            "subscribe" => Actions::Subscribe,
            _ => Actions::Both,
        },
        topic: TopicPattern::parse(words[2]).unwrap(),
    }
}

fn rights(rules: &[&str]) -> Rights {
    Rights::of(rules.iter().map(|text| rule(None, text)).collect())
}

fn world_with(rules: &[&str]) -> World {
    let mut world = World::new();
    world.feed(Input::Rights(rights(rules)));
    world
}

fn denials(world: &World, wanted: Denial) -> usize {
    let is_wanted = |event: &&Event| matches!(event, Event::Denied { what, .. } if *what == wanted);
    world.events.iter().filter(is_wanted).count()
}

/// 5.0 is told 0x87 at QoS 1 and 2; 3.1.1 cannot be told: its messages are acknowledged, dropped and counted.
#[test]
fn a_publish_that_is_not_allowed_reaches_nobody_and_is_counted() {
    let mut world = world_with(&["deny publish secret/#", "allow both #"]);
    let reader = world.join(Login::v5("reader"));
    world.subscribe(reader, "#", 2);
    let v5 = world.join(Login::v5("v5"));
    world.send(v5, qos0("secret/a", "0"));
    world.send(v5, qos1("secret/a", 1, "1"));
    world.send(v5, qos2("secret/a", 2, "2"));
    world.hears(v5, ["puback #1 87", "pubrec #2 87"]);
    assert_eq!(world.dropped(DropReason::NotAuthorized), 1, "at QoS 0 nobody is told");
    // The identifier of a QoS 2 message that was refused is free again.
    world.send(v5, qos2("open/a", 2, "2"));
    world.hears(v5, ["pubrec #2"]);
    let v3 = world.join(Login::v311("v3"));
    world.send(v3, qos0("secret/a", "0"));
    world.send(v3, qos1("secret/a", 1, "1"));
    world.send(v3, qos2("secret/a", 2, "2"));
    world.hears(v3, ["puback #1 87", "pubrec #2 87"]);
    world.send(v3, pubrel(2));
    assert!(world.heard(v3)[0].starts_with("pubcomp #2"));
    assert_eq!(world.dropped(DropReason::NotAuthorized), 4);
    assert_eq!(denials(&world, Denial::Publish), 6);
    world.hears(reader, ["publish open/a q2 #1 2"]);
}

/// What may not be published may not be retained either, nor cleared.
#[test]
fn a_retained_message_is_published_like_any_other() {
    let mut world = world_with(&["deny publish secret/#", "allow both #"]);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, retained("secret/a", 1, 1, "x"));
    world.send(publisher, retained("open/a", 1, 2, "x"));
    world.heard(publisher);
    let reader = world.join(Login::v5("r"));
    world.send(reader, subscribe(1, &[("#", options(1))]));
    world.hears(reader, ["suback #1 01", "publish open/a q1 #1 retain x"]);
}

/// A filter that asks for nothing that is allowed is refused; one that asks for more than is allowed gets what is.
#[test]
fn a_subscription_gets_what_is_allowed_of_it() {
    let mut world =
        world_with(&["deny subscribe site/secret/#", "allow subscribe site/#", "allow publish #"]);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, retained("site/a", 0, 0, "kept"));
    world.send(publisher, retained("site/secret/a", 0, 0, "kept"));
    world.send(publisher, retained("other", 0, 0, "kept"));
    let reader = world.join(Login::v5("r"));
    let requests = [("other/#", options(1)), ("site/secret/+", options(1)), ("#", options(1))];
    world.send(reader, subscribe(1, &requests));
    world.hears(reader, ["suback #1 87 87 01", "publish site/a q0 retain kept"]);
    for topic in ["site", "site/a/b", "site/secret", "site/secret/b", "other", "other/a", "$SYS/a"] {
        world.send(publisher, qos0(topic, "live"));
    }
    world.hears(reader, ["publish site q0 live", "publish site/a/b q0 live"]);
    assert_eq!(denials(&world, Denial::Subscribe), 2);
    let old = world.join(Login::v311("old"));
    world.send(old, subscribe(1, &[("other", options(0)), ("site/#", options(0))]));
    assert_eq!(world.heard(old)[0], "suback #1 87 00");
}

/// The names of a client stand in its rules, an assigned client identifier too.
#[test]
fn names_stand_in_topics() {
    let mut world = world_with(&["allow both users/%u/#", "allow both clients/%c/#"]);
    let client = world.join(Login::v5("").user("anna"));
    let requests = ["users/anna/x", "users/bert/x", "clients/tidegate-1/x", "clients/c/x"];
    let requests: Vec<_> = requests.iter().map(|filter| (*filter, options(0))).collect();
    world.send(client, subscribe(1, &requests));
    world.hears(client, ["suback #1 00 87 00 87"]);
    let nameless = world.join(Login::v5("c"));
    world.send(nameless, subscribe(1, &requests));
    world.hears(nameless, ["suback #1 87 87 87 00"]);
}

/// A will is judged when its client connects, and again when it is due.
#[test]
fn a_will_is_judged_at_connect_and_when_it_is_sent() {
    let mut world = world_with(&["allow publish wills/%c", "allow subscribe #"]);
    let refused = world.connect(Login::v5("a").will("wills/b", 0, 0));
    world.hears(refused, ["connack 87", "closed Refused(NotAuthorized)"]);
    let refused = world.connect(Login::v311("a").will("wills/b", 0, 0));
    world.hears(refused, ["connack 87", "closed Refused(NotAuthorized)"]);
    assert_eq!(denials(&world, Denial::Will), 2);
    let reader = world.join(Login::v5("r"));
    world.subscribe(reader, "#", 0);
    let one = world.join(Login::v5("one").will("wills/one", 0, 0));
    let two = world.join(Login::v5("two").will("wills/two", 0, 0));
    world.lose(one);
    world.hears(reader, ["publish wills/one q0 gone"]);
    world.feed(Input::Rights(rights(&["deny publish wills/#", "allow both #"])));
    world.lose(two);
    world.hears(reader, []);
    assert_eq!(denials(&world, Denial::WillSent), 1);
    assert_eq!(world.dropped(DropReason::NotAuthorized), 1);
}

/// From a change on, the new rules hold for subscriptions that are there; nobody is disconnected.
#[test]
fn a_change_holds_for_what_is_subscribed_already() {
    let mut world = world_with(&["allow both #"]);
    let reader = world.join(Login::v5("r"));
    world.subscribe(reader, "a/#", 0);
    let publisher = world.join(Login::v5("p"));
    let tell = |world: &mut World, text: &str| {
        world.send(publisher, qos0("a/x", text));
        world.send(publisher, qos0("a/y", text));
    };
    tell(&mut world, "1");
    world.hears(reader, ["publish a/x q0 1", "publish a/y q0 1"]);
    world.feed(Input::Rights(rights(&["deny subscribe a/x", "allow both #"])));
    tell(&mut world, "2");
    world.hears(reader, ["publish a/y q0 2"]);
    world.feed(Input::Rights(rights(&["deny subscribe a/#", "allow both #"])));
    tell(&mut world, "3");
    world.hears(reader, []);
    world.feed(Input::Rights(Rights::unrestricted()));
    tell(&mut world, "4");
    world.hears(reader, ["publish a/x q0 4", "publish a/y q0 4"]);
}

/// What waits, in memory or in the journal, is not delivered when it may not be any more.
#[test]
fn what_waits_is_judged_by_the_rules_of_the_day() {
    let mut world = world_with(&["allow both #"]);
    let in_memory = world.join(Login::v5("memory").receive_maximum(1));
    world.subscribe(in_memory, "+/x", 1);
    let away = world.join(Login::v5("journal").persistent());
    world.subscribe(away, "+/x", 2);
    world.leave(away);
    let publisher = world.join(Login::v5("p"));
    for (number, topic) in [(1, "a/x"), (2, "b/x"), (3, "a/x"), (4, "b/x")] {
        world.send(publisher, qos2(topic, number, &format!("{number}")));
    }
    world.hears(in_memory, ["publish a/x q1 #1 1"]);
    world.feed(Input::Rights(rights(&["deny subscribe b/#", "allow both #"])));
    assert_eq!(world.dropped(DropReason::NotAuthorized), 2, "what waits in memory goes at once");
    world.send(in_memory, puback(1));
    world.hears(in_memory, ["publish a/x q1 #2 3"]);
    let back = world.connect(Login::v5("journal").persistent());
    world.settle();
    world.hears(back, ["connack 00 present", "publish a/x q2 #1 1", "publish a/x q2 #2 3"]);
    assert_eq!(world.dropped(DropReason::NotAuthorized), 4);
}

/// The rules of the next run hold for what an earlier run has kept.
#[test]
fn a_restart_with_other_rules_delivers_by_them() {
    let mut world = World::new();
    let away = world.join(Login::v5("c").persistent());
    world.subscribe(away, "#", 1);
    world.leave(away);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, qos1("a", 1, "x"));
    world.send(publisher, qos1("b", 2, "x"));
    let mut world = world.crash();
    world.feed(Input::Rights(rights(&["allow subscribe b", "allow publish #"])));
    let back = world.connect(Login::v5("c").persistent());
    world.settle();
    world.hears(back, ["connack 00 present", "publish b q1 #1 x"]);
    let publisher = world.join(Login::v5("p"));
    world.send(publisher, qos0("a", "live"));
    world.send(publisher, qos0("b", "live"));
    world.hears(back, ["publish b q0 live"]);
}

/// Who comes back as another user has that user's rights, in the session that is there.
#[test]
fn a_session_has_the_rights_of_who_uses_it() {
    let mut world = World::new();
    world.feed(Input::Rights(Rights::of(vec![
        rule(Some("anna"), "allow both #"),
        rule(None, "allow both b"),
    ])));
    let nobody = world.join(Login::v5("c").persistent());
    world.subscribe(nobody, "#", 0);
    let publisher = world.join(Login::v5("p").user("anna"));
    let tell = |world: &mut World| {
        world.send(publisher, qos0("a", "x"));
        world.send(publisher, qos0("b", "x"));
    };
    tell(&mut world);
    world.hears(nobody, ["publish b q0 x"]);
    let anna = world.join(Login::v5("c").persistent().user("anna"));
    tell(&mut world);
    world.hears(anna, ["publish a q0 x", "publish b q0 x"]);
}

/// Who has no account any more is told so and gone; others stay.
#[test]
fn an_account_that_is_gone_ends_its_connection() {
    let mut world = World::new();
    let (gone, stays) = (world.join(Login::v5("a").user("anna")), world.join(Login::v5("b").user("bert")));
    world.feed(Input::Expel { connection: gone, reason: ReasonCode::NotAuthorized });
    world.hears(gone, ["disconnect 87", "closed Refused(NotAuthorized)"]);
    world.feed(Input::Expel { connection: gone, reason: ReasonCode::NotAuthorized });
    world.subscribe(stays, "a", 0);
    world.send(stays, qos0("a", "x"));
    world.hears(stays, ["publish a q0 x"]);
}

/// Each connection has the bounds of the listener that it came by.
#[test]
fn a_listener_has_bounds_of_its_own() {
    let own = Limits {
        receive_maximum: 5,
        topic_alias_maximum: 3,
        max_subscriptions: 1,
        server_keep_alive_seconds: 60,
        max_session_expiry_seconds: 10,
        ..Limits::default()
    };
    let mut world = World::new();
    let client = world.connect(Login::v5("a").expiry(100).limits(own.clone()));
    world.hears(client, ["connack 00 keep-alive=60 expiry=10"]);
    world.send(client, subscribe(1, &[("a", options(0)), ("b", options(0))]));
    world.hears(client, ["suback #1 00 97"]);
    let other = world.connect(Login::v5("b").expiry(100));
    world.hears(other, ["connack 00"]);
    world.send(other, subscribe(1, &[("a", options(0)), ("b", options(0))]));
    world.hears(other, ["suback #1 00 00"]);
    let full = Limits { max_sessions: 2, ..own };
    let refused = world.connect(Login::v5("c").limits(full));
    world.hears(refused, ["connack 97", "closed Refused(QuotaExceeded)"]);
    world.join(Login::v5("c"));
}

/// What is shared goes to members that may have it, and is kept for nobody when none may.
#[test]
fn a_shared_message_goes_to_who_may_have_it() {
    let mut world = World::new();
    world.feed(Input::Rights(Rights::of(vec![
        rule(Some("anna"), "allow subscribe #"),
        rule(Some("bert"), "allow subscribe open/#"),
        rule(None, "allow publish #"),
    ])));
    let anna = world.join(Login::v5("anna").user("anna"));
    let bert = world.join(Login::v5("bert").user("bert"));
    let nobody = world.join(Login::v5("c"));
    for client in [anna, bert, nobody] {
        world.send(client, subscribe(1, &[("$share/g/+/x", options(1))]));
    }
    assert_eq!(
        (world.heard(anna), world.heard(bert)),
        (vec!["suback #1 01".into()], vec!["suback #1 01".into()])
    );
    world.hears(nobody, ["suback #1 87"]);
    for number in 1..=2 {
        world.send(nobody, qos0("secret/x", &format!("{number}")));
    }
    world.hears(anna, ["publish secret/x q0 1", "publish secret/x q0 2"]);
    world.leave(anna);
    world.send(nobody, qos1("secret/x", 1, "3"));
    world.send(nobody, qos1("open/x", 2, "4"));
    world.hears(bert, ["publish open/x q1 #1 4"]);
    world.hears(nobody, ["puback #1 10", "puback #2"]);
}
