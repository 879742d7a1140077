//! Uplinks: sockets, the journal and the broker under [`crate::bridge::Forwarder`].
//!
//! ```text
//! journal thread ─ deliveries ──────────▶  ┌──────────────┐ ─ PUBLISH ─▶ server
//!               ◀─ Done, Assigned, ... ──  │ one task per │
//! gateway ─ presence, clocks, stop ─────▶  │    uplink    │ ◀─ acknowledgements
//! broker ◀─ what the server publishes ───  └──────────────┘
//! ```
//!
//! One task per uplink, so that one that is down never holds another. It decides nothing: everything that happens
//! is told to the forwarder, everything the forwarder says is carried out. It never waits for one of its neighbours
//! while others have something to say: what the journal or the broker does not take yet is kept.

mod connection;
mod connector;
mod dead_letters;
mod handover;
mod shared_access;
mod task;
mod thread;

#[cfg(test)]
mod tests;

pub use connector::{Better, Connector, Credentials, Login, Opened, Opening, ServerConnector, Stream};
pub use dead_letters::{DeadLetterFile, Replayed};
pub use shared_access::{NotBase64, SharedAccessKey, username as shared_access_username};
pub use thread::UplinkThread;

use std::sync::Arc;

use bytestring::ByteString;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::bridge::{DeadLetter, Durability, Event, Forwarder, Options, PresenceMap, Queue, Status};
use crate::disk::{Clock, JournalHandle, JournalStopped};
use crate::durable::{Boots, ConsumerId};
use crate::net::{Acceptances, Source};
use crate::reading::Render;
use task::Task;

/// Commands of a person that wait for the task.
const COMMANDS_WAITING: usize = 4;

/// One `[uplink.NAME]`.
#[derive(Debug, Clone)]
pub struct UplinkOptions {
    /// NAME
    pub name: ByteString,
    /// How to talk to it.
    pub session: Options,
}

/// Is told what a person should see, or what is counted; called on the uplink's task, must not wait.
pub type Watch = Box<dyn FnMut(&Event) + Send>;

/// Keeps what the server will never take; called on the uplink's task, must not wait for long.
pub type LayAside = Box<dyn FnMut(&DeadLetter) + Send>;

/// What a person may want of a running uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Sends nothing for now; everything is kept.
    Pause,
    /// Goes on.
    Resume,
    /// Gives up everything that waits now. What is under way is not called back.
    Discard,
}

/// What an uplink works with.
pub struct Surroundings {
    /// Where its task runs.
    pub runtime: Handle,
    /// Where its deliveries come from.
    pub journal: JournalHandle,
    /// Where what the server publishes goes; `None`: it receives nothing.
    pub broker: Option<(Source, Acceptances)>,
    /// What is true of the gateway and its sensors.
    pub presence: watch::Receiver<PresenceMap>,
    /// What is known of clocks.
    pub boots: watch::Receiver<Boots>,
    /// Tells the time.
    pub clock: Clock,
    /// Makes payloads of readings.
    pub renderer: Arc<dyn Render>,
    /// Is told what happens.
    pub watch: Watch,
    /// Gets what the server will never take.
    pub lay_aside: LayAside,
}

/// A running uplink.
pub struct Uplink {
    /// `[uplink.NAME]`
    pub name: ByteString,
    /// Under this number the journal knows its backlog.
    pub consumer: ConsumerId,
    status: watch::Receiver<Status>,
    server: watch::Receiver<Arc<str>>,
    stop: watch::Sender<bool>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Figures as of now. What waits in the journal is the journal's to say: its status, under
    /// [`Uplink::consumer`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The figures, to be watched.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The server that took us last, as a person wrote it; empty before the first.
    #[must_use]
    pub fn server(&self) -> Arc<str> {
        self.server.borrow().clone()
    }

    /// Does what a person wants; whether it is still running.
    pub async fn command(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Says good-bye to the server and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Runs an uplink over connections of any kind; [`ServerConnector`] opens those to real servers. `queues`: what it
/// sends; the first is the one that its name stands for.
///
/// # Errors
/// When the journal has stopped.
pub async fn spawn(
    connector: impl Connector,
    options: UplinkOptions,
    queues: Vec<Queue>,
    surroundings: Surroundings,
) -> Result<Uplink, JournalStopped> {
    let Surroundings { runtime, journal, broker, presence, boots, clock, renderer, watch: events, lay_aside } =
        surroundings;
    let consumers: Vec<ConsumerId> = queues.iter().map(|queue| queue.consumer).collect();
    let consumer = consumers.first().copied().unwrap_or(ConsumerId(0));
    let is_eager = options.session.durability == Durability::Either;
    let client = journal.client_of_queues(consumer, &consumers, is_eager).await?;
    // What was committed before the journal knew us was not announced to us.
    let committed = journal.status().await?.last_committed;
    let known_boots = boots.borrow().clone();
    let forwarder = Forwarder::with_queues(clock(), &queues, options.session.clone(), renderer, known_boots);
    let (status, status_receiver) = watch::channel(Status::default());
    let (server, server_receiver) = watch::channel(Arc::default());
    let (stop, stop_receiver) = watch::channel(false);
    let (commands, inner_commands) = mpsc::channel(COMMANDS_WAITING);
    let task = Task::new(
        Box::new(connector),
        &options,
        forwarder,
        client,
        broker,
        clock,
        (events, lay_aside),
        consumers,
        inner_commands,
        (status, server),
    );
    let task = runtime.spawn(task.run(committed, presence, boots, stop_receiver));
    Ok(Uplink {
        name: options.name,
        consumer,
        status: status_receiver,
        server: server_receiver,
        stop,
        commands,
        task,
    })
}
