//! Who wants which topic: a trie of topic filters (section 4.7).
//!
//! Levels are interned, so that a walk compares numbers; edges live in one map; topics of late are remembered.
//! Knows nothing of sessions but their keys, and never decides what is sent.

use std::collections::HashMap;
use std::num::NonZeroU32;

use slab::Slab;
use smallvec::SmallVec;

use crate::mqtt::{QoS, SubscriptionOptions, TopicFilter, TopicName};

use super::hash::NumberMap;
use super::recent_topics::RecentTopics;
use super::sessions::SessionKey;
use super::shared::GroupId;

/// Who subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subscriber {
    /// A session.
    Session(SessionKey),
    /// A rule of an uplink, both by their place.
    Uplink(u16, u16),
    /// The group of a shared subscription.
    Group(GroupId),
}

/// One subscription of one subscriber, as it stands at its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) subscriber: Subscriber,
    pub(super) maximum_qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<NonZeroU32>,
    /// Whether its session may have only some of what it matches: each message is asked about.
    pub(super) is_asked: bool,
}

impl Subscription {
    pub(super) const fn new(
        subscriber: Subscriber,
        options: SubscriptionOptions,
        identifier: Option<NonZeroU32>,
    ) -> Subscription {
        Subscription {
            subscriber,
            maximum_qos: options.maximum_qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            identifier,
            is_asked: false,
        }
    }

    /// The same, its messages asked about or not.
    pub(super) const fn asked(self, is_asked: bool) -> Subscription {
        Subscription { is_asked, ..self }
    }
}

/// A level of a topic, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Level(u32);

/// A place in the trie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place(u32);

/// Which way leads from one place to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This very level.
    Exactly(Level),
    /// `+`.
    Any,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<(Place, Step)>,
    children: u32,
    any: Option<Place>,
    /// Subscriptions whose filter ends here, by subscriber.
    here: Vec<Subscription>,
    /// Subscriptions whose filter goes on with `#`, by subscriber.
    rest: Vec<Subscription>,
}

/// The trie.
#[derive(Debug)]
pub(super) struct Subscriptions {
    levels: Levels,
    nodes: Slab<Node>,
    edges: NumberMap<(Place, Level), Place>,
    root: Place,
    recent: RecentTopics,
}

impl Subscriptions {
    pub(super) fn new() -> Subscriptions {
        let mut nodes = Slab::new();
        let root = Place::from_index(nodes.insert(Node::default()));
        Subscriptions {
            levels: Levels::default(),
            nodes,
            edges: NumberMap::default(),
            root,
            recent: RecentTopics::default(),
        }
    }

    /// Adds a subscription, or replaces the one that this subscriber has at this filter `[MQTT-3.8.4-3]`.
    pub(super) fn insert(&mut self, filter: &TopicFilter, subscription: Subscription) {
        self.recent.forget();
        let mut place = self.root;
        let mut is_rest = false;
        for text in filter.levels() {
            match text {
                "#" => is_rest = true,
                "+" => place = self.child(place, Step::Any),
                text => {
                    let level = self.levels.intern(text);
                    place = self.child(place, Step::Exactly(level));
                }
            }
        }
        let list = self.list(place, is_rest);
        match list.binary_search_by_key(&subscription.subscriber, |entry| entry.subscriber) {
            Ok(at) => {
                if let Some(entry) = list.get_mut(at) {
                    *entry = subscription;
                }
            }
            Err(at) => list.insert(at, subscription),
        }
    }

    /// Removes a subscription; nothing happens when there is none.
    pub(super) fn remove(&mut self, filter: &TopicFilter, subscriber: Subscriber) {
        self.recent.forget();
        let mut place = self.root;
        let mut is_rest = false;
        for text in filter.levels() {
            let next = match text {
                "#" => {
                    is_rest = true;
                    Some(place)
                }
                "+" => self.node(place).any,
                text => self.levels.find(text).and_then(|level| self.edges.get(&(place, level)).copied()),
            };
            let Some(next) = next else { return };
            place = next;
        }
        let list = self.list(place, is_rest);
        if let Ok(at) = list.binary_search_by_key(&subscriber, |entry| entry.subscriber) {
            list.remove(at);
            if list.is_empty() {
                *list = Vec::new();
            }
        }
        self.prune(place);
    }

    /// Gives every subscription that matches `topic` to `found`, by subscriber; those of one subscriber in a row.
    pub(super) fn find(&mut self, topic: &TopicName, found: &mut Vec<Subscription>) {
        if let Some(recent) = self.recent.recall(topic.as_str()) {
            return found.extend_from_slice(recent);
        }
        self.walk(topic, found);
        // Those of one filter are in order already.
        if !found.is_sorted_by(|one, next| one.subscriber < next.subscriber) {
            found.sort_by_key(|subscription| subscription.subscriber);
        }
        self.recent.remember(topic.as_str(), found);
    }

    fn walk(&self, topic: &TopicName, found: &mut Vec<Subscription>) {
        let levels: SmallVec<[Option<Level>; 16]> =
            topic.levels().map(|text| self.levels.find(text)).collect();
        let mut to_visit: SmallVec<[(Place, usize); 16]> = SmallVec::new();
        to_visit.push((self.root, 0));
        while let Some((place, depth)) = to_visit.pop() {
            let node = self.node(place);
            // [MQTT-4.7.2-1]
            let wildcards = depth > 0 || !topic.is_dollar();
            if wildcards {
                found.extend_from_slice(&node.rest);
            }
            match levels.get(depth) {
                None => found.extend_from_slice(&node.here),
                Some(level) => {
                    if let Some(any) = node.any.filter(|_| wildcards) {
                        to_visit.push((any, depth + 1));
                    }
                    let exactly = level.and_then(|level| self.edges.get(&(place, level)));
                    if let Some(exactly) = exactly {
                        to_visit.push((*exactly, depth + 1));
                    }
                }
            }
        }
    }

    /// Whether nothing is left of what was subscribed.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.nodes.len() == 1 && self.edges.is_empty() && self.levels.used.is_empty()
    }

    fn node(&self, place: Place) -> &Node {
        let Some(node) = self.nodes.get(place.index()) else {
            unreachable!("places are removed together with what leads to them");
        };
        node
    }

    fn node_mut(&mut self, place: Place) -> &mut Node {
        let Some(node) = self.nodes.get_mut(place.index()) else {
            unreachable!("places are removed together with what leads to them");
        };
        node
    }

    fn list(&mut self, place: Place, is_rest: bool) -> &mut Vec<Subscription> {
        let node = self.node_mut(place);
        if is_rest { &mut node.rest } else { &mut node.here }
    }

    /// The place one step further, made if need be. A level that leads to an existing place is not counted twice.
    fn child(&mut self, place: Place, step: Step) -> Place {
        let known = match step {
            Step::Exactly(level) => self.edges.get(&(place, level)).copied(),
            Step::Any => self.node(place).any,
        };
        if let Some(known) = known {
            if let Step::Exactly(level) = step {
                self.levels.release(level);
            }
            return known;
        }
        let node = Node { parent: Some((place, step)), ..Node::default() };
        let made = Place::from_index(self.nodes.insert(node));
        match step {
            Step::Exactly(level) => {
                self.edges.insert((place, level), made);
            }
            Step::Any => self.node_mut(place).any = Some(made),
        }
        self.node_mut(place).children += 1;
        made
    }

    /// Removes places that lead to nothing any more, from `place` upwards.
    fn prune(&mut self, mut place: Place) {
        loop {
            let node = self.node(place);
            let Some((parent, step)) = node.parent else { return };
            if node.children > 0 || !node.here.is_empty() || !node.rest.is_empty() {
                return;
            }
            self.nodes.remove(place.index());
            match step {
                Step::Exactly(level) => {
                    self.edges.remove(&(parent, level));
                    self.levels.release(level);
                }
                Step::Any => self.node_mut(parent).any = None,
            }
            self.node_mut(parent).children -= 1;
            place = parent;
        }
    }
}

impl Place {
    fn from_index(index: usize) -> Place {
        let Ok(number) = u32::try_from(index) else { unreachable!("subscriptions are bounded") };
        Place(number)
    }

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Every level text in use, once, with its number. The texts are the peers': the hasher is seeded.
#[derive(Debug, Default)]
struct Levels {
    by_text: HashMap<Box<str>, Level>,
    used: Slab<Used>,
}

#[derive(Debug)]
struct Used {
    text: Box<str>,
    /// How many edges carry it.
    edges: u32,
}

impl Levels {
    fn find(&self, text: &str) -> Option<Level> {
        self.by_text.get(text).copied()
    }

    /// The number of a text, which is used once more from now on.
    fn intern(&mut self, text: &str) -> Level {
        if let Some(level) = self.find(text) {
            if let Some(used) = self.used.get_mut(level.index()) {
                used.edges += 1;
            }
            return level;
        }
        let index = self.used.insert(Used { text: text.into(), edges: 1 });
        let Ok(number) = u32::try_from(index) else { unreachable!("subscriptions are bounded") };
        self.by_text.insert(text.into(), Level(number));
        Level(number)
    }

    /// Used once less; the last one forgets the text.
    fn release(&mut self, level: Level) {
        let Some(used) = self.used.get_mut(level.index()) else {
            unreachable!("a level is released as often as it was interned");
        };
        used.edges -= 1;
        if used.edges == 0 {
            let gone = self.used.remove(level.index());
            self.by_text.remove(&gone.text);
        }
    }
}

impl Level {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}
