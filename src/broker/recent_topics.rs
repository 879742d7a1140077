//! Who wanted the topics that were published to last: sensors say the same few topics again and again.
//!
//! A fixed number of places, each for one topic; a topic that falls on a taken place takes it over. What is here is
//! only a copy of what the trie would find: it is worth nothing after any change of subscriptions.

use super::subscriptions::Subscription;

/// How many topics are remembered.
const PLACES: usize = 512;
/// Longer topics, and those that more subscriptions match, are looked up every time.
const TOPIC_BYTES: usize = 256;
const SUBSCRIPTIONS: usize = 256;

/// The topics of late, with their subscriptions in order.
#[derive(Debug, Default)]
pub(super) struct RecentTopics {
    /// None before the first message.
    places: Vec<Place>,
    /// Which state of the subscriptions what is remembered belongs to.
    age: u64,
}

#[derive(Debug, Clone, Default)]
struct Place {
    age: u64,
    topic: String,
    found: Vec<Subscription>,
}

impl RecentTopics {
    /// The subscriptions have changed: nothing that is remembered is true any more.
    pub(super) fn forget(&mut self) {
        self.age += 1;
    }

    /// What is remembered of a topic.
    pub(super) fn recall(&self, topic: &str) -> Option<&[Subscription]> {
        let place = self.places.get(place_of(topic))?;
        (place.age == self.age && place.topic == topic).then_some(&place.found)
    }

    /// Remembers what was found for a topic, unless it is large.
    pub(super) fn remember(&mut self, topic: &str, found: &[Subscription]) {
        if topic.len() > TOPIC_BYTES || found.len() > SUBSCRIPTIONS {
            return;
        }
        if self.places.is_empty() {
            // An age that no place of a new vector has.
            self.age += 1;
            self.places.resize(PLACES, Place::default());
        }
        if let Some(place) = self.places.get_mut(place_of(topic)) {
            place.age = self.age;
            place.topic.clear();
            place.topic.push_str(topic);
            place.found.clear();
            place.found.extend_from_slice(found);
        }
    }
}

/// Topics that fall on the same place cost each other a look-up and nothing else: it needs no seed.
fn place_of(topic: &str) -> usize {
    let mut hash: u64 = 0;
    for bytes in topic.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
    usize::try_from(hash >> 40).unwrap_or_default() % PLACES
}
