//! `when_full = "keep-latest"`: when there is no room, a message goes first that a newer one of its topic has
//! superseded for the same consumer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::codec::read_kept;
use super::disk::Disk;
use super::index::Location;
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
pub(super) struct Latest(HashMap<(ConsumerId, u64), Sequence>);

impl Latest {
    pub(super) fn note(&mut self, consumer: ConsumerId, topic: u64, sequence: Sequence) {
        let is_known = self.0.contains_key(&(consumer, topic));
        if is_known || self.0.len() < LATEST_TOPICS {
            self.0.insert((consumer, topic), sequence);
        }
    }

    fn supersedes(&self, consumer: ConsumerId, topic: u64, sequence: Sequence) -> bool {
        self.0.get(&(consumer, topic)).is_some_and(|latest| *latest > sequence)
    }

    pub(super) fn forget(&mut self, consumer: ConsumerId) {
        self.0.retain(|(other, _), _| *other != consumer);
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

    /// Learns the topics of what an earlier run kept.
    pub(super) fn learn_latest(&mut self) {
        let mut block = Block::default();
        let consumers: Vec<ConsumerId> = self.index.queues().map(|(consumer, _)| consumer).collect();
        for consumer in consumers {
            let mut after = Sequence::ZERO;
            loop {
                let next = self.index.owed_after(consumer, after).next();
                let Some((sequence, location)) = next else { break };
                if let Some(topic) = self.topic_at(location, &mut block) {
                    self.latest.note(consumer, topic, sequence);
                }
                after = sequence;
            }
        }
    }

    /// Gives up what was superseded in one of the oldest segments, where that is at least half of it, and copies the
    /// rest. Whether there was any.
    pub(super) fn thin_out(&mut self, now: Moment) -> bool {
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
        for (sequence, location) in self.index.live_in(segment) {
            topics.extend(self.topic_at(location, &mut block).map(|topic| (sequence, topic)));
        }
        let mut found = Superseded { owed: self.index.owed_in(segment), runs: Vec::new() };
        let chunks = self.index.chunks().filter(|(_, chunk)| chunk.segment == segment);
        let chunks: Vec<(Sequence, u32)> = chunks.map(|(key, chunk)| (key, chunk.len())).collect();
        let consumers: Vec<ConsumerId> = self.index.queues().map(|(consumer, _)| consumer).collect();
        for consumer in consumers {
            let (loaded_through, assigned) = self.handed_out(consumer);
            let stays = |sequence: &Sequence| {
                let is_out = *sequence <= loaded_through || assigned.contains(sequence);
                let topic = topics.get(sequence);
                is_out || !topic.is_some_and(|topic| self.latest.supersedes(consumer, *topic, *sequence))
            };
            for (key, places) in &chunks {
                let owed = self.index.owed_in_chunk(consumer, *key, 0, *places);
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
