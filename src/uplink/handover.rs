//! What an uplink gives to the journal, and when: at once what somebody waits for, in batches what nobody waits
//! for, so that a busy link does not wake the journal's thread for each acknowledgement.
//!
//! Never waits for room by itself, and loses nothing when there is none. What piles up here is bounded by the
//! window and the read-ahead: without loads from the journal nothing new is sent.

use crate::disk::{JournalClient, JournalStopped, Reply};
use crate::durable::{Record, Ticket, Urgency};
use crate::journal::Load;
use crate::limits::{UPLINK_HANDOVER_DELAY, UPLINK_HANDOVER_RECORDS};
use crate::time::Instant;

pub(super) struct Handover {
    journal: JournalClient,
    appends: Vec<(Ticket, Urgency, Record)>,
    load: Option<Load>,
    /// Whether something of this must not stay.
    urgent: bool,
    /// Until when the rest may stay.
    due: Option<Instant>,
    /// Whether the journal has to make room first.
    full: bool,
}

impl Handover {
    pub(super) const fn new(journal: JournalClient) -> Handover {
        Handover { journal, appends: Vec::new(), load: None, urgent: false, due: None, full: false }
    }

    pub(super) fn append(&mut self, now: Instant, ticket: Ticket, urgency: Urgency, record: Record) {
        self.appends.push((ticket, urgency, record));
        self.urgent |= urgency == Urgency::Awaited || self.appends.len() >= UPLINK_HANDOVER_RECORDS;
        self.due.get_or_insert(now + UPLINK_HANDOVER_DELAY);
    }

    pub(super) const fn load(&mut self, load: Load) {
        self.load = Some(load);
        self.urgent = true;
    }

    /// When [`Handover::offer`] is to be called next, if nothing else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.full)
    }

    /// Gives to the journal what must not stay, with everything before it, if there is room.
    pub(super) fn offer(&mut self, now: Instant) {
        if self.full || !(self.urgent || self.due.is_some_and(|due| due <= now)) {
            return;
        }
        if !self.appends.is_empty() {
            let appends = self.take_appends();
            if let Err(appends) = self.journal.try_append(appends) {
                self.appends = appends;
                self.full = true;
                return;
            }
        }
        self.due = None;
        if let Some(load) = self.load {
            if !self.journal.try_load(load) {
                self.full = true;
                return;
            }
            self.load = None;
        }
        self.urgent = false;
    }

    /// A busy link fills the same room again at once.
    fn take_appends(&mut self) -> Vec<(Ticket, Urgency, Record)> {
        let room = self.appends.len().min(UPLINK_HANDOVER_RECORDS);
        std::mem::replace(&mut self.appends, Vec::with_capacity(room))
    }

    /// Waits until there is room again, if there was none; for ever otherwise. May be dropped while it waits.
    pub(super) async fn room(&self) -> Result<(), JournalStopped> {
        if self.full { self.journal.room().await } else { std::future::pending().await }
    }

    /// There is room again.
    pub(super) const fn has_room(&mut self) {
        self.full = false;
    }

    /// What the journal said; may be dropped while it waits.
    pub(super) async fn replies(&self) -> Result<Vec<Reply>, JournalStopped> {
        self.journal.replies().await
    }

    /// Gives everything that is left, waiting for room.
    pub(super) async fn finish(self) -> Result<(), JournalStopped> {
        self.journal.append(self.appends).await
    }
}
