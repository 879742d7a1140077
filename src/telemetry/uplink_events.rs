//! What happens to an uplink: counted, and logged, the same thing seldom.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::events::BrokerCounters;
use super::seldom::Seldom;
use crate::bridge::{DeadLetter, Event};
use crate::durable::DropReason;

/// Counts and logs what happens to one uplink.
pub struct UplinkObserver {
    name: ByteString,
    counters: Arc<BrokerCounters>,
    drops: BTreeMap<DropReason, Seldom>,
}

impl UplinkObserver {
    /// Of the uplink of this name.
    #[must_use]
    pub const fn new(name: ByteString, counters: Arc<BrokerCounters>) -> UplinkObserver {
        UplinkObserver { name, counters, drops: BTreeMap::new() }
    }

    /// It happened.
    pub fn event(&mut self, event: &Event) {
        let name = &self.name;
        match event {
            Event::Connected { session_present: true } => {
                tracing::info!("uplink {name}: connected, the server has kept the session");
            }
            Event::Connected { session_present: false } => tracing::info!("uplink {name}: connected"),
            Event::Disconnected { fault } => tracing::warn!("uplink {name}: {fault}"),
            Event::Dropped { count, reason } => {
                self.counters.count_dropped(*reason, *count);
                if let Some(count) = self.drops.entry(*reason).or_default().happened(*count) {
                    tracing::warn!(
                        "uplink {name}: {count} messages will not be delivered: {}",
                        reason.label()
                    );
                }
            }
            Event::SubscriptionRefused { filter, reason } => {
                tracing::warn!("uplink {name}: the server refuses the subscription to {filter}: {reason:?}");
            }
        }
    }
}

/// Logs what an uplink's server will never take; each of them is in a file, too.
pub struct LaidAside {
    name: ByteString,
    letters: Seldom,
}

impl LaidAside {
    /// Of the uplink of this name.
    #[must_use]
    pub fn new(name: ByteString) -> LaidAside {
        LaidAside { name, letters: Seldom::default() }
    }

    /// One more.
    pub fn letter(&mut self, letter: &DeadLetter) {
        if let Some(count) = self.letters.happened(1) {
            let (name, topic, why) = (&self.name, letter.topic.as_str(), &letter.detail);
            tracing::warn!("uplink {name}: {count} messages are laid aside, the last is {topic}: {why}");
        }
    }
}
