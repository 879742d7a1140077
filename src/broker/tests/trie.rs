//! The trie against the definition: whatever is inserted and removed, it finds what the filters match.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::broker::subscriptions::{Subscriber, Subscription, Subscriptions};
use crate::mqtt::{QoS, SubscriptionOptions, TopicFilter, TopicName};

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "", "$x"])
}

fn topic() -> impl Strategy<Value = TopicName> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter_map("not empty", |text| TopicName::parse(text).ok())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let wanted = prop_oneof![3 => level(), 2 => Just("+")];
    (prop::collection::vec(wanted, 0..5), any::<bool>())
        .prop_map(|(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter_map("not empty", |text| TopicFilter::parse(text).ok())
}

fn subscription(subscriber: u16, qos: u8) -> Subscription {
    let options = SubscriptionOptions::new(QoS::from_u8(qos).unwrap());
    Subscription::new(Subscriber::Uplink(subscriber, 0), options, None)
}

proptest! {
    #[test]
    fn it_finds_what_matches(
        steps in prop::collection::vec((filter(), 0..4_u16, 0..3_u8, prop::bool::weighted(0.7)), 0..60),
        topics in prop::collection::vec(topic(), 1..20),
    ) {
        let mut trie = Subscriptions::new();
        let mut model: BTreeMap<(TopicFilter, u16), u8> = BTreeMap::new();
        for (filter, subscriber, qos, insert) in steps {
            if insert {
                trie.insert(&filter, subscription(subscriber, qos));
                model.insert((filter, subscriber), qos);
            } else {
                trie.remove(&filter, Subscriber::Uplink(subscriber, 0));
                model.remove(&(filter, subscriber));
            }
        }
        for topic in &topics {
            let mut found = Vec::new();
            trie.find(topic, &mut found);
            let mut found: Vec<(Subscriber, QoS)> =
                found.iter().map(|entry| (entry.subscriber, entry.maximum_qos)).collect();
            found.sort_unstable();
            let matching = model.iter().filter(|((filter, _), _)| filter.matches(topic));
            let mut wanted: Vec<(Subscriber, QoS)> = matching
                .map(|((_, subscriber), qos)| {
                    (Subscriber::Uplink(*subscriber, 0), QoS::from_u8(*qos).unwrap())
                })
                .collect();
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted, "{}", topic);
        }
        for (filter, subscriber) in model.into_keys() {
            trie.remove(&filter, Subscriber::Uplink(subscriber, 0));
        }
        prop_assert!(trie.is_bare(), "what is not subscribed takes no memory");
    }
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut trie = Subscriptions::new();
    let filter = TopicFilter::parse("a/+/#").unwrap();
    trie.remove(&filter, Subscriber::Uplink(0, 0));
    trie.insert(&filter, subscription(0, 0));
    for other in ["a", "a/+", "a/#", "a/b/#", "+/+/#", "#"] {
        trie.remove(&TopicFilter::parse(other).unwrap(), Subscriber::Uplink(0, 0));
    }
    trie.remove(&filter, Subscriber::Uplink(1, 0));
    let mut found = Vec::new();
    trie.find(&TopicName::parse("a/b").unwrap(), &mut found);
    assert_eq!(found.len(), 1);
}
