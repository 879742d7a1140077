//! The owner's end of the way to the journal's thread: one batch of records per round, answers as broker inputs.
//!
//! Never waits while the broker could go on: what the journal does not take yet stays here, in order, and the owner
//! hears no connections until it is gone.

use std::collections::VecDeque;

use crate::broker::{Input, Output};
use crate::disk::{JournalClient, JournalStopped, Reply};
use crate::durable::{Record, Ticket, Urgency};
use crate::journal::Load;

/// See the module.
pub struct JournalLink {
    client: JournalClient,
    staged: VecDeque<Staged>,
}

enum Staged {
    Records(Vec<(Ticket, Urgency, Record)>),
    Load(Load),
}

impl JournalLink {
    /// A link for the broker's client.
    #[must_use]
    pub const fn new(client: JournalClient) -> JournalLink {
        JournalLink { client, staged: VecDeque::new() }
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

    /// Hands over what is staged, as far as the journal takes it now.
    pub(super) fn hand_over(&mut self) {
        while let Some(first) = self.staged.pop_front() {
            let kept = match first {
                Staged::Records(records) => self.client.try_append(records).err().map(Staged::Records),
                Staged::Load(load) => (!self.client.try_load(load)).then_some(Staged::Load(load)),
            };
            if let Some(kept) = kept {
                self.staged.push_front(kept);
                return;
            }
        }
    }

    /// Whether something staged is still here.
    pub(super) fn is_behind(&self) -> bool {
        !self.staged.is_empty()
    }

    /// What the journal said, or nothing when it only has room again. May be dropped while it waits.
    pub(super) async fn next(&self) -> Result<Vec<Input>, JournalStopped> {
        tokio::select! {
            biased;
            replies = self.client.replies() => Ok(replies?.into_iter().filter_map(as_input).collect()),
            room = self.client.room(), if self.is_behind() => room.map(|()| Vec::new()),
        }
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
