//! The queues of an uplink side by side: which of them may send next.
//!
//! Each is a durable consumer of its own, so that what is urgent need not be looked for among what is not. A higher
//! priority always goes first; among equals they take turns. Never looks at a message further than it must.

use super::backlog::{Backlog, Order, Owed};
use super::mapping::{Batch, Priority, Rate};
use super::rate::Bucket;
use crate::durable::{ConsumerId, LoadedDelivery, MessageBody, Sequence};
use crate::mqtt::QoS;
use crate::time::Instant;

/// One queue of an uplink.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Under this number the journal knows it.
    pub consumer: ConsumerId,
    /// Before which others it goes.
    pub priority: Priority,
    /// How much of it may be sent.
    pub rate: Option<Rate>,
    /// How much of it travels together.
    pub batch: Option<Batch>,
    /// What an earlier run left behind.
    pub restored: super::Restored,
}

impl Queue {
    /// A queue that holds nothing back.
    #[must_use]
    pub const fn new(consumer: ConsumerId, restored: super::Restored) -> Queue {
        Queue { consumer, priority: Priority::Normal, rate: None, batch: None, restored }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) consumer: ConsumerId,
    pub(super) priority: Priority,
    pub(super) backlog: Backlog,
    /// Up to here everything is given up, on a person's word.
    pub(super) discarded: Option<Sequence>,
    bucket: Option<Bucket>,
    batch: Option<Batch>,
    /// So many go one by one: together they were too large.
    singly: usize,
    /// Since when something waits for a batch to become full.
    gathering_since: Option<Instant>,
}

/// What may be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Of this lane.
    Lane(usize),
    /// Something waits, and may go at this time.
    At(Instant),
    Nothing,
}

impl Lane {
    pub(super) fn new(queue: &Queue, left_open: Sequence, order: Order) -> Lane {
        Lane {
            consumer: queue.consumer,
            priority: queue.priority,
            backlog: Backlog::new(queue.restored.queued.max(left_open), order),
            discarded: None,
            bucket: queue.rate.map(Bucket::new),
            batch: queue.batch,
            singly: 0,
            gathering_since: None,
        }
    }

    /// When its next message may go; `None` when there is none.
    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        self.backlog.age(now);
        self.backlog.peek()?;
        let gathered = match self.batch {
            Some(batch) if self.singly == 0 => {
                let since = *self.gathering_since.get_or_insert(now);
                let full = self.backlog.len() >= batch.messages || self.backlog.bytes() >= batch.bytes;
                if full { now } else { since + batch.linger }
            }
            _ => now,
        };
        let rated = self.bucket.as_ref().map_or(now, |bucket| bucket.ready_at(now));
        Some(gathered.max(rated))
    }

    /// Takes the next message, with those that travel with it: `fits` says which.
    pub(super) fn take(
        &mut self,
        now: Instant,
        mut fits: impl FnMut(&LoadedDelivery, &LoadedDelivery) -> bool,
    ) -> Option<(Owed, Vec<Owed>)> {
        let first = self.backlog.take()?;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        let mut more = Vec::new();
        let Some(batch) = self.batch else { return Some((first, more)) };
        if self.singly > 0 {
            self.singly -= 1;
            return Some((first, more));
        }
        self.gathering_since = None;
        let mut bytes = super::backlog::cost(&first.loaded);
        while more.len() + 1 < batch.messages && can_travel_together(&first.loaded) {
            let Some(next) = self.backlog.peek() else { break };
            bytes += super::backlog::cost(&next.loaded);
            if bytes > batch.bytes || !can_travel_together(&next.loaded) || !fits(&first.loaded, &next.loaded)
            {
                break;
            }
            more.extend(self.backlog.take());
        }
        Some((first, more))
    }

    /// The next `count` messages go one by one.
    pub(super) const fn send_singly(&mut self, count: usize) {
        self.singly = count;
    }
}

/// Readings can be put into one payload; somebody else's bytes cannot.
fn can_travel_together(loaded: &LoadedDelivery) -> bool {
    matches!(loaded.message.body, MessageBody::Reading(_)) && loaded.delivery.qos <= QoS::AtLeastOnce
}

/// What may be sent next. `last`: the lane that sent last.
pub(super) fn choose(lanes: &mut [Lane], last: usize, now: Instant, only_alarms: bool) -> Choice {
    let mut soonest: Option<Instant> = None;
    let mut best: Option<(Priority, usize, usize)> = None;
    let mut behind: Option<std::cmp::Reverse<Priority>> = None;
    let count = lanes.len();
    for (at, lane) in lanes.iter_mut().enumerate() {
        if only_alarms && lane.priority != Priority::Alarm {
            continue;
        }
        let unread = lane.backlog.is_behind();
        match lane.ready_at(now) {
            // It has something that is not in memory yet: whoever comes after it waits.
            None if unread => behind = behind.max(Some(std::cmp::Reverse(lane.priority))),
            Some(ready) if ready <= now => {
                // Who sent last comes last among its equals.
                let turn = (at + count).saturating_sub(last + 1) % count.max(1);
                let better = best.is_none_or(|(priority, turn_of_best, _)| {
                    (lane.priority, turn) < (priority, turn_of_best)
                });
                if better {
                    best = Some((lane.priority, turn, at));
                }
            }
            Some(ready) => soonest = Some(soonest.map_or(ready, |soonest| soonest.min(ready))),
            None => {}
        }
    }
    match (best, soonest) {
        (Some((priority, _, _)), _) if behind.is_some_and(|behind| behind.0 < priority) => Choice::Nothing,
        (Some((_, _, at)), _) => Choice::Lane(at),
        (None, Some(at)) => Choice::At(at),
        (None, None) => Choice::Nothing,
    }
}
