//! Topic aliases towards one client (section 3.3.2.3.4 of 5.0): its long topics are named once per connection.
//!
//! The first topics get the aliases that there are, and keep them until the connection ends. Numbers are given in
//! order, so that subscribers of the same topics share an encoding. Never used for a packet that may wait, be dropped
//! or be repeated: only for one that is written now.

use std::collections::HashMap;
use std::num::NonZeroU16;

use crate::limits::OUTGOING_TOPIC_ALIASES;
use crate::mqtt::TopicName;

/// An alias costs three bytes in every packet: topics that are no longer than that are left as they are.
const WORTH_AN_ALIAS: usize = 4;

/// How a PUBLISH names its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// In full.
    Topic,
    /// In full, and by this alias from now on.
    Introduced(NonZeroU16),
    /// By this alias alone.
    Alias(NonZeroU16),
}

impl Naming {
    pub(super) const fn alias(self) -> Option<NonZeroU16> {
        match self {
            Naming::Topic => None,
            Naming::Introduced(alias) | Naming::Alias(alias) => Some(alias),
        }
    }
}

/// The aliases of one connection.
#[derive(Debug)]
pub(super) struct OutgoingAliases {
    by_topic: HashMap<TopicName, NonZeroU16>,
    maximum: u16,
}

impl OutgoingAliases {
    /// As many as the client takes `[MQTT-3.1.2-26]`, and not more than we remember; `None` if it takes none
    /// `[MQTT-3.1.2-27]`.
    pub(super) fn new(topic_alias_maximum: u16) -> Option<Box<OutgoingAliases>> {
        let maximum = topic_alias_maximum.min(OUTGOING_TOPIC_ALIASES);
        (maximum > 0).then(|| Box::new(OutgoingAliases { by_topic: HashMap::new(), maximum }))
    }

    /// How the next packet may name a topic.
    pub(super) fn naming(&self, topic: &TopicName) -> Naming {
        if topic.as_str().len() < WORTH_AN_ALIAS {
            return Naming::Topic;
        }
        if let Some(alias) = self.by_topic.get(topic) {
            return Naming::Alias(*alias);
        }
        let next = u16::try_from(self.by_topic.len()).ok().and_then(|given| given.checked_add(1));
        let next = next.filter(|alias| *alias <= self.maximum).and_then(NonZeroU16::new);
        next.map_or(Naming::Topic, Naming::Introduced)
    }

    /// A packet that introduced an alias was sent.
    pub(super) fn introduced(&mut self, topic: &TopicName, alias: NonZeroU16) {
        self.by_topic.insert(topic.detached(), alias);
    }
}
