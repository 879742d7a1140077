//! `when_full = "keep-latest"`: when there is no room, a message goes first that a newer one of its topic has
//! superseded for the same consumer.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::chunk::Location;
use super::codec::read_kept;
use super::disk::Disk;
use super::journal::Journal;
use super::load::Block;
use super::options::WhenFull;
use crate::durable::{ConsumerId, DropReason, Record, Sequence};
use crate::limits::LATEST_TOPICS;
use crate::mqtt::TopicName;
use crate::time::Moment;

/// So many of the oldest segments are looked at for what was superseded.
const SEGMENTS_AT_ONCE: usize = 4;

/// The newest message of each topic that each consumer is owed. What is not known here counts as not superseded.
#[derive(Debug, Default)]
pub(super) struct Latest {
    known: HashMap<(ConsumerId, u64), Sequence>,
    /// Whether what an earlier run kept was looked at.
    knows_earlier: bool,
}

impl Latest {
    pub(super) fn note(&mut self, consumer: ConsumerId, topic: u64, sequence: Sequence) {
        let has_room = self.known.len() < LATEST_TOPICS;
        match self.known.entry((consumer, topic)) {
            Occupied(mut latest) => *latest.get_mut() = sequence.max(*latest.get()),
            Vacant(latest) if has_room => {
                latest.insert(sequence);
            }
            Vacant(_) => {}
        }
    }

    fn supersedes(&self, consumer: ConsumerId, topic: u64, sequence: Sequence) -> bool {
        self.known.get(&(consumer, topic)).is_some_and(|latest| *latest > sequence)
    }

    pub(super) fn forget(&mut self, consumer: ConsumerId) {
        self.known.retain(|(other, _), _| *other != consumer);
    }
}

/// What is superseded in a segment, of how much that is owed there.
#[derive(Debug, Default)]
struct Superseded {
    owed: u64,
    runs: Vec<(ConsumerId, Vec<Sequence>)>,
}

impl Superseded {
    fn count(&self) -> u64 {
        self.runs.iter().map(|(_, run)| u64::try_from(run.len()).unwrap_or(u64::MAX)).sum()
    }
}

impl<D: Disk> Journal<D> {
    pub(super) fn keeps_latest(&self) -> bool {
        self.options.when_full == WhenFull::KeepLatest
    }

    /// Which topic that is, as a number that nobody outside can foresee.
    pub(super) fn topic_number(&self, topic: &TopicName) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.options.seed.hash(&mut hasher);
        topic.as_str().hash(&mut hasher);
        hasher.finish()
    }

    /// Learns the topics of what an earlier run kept: whether the disk answered.
    fn learn_latest(&mut self) -> bool {
        let mut block = Block::default();
        let segments: Vec<u64> = self.segments.needed.keys().copied().collect();
        for segment in segments {
            if self.open_segment(segment).is_err() {
                return false;
            }
            for (sequence, location) in self.index.live_in(segment) {
                let Some(topic) = self.topic_at(location, &mut block) else { continue };
                for consumer in self.index.owners(sequence) {
                    self.latest.note(consumer, topic, sequence);
                }
            }
            self.index.close_idle();
        }
        true
    }

    /// Gives up what was superseded in one of the oldest segments, where that is at least half of it, and copies the
    /// rest. Whether there was any.
    pub(super) fn thin_out(&mut self, now: Moment) -> bool {
        if !self.latest.knows_earlier {
            self.latest.knows_earlier = self.learn_latest();
        }
        let candidates = self.oldest_segments();
        for segment in candidates.into_iter().take(SEGMENTS_AT_ONCE) {
            let superseded = self.superseded_in(segment);
            if superseded.runs.is_empty() || superseded.count() * 2 < superseded.owed {
                continue;
            }
            for (consumer, run) in &superseded.runs {
                self.give_up(*consumer, run, DropReason::JournalFull);
            }
            if self.index.owed_in(segment) > 0 {
                self.compact(now, segment);
            }
            self.retire();
            return true;
        }
        false
    }

    fn superseded_in(&mut self, segment: u64) -> Superseded {
        let mut block = Block::default();
        let mut topics = BTreeMap::new();
        if self.open_segment(segment).is_err() {
            return Superseded::default();
        }
        for (sequence, location) in self.index.live_in(segment) {
            topics.extend(self.topic_at(location, &mut block).map(|topic| (sequence, topic)));
        }
        let mut found = Superseded { owed: self.index.owed_in(segment), runs: Vec::new() };
        let chunks = self.index.chunks_of(segment);
        let consumers: Vec<ConsumerId> = self.index.queues().map(|(consumer, _)| consumer).collect();
        for consumer in consumers {
            let (loaded_through, assigned) = self.handed_out(consumer);
            let stays = |sequence: &Sequence| {
                let is_out = *sequence <= loaded_through || assigned.contains(sequence);
                let topic = topics.get(sequence);
                is_out || !topic.is_some_and(|topic| self.latest.supersedes(consumer, *topic, *sequence))
            };
            for key in &chunks {
                let owed = self.index.owed_in_chunk(consumer, *key, 0, u32::MAX);
                let runs = owed.split(stays).filter(|run| !run.is_empty());
                found.runs.extend(runs.map(|run| (consumer, run.to_vec())));
            }
        }
        found
    }

    fn topic_at(&mut self, location: Location, block: &mut Block) -> Option<u64> {
        let body = self.read_body(location, block).ok()?;
        let Ok(Record::Kept { message, .. }) = read_kept(body) else { return None };
        Some(self.topic_number(&message.topic))
    }
}
