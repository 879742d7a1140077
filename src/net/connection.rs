//! One task per connection: bytes to packets to the broker's inbox, and back.
//!
//! The broker hears of a connection when its CONNECT was read, and hears exactly once that it is gone, however its
//! task ended. Before CONNECT little is read and nothing is remembered. While the inbox is full, or much waits to
//! be written, nothing is read: that is how a client feels that it is too fast.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::admission::Admission;
use super::buffers;
use super::connect_rate::ConnectRate;
use super::door::{Door, Entry, Stay};
use super::gate::{Caller, name_of};
use super::inbox::{Batch, Inbox};
use super::outbox::{Outbox, Outgoing};
use super::pace;
use super::reader::Reader;
use super::writer::Writer;
use super::{Counters, Refusal, Stopped};
use crate::broker::{CloseReason, ConnectionId, Input, Peer};
use crate::limits::{BATCH_PACKETS, CLOSE_DEADLINE, LOGIN_DEADLINE, Limits};
use crate::mqtt::{
    ConnAck, ConnAckProperties, Connect, DecodeError, Decoder, Disconnect, Packet, ProtocolVersion,
    ReasonCode,
};
use crate::stream::Stream;

/// How long a connection may take to end when the gateway stops.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) door: Arc<Door>,
    pub(super) limits: Arc<Limits>,
    pub(super) connects: ConnectRate,
    pub(super) counters: Arc<Counters>,
}

/// Why a connection's task ends. Never an error of the gateway.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Io(io::Error),
    #[error("the client closed it")]
    ClosedByPeer,
    #[error("all was said")]
    Done,
    #[error("the client took too long")]
    TooLate,
    #[error("the broker has stopped")]
    Stopped,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Io(error)
    }
}

impl From<Stopped> for End {
    fn from(Stopped: Stopped) -> End {
        End::Stopped
    }
}

/// What a connection can go on with.
enum Step {
    /// The broker has handed this over.
    Outgoing(Vec<Outgoing>),
    /// So many bytes were read.
    Read(io::Result<usize>),
    Writable,
    Deadline,
    Stopped,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    shared: Arc<Shared>,
    reader: Reader,
    writer: Writer,
    outbox: Arc<Outbox>,
    version: ProtocolVersion,
    phase: Phase,
    /// Whether the next look is at what can be read first: neither side starves the other.
    reads_first: bool,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes of PUBLISH packets that are not written yet.
    publish_bytes_waiting: usize,
    /// Bytes of PUBLISH packets that are written and not yet reported to the broker.
    unreported_bytes: usize,
    gone: Gone,
    /// Since it was let in.
    stay: Option<Stay>,
    _admission: Admission,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Reading and writing.
    Open,
    /// A packet could not be read: nothing more is read, the broker says how it ends.
    Deaf,
    /// Writing what is left, then closing.
    Closing,
    /// All is written and our direction is closed: what still comes in is thrown away, so that the other side
    /// gets to read our last packet before a reset.
    Lingering,
}

/// Tells the broker that a connection is gone, also when its task panicked.
#[derive(Debug)]
struct Gone {
    connection: ConnectionId,
    inbox: Option<Inbox>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            inbox.closed(self.connection);
        }
    }
}

/// Serves one accepted connection to its end. The future is what an idle connection weighs: what is needed only
/// while it is introduced is in a box of its own.
pub(super) fn serve(
    connection: ConnectionId,
    caller: Caller,
    shared: Arc<Shared>,
    admission: Admission,
) -> impl Future<Output = ()> + Send {
    let Caller { stream, address, user } = caller;
    let decoder = Decoder::of_client(shared.limits.max_connect_packet_bytes);
    let patience = Duration::from_secs(shared.limits.connect_timeout_seconds.into());
    let mut connection = Connection {
        stream,
        reader: Reader::new(decoder),
        writer: Writer::default(),
        outbox: Arc::default(),
        version: ProtocolVersion::V3_1_1,
        phase: Phase::Open,
        reads_first: true,
        deadline: Some(Box::pin(sleep_until(Instant::now() + patience))),
        publish_bytes_waiting: 0,
        unreported_bytes: 0,
        gone: Gone { connection, inbox: None },
        stay: None,
        shared,
        _admission: admission,
    };
    let who = Box::new((address, user));
    async move {
        let introduced = Box::pin(connection.introduce(*who)).await;
        let end = match introduced {
            Ok(()) => connection.run().await,
            Err(end) => end,
        };
        connection.note(&end);
    }
}

impl Connection {
    /// Reads CONNECT and hands it to the broker, with whatever came behind it.
    async fn introduce(
        &mut self,
        (address, certified): (Option<SocketAddr>, Option<ByteString>),
    ) -> Result<(), End> {
        let mut connect = loop {
            match self.next_step().await {
                Step::Read(Ok(0)) => return Err(End::ClosedByPeer),
                Step::Read(Ok(_)) => {}
                Step::Read(Err(error)) => return Err(End::Io(error)),
                Step::Deadline => {
                    self.refused(Refusal::TooLate, address);
                    return Err(End::TooLate);
                }
                Step::Outgoing(_) | Step::Writable | Step::Stopped => continue,
            }
            match self.reader.next_packet() {
                Ok(None) => {}
                Ok(Some(Packet::Connect(connect))) => break connect,
                Ok(Some(_)) => {
                    self.refused(Refusal::NoConnect, address);
                    return Err(End::Done);
                }
                Err(error) => {
                    self.refused(Refusal::NoConnect, address);
                    return Err(self.refuse(&error));
                }
            }
        };
        self.version = connect.version;
        self.deadline = None;
        let entry = match self.ask_at_the_door(&connect, certified, address).await {
            Ok(entry) => entry,
            Err(reason) => {
                self.turn_away(reason, address);
                return Ok(());
            }
        };
        // The broker has no use for it.
        connect.password = None;
        self.reader.set_max_packet_bytes(self.shared.limits.max_packet_bytes);
        let id = self.gone.connection;
        let limits = Some(Arc::clone(&self.shared.limits));
        let peer = Peer { user: entry.user.clone(), address: name_of(address), limits };
        let mut inputs = vec![Input::Connect { connection: id, connect, peer }];
        self.decode_into(&mut inputs);
        let opened = Some((id, Arc::clone(&self.outbox)));
        self.shared.inbox.send(Batch { opened, inputs }).await?;
        self.gone.inbox = Some(self.shared.inbox.clone());
        match self.shared.door.stay(id, entry) {
            Ok(stay) => self.stay = Some(stay),
            Err(reason) => {
                let inputs = vec![Input::Expel { connection: id, reason }];
                self.shared.inbox.send(Batch { opened: None, inputs }).await?;
            }
        }
        match self.hand_over_rest()? {
            Some(no_room) => self.hand_over_waiting(no_room).await,
            None => Ok(()),
        }
    }

    /// Waits for the verdict on who the client is; nothing is read meanwhile.
    async fn ask_at_the_door(
        &self,
        connect: &Connect,
        certified: Option<ByteString>,
        address: Option<SocketAddr>,
    ) -> Result<Entry, ReasonCode> {
        if !self.shared.connects.admit(std::time::Instant::now()) {
            return Err(ReasonCode::ConnectionRateExceeded);
        }
        let address = address.map(|address| address.ip());
        let verdict = self.shared.door.enter(connect, certified, address);
        timeout(LOGIN_DEADLINE, verdict).await.unwrap_or(Err(ReasonCode::ServerBusy))
    }

    /// The client is not let in: it is told why, and the connection closed.
    fn turn_away(&mut self, reason: ReasonCode, address: Option<SocketAddr>) {
        let refusal = match reason {
            ReasonCode::BadUserNameOrPassword => Refusal::BadUserNameOrPassword,
            ReasonCode::ServerBusy => Refusal::ServerBusy,
            ReasonCode::ConnectionRateExceeded => Refusal::TooFast,
            _ => Refusal::NotAuthorized,
        };
        self.refused(refusal, address);
        let properties = ConnAckProperties::default();
        let answer = ConnAck { session_present: false, reason, properties };
        self.put(&Packet::ConnAck(Box::new(answer)));
        self.start_close(CloseReason::Refused(reason));
    }

    /// Counts a refusal, and says so now and then.
    fn refused(&self, refusal: Refusal, address: Option<SocketAddr>) {
        if let Some(count) = self.shared.counters.count_refused(refusal) {
            let (label, from) = (refusal.label(), name_of(address));
            tracing::info!("{count} connections were refused, the last from {from}: {label}");
        }
    }

    /// The first packet was not an acceptable CONNECT: the answer that the standard allows, then the end.
    fn refuse(&mut self, error: &DecodeError) -> End {
        tracing::debug!(%error, "refused before CONNECT");
        if let Some(version) = self.reader.version()
            && (version.is_v5() || error.reason == ReasonCode::UnsupportedProtocolVersion)
        {
            let answer = ConnAck {
                session_present: false,
                reason: error.reason,
                properties: ConnAckProperties::default(),
            };
            // [MQTT-3.1.2-2]; one write: who does not take it does not get it.
            let _ = self.writer.put(&Packet::ConnAck(Box::new(answer)), version);
            let _ = self.writer.write(&mut self.stream);
        }
        End::Done
    }

    fn note(&self, end: &End) {
        tracing::trace!("connection {} ended: {end}", self.gone.connection.0);
    }

    async fn run(&mut self) -> End {
        loop {
            let step = self.next_step().await;
            match self.take(step) {
                Ok(None) => {}
                // In a box, so that who never waits has no room for waiting.
                Ok(Some(no_room)) => {
                    if let Err(end) = Box::pin(self.hand_over_waiting(no_room)).await {
                        return end;
                    }
                }
                Err(end) => return end,
            }
        }
    }

    /// Goes one step. Gives back a batch that the broker has no room for now.
    fn take(&mut self, step: Step) -> Result<Option<Batch>, End> {
        let no_room = match step {
            Step::Outgoing(taken) => self.take_outgoing(taken).map(|()| None),
            Step::Writable => self.write().map(|()| None),
            Step::Read(read) => self.take_incoming(read),
            Step::Deadline => Err(End::TooLate),
            Step::Stopped => Err(End::Stopped),
        }?;
        // Nothing may be handed over before what has to wait for room.
        if no_room.is_some() { Ok(no_room) } else { self.advance_close() }
    }

    /// Waits for what can be done next; what is to be sent and what can be read come first in turn.
    async fn next_step(&mut self) -> Step {
        let limit = self.shared.limits.max_outbox_bytes;
        let writes = self.writer.is_waiting();
        let has_room = self.writer.waiting_bytes() <= limit;
        let takes = matches!(self.phase, Phase::Open | Phase::Deaf) && has_room;
        let reads = match self.phase {
            Phase::Open => has_room,
            Phase::Lingering => true,
            Phase::Deaf | Phase::Closing => false,
        };
        self.reads_first = !self.reads_first;
        poll_fn(|context| {
            if reads
                && self.reads_first
                && let Poll::Ready(read) = self.poll_read(context)
            {
                return Poll::Ready(Step::Read(read));
            }
            if takes && let Poll::Ready(taken) = self.outbox.poll_take(context) {
                return Poll::Ready(taken.map_or(Step::Stopped, Step::Outgoing));
            }
            if writes && self.stream.poll_write_ready(context).is_ready() {
                return Poll::Ready(Step::Writable);
            }
            if reads
                && !self.reads_first
                && let Poll::Ready(read) = self.poll_read(context)
            {
                return Poll::Ready(Step::Read(read));
            }
            match &mut self.deadline {
                Some(deadline) => deadline.as_mut().poll(context).map(|()| Step::Deadline),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.phase {
            Phase::Lingering => Reader::poll_discard(&mut self.stream, context),
            Phase::Open | Phase::Deaf | Phase::Closing => self.reader.poll_read(&mut self.stream, context),
        }
    }

    fn take_incoming(&mut self, read: io::Result<usize>) -> Result<Option<Batch>, End> {
        match read {
            Ok(0) => Err(End::ClosedByPeer),
            Ok(bytes) if self.phase == Phase::Open => {
                self.shared.counters.count_bytes_received(bytes);
                self.hand_over_rest()
            }
            Ok(_) => Ok(None),
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Hands everything that was read to the broker, a batch at a time, and with it what was written. Gives back
    /// what there is no room for now.
    fn hand_over_rest(&mut self) -> Result<Option<Batch>, End> {
        loop {
            let mut inputs = self.shared.inbox.spare().take();
            let more = self.decode_into(&mut inputs);
            if inputs.is_empty() {
                self.shared.inbox.spare().give_back(inputs);
                return Ok(None);
            }
            if let Some(written) = self.report_written() {
                inputs.push(written);
            }
            let no_room = self.shared.inbox.try_send(Batch { opened: None, inputs })?;
            if no_room.is_some() || !more {
                return Ok(no_room);
            }
        }
    }

    /// Waits for room for a batch, and hands over everything behind it.
    async fn hand_over_waiting(&mut self, mut batch: Batch) -> Result<(), End> {
        loop {
            self.shared.inbox.send(batch).await?;
            match self.hand_over_rest()? {
                Some(no_room) => batch = no_room,
                None => return Ok(()),
            }
        }
    }

    /// Decodes up to a batch of packets; whether there may be more.
    fn decode_into(&mut self, inputs: &mut Vec<Input>) -> bool {
        let connection = self.gone.connection;
        let mut messages = 0;
        let mut more = false;
        while self.phase == Phase::Open {
            if inputs.len() >= BATCH_PACKETS {
                more = true;
                break;
            }
            match self.reader.next_packet() {
                Ok(Some(packet)) => {
                    messages += u64::from(matches!(packet, Packet::Publish(_)));
                    inputs.push(Input::Packet { connection, packet });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "malformed packet");
                    inputs.push(Input::Malformed { connection, reason: error.reason });
                    self.phase = Phase::Deaf;
                }
            }
        }
        self.shared.counters.count_received(messages);
        pace::count(messages);
        more
    }

    /// Encodes and writes what the broker handed over.
    fn take_outgoing(&mut self, mut taken: Vec<Outgoing>) -> Result<(), End> {
        let mut messages = 0;
        for outgoing in taken.drain(..) {
            match outgoing {
                Outgoing::Publish { frame, packet_identifier, dup } => {
                    messages += 1;
                    self.publish_bytes_waiting += frame.bytes.len();
                    self.writer.put_publish(&frame, packet_identifier, dup);
                }
                Outgoing::Packet(packet) => self.put(&packet),
                Outgoing::Close(reason) => self.start_close(reason),
            }
        }
        buffers::give_back_room(taken);
        self.shared.counters.count_sent(messages);
        self.write()
    }

    fn write(&mut self) -> Result<(), End> {
        let written = self.writer.write(&mut self.stream)?;
        self.shared.counters.count_bytes_sent(written);
        // Other packets in between are few and small: what is written counts as PUBLISH as long as any waits.
        let counted = written.min(self.publish_bytes_waiting);
        self.publish_bytes_waiting -= counted;
        self.unreported_bytes += counted;
        Ok(())
    }

    /// What was written and not yet reported.
    fn report_written(&mut self) -> Option<Input> {
        let bytes = std::mem::take(&mut self.unreported_bytes);
        (bytes > 0).then_some(Input::Written { connection: self.gone.connection, bytes })
    }

    fn start_close(&mut self, reason: CloseReason) {
        let mut deadline = CLOSE_DEADLINE;
        if reason == CloseReason::ShuttingDown {
            deadline = STOP_DEADLINE;
            if self.version.is_v5() {
                let goodbye = Disconnect::new(ReasonCode::ServerShuttingDown);
                self.put(&Packet::Disconnect(Box::new(goodbye)));
            }
        }
        self.phase = Phase::Closing;
        self.deadline = Some(Box::pin(sleep_until(Instant::now() + deadline)));
    }

    fn put(&mut self, packet: &Packet) {
        if let Err(error) = self.writer.put(packet, self.version) {
            tracing::error!("a packet of ours cannot be written: {error}");
        }
    }

    /// Reports what was written when it is worth a batch of its own; closes when all is written.
    fn advance_close(&mut self) -> Result<Option<Batch>, End> {
        match self.phase {
            Phase::Open | Phase::Deaf => {
                // Often enough that the broker, which stops at the limit, always hears of room again.
                if self.unreported_bytes > self.shared.limits.max_outbox_bytes / 4
                    && let Some(written) = self.report_written()
                {
                    return Ok(self.shared.inbox.try_send(Batch { opened: None, inputs: vec![written] })?);
                }
            }
            Phase::Closing if !self.writer.is_waiting() => {
                self.phase = Phase::Lingering;
                self.stream.close_write()?;
            }
            Phase::Closing | Phase::Lingering => {}
        }
        Ok(None)
    }
}
