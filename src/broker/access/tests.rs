//! A table of decisions, and the same decisions by a reference that knows nothing of levels and tries.

use proptest::prelude::*;

use super::*;
use crate::mqtt::{TopicFilter, TopicName};

/// Reads a rule as `USER/CLIENT allow both a/%u/#`; `*` is anybody, `-` the anonymous, `+` those who are not.
fn rule(text: &str) -> Rule {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap();
    let (user, client) = word().split_once('@').unwrap();
    let named = |name: &str| Some(name).filter(|name| !["*", "-", "+"].contains(name)).map(ByteString::from);
    let who = Who {
        user: named(user),
        client: named(client),
        anonymous: match user {
            "-" => Some(true),
            "+" => Some(false),
            _ => None,
        },
    };
    let effect = if word() == "allow" { Effect::Allow } else { Effect::Deny };
    let actions = match word() {
        "publish" => Actions::Publish,
        "subscribe" => Actions::Subscribe,
        _ => Actions::Both,
    };
    Rule { who, effect, actions, topic: TopicPattern::parse(word()).unwrap() }
}

fn rights(rules: &[&str]) -> Rights {
    Rights::of(rules.iter().map(|text| rule(text)).collect())
}

fn topic(text: &str) -> TopicName {
    TopicName::parse(text.to_owned()).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text.to_owned()).unwrap()
}

const SITE: [&str; 9] = [
    "dashboard@* deny subscribe tidegate/+/secret/#",
    "dashboard@* allow subscribe tidegate/#",
    "+@* allow both user/%u/#",
    "*@* allow both client/%c/#",
    "*@pump-1 allow publish pumps/%c",
    "-@* allow subscribe public/+",
    "anna@pump-2 allow both anna/pump",
    "admin@* deny both admin/%u/private",
    "admin@* allow both #",
];

/// Who, what, where, and whether that is allowed under [`SITE`].
#[test]
fn the_first_rule_that_matches_decides() {
    use Action::{Publish, Subscribe};
    let cases = [
        (Some("dashboard"), "d", Subscribe, "tidegate/gw/air/state", true),
        (Some("dashboard"), "d", Subscribe, "tidegate", true),
        (Some("dashboard"), "d", Subscribe, "tidegate/gw/secret", false),
        (Some("dashboard"), "d", Subscribe, "tidegate/gw/secret/key", false),
        (Some("dashboard"), "d", Publish, "tidegate/gw/air/state", false),
        (Some("dashboard"), "d", Subscribe, "tidegates", false),
        (Some("dashboard"), "d", Publish, "user/dashboard/x", true),
        (Some("dashboard"), "d", Publish, "user/anna/x", false),
        (Some("Dashboard"), "d", Subscribe, "tidegate/x", false),
        (Some("anna"), "c", Publish, "user/anna", true),
        (Some("anna"), "c", Publish, "user/annab", false),
        (None, "c", Publish, "user/", false),
        (None, "c", Publish, "client/c/x", true),
        (None, "c", Publish, "client/d/x", false),
        (None, "pump-1", Publish, "pumps/pump-1", true),
        (None, "pump-1", Subscribe, "pumps/pump-1", false),
        (None, "pump-2", Publish, "pumps/pump-2", false),
        (None, "c", Subscribe, "public/x", true),
        (None, "c", Subscribe, "public/x/y", false),
        (None, "c", Publish, "public/x", false),
        (Some("anna"), "c", Subscribe, "public/x", false),
        (Some("anna"), "pump-2", Publish, "anna/pump", true),
        (Some("anna"), "pump-3", Publish, "anna/pump", false),
        (Some("bert"), "pump-2", Publish, "anna/pump", false),
        (Some("admin"), "a", Publish, "anything/at/all", true),
        (Some("admin"), "a", Publish, "admin/admin/private", false),
        (Some("admin"), "a", Publish, "admin/admin/private/x", true),
        // [MQTT-4.7.2-1]: `#` is not about the server's own topics.
        (Some("admin"), "a", Subscribe, "$SYS/broker/uptime", false),
        (Some("nobody"), "n", Subscribe, "x", false),
    ];
    let rights = rights(&SITE);
    for (user, client, action, name, expected) in cases {
        let permissions = rights.of_client(user, client);
        assert_eq!(permissions.allow(action, &topic(name)), expected, "{user:?} {client} {action:?} {name}");
    }
}

#[test]
fn without_rules_everything_is_allowed_and_with_none_that_matches_nothing_is() {
    let name = topic("$SYS/x");
    let all = Rights::unrestricted().of_client(None, "c");
    assert!(all.allow(Action::Publish, &name) && all.reach(&filter("#")) == Reach::Everything);
    let none = Rights::of(Vec::new()).of_client(Some("anna"), "c");
    assert!(!none.allow(Action::Publish, &name) && none.reach(&filter("a")) == Reach::Nothing);
}

/// A name with `+`, `#`, `/` or a leading `$` gets nothing by a rule that allows, and escapes none that denies.
#[test]
fn a_name_never_widens_a_rule() {
    let rights = rights(&[
        "*@* deny both locked/%c/x",
        "*@* deny both %u/own",
        "*@* allow both user/%u/#",
        "*@* allow both client/%c",
        "*@* allow both mixed/a-%c-%u/b",
        "*@* allow both %c/#",
        "*@* allow both locked/#",
    ]);
    for name in ["+", "#", "a/b", "a+", "#a", "", "/", "$SYS", "$share", "x/../y", "%u/+"] {
        let permissions = rights.of_client(Some(name), name);
        for wanted in ["user/anna/x", "user/+/x", "user/a/b/x", "client/other", "client/a", "$SYS/x", "anna"]
        {
            if let Ok(wanted) = TopicName::parse(wanted.to_owned()) {
                assert!(!permissions.allow(Action::Publish, &wanted), "{name:?} {wanted}");
            }
        }
        for wanted in ["user/#", "client/+", "user/anna/x", "$SYS/#", "mixed/#", "#"] {
            assert_eq!(permissions.reach(&filter(wanted)), Reach::Nothing, "{name:?} {wanted}");
        }
        // What is denied to the bearer of a plain name at one place, is denied to this one wherever it might be.
        assert!(!permissions.allow(Action::Publish, &topic("locked/anything/x")), "{name:?}");
    }
    let plain = rights.of_client(Some("ann"), "c1");
    for (wanted, expected) in [
        ("user/ann/x", true),
        ("client/c1", true),
        ("mixed/a-c1-ann/b", true),
        ("locked/c1/x", false),
        ("locked/c2/x", true),
        ("ann/own", false),
        ("c1/y", true),
    ] {
        assert_eq!(plain.allow(Action::Publish, &topic(wanted)), expected, "{wanted}");
    }
    // A placeholder in a name is text, and is not put in a second time.
    let tricky = rights.of_client(Some("%c"), "victim");
    assert!(tricky.allow(Action::Publish, &topic("user/%c/x")));
    assert!(!tricky.allow(Action::Publish, &topic("user/victim/x")));
}

/// What a subscription is granted, by what its filter asks for.
#[test]
fn a_wide_subscription_reaches_what_is_allowed_of_it() {
    use Reach::{Everything, Nothing, Partly};
    let rights = rights(&[
        "*@* deny subscribe test/nosubscribe",
        "*@* allow publish only/publish/#",
        "*@* deny subscribe tidegate/+/secret/#",
        "*@* allow subscribe tidegate/#",
        "*@* allow subscribe $SYS/broker/#",
    ]);
    let permissions = rights.of_client(None, "c");
    for (wanted, expected) in [
        ("tidegate/#", Partly),
        ("tidegate/gw/air/state", Everything),
        ("tidegate/+/air/#", Everything),
        ("tidegate/+/+/#", Partly),
        ("tidegate/gw/secret", Nothing),
        ("tidegate/gw/secret/#", Nothing),
        ("tidegate", Everything),
        ("tidegate/gw", Everything),
        ("#", Partly),
        ("+/+/+", Partly),
        ("+", Partly),
        ("test/nosubscribe", Nothing),
        ("test/#", Nothing),
        ("other/#", Nothing),
        ("only/publish/x", Nothing),
        ("$SYS/#", Partly),
        ("$SYS/broker/uptime", Everything),
        ("$SYS/other", Nothing),
        ("$share/group/tidegate/gw/air/state", Everything),
        ("$share/group/other/#", Nothing),
    ] {
        assert_eq!(permissions.reach(&filter(wanted)), expected, "{wanted}");
    }
}

#[test]
fn a_pattern_is_a_filter_and_never_one_that_is_shared() {
    assert!(TopicPattern::parse("a/%u/#").is_ok());
    for bad in ["", "a/#/b", "a+", "$share/g/a", "$share"] {
        assert!(TopicPattern::parse(bad).is_err(), "{bad}");
    }
}

/// Whether a filter matches a topic, by section 4.7, as one would explain it to a child.
fn matches_by_the_book(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches_by_the_book(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) if one == other => matches_by_the_book(filter, topic),
        _ => false,
    }
}

/// The decision, from the rules themselves.
fn decided_by_the_book(
    rules: &[Rule],
    user: Option<&str>,
    client: &str,
    action: Action,
    topic: &str,
) -> bool {
    for rule in rules {
        let is_about = match &rule.who {
            Who { user: Some(wanted), .. } if user != Some(&**wanted) => false,
            Who { client: Some(wanted), .. } if client != &**wanted => false,
            Who { anonymous: Some(wanted), .. } if *wanted == user.is_some() => false,
            _ => true,
        };
        let is_of_action = match rule.actions {
            Actions::Publish => action == Action::Publish,
            Actions::Subscribe => action == Action::Subscribe,
            Actions::Both => true,
        };
        if !is_about || !is_of_action {
            continue;
        }
        if rule.topic.as_str().contains("%u") && user.is_none() {
            continue;
        }
        let text = rule.topic.as_str().replace("%u", user.unwrap_or_default()).replace("%c", client);
        let is_over = topic.starts_with('$') && text.starts_with(['+', '#']);
        let (levels, wanted): (Vec<&str>, Vec<&str>) =
            (text.split('/').collect(), topic.split('/').collect());
        if !is_over && matches_by_the_book(&levels, &wanted) {
            return rule.effect == Effect::Allow;
        }
    }
    false
}

fn filters() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "+", "%u", "%c", "x%u", "$s"]);
    let rest = prop::sample::select(vec!["", "/#"]);
    (prop::collection::vec(level, 1..4), rest)
        .prop_map(|(levels, rest)| levels.join("/") + rest)
        .prop_filter("a topic has a character", |text| TopicFilter::parse(text.clone()).is_ok())
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let name = || prop::sample::select(vec![None, Some("a"), Some("b")]);
    let who = (name(), name(), prop::sample::select(vec![None, Some(true), Some(false)]));
    let effect = prop::sample::select(vec![Effect::Allow, Effect::Deny]);
    let actions = prop::sample::select(vec![Actions::Publish, Actions::Subscribe, Actions::Both]);
    let rule =
        (who, effect, actions, filters()).prop_map(|((user, client, anonymous), effect, actions, topic)| {
            let who =
                Who { user: user.map(ByteString::from), client: client.map(ByteString::from), anonymous };
            Rule { who, effect, actions, topic: TopicPattern::parse(&topic).unwrap() }
        });
    prop::collection::vec(rule, 0..6)
}

/// Every topic of up to three levels over a small alphabet.
fn topics() -> Vec<String> {
    let levels = ["a", "b", "", "$s", "xa"];
    let mut topics: Vec<String> = levels.map(str::to_owned).into();
    for _ in 0..2 {
        let longer = topics.iter().flat_map(|topic| levels.map(|level| format!("{topic}/{level}")));
        let longer: Vec<String> = longer.collect();
        topics.extend(longer);
    }
    topics.sort();
    topics.dedup();
    topics.retain(|topic| !topic.is_empty());
    topics
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each decision is the one that the rules themselves give; what is said of a subscription as a whole is true of
    /// every topic that it matches.
    #[test]
    fn decisions_agree_with_a_naive_reading_of_the_rules(
        rules in rules(),
        user in prop::sample::select(vec![None, Some("a"), Some("b")]),
        client in prop::sample::select(vec!["a", "b"]),
        wanted in filters().prop_map(|text| text.replace('%', "x")),
    ) {
        let permissions = Rights::of(rules.clone()).of_client(user, client);
        let wanted = filter(&wanted);
        let reach = permissions.reach(&wanted);
        for text in topics() {
            let name = topic(&text);
            for action in [Action::Publish, Action::Subscribe] {
                let expected = decided_by_the_book(&rules, user, client, action, &text);
                prop_assert_eq!(permissions.allow(action, &name), expected, "{:?} {}", action, text);
            }
            if wanted.matches(&name) {
                let may = permissions.allow(Action::Subscribe, &name);
                prop_assert!(reach != Reach::Everything || may, "{} is everything, but not {}", wanted, text);
                prop_assert!(reach != Reach::Nothing || !may, "{} is nothing, but {}", wanted, text);
            }
        }
    }
}
