//! What is kept: messages, who is owed them, and the records that say so.
//!
//! The words that [`crate::broker`], [`crate::bridge`] and [`crate::journal`] share. [`State`] is everything that
//! must be known before the first CONNACK; it is a fold over [`Record`]s, the same when they are written and
//! when they are read back.

mod message;
mod record;
mod state;

pub use message::{Message, MessageBody};
pub use record::{DropReason, Record};
pub use state::{Assigned, OutboundPhase, Retained, SessionState, State, SubscriptionState, UplinkState};

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use smallvec::SmallVec;

use crate::mqtt::QoS;
use crate::time::{BootId, Moment, TimeQuality};

/// Names a kept message for ever; grows by one per message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before every message.
    pub const ZERO: Sequence = Sequence(0);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Sequence {
        Sequence(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Somebody to whom messages are owed across a restart: a persistent session, the group of a shared
/// subscription, or an uplink. Never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u32);

/// Names what the broker handed to the journal up to some moment: when a ticket is committed, so is every
/// record appended with it or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Ticket {
        Ticket(self.0.saturating_add(1))
    }
}

/// Whether somebody waits for a record to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Nobody: it may linger up to `commit_interval_ms`, so that an SD card sees few writes.
    Lingers,
    /// An acknowledgement is held back until it is committed.
    Awaited,
}

/// One message owed to one consumer, matched once, when it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom.
    pub consumer: ConsumerId,
    /// The quality of service granted: the lower of the message's and the subscription's `[MQTT-3.8.4-8]`.
    pub qos: QoS,
    /// The retain flag to send.
    pub retain: bool,
    /// Identifiers of the subscriptions that matched (5.0).
    pub subscription_identifiers: SmallVec<[NonZeroU32; 1]>,
}

/// A delivery taken back from the journal, with its message.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedDelivery {
    /// Which message.
    pub sequence: Sequence,
    /// How it is owed.
    pub delivery: Delivery,
    /// What is sent.
    pub message: Message,
}

/// Whether the journal can keep things now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JournalHealth {
    /// All is well.
    #[default]
    Accepting,
    /// `max_bytes` is reached and the policy is not to drop what is old.
    Full,
    /// The disk does not take writes: acknowledgements are withheld.
    Dead,
}

/// What is known of the wall clock of each boot: how to turn a monotonic stamp into a true time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boots(BTreeMap<BootId, i64>);

impl Boots {
    /// Learns that in `boot` the wall clock, once synced, read `unix_ms` at monotonic zero.
    pub fn learn(&mut self, boot: BootId, unix_ms_at_zero: i64) {
        self.0.insert(boot, unix_ms_at_zero);
    }

    /// The true time of a moment in milliseconds since 1970, and whether it can be trusted.
    #[must_use]
    pub fn unix_ms(&self, moment: &Moment) -> (i64, TimeQuality) {
        if moment.quality == TimeQuality::Synced {
            return (moment.unix_ms, TimeQuality::Synced);
        }
        match self.0.get(&moment.boot) {
            Some(zero) => {
                let since = i64::try_from(moment.monotonic.as_millis()).unwrap_or(i64::MAX);
                (zero.saturating_add(since), TimeQuality::Synced)
            }
            None => (moment.unix_ms, TimeQuality::Unsynced),
        }
    }

    /// Every boot that is known, for a checkpoint.
    pub fn iter(&self) -> impl Iterator<Item = (BootId, i64)> + '_ {
        self.0.iter().map(|(boot, zero)| (*boot, *zero))
    }
}
