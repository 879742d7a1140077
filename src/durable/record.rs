//! The records of the journal: every change of durable state, as a value.

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;
use std::num::NonZeroU32;

use super::{ConsumerId, Delivery, Message, Sequence};
use crate::mqtt::{
    PacketIdentifier, ProtocolVersion, QoS, SubscriptionOptions, TopicFilter, TopicName, Will,
};
use crate::time::{BootId, Moment};

/// One change of durable state. Records of one commit are on disk together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A message was accepted and is owed to these consumers.
    Kept {
        /// Its name; one more than the last.
        sequence: Sequence,
        /// The message.
        message: Message,
        /// To whom it is owed; each consumer at most once.
        deliveries: SmallVec<[Delivery; 2]>,
    },
    /// A delivery ended well: acknowledged by its consumer (or nothing more to do for it).
    Done {
        /// By whom.
        consumer: ConsumerId,
        /// Which message.
        sequence: Sequence,
    },
    /// A delivery will never happen, for a reason that is counted.
    Dropped {
        /// To whom it was owed.
        consumer: ConsumerId,
        /// Which message.
        sequence: Sequence,
        /// Why.
        reason: DropReason,
    },
    /// A packet identifier was given to a delivery.
    Assigned {
        /// Towards whom.
        consumer: ConsumerId,
        /// The identifier.
        packet_identifier: PacketIdentifier,
        /// Which message.
        sequence: Sequence,
        /// QoS 1 or 2.
        qos: QoS,
        /// The bytes as first sent, for readings at QoS 2: a repetition must not differ.
        frozen_payload: Option<Bytes>,
    },
    /// A QoS 2 delivery was received by the consumer (PUBREC): from now on only PUBREL is sent.
    Released {
        /// By whom.
        consumer: ConsumerId,
        /// The identifier.
        packet_identifier: PacketIdentifier,
    },
    /// The in-flight identifiers of a consumer mean nothing any more: the other side forgot the session.
    /// What was released is said to be [`Record::Done`] before this; the rest is owed anew.
    WindowForgotten {
        /// Whose.
        consumer: ConsumerId,
    },
    /// An inbound QoS 2 message with this identifier was accepted from this session.
    Received {
        /// From whom.
        consumer: ConsumerId,
        /// The publisher's identifier.
        packet_identifier: PacketIdentifier,
    },
    /// The publisher released the identifier (PUBREL): it may be used again.
    ReceivedReleased {
        /// From whom.
        consumer: ConsumerId,
        /// The publisher's identifier.
        packet_identifier: PacketIdentifier,
    },
    /// A persistent session began, or an existing one was connected anew with these facts.
    SessionOpened {
        /// The session.
        consumer: ConsumerId,
        /// Of this client.
        client_id: ByteString,
        /// Who logged in, if anybody.
        user: Option<ByteString>,
        /// The standard that the client speaks.
        version: ProtocolVersion,
        /// Seconds that it outlives its connection; `u32::MAX`: for ever.
        expiry_interval_seconds: u32,
        /// The will that is published should the gateway die while the client is connected.
        will: Option<Box<Will>>,
    },
    /// The connection of a session ended; its expiry counts from here.
    SessionDetached {
        /// The session.
        consumer: ConsumerId,
        /// When.
        at: Moment,
        /// Seconds that it outlives its connection, which DISCONNECT may have changed.
        expiry_interval_seconds: u32,
        /// A will that waits for its delay, if any.
        will: Option<Box<Will>>,
    },
    /// The will of a detached session was published or cancelled.
    WillEnded {
        /// The session.
        consumer: ConsumerId,
    },
    /// A session, a group or an uplink ended: everything owed to it is dropped.
    ConsumerClosed {
        /// Whose.
        consumer: ConsumerId,
    },
    /// A subscription was made or changed.
    Subscribed {
        /// By which session.
        consumer: ConsumerId,
        /// To what.
        filter: TopicFilter,
        /// How.
        options: SubscriptionOptions,
        /// Its identifier (5.0).
        identifier: Option<NonZeroU32>,
    },
    /// A subscription was removed.
    Unsubscribed {
        /// By which session.
        consumer: ConsumerId,
        /// From what.
        filter: TopicFilter,
    },
    /// The retained message of its topic was set.
    RetainedSet {
        /// The message; its `retain` is true.
        message: Message,
    },
    /// The retained message of a topic was removed.
    RetainedCleared {
        /// Which topic.
        topic: TopicName,
    },
    /// An uplink is a consumer from now on.
    UplinkOpened {
        /// The consumer.
        consumer: ConsumerId,
        /// `[uplink.NAME]`.
        name: ByteString,
    },
    /// A shared subscription is a consumer from now on; its members are the sessions that have it among theirs.
    GroupOpened {
        /// The group.
        consumer: ConsumerId,
        /// `$share/NAME/FILTER`.
        filter: TopicFilter,
    },
    /// The wall clock of a boot became known.
    BootSynced {
        /// Which boot.
        boot: BootId,
        /// What the wall clock read at monotonic zero, in milliseconds since 1970.
        unix_ms_at_zero: i64,
    },
}

/// Why a message was not delivered. Each has its counter, `tidegate_dropped_total{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The session's queue had no place left.
    QueueFull,
    /// The journal reached `max_bytes`: the oldest went.
    JournalFull,
    /// The journal was full and the policy refuses what is new.
    JournalFullNewest,
    /// The disk takes no writes.
    JournalDead,
    /// Older than `max_age`.
    TooOld,
    /// Its message expiry interval passed (5.0).
    Expired,
    /// The session it was owed to ended.
    SessionEnded,
    /// The subscriber reads too slowly (QoS 0).
    SlowSubscriber,
    /// Larger than the receiver accepts.
    PacketTooLarge,
    /// The receiver refused it with a reason code.
    Refused,
    /// Lost to damage of the journal, found at start.
    Damaged,
    /// The broker's inbox was full (sensor readings).
    InboxFull,
    /// The link was down and the rule says to send live only (QoS 0).
    LinkDown,
    /// The access rules do not allow it, or do not allow it any more.
    NotAuthorized,
    /// The cloud takes no such topic: too deep, too long, or not one of its own.
    TopicNotAllowed,
    /// A person gave it up: `tidegate uplink NAME discard`.
    Discarded,
    /// A command that came down from the cloud too late.
    Stale,
    /// A message of this gateway that came back down.
    Looped,
}

impl DropReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [DropReason; 18] = [
        DropReason::QueueFull,
        DropReason::JournalFull,
        DropReason::JournalFullNewest,
        DropReason::JournalDead,
        DropReason::TooOld,
        DropReason::Expired,
        DropReason::SessionEnded,
        DropReason::SlowSubscriber,
        DropReason::PacketTooLarge,
        DropReason::Refused,
        DropReason::Damaged,
        DropReason::InboxFull,
        DropReason::LinkDown,
        DropReason::NotAuthorized,
        DropReason::TopicNotAllowed,
        DropReason::Discarded,
        DropReason::Stale,
        DropReason::Looped,
    ];

    /// The label of its metric; never changes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::JournalFull => "journal_full",
            DropReason::JournalFullNewest => "journal_full_newest",
            DropReason::JournalDead => "journal_dead",
            DropReason::TooOld => "too_old",
            DropReason::Expired => "expired",
            DropReason::SessionEnded => "session_ended",
            DropReason::SlowSubscriber => "slow_subscriber",
            DropReason::PacketTooLarge => "packet_too_large",
            DropReason::Refused => "refused",
            DropReason::Damaged => "damaged",
            DropReason::InboxFull => "inbox_full",
            DropReason::LinkDown => "link_down",
            DropReason::NotAuthorized => "not_authorized",
            DropReason::TopicNotAllowed => "topic_not_allowed",
            DropReason::Discarded => "discarded",
            DropReason::Stale => "stale",
            DropReason::Looped => "looped",
        }
    }
}
