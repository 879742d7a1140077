//! The owner's end of the way to the journal's thread: one batch of records per round, answers as broker inputs.
//!
//! What the journal does not take yet stays here, in order, and the owner hears no connections until it is gone. Never
//! waits while the broker could go on; but one message after the other, each sent when the one before was
//! acknowledged, is committed here when the disk is quick: there is nothing else to do then.

use std::collections::VecDeque;

use crate::broker::{Input, Output};
use crate::disk::{JournalClient, JournalStopped, Reply};
use crate::durable::{Record, Ticket, Urgency};
use crate::journal::Load;

/// See the module.
pub struct JournalLink {
    client: JournalClient,
    staged: VecDeque<Staged>,
    /// The ticket that was handed over last.
    last: Option<Ticket>,
    /// The ticket that is committed, with all before.
    committed: Option<Ticket>,
    /// How many of the last hand-overs were a single ticket that nobody else's was waiting with.
    alone: u32,
}

/// So many records are not held back until the end of a round: the disk writes them while the others are dealt with.
/// If all went together, the disk would wait for the publishers and then the publishers for the disk.
const EARLY_RECORDS: usize = 64;

/// Somebody publishes one by one when so many were alone, one after the other...
const ALONE: u32 = 8;
/// ...and none had more records than this.
const FEW_RECORDS: usize = 4;

enum Staged {
    Records(Vec<(Ticket, Urgency, Record)>),
    Load(Load),
}

impl JournalLink {
    /// A link for the broker's client.
    #[must_use]
    pub const fn new(client: JournalClient) -> JournalLink {
        JournalLink { client, staged: VecDeque::new(), last: None, committed: None, alone: 0 }
    }

    /// Takes `Append` and `Load` outputs.
    pub(super) fn stage(&mut self, output: Output) {
        match output {
            Output::Append { ticket, urgency, record } => self.stage_record((ticket, urgency, *record)),
            Output::Load { consumer, after, max_messages, max_bytes } => {
                let load = Load { consumer, after, max_messages, max_bytes, committed_only: false };
                self.staged.push_back(Staged::Load(load));
            }
            other => unreachable!("not for the journal: {other:?}"),
        }
    }

    /// Records of one ticket belong into one request, whatever is asked in between.
    fn stage_record(&mut self, record: (Ticket, Urgency, Record)) {
        for staged in self.staged.iter_mut().rev() {
            if let Staged::Records(records) = staged
                && records.last().is_some_and(|last| last.0 == record.0)
            {
                records.push(record);
                return;
            }
        }
        match self.staged.back_mut() {
            Some(Staged::Records(records)) => records.push(record),
            _ => self.staged.push_back(Staged::Records(vec![record])),
        }
    }

    /// Hands over what is staged, as far as the journal takes it now. Whether it was committed on the way.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.staged.is_empty() {
            return false;
        }
        self.alone = if self.is_alone() { self.alone.saturating_add(1) } else { 0 };
        while let Some(first) = self.staged.pop_front() {
            let kept = match first {
                Staged::Records(records) => {
                    self.last = records.last().map(|last| last.0);
                    let left =
                        if self.alone > ALONE { self.client.commit_here(records) } else { Err(records) };
                    let Err(records) = left else { return true };
                    self.client.try_append(records).err().map(Staged::Records)
                }
                Staged::Load(load) => (!self.client.try_load(load)).then_some(Staged::Load(load)),
            };
            if let Some(kept) = kept {
                self.staged.push_front(kept);
                return false;
            }
        }
        false
    }

    /// Hands over in the middle of a round, if there is enough of it. Not while an input is dealt with.
    pub(super) fn hand_over_early(&mut self) {
        if let Some(Staged::Records(records)) = self.staged.back()
            && records.len() >= EARLY_RECORDS
        {
            self.hand_over();
        }
    }

    /// Whether all that is to be committed is one message that somebody waits for.
    fn is_alone(&self) -> bool {
        let Some(Staged::Records(records)) = self.staged.front() else { return false };
        let few = self.staged.len() == 1 && records.len() <= FEW_RECORDS && self.last == self.committed;
        few && records.iter().all(|(ticket, urgency, _)| {
            *urgency == Urgency::Awaited && records.first().is_some_and(|first| first.0 == *ticket)
        })
    }

    /// Whether something staged is still here.
    pub(super) fn is_behind(&self) -> bool {
        !self.staged.is_empty()
    }

    /// What the journal said, or nothing when it only has room again. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Vec<Input>, JournalStopped> {
        let replies = tokio::select! {
            biased;
            replies = self.client.replies() => replies?,
            room = self.client.room(), if self.is_behind() => return room.map(|()| Vec::new()),
        };
        for reply in &replies {
            if let Reply::Committed { ticket } = reply {
                self.committed = Some(*ticket);
            }
        }
        Ok(replies.into_iter().filter_map(as_input).collect())
    }
}

fn as_input(reply: Reply) -> Option<Input> {
    match reply {
        Reply::Committed { ticket } => Some(Input::Committed { ticket }),
        Reply::Loaded(loaded) => Some(Input::Loaded {
            consumer: loaded.consumer,
            deliveries: loaded.deliveries,
            through: loaded.through,
        }),
        Reply::Dropped { consumer, count, .. } => Some(Input::Dropped { consumer, count }),
        Reply::Health(health) => Some(Input::Health(health)),
        // Said to uplinks: the broker knows what it queued itself.
        Reply::Available { .. } => None,
    }
}
