//! The one task that owns the broker: takes what waits, a round at a time, and carries out what the broker asks.
//!
//! A round takes everything that waits at its start, up to a bound; each connection gets at most one hand-over and
//! the journal one batch. Quiet, a message costs one wake-up here; busy, hundreds share one. The owner never waits
//! for a connection. When the journal is behind, nobody who publishes is heard until it has caught up; the journal
//! itself, and whoever asks for a sign of life, always is.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::inbox::{Accepted, Batch, Control, Entrance, FromInside, Inbox, Inside, Publication, SpareInputs};
use super::journal_link::JournalLink;
use super::links::Links;
use super::listener::Reception;
use super::outbox::Outgoing;
use super::pace;
use super::timer::Timer;
use super::{Clock, Observer};
use crate::broker::{Broker, CloseReason, Input, Output, SourceId};
use crate::disk::JournalStopped;
use crate::durable::{JournalHealth, Message};
use crate::limits::{INBOX_BATCHES, UNCOMMITTED_BYTES};
use crate::time::Moment;

/// Batches taken from each way in, in one round.
const ROUND_BATCHES: usize = 32;

/// What the owner is built from.
pub struct OwnerParts {
    /// The broker, restored, its uplinks added.
    pub broker: Broker,
    /// What it said while it was built.
    pub outputs: Vec<Output>,
    /// Where its records go and its loads come from.
    pub journal: JournalLink,
    /// What time it is.
    pub clock: Clock,
    /// Learns what happens.
    pub observer: Box<dyn Observer>,
    /// Where the owner runs, and the listeners and connections.
    pub runtime: Handle,
}

/// The way to a running owner. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OwnerHandle {
    entrance: Entrance,
    reception: Reception,
}

impl OwnerHandle {
    /// Where sources inside the gateway come from.
    #[must_use]
    pub const fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// Where listeners come from.
    #[must_use]
    pub const fn reception(&self) -> &Reception {
        &self.reception
    }
}

struct Owner {
    broker: Broker,
    journal: JournalLink,
    clock: Clock,
    observer: Box<dyn Observer>,
    links: Links,
    sources: HashMap<SourceId, mpsc::UnboundedSender<Accepted>>,
    /// Where goes what the gateway itself wants to hear.
    inside: Option<mpsc::Sender<Message>>,
    outputs: Vec<Output>,
    timer: Timer,
    waiting: Waiting,
    journal_health: JournalHealth,
    spare_inputs: SpareInputs,
    /// Told when the last connection is gone.
    stopping: Option<oneshot::Sender<()>>,
}

/// The receiving ends, and what was taken from them for this round.
struct Waiting {
    connections: mpsc::Receiver<Batch>,
    inside: Inside,
    replies: Vec<Input>,
    controls: Vec<Control>,
    insiders: Vec<FromInside>,
    batches: Vec<Batch>,
}

/// Starts the owner. Its task ends after [`Entrance::stop`], when the journal has ended, or when it is aborted.
///
/// # Errors
/// When the system has no descriptors left.
pub fn start(parts: OwnerParts) -> io::Result<(OwnerHandle, AbortHandle)> {
    let (inbox, connections) = Inbox::new(INBOX_BATCHES);
    let (entrance, inside) = Entrance::new(INBOX_BATCHES);
    let spare_inputs = inbox.spare().clone();
    let OwnerParts { broker, outputs, journal, clock, observer, runtime } = parts;
    let reception = Reception::new(inbox, broker.max_connections(), runtime.clone())?;
    let handle = OwnerHandle { entrance, reception };
    let waiting = Waiting {
        connections,
        inside,
        replies: Vec::new(),
        controls: Vec::new(),
        insiders: Vec::new(),
        batches: Vec::new(),
    };
    let owner = Owner {
        broker,
        journal,
        clock,
        observer,
        links: Links::default(),
        sources: HashMap::new(),
        inside: None,
        outputs,
        timer: Timer::default(),
        waiting,
        journal_health: JournalHealth::default(),
        spare_inputs,
        stopping: None,
    };
    let task = runtime.spawn(owner.run(handle.clone())).abort_handle();
    Ok((handle, task))
}

impl Owner {
    /// `_open` keeps the ways in open for as long as the owner runs.
    async fn run(mut self, _open: OwnerHandle) {
        self.carry_out();
        loop {
            self.links.hand_over();
            let committed = self.journal.hand_over();
            if self.stopping.is_some() && self.links.is_empty() {
                break;
            }
            if committed {
                pace::committed_alone();
            }
            pace::set_waits_for_disk(committed || self.broker.uncommitted_bytes() > 0);
            self.timer.arm(self.broker.next_timeout(), || (self.clock)().monotonic);
            let hears = self.hears_publishers();
            let Owner { waiting, journal, timer, .. } = &mut self;
            let something_waits = async {
                let mut answers = pin!(journal.next());
                poll_fn(|context| waiting.poll(context, answers.as_mut(), timer, hears)).await
            };
            if something_waits.await == Err(JournalStopped) {
                tracing::error!("the journal's thread has ended: nothing can be kept any more");
                break;
            }
            self.round();
        }
        if let Some(stopped) = self.stopping.take() {
            let _ = stopped.send(());
        }
    }

    /// Publishers wait for the disk, not for memory. While it takes nothing at all, the broker keeps nothing
    /// either: it withholds acknowledgements, and the others go on.
    fn hears_publishers(&self) -> bool {
        let behind = self.journal.is_behind() || self.broker.uncommitted_bytes() >= UNCOMMITTED_BYTES;
        !behind || self.journal_health == JournalHealth::Dead
    }

    fn round(&mut self) {
        let now = (self.clock)();
        let mut replies = std::mem::take(&mut self.waiting.replies);
        for reply in replies.drain(..) {
            if let Input::Health(health) = reply {
                self.journal_health = health;
            }
            self.handle(now, reply);
        }
        self.waiting.replies = replies;
        let mut controls = std::mem::take(&mut self.waiting.controls);
        for control in controls.drain(..) {
            self.obey(control);
        }
        self.waiting.controls = controls;
        let mut insiders = std::mem::take(&mut self.waiting.insiders);
        for from_inside in insiders.drain(..) {
            self.take_from_inside(now, from_inside);
        }
        self.waiting.insiders = insiders;
        let mut batches = std::mem::take(&mut self.waiting.batches);
        for batch in batches.drain(..) {
            self.take_batch(now, batch);
            self.journal.hand_over_early();
        }
        self.waiting.batches = batches;
        if self.broker.next_timeout().is_some_and(|due| due <= now.monotonic) {
            self.handle(now, Input::Timeout);
        }
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Register { source, answers } => {
                self.sources.insert(source, answers);
            }
            Control::Clock(boots) => self.broker.learn_clock(boots),
            Control::Rights(rights) => self.handle((self.clock)(), Input::Rights(rights)),
            Control::Hear { filter, to } => {
                self.broker.hear_inside(filter);
                self.inside = Some(to);
            }
            Control::Figures(answer) => {
                let _ = answer.send(self.broker.figures());
            }
            Control::Ping(answer) => {
                // Who asked may have lost patience.
                let _ = answer.send(());
            }
        }
    }

    fn take_batch(&mut self, now: Moment, batch: Batch) {
        if let Some((connection, outbox)) = batch.opened {
            self.links.open(connection, outbox);
            if self.stopping.is_some() {
                self.links.stage(connection, Outgoing::Close(CloseReason::ShuttingDown));
            }
        }
        let mut inputs = batch.inputs;
        for input in inputs.drain(..) {
            let closed = match &input {
                Input::Closed { connection } => Some(*connection),
                _ => None,
            };
            self.handle(now, input);
            if let Some(connection) = closed {
                self.links.remove(connection);
            }
        }
        self.spare_inputs.give_back(inputs);
    }

    fn take_from_inside(&mut self, now: Moment, from_inside: FromInside) {
        match from_inside {
            FromInside::Publications { source, publications } => {
                for publication in publications {
                    let Publication { token, message, relay, urgency } = publication;
                    self.handle(now, Input::Ingest { source, token, message, relay, urgency });
                }
            }
            FromInside::Stop(stopped) => {
                self.stopping = Some(stopped);
                self.links.close_all();
            }
        }
    }

    fn handle(&mut self, now: Moment, input: Input) {
        self.broker.handle(now, input, &mut self.outputs);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for output in self.outputs.drain(..) {
            match output {
                Output::SendPublish { connection, frame, packet_identifier, dup } => {
                    self.links.stage(connection, Outgoing::Publish { frame, packet_identifier, dup });
                }
                Output::Send { connection, packet } => {
                    self.links.stage(connection, Outgoing::Packet(packet));
                }
                Output::Close { connection, reason } => {
                    self.links.stage(connection, Outgoing::Close(reason));
                }
                Output::Accepted { source, token, outcome } => {
                    if let Some(answers) = self.sources.get(&source)
                        && answers.send(Accepted { token, outcome }).is_err()
                    {
                        self.sources.remove(&source);
                    }
                }
                Output::Inside(message) => {
                    if self.inside.as_ref().is_some_and(|inside| inside.try_send(*message).is_err()) {
                        tracing::warn!("too many commands wait, or nobody takes them: one is lost");
                    }
                }
                Output::Event(event) => self.observer.event(event),
                for_journal @ (Output::Append { .. } | Output::Load { .. }) => {
                    self.journal.stage(for_journal);
                }
            }
        }
    }
}

impl Waiting {
    /// Takes what waits, from each way in. Pending when nothing does and no timer is due.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        answers: Pin<&mut impl Future<Output = Result<Vec<Input>, JournalStopped>>>,
        timer: &mut Timer,
        hears_publishers: bool,
    ) -> Poll<Result<(), JournalStopped>> {
        let mut ready = timer.poll(context).is_ready();
        if let Poll::Ready(replies) = answers.poll(context) {
            self.replies.extend(replies?);
            ready = true;
        }
        if hears_publishers {
            ready |= self.connections.poll_recv_many(context, &mut self.batches, ROUND_BATCHES).is_ready();
            let publications = &mut self.inside.publications;
            ready |= publications.poll_recv_many(context, &mut self.insiders, ROUND_BATCHES).is_ready();
        }
        // Taken after the publications and dealt with before them: a source is known before it publishes.
        ready |= self.inside.control.poll_recv_many(context, &mut self.controls, ROUND_BATCHES).is_ready();
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
