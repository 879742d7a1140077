//! Assembly: builds every task and every channel of a gateway, and takes them down in order.
//!
//! Decides nothing about messages. One failing source, listener or uplink never stops the others: each keeps trying
//! on its own and the status says so. Only a journal that cannot be opened keeps a gateway from starting: without
//! it no promise could be kept.
//!
//! [`Gateway`] can be started several times in one process (tests and the demo do); [`run`] is the service.

mod assemble;
mod bluetooth;
mod clock_watch;
mod commands;
mod control;
mod drain;
mod journal;
mod listeners;
mod presence;
mod pulse;
mod reload;
mod report;
mod sensors;
mod service;
mod status;
mod supervisor;
mod sys_topics;
mod uplinks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use journal::JournalError;
pub use service::run;

use crate::clock::Clock as SystemClock;
use crate::config::Config;
use crate::disk::{Clock, JournalHandle};
use crate::mqtt::TopicError;
use crate::net::{Bound, BrokerThread, OwnerHandle, Stopped};
use crate::telemetry::{Answer, BrokerCounters, Snapshot, Wish};
use crate::time::Instant;
use crate::uplink::UplinkThread;
use crate::users::Verifier;
use bluetooth::Bluetooth;
use commands::CommandBoard;
use listeners::{KeptListener, ListenerState};
use presence::PresenceBoard;
use sensors::KeptSensor;
use uplinks::KeptUplink;

/// How long connections may take to end when the gateway stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its name cannot stand in a topic.
    #[error("{0:?} cannot stand in a topic: {1}")]
    Name(String, #[source] TopicError),
    /// There are no threads for its parts.
    #[error("the system has no threads left: {0}")]
    Threads(#[source] std::io::Error),
    /// A part ended before it began; its log line says why.
    #[error("a part of the gateway stopped while it was started")]
    Stopped,
}

impl From<Stopped> for StartError {
    fn from(Stopped: Stopped) -> StartError {
        StartError::Stopped
    }
}

/// A running gateway. Ends with [`Gateway::shutdown`]; when dropped, its parts end without order, as in a crash.
pub struct Gateway {
    config: Config,
    system_clock: SystemClock,
    clock: Clock,
    started_at: Instant,
    owner: OwnerHandle,
    journal: JournalHandle,
    journal_max_bytes: u64,
    counters: Arc<BrokerCounters>,
    verifier: Arc<Verifier>,
    listeners: Vec<KeptListener>,
    presence: PresenceBoard,
    sensors: Vec<KeptSensor>,
    bluetooth: Bluetooth,
    commands: CommandBoard,
    uplinks: Vec<KeptUplink>,
    _tasks: Tasks,
    _thread: BrokerThread,
    /// None where there are no uplinks.
    _uplink_thread: Option<UplinkThread>,
}

/// Tasks that end with the gateway, also when it does not get as far as running.
#[derive(Default)]
struct Tasks(Vec<AbortHandle>);

impl Tasks {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(tokio::spawn(task).abort_handle());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Gateway {
    /// Starts a gateway. When it returns, the journal is open and everything else is on its way; see
    /// [`Gateway::listening`].
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub async fn start(config: &Config, system_clock: SystemClock) -> Result<Gateway, StartError> {
        assemble::assemble(config, system_clock).await
    }

    /// Waits until every listener is open; the TCP addresses with the ports that the system chose.
    pub async fn listening(&self) -> Vec<SocketAddr> {
        for listener in &self.listeners {
            listener.opened().await;
        }
        self.addresses()
    }

    /// Where it listens over TCP now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open_listeners().filter_map(|bound| bound.tcp()).collect()
    }

    /// Where it listens now.
    fn open_listeners(&self) -> impl Iterator<Item = Bound> {
        self.listeners.iter().map(KeptListener::state).filter_map(|state| match state {
            ListenerState::Open(bound) => Some(bound),
            ListenerState::Opening | ListenerState::Failing(_) => None,
        })
    }

    /// Waits until a vital part has ended by itself, which is a fault.
    pub async fn failed(&self) {
        // The owner of the broker ends, too, when the journal's thread has.
        self.owner.entrance().ended().await;
    }

    /// Everything there is to show.
    pub async fn snapshot(&self) -> Snapshot {
        status::snapshot(self).await
    }

    /// Does what a person wants of an uplink.
    pub async fn carry_out(&self, wish: &Wish) -> Answer {
        control::carry_out(self, wish).await
    }

    /// Takes over what of a new configuration can be changed while running; the log names what needs a restart.
    pub async fn reload(&mut self, config: &Config) {
        if reload::reload(self, config).await.is_err() {
            tracing::error!("the configuration was taken over in part: the broker has stopped");
        }
    }

    /// Ends the gateway in order: says `offline`, closes connections, commits the journal.
    pub async fn shutdown(mut self) {
        self.listeners.clear();
        self.sensors.clear();
        self.presence.offline().await;
        // Each says good-bye on its own; the slowest counts.
        let stopping = self.uplinks.drain(..).filter_map(|uplink| uplink.running.ok());
        let stopping: Vec<_> = stopping.map(|uplink| tokio::spawn(uplink.stop())).collect();
        let stopped = async {
            for uplink in stopping {
                let _ = uplink.await;
            }
        };
        if timeout(STOP_DEADLINE, stopped).await.is_err() {
            tracing::warn!("some uplinks did not end in time");
        }
        if timeout(STOP_DEADLINE, self.owner.entrance().stop()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        if self.journal.shutdown().await.is_err() {
            tracing::error!("the journal had stopped before the gateway did");
        }
    }
}
