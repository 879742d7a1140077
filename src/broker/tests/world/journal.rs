//! A journal that keeps everything in memory and commits when told.

use std::collections::BTreeMap;

use crate::durable::{ConsumerId, Delivery, LoadedDelivery, Message, Record, Sequence, Ticket, Urgency};

/// What was appended, and what is owed because of it.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<(Ticket, Urgency, Record)>,
    pub(crate) committed: Ticket,
    pub(crate) of_earlier_runs: usize,
    pub(crate) owed: BTreeMap<ConsumerId, BTreeMap<Sequence, (Delivery, Message)>>,
    last: Sequence,
    /// Whether loads wait until [`World::answer_loads`](super::World::answer_loads).
    pub(crate) slow: bool,
    pub(crate) waiting: Vec<(ConsumerId, Sequence, usize)>,
}

impl Journal {
    pub(crate) fn take(&mut self, ticket: Ticket, urgency: Urgency, record: Record) {
        match &record {
            Record::Kept { sequence, message, deliveries } => {
                assert!(*sequence > self.last, "sequences grow");
                self.last = *sequence;
                for delivery in deliveries {
                    let owed = self.owed.entry(delivery.consumer).or_default();
                    let twice = owed.insert(*sequence, (delivery.clone(), message.clone()));
                    assert!(twice.is_none(), "each consumer at most once");
                }
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                let gone = self.owed.get_mut(consumer).and_then(|owed| owed.remove(sequence));
                assert!(gone.is_some(), "{record:?} is not owed");
            }
            Record::ConsumerClosed { consumer } => {
                self.owed.remove(consumer);
            }
            _ => {}
        }
        self.records.push((ticket, urgency, record));
    }

    pub(crate) fn load(
        &self,
        consumer: ConsumerId,
        after: Sequence,
        max_messages: usize,
    ) -> (Vec<LoadedDelivery>, Sequence) {
        let owed = self.owed.get(&consumer).into_iter().flat_map(|owed| owed.range(after.next()..));
        let all: Vec<LoadedDelivery> = owed
            .map(|(sequence, (delivery, message))| LoadedDelivery {
                sequence: *sequence,
                delivery: delivery.clone(),
                message: message.clone(),
            })
            .collect();
        let taken: Vec<LoadedDelivery> = all.iter().take(max_messages).cloned().collect();
        let through = if taken.len() < all.len() { taken.last().unwrap().sequence } else { self.last };
        (taken, through)
    }

    /// The journal gives up what it owes, oldest first.
    pub(crate) fn give_up(&mut self, consumer: ConsumerId, count: usize) {
        let owed = self.owed.get_mut(&consumer).expect("something is owed");
        for _ in 0..count {
            owed.pop_first();
        }
    }

    /// What is owed to a consumer, as topics.
    pub(crate) fn owed(&self, consumer: ConsumerId) -> Vec<String> {
        let owed = self.owed.get(&consumer).into_iter().flat_map(BTreeMap::values);
        owed.map(|(delivery, message)| format!("{} q{}", message.topic, delivery.qos.as_u8())).collect()
    }

    /// The kinds of the records of this run, in order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kind = |record: &Record| {
            let text = format!("{record:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        };
        self.records.iter().skip(self.of_earlier_runs).map(|(.., record)| kind(record)).collect()
    }
}
