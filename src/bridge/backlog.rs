//! What is owed to the server and not yet sent, of one queue: a read-ahead over the journal, bounded by count and
//! bytes.
//!
//! Never decides what is done: that is the window's. A delivery that was sent and is owed again (the server
//! forgot the session) comes back to the front.
//!
//! # Live first
//!
//! ```text
//! sequence ─▶   done ┊ read ──backlog──▶ ┊ until ──live──▶ ┊ available
//! ```
//!
//! Two readers over one queue. At each connection everything that is available becomes backlog; what comes
//! later is live and goes first, with a share left to the backlog. What was sent live and not acknowledged is met
//! again by the reader of the backlog: it is passed over while it is open (`held`), and the journal does not
//! give it any more once it is done. So nothing is sent twice and nothing is passed over for good.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::durable::{LoadedDelivery, MessageBody, Sequence};
use crate::limits::{UPLINK_LOAD_BYTES, UPLINK_LOAD_MESSAGES};
use crate::time::Instant;

/// In which order a queue is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As it was accepted.
    Fifo,
    /// What is new first; of a hundred messages sent while both wait, so many are of the backlog.
    LiveFirst {
        /// 1 to 100.
        backlog_percent: u32,
    },
}

/// What is called live and waits longer than this is backlog: the link is too slow for all of it.
const LIVE_FOR: Duration = Duration::from_secs(10);

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

/// A request that is not answered yet.
#[derive(Debug)]
struct Loading {
    reader: Reader,
    /// What was available when it was asked.
    asked_for: Sequence,
    /// What comes behind this is the other reader's.
    bound: Sequence,
    /// What was open when it was asked, and may have been answered since.
    held: BTreeSet<Sequence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Backlog,
    Live,
    /// What it reads is not wanted any more.
    Nobody,
}

#[derive(Debug)]
pub(super) struct Backlog {
    order: Order,
    queue: Run,
    /// Everything up to here was loaded into `queue`.
    read: Sequence,
    /// Where the backlog ends and the live part begins; without a live part there is no end.
    until: Sequence,
    live: Run,
    live_read: Sequence,
    /// Since when something live waits without a break.
    live_since: Option<Instant>,
    /// The journal said that there is something up to here.
    available: Sequence,
    loading: Option<Loading>,
    /// How much the backlog is behind its share, in hundredths of a message.
    credit: u32,
}

/// Deliveries in memory, in the order in which they are sent.
#[derive(Debug, Default)]
struct Run {
    queue: VecDeque<Owed>,
    bytes: usize,
}

const NO_END: Sequence = Sequence(u64::MAX);

impl Backlog {
    /// Nothing read; everything up to `queued` may be there.
    pub(super) fn new(queued: Sequence, order: Order) -> Backlog {
        Backlog {
            order,
            queue: Run::default(),
            read: Sequence::ZERO,
            until: NO_END,
            live: Run::default(),
            live_read: Sequence::ZERO,
            live_since: None,
            available: queued,
            loading: None,
            credit: 0,
        }
    }

    /// The journal has something up to here, committed.
    pub(super) fn available(&mut self, through: Sequence) {
        self.available = self.available.max(through);
    }

    /// A connection is there: what waits now is backlog, what comes from now on is live.
    pub(super) fn connected(&mut self) {
        if matches!(self.order, Order::LiveFirst { .. }) {
            self.all_is_backlog();
        }
    }

    fn all_is_backlog(&mut self) {
        self.until = self.available.max(self.read);
        self.live_read = self.until;
        self.live = Run::default();
        match &mut self.loading {
            Some(loading) if loading.reader == Reader::Live => loading.reader = Reader::Nobody,
            // It may have been asked when there was no end: what is behind that is read by the other from now on.
            Some(loading) => loading.bound = loading.bound.min(self.until),
            None => {}
        }
    }

    /// What to ask the journal for, when there is more to read and place for it; `held`: what is open now. What was
    /// open when an earlier run ended (`restoring`) is read in any case: it is no more than a window.
    pub(super) fn load(
        &mut self,
        restoring: bool,
        held: impl FnOnce() -> BTreeSet<Sequence>,
    ) -> Option<LoadRequest> {
        if self.loading.is_some() {
            return None;
        }
        let live = self.until != NO_END && self.live_read < self.available;
        let (reader, after, request) = match (live, self.live.place(false)) {
            (true, Some(place)) => (Reader::Live, self.live_read, place),
            _ if self.read < self.available.min(self.until) => {
                (Reader::Backlog, self.read, self.queue.place(restoring)?)
            }
            _ => return None,
        };
        let held = match self.order {
            Order::LiveFirst { .. } if reader == Reader::Backlog => self.held(held()),
            _ => BTreeSet::new(),
        };
        self.loading = Some(Loading { reader, asked_for: self.available, bound: self.until, held });
        Some(LoadRequest { after, ..request })
    }

    fn held(&self, mut open: BTreeSet<Sequence>) -> BTreeSet<Sequence> {
        let again = self.queue.queue.iter().map(|owed| owed.loaded.sequence);
        open.extend(again.filter(|sequence| *sequence > self.read));
        open
    }

    /// The journal answered.
    pub(super) fn loaded(&mut self, deliveries: Vec<LoadedDelivery>, through: Sequence) {
        let Some(loading) = self.loading.take() else { return };
        if deliveries.is_empty() && self.available <= loading.asked_for {
            self.nothing_now(through);
        }
        let (run, read, bound) = match loading.reader {
            Reader::Backlog => (&mut self.queue, &mut self.read, loading.bound),
            Reader::Live => (&mut self.live, &mut self.live_read, NO_END),
            Reader::Nobody => return,
        };
        for loaded in deliveries {
            let sequence = loaded.sequence;
            if sequence <= *read || sequence > bound {
                continue;
            }
            *read = sequence;
            if !loading.held.contains(&sequence) {
                run.push_back(Owed { loaded, sent_before: false });
            }
        }
        *read = through.min(bound).max(*read);
        self.available = self.available.max(*read);
        self.close_the_gap();
    }

    /// What was said to be available is not there. What an earlier run kept last may have to be written again first: the
    /// journal says so when it is.
    fn nothing_now(&mut self, through: Sequence) {
        self.available = through.max(self.read);
        if self.until == NO_END {
            return;
        }
        if self.live.queue.is_empty() && self.live_read <= self.until {
            self.until = self.available;
        } else {
            self.available = self.available.max(self.live_read);
            self.read = self.read.max(self.until);
        }
        self.live_read = self.live_read.max(self.until).min(self.available);
    }

    /// Once the backlog is read to its end, what is live is all there is.
    fn close_the_gap(&mut self) {
        if self.until != NO_END && self.read >= self.until && self.queue.queue.is_empty() {
            self.queue = std::mem::take(&mut self.live);
            self.read = self.live_read.max(self.read);
            self.until = NO_END;
            if let Some(loading) = self.loading.as_mut().filter(|loading| loading.reader == Reader::Live) {
                loading.reader = Reader::Backlog;
                loading.bound = NO_END;
            }
        }
    }

    /// Up to where everything was read.
    pub(super) const fn read(&self) -> Sequence {
        self.read
    }

    /// Whether there is something that is not in memory yet, and nothing that is.
    pub(super) fn is_behind(&self) -> bool {
        self.peek().is_none() && self.read.max(self.live_read) < self.available
    }

    /// How many wait in memory.
    pub(super) fn len(&self) -> usize {
        self.queue.queue.len() + self.live.queue.len()
    }

    /// How many bytes wait in memory, roughly.
    pub(super) const fn bytes(&self) -> usize {
        self.queue.bytes + self.live.bytes
    }

    fn next_is_live(&self) -> bool {
        let starved = match self.order {
            Order::Fifo => return false,
            Order::LiveFirst { .. } => self.credit >= 100 && !self.queue.queue.is_empty(),
        };
        !self.live.queue.is_empty() && !starved
    }

    /// The next delivery to be sent, without taking it.
    pub(super) fn peek(&self) -> Option<&Owed> {
        if self.next_is_live() { self.live.queue.front() } else { self.queue.queue.front() }
    }

    pub(super) fn take(&mut self) -> Option<Owed> {
        let live = self.next_is_live();
        let owed = if live { self.live.pop_front() } else { self.queue.pop_front() }?;
        if let Order::LiveFirst { backlog_percent } = self.order {
            let percent = backlog_percent.clamp(1, 100);
            // Of 100 messages `percent` are the backlog's: each of the others owes it its part.
            self.credit = match live {
                true if percent >= 100 => 100,
                true => self.credit + (percent * 100).div_ceil(100 - percent),
                false => self.credit.saturating_sub(100),
            };
            if self.queue.queue.is_empty() {
                self.credit = 0;
            }
        }
        self.close_the_gap();
        Some(owed)
    }

    /// What is called live has waited too long: it joins the backlog, what comes now goes first.
    pub(super) fn age(&mut self, now: Instant) {
        if self.live.queue.is_empty() {
            self.live_since = None;
            return;
        }
        let since = *self.live_since.get_or_insert(now);
        if now.since(since) >= LIVE_FOR {
            self.all_is_backlog();
            self.live_since = None;
        }
    }

    /// Takes everything up to here.
    pub(super) fn take_through(&mut self, through: Sequence) -> Vec<Owed> {
        let mut taken = Vec::new();
        while self.queue.queue.front().is_some_and(|next| next.loaded.sequence <= through) {
            taken.extend(self.queue.pop_front());
        }
        taken
    }

    /// Takes out everything up to here, wherever it waits.
    pub(super) fn give_up(&mut self, through: Sequence) -> Vec<Owed> {
        let mut given_up = self.queue.give_up(through);
        given_up.extend(self.live.give_up(through));
        self.close_the_gap();
        given_up
    }

    /// Up to where something may be there.
    pub(super) const fn known(&self) -> Sequence {
        self.available
    }

    /// These are owed again, ahead of everything else; in the order in which they are to be sent.
    pub(super) fn owe_again(&mut self, again: Vec<Owed>) {
        for owed in again.into_iter().rev() {
            self.queue.bytes += cost(&owed.loaded);
            self.queue.queue.push_front(owed);
        }
    }
}

impl Run {
    /// How much more is worth asking for.
    fn place(&self, anyway: bool) -> Option<LoadRequest> {
        let (queued, bytes) = if anyway { (0, 0) } else { (self.queue.len(), self.bytes) };
        let max_messages = UPLINK_LOAD_MESSAGES.saturating_sub(queued);
        let max_bytes = UPLINK_LOAD_BYTES.saturating_sub(bytes);
        let place = max_messages >= UPLINK_LOAD_MESSAGES / 2 && max_bytes >= UPLINK_LOAD_BYTES / 2;
        place.then_some(LoadRequest { after: Sequence::ZERO, max_messages, max_bytes })
    }

    fn give_up(&mut self, through: Sequence) -> Vec<Owed> {
        let all = std::mem::take(&mut self.queue);
        let (given_up, kept): (Vec<Owed>, Vec<Owed>) =
            all.into_iter().partition(|owed| owed.loaded.sequence <= through);
        self.queue = kept.into();
        self.bytes = self.queue.iter().map(|owed| cost(&owed.loaded)).sum();
        given_up
    }

    fn push_back(&mut self, owed: Owed) {
        self.bytes += cost(&owed.loaded);
        self.queue.push_back(owed);
    }

    fn pop_front(&mut self) -> Option<Owed> {
        let owed = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&owed.loaded));
        Some(owed)
    }
}

/// What one delivery weighs in memory, roughly.
pub(super) fn cost(loaded: &LoadedDelivery) -> usize {
    let body = match &loaded.message.body {
        MessageBody::Publish { payload, .. } => payload.len(),
        MessageBody::Reading(reading) => reading.measurements.len() * 64,
    };
    loaded.message.topic.as_str().len() + body
}
