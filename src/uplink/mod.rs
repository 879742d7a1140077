//! Uplinks: sockets, the journal and the broker under [`crate::bridge::Forwarder`].
//!
//! ```text
//! journal thread ─ committed deliveries ─▶ ┌──────────────┐ ─ PUBLISH ─▶ server
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
mod handover;
mod task;

#[cfg(test)]
mod tests;

pub use connector::{Connector, Credentials, Login, Opened, Opening, ServerConnector, Stream};

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bridge::{Event, Forwarder, Options, PresenceMap, Restored, Status};
use crate::disk::{Clock, JournalHandle, JournalStopped};
use crate::durable::{Boots, ConsumerId};
use crate::journal::Writer;
use crate::net::{Acceptances, Source};
use crate::reading::Render;
use task::Task;

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

/// What an uplink works with.
pub struct Surroundings {
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
}

/// A running uplink.
pub struct Uplink {
    /// `[uplink.NAME]`
    pub name: ByteString,
    /// Under this number the journal knows its backlog.
    pub consumer: ConsumerId,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
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

    /// Says good-bye to the server and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Runs an uplink over connections of any kind; [`ServerConnector`] opens those to real servers.
///
/// # Errors
/// When the journal has stopped.
pub async fn spawn(
    connector: impl Connector,
    options: UplinkOptions,
    consumer: ConsumerId,
    restored: Restored,
    surroundings: Surroundings,
) -> Result<Uplink, JournalStopped> {
    let Surroundings { journal, broker, presence, boots, clock, renderer, watch: events } = surroundings;
    let client = journal.client(Writer::uplink(consumer)).await?;
    // What was committed before the journal knew us was not announced to us.
    let committed = journal.status().await?.last_committed;
    let known_boots = boots.borrow().clone();
    let forwarder =
        Forwarder::new(clock(), consumer, options.session.clone(), renderer, known_boots, restored);
    let (status, status_receiver) = watch::channel(Status::default());
    let (stop, stop_receiver) = watch::channel(false);
    let task = Task::new(Box::new(connector), &options, forwarder, client, broker, clock, events, status);
    let task = tokio::spawn(task.run(committed, presence, boots, stop_receiver));
    Ok(Uplink { name: options.name, consumer, status: status_receiver, stop, task })
}
