//! The bridge to a cloud broker as a pure machine: what to load, what to send, what is done.
//!
//! Never touches a socket, a clock, a file, a task or a log; `crate::uplink` drives it, and so does the
//! simulation. It is the whole of an outgoing session: CONNECT, keep-alive, deadlines, pauses between attempts, the
//! window of open deliveries, and what is sent again when a session is taken up.
//!
//! # The way of one delivery
//!
//! ```text
//! journal ─ Load/Loaded ─▶ Backlog ─ room in the window ─▶ Window ─▶ PUBLISH
//!   QoS 0                                  sent: Done
//!   QoS 1                                  PUBACK: Done
//!   QoS 2   Assigned committed, then PUBLISH; PUBREC; Released committed, then PUBREL; PUBCOMP: Done
//! ```
//!
//! `Done` lingers: losing it in a power cut makes a duplicate at QoS 1, nothing at QoS 2. Assignments are
//! committed in one batch for each refill of the window; what comes behind such a batch waits with it, so that
//! the order of first sending is that of the journal.
//!
//! # Taking up a session
//!
//! | the server | what is open | then |
//! |---|---|---|
//! | kept the session | PUBLISH sent | sent again with DUP, in order, same identifier |
//! | | released | PUBREL again |
//! | forgot it | PUBREC had come | counts as delivered: `Done` |
//! | | PUBLISH sent | `WindowForgotten`; owed anew, counted as possible duplicate |
//!
//! After a crash the QoS 2 identifiers come from [`crate::durable::UplinkState`]; deliveries at QoS 1 that are not
//! done are simply in the journal still.
//! Where there are such identifiers nothing that was open, and nothing behind it, is sent before this run has
//! committed something: a killed run may have written what a power cut can still take.

mod admission;
mod backlog;
mod backoff;
mod dead_letter;
mod downlink;
mod fault;
mod forwarder;
mod identity;
mod lanes;
mod link;
mod mapping;
mod metered;
mod options;
mod outgoing;
mod packets;
mod poison;
mod presence;
mod provider;
mod publication;
mod pump;
mod rate;
mod restoration;
mod stale;
mod steering;
mod target;
mod waiting;
mod window;

#[cfg(test)]
mod tests;

pub use backlog::Order;
pub use dead_letter::DeadLetter;
pub use fault::Fault;
pub use forwarder::Forwarder;
pub use identity::{MESSAGE_ID_FIELD, MESSAGE_ID_PROPERTY, MessageId};
pub use lanes::Queue;
pub use mapping::{Batch, Forward, Priority, Rate, Receive, RetainPolicy};
pub use metered::{DayWindow, Held, Metered, Spent};
pub use options::{Durability, Options, Takes};
pub use presence::PresenceMap;
pub use provider::{PROVIDERS, Provider};
pub use target::{Part, Target, TargetError};

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use crate::durable::{
    Assigned, Boots, ConsumerId, DropReason, LoadedDelivery, Message, Record, Sequence, Ticket, Urgency,
};
use crate::mqtt::{Packet, PacketIdentifier, ReasonCode};
use crate::time::Moment;

/// What happens to a [`Forwarder`].
#[derive(Debug)]
pub enum Input {
    /// The connection asked for by [`Output::Open`] is there.
    Opened,
    /// It could not be opened, broke, or its bytes made no sense; in words.
    Closed(String),
    /// Packets of the server, in order.
    Packets(Vec<Packet>),
    /// The socket takes no more bytes for now.
    WriteBlocked,
    /// It took bytes again.
    WriteAdvanced,
    /// The journal has deliveries of this uplink up to here, committed.
    Available {
        /// In which of its queues.
        consumer: ConsumerId,
        /// Up to where.
        through: Sequence,
    },
    /// The answer to [`Output::Load`].
    Loaded {
        /// In order of sequence; empty when there was none.
        deliveries: Vec<LoadedDelivery>,
        /// Nothing is owed between the last of them and this.
        through: Sequence,
    },
    /// The journal has everything up to this ticket of this uplink on disk.
    Committed {
        /// Up to which.
        ticket: Ticket,
    },
    /// The journal gave up deliveries of this uplink; it has counted them.
    Dropped {
        /// How many.
        count: u64,
        /// Why.
        reason: DropReason,
    },
    /// The answer to [`Output::Ingest`].
    Accepted {
        /// Its token.
        token: u64,
        /// `Err`: the broker refused it.
        outcome: Result<(), DropReason>,
    },
    /// What is true of the gateway and its sensors from now on.
    Presence(PresenceMap),
    /// What is known of clocks from now on.
    Clock(Boots),
    /// The deadline of [`Forwarder::next_timeout`] passed.
    Timeout,
    /// Another server is to be preferred to this one: connect anew, when what is under way has arrived.
    Prefer,
    /// A person wants nothing to be sent for now: everything is kept.
    Pause,
    /// A person wants it to go on.
    Resume,
    /// A person gives up everything that waits now.
    Discard,
    /// The gateway stops: say good-bye.
    Stop,
}

/// What the driver is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Open a connection to the server. Answered by [`Input::Opened`] or [`Input::Closed`].
    Open,
    /// Send a packet.
    Send(Packet),
    /// Send PUBLISH packets: one behind the other, as they go over the wire.
    Publish(Bytes),
    /// Write what can be written at once of what was sent, then close. Not answered.
    Close,
    /// Fetch committed deliveries from the journal.
    Load {
        /// Owed to whom.
        consumer: ConsumerId,
        /// Which come after this.
        after: Sequence,
        /// How many at most.
        max_messages: usize,
        /// How many bytes at most; one delivery comes in any case.
        max_bytes: usize,
    },
    /// Hand a record to the journal.
    Append {
        /// Comes back in [`Input::Committed`]; several records may share one.
        ticket: Ticket,
        /// Whether somebody waits.
        urgency: Urgency,
        /// What.
        record: Box<Record>,
    },
    /// Hand [`Record::Done`] to the journal; nobody waits. As often as messages, and therefore small.
    Done {
        /// As in [`Output::Append`].
        ticket: Ticket,
        /// To whom it was owed.
        consumer: ConsumerId,
        /// What.
        sequence: Sequence,
    },
    /// The server published something: hand it to the broker.
    Ingest {
        /// Given back in [`Input::Accepted`].
        token: u64,
        /// What.
        message: Box<Message>,
        /// Whether an acknowledgement waits.
        urgency: Urgency,
    },
    /// A message that the server will never take, to be laid aside for a person to look at. It is dropped, and
    /// counted, by what follows.
    DeadLetter(Box<DeadLetter>),
    /// Something to count or to show.
    Event(Event),
}

/// Something that telemetry counts or logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server accepted the connection.
    Connected {
        /// Whether it had kept the session.
        session_present: bool,
    },
    /// An attempt failed or the connection ended.
    Disconnected {
        /// Why.
        fault: Fault,
    },
    /// Messages will not be delivered.
    Dropped {
        /// How many.
        count: u64,
        /// Why.
        reason: DropReason,
    },
    /// The server will not send what was asked for.
    SubscriptionRefused {
        /// What.
        filter: ByteString,
        /// Why.
        reason: ReasonCode,
    },
}

/// What an earlier run left behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restored {
    /// Outbound identifiers in use, of the uplink's [`crate::durable::UplinkState`].
    pub assigned: BTreeMap<PacketIdentifier, Assigned>,
    /// The last message that was queued for the uplink before this run.
    pub queued: Sequence,
    /// Whether the uplink is new to this journal: a session that the server has kept is not ours.
    pub new: bool,
}

/// Figures for status and metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Since when the server has accepted the connection; `None` without one.
    pub connected_since: Option<Moment>,
    /// Why the last attempt or connection ended, in this run.
    pub last_fault: Option<Fault>,
    /// Attempts to connect.
    pub attempts: u64,
    /// Deliveries that the server acknowledged.
    pub acknowledged: u64,
    /// Messages that the server may have got twice.
    pub possible_duplicates: u64,
    /// Acknowledgements of what was not open.
    pub unexpected_acknowledgements: u64,
    /// Messages of the server handed to the broker.
    pub received: u64,
    /// Messages that will not be delivered, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Deliveries open towards the server.
    pub in_flight: usize,
    /// Whether a person paused it.
    pub paused: bool,
    /// Messages laid aside because the server will never take them.
    pub dead_letters: u64,
    /// Messages that the server refused for now, to be sent once more.
    pub postponed: u64,
    /// Why nothing but alarms is sent, on a metered link.
    pub held: Option<Held>,
    /// What a metered link has carried on its last day.
    pub spent: Spent,
}
