//! What one subscriber's session is owed and was given: the books that the truth keeps for it.
//!
//! An incarnation of a session lasts until the server or the client forgets it; nothing is owed across.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tidegate::mqtt::QoS;

use crate::truth::{MessageId, Sent, matches};

/// A PUBLISH as it came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub topic: String,
    pub payload: Bytes,
    pub qos: QoS,
    /// Whether the retain flag says that it is not live but from the store.
    pub from_retained: bool,
}

/// The books of one session, or of the cloud's side of the uplink.
#[derive(Debug, Default)]
pub struct Session {
    pub incarnation: u32,
    /// The cloud's side of the uplink: it has no filters, everything forwarded is for it.
    is_uplink: bool,
    filters: BTreeMap<String, Filter>,
    owed: BTreeSet<MessageId>,
    /// Messages that came later than the order of their publisher allows.
    late: u64,
    seen: BTreeMap<MessageId, Seen>,
    newest: BTreeMap<(String, QoS, QoS), MessageId>,
    /// The last message that came with the retain flag, by topic.
    retained: BTreeMap<String, MessageId>,
}

#[derive(Debug)]
struct Filter {
    /// The highest that was ever asked for in this incarnation.
    maximum_qos: QoS,
    standing: Standing,
    /// Changes with every SUBSCRIBE and UNSUBSCRIBE.
    generation: u64,
    subscribes: u32,
    subscribed_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Asked for and not answered, or asked to end: it may hold or not.
    Unclear,
    /// SUBACK came with this QoS, at this step.
    Sure { granted: QoS, since: u64 },
}

#[derive(Debug, Default)]
struct Seen {
    live: [u32; 3],
}

impl Session {
    /// The cloud's side of the uplink.
    pub fn of_uplink() -> Session {
        Session { is_uplink: true, ..Session::default() }
    }

    /// The session ended, and with it everything that was owed in it.
    pub fn begins_anew(&mut self) {
        *self = Session { incarnation: self.incarnation + 1, ..Session::default() };
    }

    /// The other side forgot what it has received: repetitions are no fault, everything owed stays owed.
    pub fn forgets_what_it_saw(&mut self) {
        self.incarnation += 1;
        self.seen.values_mut().for_each(|seen| *seen = Seen::default());
    }

    pub fn subscribing(&mut self, filter: &str, qos: QoS, step: u64) {
        let entry = self.filters.entry(filter.to_owned()).or_insert(Filter {
            maximum_qos: qos,
            standing: Standing::Unclear,
            generation: 0,
            subscribes: 0,
            subscribed_at: step,
        });
        entry.maximum_qos = entry.maximum_qos.max(qos);
        entry.standing = Standing::Unclear;
        entry.generation = step;
        entry.subscribes += 1;
        entry.subscribed_at = step;
    }

    /// SUBACK came. Of several SUBSCRIBEs for one filter only the last one's answer counts.
    pub fn subscribed(&mut self, filter: &str, granted: QoS, asked_at: u64, since: u64) {
        if let Some(entry) = self.filters.get_mut(filter).filter(|entry| entry.generation == asked_at) {
            entry.standing = Standing::Sure { granted, since };
        }
    }

    pub fn unsubscribing(&mut self, filter: &str, step: u64) {
        if let Some(entry) = self.filters.get_mut(filter) {
            entry.standing = Standing::Unclear;
            entry.generation = step;
        }
    }

    /// The filters that surely stand and match, where QoS 1 or 2 was granted.
    pub fn standing(&self, topic: &str) -> impl Iterator<Item = (&str, u64)> {
        let sure = |filter: &Filter| matches!(filter.standing, Standing::Sure { granted, .. } if granted > QoS::AtMostOnce);
        let held = self.filters.iter().filter(move |(name, filter)| sure(filter) && matches(name, topic));
        held.map(|(name, filter)| (name.as_str(), filter.generation))
    }

    /// Whether a filter surely stood at that step and ever since, so that the message was for this session at once.
    fn stood_at(&self, topic: &str, step: u64) -> bool {
        let stood = |filter: &Filter| matches!(filter.standing, Standing::Sure { since, .. } if since < step);
        self.is_uplink || self.filters.iter().any(|(name, filter)| stood(filter) && matches(name, topic))
    }

    pub fn still_holds(&self, incarnation: u32, filter: &str, generation: u64) -> bool {
        self.incarnation == incarnation
            && self.filters.get(filter).is_some_and(|filter| filter.generation == generation)
    }

    /// The highest QoS at which a message on `topic` may come; `None` when it may not come at all.
    pub fn maximum_qos(&self, topic: &str) -> Option<QoS> {
        let matching = self.filters.iter().filter(|(name, _)| matches(name, topic));
        matching.map(|(_, filter)| filter.maximum_qos).max()
    }

    /// When the only SUBSCRIBE was sent that can have brought retained messages of `topic`.
    pub fn only_subscribe_at(&self, topic: &str) -> Option<u64> {
        let mut matching = self.filters.iter().filter(|(name, _)| matches(name, topic));
        let (_, filter) = matching.next()?;
        (matching.next().is_none() && filter.subscribes == 1).then_some(filter.subscribed_at)
    }

    /// The last message that came from the store for this topic.
    pub fn retained(&self, topic: &str) -> Option<MessageId> {
        self.retained.get(topic).copied()
    }

    /// The message must arrive, unless it has already.
    pub fn owe(&mut self, id: MessageId) {
        if !self.seen.contains_key(&id) {
            self.owed.insert(id);
        }
    }

    pub fn owed(&self) -> &BTreeSet<MessageId> {
        &self.owed
    }

    /// Takes an arrival into the books: whether it repeats an earlier one. `given_up`: how many messages a full journal
    /// counted as dropped; each may come late, when that it was given up was lost with the power (docs/durability.md).
    pub fn take(&mut self, id: MessageId, sent: &Sent, arrival: &Arrival, given_up: u64) -> bool {
        let (received, seen) = (arrival.qos, self.seen.contains_key(&id));
        self.owed.remove(&id);
        let counts = &mut self.seen.entry(id).or_default().live;
        if arrival.from_retained {
            self.retained.insert(sent.topic.clone(), id);
            return false;
        }
        counts[usize::from(received.as_u8())] += 1;
        let times = counts[usize::from(received.as_u8())];
        // QoS 0 is never repeated; QoS 2 is exactly once. What was published twice may come twice.
        let published = if sent.qos == QoS::AtLeastOnce { sent.transmissions } else { 1 };
        if received != QoS::AtLeastOnce {
            assert!(times <= published, "m{id}, published {published} x, came {times} x with {received:?}");
        }
        // What was lost at QoS 0, or was sent before this subscription, may come when its publisher repeats it,
        // behind what was published since; and so may what was refused before.
        let stood = received > QoS::AtMostOnce && self.stood_at(&sent.topic, sent.sent_at);
        let expected = stood && !sent.was_refused;
        let may_be_late = sent.transmissions > 1 && !expected;
        if !seen && !may_be_late {
            let newest = self.newest.entry((sent.topic.clone(), sent.qos, received)).or_insert(id);
            if *newest > id {
                self.late += 1;
                assert!(
                    self.late <= given_up,
                    "m{id} came for the first time after m{newest} of the same topic"
                );
            }
            *newest = id.max(*newest);
        }
        seen
    }
}
