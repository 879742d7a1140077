//! Assembly: builds every task and every channel of a gateway, and takes them down in order.
//!
//! Decides nothing about messages. One failing source, listener or uplink never stops the others: each keeps trying
//! on its own and the status says so. Only a journal that cannot be opened keeps a gateway from starting: without
//! it no promise could be kept.
//!
//! [`Gateway`] can be started several times in one process (tests and the demo do); [`run`] is the service.

mod clock_watch;
mod journal;
mod listeners;
mod presence;
mod pulse;
mod reload;
mod sensors;
mod service;
mod status;
mod supervisor;
mod uplinks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use journal::JournalError;
pub use service::run;

use crate::broker::{Broker, Output};
use crate::clock::Clock as SystemClock;
use crate::config::Config;
use crate::disk::{Clock, JournalHandle};
use crate::durable::{ConsumerId, DropReason};
use crate::journal::{Recovery, Writer};
use crate::mqtt::TopicError;
use crate::net::{self, JournalLink, OwnerHandle, OwnerParts, Stopped};
use crate::reading::Render;
use crate::route::Json;
use crate::telemetry::{BrokerCounters, BrokerObserver, Snapshot};
use crate::time::{Instant, Moment};
use listeners::{KeptListener, ListenerState};
use presence::PresenceBoard;
use pulse::Pulse;
use sensors::{KeptSensor, Sources};
use uplinks::{Common, KeptUplink};

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
    listeners: Vec<KeptListener>,
    presence: PresenceBoard,
    sensors: Vec<KeptSensor>,
    uplinks: Vec<KeptUplink>,
    _tasks: Tasks,
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
        let clock: Clock = {
            let clock = system_clock.clone();
            Arc::new(move || clock.now())
        };
        let now = clock();
        let settings = config.journal.clone();
        let folder = config.gateway.data_dir.join("journal");
        let journal_clock = Arc::clone(&clock);
        // Reading a large journal takes a while: not on a thread that others need.
        let opening = tokio::task::spawn_blocking(move || journal::open(&settings, &folder, journal_clock));
        let opened = opening.await.map_err(|_| StartError::Stopped)??;
        let journal = opened.thread.handle;

        let renderer: Arc<dyn Render> = Arc::new(Json);
        let mut outputs = Vec::new();
        let (broker, consumers) = build_broker(config, &renderer, &opened.recovery, now, &mut outputs);
        let counters = Arc::new(BrokerCounters::default());
        counters.count_dropped(DropReason::Damaged, opened.recovery.report.messages_lost());
        let client = journal.client(Writer::BROKER).await.map_err(|_| StartError::Stopped)?;
        let mut tasks = Tasks::default();
        let (owner, owner_task) = net::start(OwnerParts {
            broker,
            outputs,
            journal: JournalLink::new(client),
            clock: Arc::clone(&clock),
            observer: Box::new(BrokerObserver::start(Arc::clone(&counters))),
        });
        tasks.0.push(owner_task);
        // Once it has answered, the journal has been told of new uplinks, before any of them appends.
        owner.entrance().ping().await?;

        let presence = PresenceBoard::start(&config.gateway.id, owner.entrance(), Arc::clone(&clock)).await?;
        let boots = watch::Sender::new(opened.recovery.state.boots.clone());
        let common = Common {
            journal: journal.clone(),
            presence: presence.subscribe(),
            boots: boots.subscribe(),
            clock: Arc::clone(&clock),
            renderer,
            counters: Arc::clone(&counters),
            status_topic: presence.status_topic().clone(),
        };
        let uplinks = start_uplinks(config, &common, &owner, &opened.recovery, &consumers).await?;
        let listeners = start_listeners(config, &owner);
        let sources = Sources::new(&config.gateway, owner.entrance(), &presence, &system_clock);
        let mut sensors = Vec::new();
        for sensor in &config.sensors {
            sensors.push(sources.start(sensor).await?);
        }
        let pulse =
            Pulse { broker: owner.entrance().clone(), journal: journal.clone(), clock: Arc::clone(&clock) };
        let learning =
            clock_watch::learn(Arc::clone(&clock), boots, owner.entrance().clone(), journal.clone());
        tasks.spawn(learning);
        tasks.spawn(supervisor::supervise(pulse));
        Ok(Gateway {
            config: config.clone(),
            started_at: now.monotonic,
            system_clock,
            clock,
            owner,
            journal,
            journal_max_bytes: opened.max_bytes,
            counters,
            listeners,
            presence,
            sensors,
            uplinks,
            _tasks: tasks,
        })
    }

    /// Waits until every listener is open; the addresses with the ports that the system chose.
    pub async fn listening(&self) -> Vec<SocketAddr> {
        for listener in &self.listeners {
            listener.opened().await;
        }
        self.addresses()
    }

    /// Where it listens now.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let states = self.listeners.iter().map(KeptListener::state);
        states
            .filter_map(|state| match state {
                ListenerState::Open(address) => Some(address),
                ListenerState::Opening | ListenerState::Failing(_) => None,
            })
            .collect()
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

/// The broker as the last run left it, and the consumers of its uplinks.
fn build_broker(
    config: &Config,
    renderer: &Arc<dyn Render>,
    recovery: &Recovery,
    now: Moment,
    outputs: &mut Vec<Output>,
) -> (Broker, Vec<ConsumerId>) {
    let mut broker = Broker::new(config.limits.clone(), Arc::clone(renderer));
    broker.restore(&recovery.state, &recovery.queued, now);
    let uplinks = config.uplinks.iter();
    let consumers = uplinks.map(|uplink| broker.add_uplink(now, &uplinks::rules(uplink), outputs)).collect();
    (broker, consumers)
}

async fn start_uplinks(
    config: &Config,
    common: &Common,
    owner: &OwnerHandle,
    recovery: &Recovery,
    consumers: &[ConsumerId],
) -> Result<Vec<KeptUplink>, Stopped> {
    let mut kept = Vec::new();
    for (uplink, consumer) in config.uplinks.iter().zip(consumers) {
        let restored = uplinks::restored(recovery, *consumer);
        let broker = owner.entrance().source().await?;
        kept.push(uplinks::start(common, uplink, *consumer, restored, broker).await);
    }
    Ok(kept)
}

fn start_listeners(config: &Config, owner: &OwnerHandle) -> Vec<KeptListener> {
    let listeners = config.listeners.iter();
    listeners.map(|listener| listeners::start(listener, config, owner.reception())).collect()
}
