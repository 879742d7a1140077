//! One connection: bytes to packets to the broker's inbox, and back.
//!
//! The broker hears of a connection when its CONNECT was read (see `introduction`), and hears exactly once that it is
//! gone, however it ended. While the inbox is full, or much waits to be written, nothing is read: that is how a
//! client feels that it is too fast. What one holds while nothing happens is what thousands of sleepy sensors
//! weigh: buffers are borrowed, and what is rarely needed is in a box. Never waits itself: it goes on as far as it
//! can, for the switchboard or for a task of its own.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};
use tokio::time::{Instant, Sleep, sleep_until};

use super::admission::Admission;
use super::buffers;
use super::connect_rate::ConnectRate;
use super::door::Door;
use super::inbox::{Batch, Inbox};
use super::outbox::{Outbox, Outgoing};
use super::pace;
use super::reader::Reader;
use super::switchboard::{Bell, Switchboard};
use super::wire::Line;
use super::writer::Writer;
use super::{Counters, Stopped};
use crate::broker::{CloseReason, ConnectionId, Input};
use crate::limits::{BATCH_PACKETS, CLOSE_DEADLINE, Limits};
use crate::mqtt::{Decoder, Disconnect, Packet, ProtocolVersion, ReasonCode};
use crate::stream::Stream;

/// How long a connection may take to end when the gateway stops.
const STOP_DEADLINE: Duration = Duration::from_secs(1);
/// Steps that a connection goes before others have their turn.
const STEPS: usize = 16;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) door: Arc<Door>,
    pub(super) limits: Arc<Limits>,
    pub(super) connects: ConnectRate,
    pub(super) counters: Arc<Counters>,
}

/// Why a connection ends. Never an error of the gateway.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
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
pub(super) enum Step {
    /// The broker has handed this over.
    Outgoing(Vec<Outgoing>),
    /// So many bytes were read.
    Read(io::Result<usize>),
    Writable,
    Deadline,
    Stopped,
}

/// How far a connection came.
#[derive(Debug)]
pub(super) enum Progress {
    /// Until something happens.
    Waits,
    /// It has more to do, after the others.
    GoesOn,
    Ended(End),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    line: Line,
    pub(super) shared: Arc<Shared>,
    pub(super) reader: Reader,
    writer: Writer,
    pub(super) outbox: Arc<Outbox>,
    /// For room in the broker's inbox.
    waiting_for_room: Option<WaitForRoom>,
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes of PUBLISH packets that are not written yet.
    publish_bytes_waiting: usize,
    /// Bytes of PUBLISH packets that are written and not yet reported to the broker.
    unreported_bytes: usize,
    _admission: Admission,
    pub(super) version: ProtocolVersion,
    phase: Phase,
    /// Whether the next look is at what can be read first: neither side starves the other.
    reads_first: bool,
    /// Whether the broker was told of it, and is to hear of its end.
    pub(super) is_known: bool,
    /// Whether the door was told that it is in.
    pub(super) stays: bool,
}

/// Nothing may be handed over before the batch that waits in here.
struct WaitForRoom(Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>);

impl std::fmt::Debug for WaitForRoom {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WaitForRoom")
    }
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

impl Drop for Connection {
    /// Tells the broker that a connection is gone, also after a panic.
    fn drop(&mut self) {
        if self.stays {
            self.shared.door.leave(self.id);
        }
        if self.is_known {
            self.shared.inbox.closed(self.id);
        }
    }
}

impl Connection {
    pub(super) fn new(
        id: ConnectionId,
        stream: Stream,
        shared: Arc<Shared>,
        admission: Admission,
    ) -> Connection {
        Connection {
            id,
            line: Line::Layered(Box::new(stream)),
            reader: Reader::new(Decoder::of_client(shared.limits.max_connect_packet_bytes)),
            writer: Writer::default(),
            outbox: Arc::default(),
            waiting_for_room: None,
            deadline: None,
            publish_bytes_waiting: 0,
            unreported_bytes: 0,
            _admission: admission,
            version: ProtocolVersion::V3_1_1,
            phase: Phase::Open,
            reads_first: true,
            is_known: false,
            stays: false,
            shared,
        }
    }

    /// It is over after this, unless the deadline is taken back.
    pub(super) fn set_deadline(&mut self, patience: Duration) {
        self.deadline = Some(Box::pin(sleep_until(Instant::now() + patience)));
    }

    pub(super) fn note_end(&self, end: &End) {
        tracing::trace!("connection {} ended: {end}", self.id.0);
    }

    /// Whether it can have a seat at the switchboard.
    pub(super) const fn is_plain(&self) -> bool {
        self.line.is_plain()
    }

    /// Lets a plain connection be watched by the switchboard from now on.
    pub(super) fn take_seat(&mut self, registry: &Registry, token: Token, bell: Bell) -> io::Result<()> {
        self.line.leave_runtime()?;
        self.line.watch(registry, token)?;
        self.outbox.ring_with(bell);
        Ok(())
    }

    /// What the system says of its socket.
    pub(super) fn note(&mut self, event: &Event) {
        self.line.note(event);
    }

    /// Whether it waits for something that wakes whoever polls it, and not for its socket or its bell alone.
    pub(super) const fn needs_waker(&self) -> bool {
        self.deadline.is_some() || self.waiting_for_room.is_some()
    }

    /// Goes on to its end, in the task that calls it.
    pub(super) async fn run(mut self: Box<Connection>) {
        let end = poll_fn(|context| match self.proceed(context) {
            Progress::Ended(end) => Poll::Ready(end),
            Progress::Waits => Poll::Pending,
            Progress::GoesOn => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        self.note_end(&end);
    }

    /// Goes on as far as it can, and as far as is fair.
    pub(super) fn proceed(&mut self, context: &mut Context<'_>) -> Progress {
        for _ in 0..STEPS {
            let outcome = if let Some(WaitForRoom(sent)) = &mut self.waiting_for_room {
                let Poll::Ready(sent) = sent.as_mut().poll(context) else { return Progress::Waits };
                self.waiting_for_room = None;
                sent.map_err(End::from).and_then(|()| self.hand_over_rest())
            } else {
                let Poll::Ready(step) = self.poll_step(context) else { return Progress::Waits };
                self.take(step)
            };
            if let Err(end) = outcome {
                return Progress::Ended(end);
            }
        }
        Progress::GoesOn
    }

    fn take(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Outgoing(taken) => self.take_outgoing(taken),
            Step::Writable => self.write(),
            Step::Read(read) => self.take_incoming(read),
            Step::Deadline => Err(End::TooLate),
            Step::Stopped => Err(End::Stopped),
        }?;
        // Nothing may be handed over before what has to wait for room.
        if self.waiting_for_room.is_some() { Ok(()) } else { self.advance_close() }
    }

    /// What can be done next; what is to be sent and what can be read come first in turn.
    pub(super) fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
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
        if reads
            && self.reads_first
            && let Poll::Ready(read) = self.poll_read(context)
        {
            return Poll::Ready(Step::Read(read));
        }
        if takes && let Poll::Ready(taken) = self.outbox.poll_take(context) {
            return Poll::Ready(taken.map_or(Step::Stopped, Step::Outgoing));
        }
        if writes && self.line.poll_write_ready(context).is_ready() {
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
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.phase {
            Phase::Lingering => Reader::poll_discard(&mut self.line, context),
            Phase::Open | Phase::Deaf | Phase::Closing => self.reader.poll_read(&mut self.line, context),
        }
    }

    fn take_incoming(&mut self, read: io::Result<usize>) -> Result<(), End> {
        match read {
            Ok(0) => Err(End::ClosedByPeer),
            Ok(bytes) if self.phase == Phase::Open => {
                self.shared.counters.count_bytes_received(bytes);
                self.hand_over_rest()
            }
            Ok(_) => Ok(()),
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Hands everything that was read to the broker, a batch at a time, and with it what was written; what there is
    /// no room for waits.
    pub(super) fn hand_over_rest(&mut self) -> Result<(), End> {
        loop {
            let mut inputs = self.shared.inbox.spare().take();
            let more = self.decode_into(&mut inputs);
            if inputs.is_empty() {
                self.shared.inbox.spare().give_back(inputs);
                return Ok(());
            }
            if let Some(written) = self.report_written() {
                inputs.push(written);
            }
            self.hand_over(inputs)?;
            if self.waiting_for_room.is_some() || !more {
                return Ok(());
            }
        }
    }

    /// Hands a batch over, now or when there is room.
    fn hand_over(&mut self, inputs: Vec<Input>) -> Result<(), End> {
        if let Some(no_room) = self.shared.inbox.try_send(Batch { opened: None, inputs })? {
            let inbox = self.shared.inbox.clone();
            let sent = async move { inbox.send(no_room).await };
            self.waiting_for_room = Some(WaitForRoom(Box::pin(sent)));
        }
        Ok(())
    }

    /// Decodes up to a batch of packets; whether there may be more.
    pub(super) fn decode_into(&mut self, inputs: &mut Vec<Input>) -> bool {
        let connection = self.id;
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

    pub(super) fn write(&mut self) -> Result<(), End> {
        let written = self.writer.write(&mut self.line)?;
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
        (bytes > 0).then_some(Input::Written { connection: self.id, bytes })
    }

    pub(super) fn start_close(&mut self, reason: CloseReason) {
        let mut deadline = CLOSE_DEADLINE;
        if reason == CloseReason::ShuttingDown {
            deadline = STOP_DEADLINE;
            if self.version.is_v5() {
                let goodbye = Disconnect::new(ReasonCode::ServerShuttingDown);
                self.put(&Packet::Disconnect(Box::new(goodbye)));
            }
        }
        self.phase = Phase::Closing;
        self.set_deadline(deadline);
    }

    pub(super) fn put(&mut self, packet: &Packet) {
        if let Err(error) = self.writer.put(packet, self.version) {
            tracing::error!("a packet of ours cannot be written: {error}");
        }
    }

    /// Reports what was written when it is worth a batch of its own; closes when all is written.
    fn advance_close(&mut self) -> Result<(), End> {
        match self.phase {
            Phase::Open | Phase::Deaf => {
                // Often enough that the broker, which stops at the limit, always hears of room again.
                if self.unreported_bytes > self.shared.limits.max_outbox_bytes / 4
                    && let Some(written) = self.report_written()
                {
                    return self.hand_over(vec![written]);
                }
            }
            Phase::Closing if !self.writer.is_waiting() => {
                self.phase = Phase::Lingering;
                self.line.close_write()?;
            }
            Phase::Closing | Phase::Lingering => {}
        }
        Ok(())
    }
}
