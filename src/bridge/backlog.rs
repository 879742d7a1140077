//! What is owed to the server and not yet sent: a read-ahead over the journal, bounded by count and bytes.
//!
//! Never decides what is done: that is the window's. A delivery that was sent and is owed again (the server
//! forgot the session) comes back to the front.

use std::collections::VecDeque;

use crate::durable::{LoadedDelivery, MessageBody, Sequence};
use crate::limits::{LOAD_BYTES, UPLINK_LOAD_MESSAGES};

/// A delivery to be sent.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) loaded: LoadedDelivery,
    /// Whether it may have arrived already.
    pub(super) sent_before: bool,
}

/// A request to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoadRequest {
    pub(super) after: Sequence,
    pub(super) max_messages: usize,
    pub(super) max_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Backlog {
    queue: VecDeque<Owed>,
    bytes: usize,
    /// Everything up to here was loaded.
    read: Sequence,
    /// The journal said that there is something up to here.
    available: Sequence,
    /// What was available when the load was asked for that is under way.
    loading: Option<Sequence>,
}

impl Backlog {
    /// Nothing read; everything up to `queued` may be there.
    pub(super) const fn new(queued: Sequence) -> Backlog {
        let queue = VecDeque::new();
        Backlog { queue, bytes: 0, read: Sequence::ZERO, available: queued, loading: None }
    }

    /// The journal has something up to here, committed.
    pub(super) fn available(&mut self, through: Sequence) {
        self.available = self.available.max(through);
    }

    /// What to ask the journal for, when there is more to read and place for it. What was open when an earlier
    /// run ended (`restoring`) is read in any case: it is no more than a window.
    pub(super) fn load(&mut self, restoring: bool) -> Option<LoadRequest> {
        let (queued, bytes) = if restoring { (0, 0) } else { (self.queue.len(), self.bytes) };
        let max_messages = UPLINK_LOAD_MESSAGES.saturating_sub(queued);
        let max_bytes = LOAD_BYTES.saturating_sub(bytes);
        let place = max_messages >= UPLINK_LOAD_MESSAGES / 2 && max_bytes >= LOAD_BYTES / 2;
        if self.loading.is_some() || self.read >= self.available || !place {
            return None;
        }
        self.loading = Some(self.available);
        Some(LoadRequest { after: self.read, max_messages, max_bytes })
    }

    /// Whether the journal was asked and has not answered.
    pub(super) const fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// The journal answered.
    pub(super) fn loaded(&mut self, deliveries: Vec<LoadedDelivery>, through: Sequence) {
        let asked_for = self.loading.take().unwrap_or(Sequence::ZERO);
        if deliveries.is_empty() && self.available <= asked_for {
            // There is nothing now. What an earlier run kept last may have to be written again first: the journal says
            // so when it is there.
            self.available = through.max(self.read);
        }
        for loaded in deliveries {
            if loaded.sequence <= self.read {
                continue;
            }
            self.read = loaded.sequence;
            self.bytes += cost(&loaded);
            self.queue.push_back(Owed { loaded, sent_before: false });
        }
        self.read = self.read.max(through);
        self.available = self.available.max(self.read);
    }

    /// Up to where everything was read.
    pub(super) const fn read(&self) -> Sequence {
        self.read
    }

    /// The next delivery to be sent, without taking it.
    pub(super) fn peek(&self) -> Option<&Owed> {
        self.queue.front()
    }

    pub(super) fn take(&mut self) -> Option<Owed> {
        let owed = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&owed.loaded));
        Some(owed)
    }

    /// Takes everything up to here.
    pub(super) fn take_through(&mut self, through: Sequence) -> Vec<Owed> {
        let mut taken = Vec::new();
        while self.peek().is_some_and(|next| next.loaded.sequence <= through) {
            taken.extend(self.take());
        }
        taken
    }

    /// These are owed again, ahead of everything else; in the order in which they are to be sent.
    pub(super) fn owe_again(&mut self, again: Vec<Owed>) {
        for owed in again.into_iter().rev() {
            self.bytes += cost(&owed.loaded);
            self.queue.push_front(owed);
        }
    }
}

/// What one delivery weighs in memory, roughly.
fn cost(loaded: &LoadedDelivery) -> usize {
    let body = match &loaded.message.body {
        MessageBody::Publish { payload, .. } => payload.len(),
        MessageBody::Reading(reading) => reading.measurements.len() * 64,
    };
    loaded.message.topic.as_str().len() + body
}
