//! The ways into the broker's owner task, each bounded: one for connections, one for those inside the gateway.
//!
//! They are two so that a client that floods the broker cannot crowd out a sensor. Never holds a message itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::outbox::Outbox;
use crate::broker::{ConnectionId, Figures, Input, Relay, Rights, SourceId};
use crate::durable::{Boots, DropReason, Message, Urgency};
use crate::mqtt::TopicFilter;

/// Questions to the owner that wait: they are few, and asked by those who wait for the answer.
const CONTROLS_WAITING: usize = 16;

/// Vectors kept for the batches of connections.
const SPARE_VECTORS: usize = 16;

/// The broker's owner task has ended: the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker has stopped")]
pub struct Stopped;

/// One message from inside the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Given back in [`Accepted`].
    pub token: u64,
    /// What is published.
    pub message: Message,
    /// Which uplinks may have it.
    pub relay: Relay,
    /// Whether somebody waits for [`Accepted`].
    pub urgency: Urgency,
}

/// How a [`Publication`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Which.
    pub token: u64,
    /// `Err`: why no durable consumer gets it.
    pub outcome: Result<(), DropReason>,
}

/// What those inside say about the owner's work. Always heard.
#[derive(Debug)]
pub(super) enum Control {
    /// A new source, and where its answers go.
    Register { source: SourceId, answers: mpsc::UnboundedSender<Accepted> },
    /// What is known of clocks from now on.
    Clock(Boots),
    /// Who may do what from now on.
    Rights(Rights),
    /// What the gateway itself wants to hear, and where it goes.
    Hear { filter: TopicFilter, to: mpsc::Sender<Message> },
    /// How much of everything is there?
    Figures(oneshot::Sender<Figures>),
    /// Is the owner alive?
    Ping(oneshot::Sender<()>),
}

/// What those inside publish. Heard as long as the journal is not behind.
#[derive(Debug)]
pub(super) enum FromInside {
    /// Messages, in order.
    Publications { source: SourceId, publications: Vec<Publication> },
    /// After all that: close every connection, then end and say so.
    Stop(oneshot::Sender<()>),
}

/// The inner ends of an [`Entrance`].
pub(super) struct Inside {
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) publications: mpsc::Receiver<FromInside>,
}

/// Where sources come from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entrance {
    control: mpsc::Sender<Control>,
    publications: mpsc::Sender<FromInside>,
    next_source: Arc<AtomicU32>,
}

/// Publishes through the broker from inside the gateway: an adapter, an uplink's way down, the gateway itself.
/// Cheap to clone; clones are the same source.
#[derive(Debug, Clone)]
pub struct Source {
    id: SourceId,
    publications: mpsc::Sender<FromInside>,
}

/// The answers to what a [`Source`] published. At most one per publication, so it is bounded by what the source
/// has open; drop it when they do not matter.
#[derive(Debug)]
pub struct Acceptances(mpsc::UnboundedReceiver<Accepted>);

impl Entrance {
    /// An entrance for at most `batches` waiting batches, and its inner ends.
    pub(super) fn new(batches: usize) -> (Entrance, Inside) {
        let (control, inner_control) = mpsc::channel(CONTROLS_WAITING);
        let (publications, inner_publications) = mpsc::channel(batches);
        let entrance = Entrance { control, publications, next_source: Arc::default() };
        (entrance, Inside { control: inner_control, publications: inner_publications })
    }

    /// A new source.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn source(&self) -> Result<(Source, Acceptances), Stopped> {
        let id = SourceId(self.next_source.fetch_add(1, Ordering::Relaxed));
        let (answers, receiver) = mpsc::unbounded_channel();
        self.control(Control::Register { source: id, answers }).await?;
        Ok((Source { id, publications: self.publications.clone() }, Acceptances(receiver)))
    }

    /// Tells the broker what is known of clocks from now on.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn learn_clock(&self, boots: Boots) -> Result<(), Stopped> {
        self.control(Control::Clock(boots)).await
    }

    /// How much of everything the broker holds.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn figures(&self) -> Result<Figures, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.control(Control::Figures(answer)).await?;
        answered.await.map_err(|_| Stopped)
    }

    /// Lets other access rules hold from now on.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn change_rights(&self, rights: Rights) -> Result<(), Stopped> {
        self.control(Control::Rights(rights)).await
    }

    /// What is published to topics of this filter comes here too, from now on; at most `waiting` wait, and what finds
    /// no room is lost.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn hear(
        &self,
        filter: TopicFilter,
        waiting: usize,
    ) -> Result<mpsc::Receiver<Message>, Stopped> {
        let (to, receiver) = mpsc::channel(waiting);
        self.control(Control::Hear { filter, to }).await?;
        Ok(receiver)
    }

    /// Waits until the owner has heard this: a sign of life.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn ping(&self) -> Result<(), Stopped> {
        let (answer, answered) = oneshot::channel();
        self.control(Control::Ping(answer)).await?;
        answered.await.map_err(|_| Stopped)
    }

    /// Closes every connection, once all that was published before is dealt with, and ends the owner; returns
    /// when it has ended.
    ///
    /// # Errors
    /// When it had stopped before.
    pub async fn stop(&self) -> Result<(), Stopped> {
        let (answer, answered) = oneshot::channel();
        self.publications.send(FromInside::Stop(answer)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Waits until the owner has ended, in whatever way.
    pub async fn ended(&self) {
        self.control.closed().await;
    }

    async fn control(&self, control: Control) -> Result<(), Stopped> {
        self.control.send(control).await.map_err(|_| Stopped)
    }
}

impl Source {
    /// Hands messages over, in order, waiting for room.
    ///
    /// # Errors
    /// When the broker has stopped.
    pub async fn publish(&self, publications: Vec<Publication>) -> Result<(), Stopped> {
        let batch = FromInside::Publications { source: self.id, publications };
        self.publications.send(batch).await.map_err(|_| Stopped)
    }

    /// Hands messages over, in order, if there is room now.
    ///
    /// # Errors
    /// The messages, when there is no room or the broker has stopped: the caller counts them as dropped, or
    /// tries again.
    pub fn try_publish(&self, publications: Vec<Publication>) -> Result<(), Vec<Publication>> {
        let batch = FromInside::Publications { source: self.id, publications };
        self.publications.try_send(batch).map_err(|error| match error.into_inner() {
            FromInside::Publications { publications, .. } => publications,
            FromInside::Stop(_) => Vec::new(),
        })
    }
}

impl Acceptances {
    /// The next answer; `None` when the broker has stopped.
    pub async fn next(&mut self) -> Option<Accepted> {
        self.0.recv().await
    }
}

/// What one read of a connection brought.
#[derive(Debug)]
pub(super) struct Batch {
    /// Said with the first: where its outputs go.
    pub(super) opened: Option<(ConnectionId, Arc<Outbox>)>,
    /// In order.
    pub(super) inputs: Vec<Input>,
}

/// Vectors of batches that were dealt with, to be used again: they are made on one thread and emptied on another,
/// which allocators do not like.
#[derive(Debug, Clone, Default)]
pub(super) struct SpareInputs(Arc<Mutex<Vec<Vec<Input>>>>);

impl SpareInputs {
    /// An empty vector.
    pub(super) fn take(&self) -> Vec<Input> {
        self.spare().pop().unwrap_or_default()
    }

    /// Takes back a vector.
    pub(super) fn give_back(&self, mut inputs: Vec<Input>) {
        inputs.clear();
        let mut spare = self.spare();
        if spare.len() < SPARE_VECTORS {
            spare.push(inputs);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<Input>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way in for connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    batches: mpsc::Sender<Batch>,
    spare: SpareInputs,
}

impl Inbox {
    /// An inbox for at most `batches` waiting batches, and its inner end.
    pub(super) fn new(batches: usize) -> (Inbox, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(batches);
        (Inbox { batches: sender, spare: SpareInputs::default() }, receiver)
    }

    /// Where vectors for batches come from and go back to.
    pub(super) const fn spare(&self) -> &SpareInputs {
        &self.spare
    }

    /// Hands a batch over if there is room, which there almost always is; gives it back if there is none.
    pub(super) fn try_send(&self, batch: Batch) -> Result<Option<Batch>, Stopped> {
        match self.batches.try_send(batch) {
            Ok(()) => Ok(None),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Stopped),
            Err(mpsc::error::TrySendError::Full(batch)) => Ok(Some(batch)),
        }
    }

    /// Hands a batch over, waiting for room.
    pub(super) async fn send(&self, batch: Batch) -> Result<(), Stopped> {
        self.batches.send(batch).await.map_err(|_| Stopped)
    }

    /// Says that a connection is gone, now or, when there is no room, as soon as there is.
    pub(super) fn closed(&self, connection: ConnectionId) {
        let batch = Batch { opened: None, inputs: vec![Input::Closed { connection }] };
        if let Err(mpsc::error::TrySendError::Full(batch)) = self.batches.try_send(batch) {
            let sender = self.batches.clone();
            tokio::spawn(async move { sender.send(batch).await });
        }
    }
}
