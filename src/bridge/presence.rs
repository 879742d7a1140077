//! The state of the gateway and its sensors, retained at the server: what is true now, never history.
//!
//! Presence bypasses the journal: the whole of it is published on each connection, then what changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::mqtt::TopicName;

/// Topic and payload of everything whose present state is published; both as they are on the gateway.
pub type PresenceMap = Arc<BTreeMap<TopicName, Bytes>>;

/// The payload of the gateway's status, and of a sensor's availability, while it is there.
pub(super) const ONLINE: Bytes = Bytes::from_static(b"online");
/// The payload once it is gone.
pub(super) const OFFLINE: Bytes = Bytes::from_static(b"offline");

#[derive(Debug, Default)]
pub(super) struct Presence {
    status: Option<TopicName>,
    wanted: PresenceMap,
    /// Topics whose state the server is to be told.
    changed: VecDeque<TopicName>,
    up: bool,
}

impl Presence {
    pub(super) fn new(status: Option<TopicName>) -> Presence {
        Presence { status, ..Presence::default() }
    }

    /// What is true from now on.
    pub(super) fn set(&mut self, wanted: PresenceMap) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        if !self.up {
            return;
        }
        for (topic, payload) in self.wanted.iter() {
            if before.get(topic) != Some(payload) && !self.changed.contains(topic) {
                self.changed.push_back(topic.clone());
            }
        }
    }

    /// A new connection: the server is told everything.
    pub(super) fn connected(&mut self) {
        self.up = true;
        self.changed.clear();
        self.changed.extend(self.status.iter().chain(self.wanted.keys()).cloned());
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
        self.changed.clear();
    }

    /// There was no place for it yet.
    pub(super) fn put_back(&mut self, topic: TopicName) {
        self.changed.push_front(topic);
    }

    /// The next state to be published.
    pub(super) fn next(&mut self) -> Option<(TopicName, Bytes)> {
        let topic = self.changed.pop_front()?;
        let payload = match self.wanted.get(&topic) {
            Some(payload) => payload.clone(),
            None if self.status.as_ref() == Some(&topic) => ONLINE,
            None => return self.next(),
        };
        Some((topic, payload))
    }
}
