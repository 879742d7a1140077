//! What the broker is told and what it asks for: the seam between the pure machine and its driver.
//!
//! Values only; nothing here decides anything.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;

use crate::durable::{
    ConsumerId, DropReason, JournalHealth, LoadedDelivery, Message, Record, Sequence, Ticket, Urgency,
};
use crate::mqtt::{Connect, Packet, PacketIdentifier, QoS, ReasonCode, TopicFilter};

use super::{PublishFrame, Rights};
use crate::limits::Limits;

/// Names one network connection; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Names somebody inside the gateway who publishes: an adapter, an uplink's downlink, the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What happens to the broker.
#[derive(Debug)]
pub enum Input {
    /// A CONNECT was read on a new connection; the driver has checked its credentials.
    Connect {
        /// The connection.
        connection: ConnectionId,
        /// What it said.
        connect: Box<Connect>,
        /// Who it is.
        peer: Peer,
    },
    /// Another packet was read.
    Packet {
        /// From whom.
        connection: ConnectionId,
        /// What.
        packet: Packet,
    },
    /// The driver could not read a packet: its DISCONNECT reason. The will is published.
    Malformed {
        /// From whom.
        connection: ConnectionId,
        /// Malformed Packet, Protocol Error, Packet Too Large...
        reason: ReasonCode,
    },
    /// The connection is gone, for whatever reason. Comes exactly once per connection, also after
    /// [`Output::Close`].
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// Bytes that the broker had handed out were written to the socket: room for more.
    Written {
        /// By which connection.
        connection: ConnectionId,
        /// The sum of `frame.bytes.len()` over what [`Output::SendPublish`] brought. Other packets are not
        /// counted: there are never more of them than the connection itself sent, or has window places.
        bytes: usize,
    },
    /// Somebody inside the gateway publishes.
    Ingest {
        /// Who.
        source: SourceId,
        /// Given back in [`Output::Accepted`].
        token: u64,
        /// What.
        message: Message,
        /// Which uplinks may have it.
        relay: Relay,
        /// Whether somebody waits for [`Output::Accepted`].
        urgency: Urgency,
    },
    /// The journal has everything up to this ticket on disk.
    Committed {
        /// Up to which.
        ticket: Ticket,
    },
    /// The answer to [`Output::Load`].
    Loaded {
        /// For whom.
        consumer: ConsumerId,
        /// In order of sequence; empty when there was none.
        deliveries: Vec<LoadedDelivery>,
        /// Nothing is owed between the last of them and this: the next load starts after it.
        through: Sequence,
    },
    /// The journal dropped what it owed to a consumer.
    Dropped {
        /// To whom.
        consumer: ConsumerId,
        /// How many.
        count: u64,
    },
    /// The journal's health changed.
    Health(JournalHealth),
    /// Other rights hold from now on.
    Rights(Rights),
    /// Who is connected here has no account any more: it is told so, and the connection closed.
    Expel {
        /// Which connection.
        connection: ConnectionId,
        /// What a 5.0 client is told.
        reason: ReasonCode,
    },
    /// The deadline of [`super::Broker::next_timeout`] passed.
    Timeout,
}

/// Which uplinks a message from inside the gateway is kept for, if their rules want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// Every uplink.
    All,
    /// Every uplink but this one, through which it came down: it must not go up again, or it would circle.
    AllBut(ConsumerId),
    /// None: presence is not history, uplinks have their own way for it.
    None,
    /// This one, named by its first queue, and nobody else: what had been given up is tried once more.
    Only(ConsumerId),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The user that the driver authenticated; `None`: anonymous.
    pub user: Option<ByteString>,
    /// Address, for logs and events.
    pub address: String,
    /// The bounds of who comes by its listener; `None`: the broker's.
    pub limits: Option<Arc<Limits>>,
}

/// What the driver is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Send a packet.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        packet: Packet,
    },
    /// Send a PUBLISH whose body was encoded once for many.
    SendPublish {
        /// To whom.
        connection: ConnectionId,
        /// The encoded packet.
        frame: PublishFrame,
        /// Patched into the frame; present exactly for QoS 1 and 2.
        packet_identifier: Option<PacketIdentifier>,
        /// Patched into the frame.
        dup: bool,
    },
    /// Write what was sent, then close.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why, for the log.
        reason: CloseReason,
    },
    /// Hand a record to the journal.
    Append {
        /// Comes back in [`Input::Committed`]. Records of one [`super::Broker::handle`] share one: the driver
        /// hands them over together, so that they are committed together.
        ticket: Ticket,
        /// Whether somebody waits.
        urgency: Urgency,
        /// What.
        record: Box<Record>,
    },
    /// Fetch deliveries from the journal.
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
    /// What [`Input::Ingest`] brought is accepted, and on disk if anybody durable wants it; or it is refused.
    Accepted {
        /// By whom it was given.
        source: SourceId,
        /// Its token.
        token: u64,
        /// `Err`: why it was dropped, for every durable consumer.
        outcome: Result<(), DropReason>,
    },
    /// A message that the gateway itself wants, see [`super::Broker::hear_inside`].
    Inside(Box<Message>),
    /// Something to count or to show.
    Event(Event),
}

/// Something that telemetry counts or logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client connected.
    ClientConnected {
        /// Its connection.
        connection: ConnectionId,
        /// Its identifier.
        client_id: ByteString,
        /// Whether it took over from another connection.
        took_over: bool,
    },
    /// A connected client is gone.
    ClientDisconnected {
        /// Its connection.
        connection: ConnectionId,
        /// Its identifier.
        client_id: ByteString,
        /// Why.
        reason: CloseReason,
    },
    /// A client was refused.
    ClientRefused {
        /// Its connection.
        connection: ConnectionId,
        /// With which code.
        reason: ReasonCode,
    },
    /// A client was refused something: by the access rules (Not authorized) or by a bound.
    Denied {
        /// Its identifier.
        client_id: ByteString,
        /// What.
        what: Denial,
        /// Why.
        reason: ReasonCode,
        /// The topic, or the filter.
        topic: ByteString,
    },
    /// Messages will not be delivered to somebody.
    Dropped {
        /// How many.
        count: u64,
        /// Why.
        reason: DropReason,
    },
}

/// What is refused to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// PUBLISH.
    Publish,
    /// One filter of SUBSCRIBE.
    Subscribe,
    /// A will, when its client connects.
    Will,
    /// A will that was allowed when its client connected, and is not when it is due.
    WillSent,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client said DISCONNECT.
    Disconnected,
    /// The connection broke or was closed without DISCONNECT.
    Lost,
    /// Nothing was heard for 1.5 x keep-alive.
    KeepAlive,
    /// Another connection with the same client identifier took over.
    TakenOver,
    /// The client broke the protocol, or was refused, with this code.
    Refused(ReasonCode),
    /// The gateway stops.
    ShuttingDown,
}

/// What an uplink wants kept for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardRule {
    /// Which messages.
    pub filter: TopicFilter,
    /// The highest quality of service towards the cloud; messages of QoS 0 are kept and sent at QoS 1 unless
    /// this is 0.
    pub maximum_qos: QoS,
    /// Which of the uplink's queues keeps them: each is a durable consumer of its own, `NAME/QUEUE`. Empty: the
    /// uplink's first, which is called NAME.
    pub queue: ByteString,
}

/// The rules of one uplink, given to the broker at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkRules {
    /// `[uplink.NAME]`.
    pub name: ByteString,
    /// The first that matches a message decides.
    pub forward: SmallVec<[ForwardRule; 4]>,
}

/// Renders readings for subscribers.
pub type Renderer = Arc<dyn crate::reading::Render>;
