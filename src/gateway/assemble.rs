//! The order in which a gateway is put together: the journal, the broker, presence, uplinks, listeners, sensors.
//!
//! Each comes when everything that it needs is there; only the journal and the broker are needed by all.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::broker::{Broker, Output};
use crate::clock::Clock as SystemClock;
use crate::config::Config;
use crate::disk::{Clock, JournalHandle};
use crate::durable::{ConsumerId, DropReason};
use crate::journal::{Recovery, Writer};
use crate::mqtt::TopicFilter;
use crate::net::{self, BrokerThread, JournalLink, OwnerHandle, OwnerParts, Stopped};
use crate::reading::Render;
use crate::route::Json;
use crate::telemetry::{BrokerCounters, BrokerObserver};
use crate::time::Moment;
use crate::uplink::UplinkThread;
use crate::users::Verifier;

use super::bluetooth::Bluetooth;
use super::commands::CommandBoard;
use super::listeners::{self, KeptListener};
use super::presence::PresenceBoard;
use super::pulse::Pulse;
use super::sensors::{KeptSensor, Sources};
use super::sys_topics::SysTopics;
use super::uplinks::{self, Common, KeptUplink};
use super::{Gateway, StartError, Tasks, clock_watch, journal, supervisor};

/// Commands that wait for their sensors.
const COMMANDS_WAITING: usize = 64;

/// What everything else stands on.
struct Foundation {
    now: Moment,
    clock: Clock,
    journal: JournalHandle,
    journal_max_bytes: u64,
    recovery: Recovery,
    counters: Arc<BrokerCounters>,
    renderer: Arc<dyn Render>,
    owner: OwnerHandle,
    thread: BrokerThread,
    /// Of the uplinks, in the order of the configuration: their queues.
    queues: Vec<Vec<(ByteString, ConsumerId)>>,
    tasks: Tasks,
}

/// Puts a gateway together and sets it going.
pub(super) async fn assemble(config: &Config, system_clock: SystemClock) -> Result<Gateway, StartError> {
    let Foundation {
        now,
        clock,
        journal,
        journal_max_bytes,
        recovery,
        counters,
        renderer,
        owner,
        thread,
        queues,
        mut tasks,
    } = lay_foundation(config, &system_clock).await?;
    let presence = PresenceBoard::start(&config.gateway.id, owner.entrance(), Arc::clone(&clock)).await?;
    let boots = watch::Sender::new(recovery.state.boots.clone());
    let uplink_thread = start_uplink_thread(config)?;
    let common = Common {
        runtime: uplink_thread.as_ref().map_or_else(Handle::current, |thread| thread.handle().clone()),
        journal: journal.clone(),
        presence: presence.subscribe(),
        boots: boots.subscribe(),
        clock: Arc::clone(&clock),
        renderer,
        counters: Arc::clone(&counters),
        status_topic: presence.status_topic().clone(),
        uplink_notes: config.gateway.data_dir.clone(),
        gateway: ByteString::from(config.gateway.id.as_str()),
    };
    let uplinks = start_uplinks(config, &common, &owner, &recovery, queues).await?;
    let bluetooth = Bluetooth::new(config, system_clock.clone());
    let sources = Sources::new(&config.gateway, owner.entrance(), &presence, &bluetooth, &system_clock);
    let sensors = start_sensors(config, &sources).await?;
    bluetooth.publish_families(config, owner.entrance(), &presence);

    let commands = CommandBoard::default();
    commands.update(&sensors);
    carry_commands(config, &owner, &commands, &mut tasks).await?;
    // Clients last: what the first of them sets is heard already.
    let verifier = Arc::new(Verifier::start().map_err(StartError::Threads)?);
    let listeners = start_listeners(config, &owner, &verifier);
    let entrance = owner.entrance().clone();
    publish_sys(config, &owner, &counters, &clock, now, &mut tasks);
    tasks.spawn(clock_watch::learn(Arc::clone(&clock), boots, entrance.clone(), journal.clone()));
    let pulse = Pulse { broker: entrance, journal: journal.clone(), clock: Arc::clone(&clock) };
    tasks.spawn(supervisor::supervise(pulse));
    Ok(Gateway {
        config: config.clone(),
        started_at: now.monotonic,
        system_clock,
        clock,
        owner,
        journal,
        journal_max_bytes,
        counters,
        verifier,
        listeners,
        presence,
        sensors,
        bluetooth,
        commands,
        uplinks,
        _tasks: tasks,
        _thread: thread,
        _uplink_thread: uplink_thread,
    })
}

/// The broker's figures below `$SYS`, unless they are not wanted.
fn publish_sys(
    config: &Config,
    owner: &OwnerHandle,
    counters: &Arc<BrokerCounters>,
    clock: &Clock,
    now: Moment,
    tasks: &mut Tasks,
) {
    let every = Duration::from_secs(config.limits.sys_interval_seconds.into());
    if every.is_zero() {
        return;
    }
    let sys_topics = SysTopics {
        entrance: owner.entrance().clone(),
        connections: Arc::clone(owner.reception().counters()),
        counters: Arc::clone(counters),
        clock: Arc::clone(clock),
        started_at: now.monotonic,
    };
    tasks.spawn(sys_topics.publish(every));
}

/// What comes to a sensor's `set` goes down to it.
async fn carry_commands(
    config: &Config,
    owner: &OwnerHandle,
    commands: &CommandBoard,
    tasks: &mut Tasks,
) -> Result<(), StartError> {
    if let Ok(filter) = TopicFilter::parse(format!("tidegate/{}/+/set", config.gateway.id)) {
        let messages = owner.entrance().hear(filter, COMMANDS_WAITING).await?;
        tasks.spawn(super::commands::carry(messages, commands.subscribe()));
    }
    Ok(())
}

async fn lay_foundation(config: &Config, system_clock: &SystemClock) -> Result<Foundation, StartError> {
    let clock: Clock = {
        let clock = system_clock.clone();
        Arc::new(move || clock.now())
    };
    let now = clock();
    let settings = config.journal.clone();
    let folder = config.gateway.data_dir.join("journal");
    let journal_clock = Arc::clone(&clock);
    // Reading a large journal takes a while: not on a thread that others need.
    let opening = spawn_blocking(move || journal::open(&settings, &folder, journal_clock));
    let opened = opening.await.map_err(|_| StartError::Stopped)??;
    let (journal, recovery) = (opened.thread.handle, opened.recovery);

    let renderer: Arc<dyn Render> = Arc::new(Json);
    let mut outputs = Vec::new();
    let (broker, queues) = build_broker(config, &renderer, &recovery, now, &mut outputs);
    let counters = Arc::new(BrokerCounters::default());
    counters.count_dropped(DropReason::Damaged, recovery.report.messages_lost());
    let client = journal.client(Writer::BROKER).await.map_err(|_| StartError::Stopped)?;
    let thread = BrokerThread::start().map_err(StartError::Threads)?;
    let (owner, owner_task) = net::start(OwnerParts {
        broker,
        outputs,
        journal: JournalLink::new(client),
        clock: Arc::clone(&clock),
        observer: Box::new(BrokerObserver::start(Arc::clone(&counters))),
        runtime: thread.handle().clone(),
    })
    .map_err(StartError::Threads)?;
    let tasks = Tasks(vec![owner_task]);
    // Once it has answered, the journal has been told of new uplinks, before any of them appends.
    owner.entrance().ping().await?;
    let journal_max_bytes = opened.max_bytes;
    Ok(Foundation {
        now,
        clock,
        journal,
        journal_max_bytes,
        recovery,
        counters,
        renderer,
        owner,
        thread,
        queues,
        tasks,
    })
}

/// The broker as the last run left it, and the queues of its uplinks.
fn build_broker(
    config: &Config,
    renderer: &Arc<dyn Render>,
    recovery: &Recovery,
    now: Moment,
    outputs: &mut Vec<Output>,
) -> (Broker, Vec<Vec<(ByteString, ConsumerId)>>) {
    let broker = Broker::new(config.limits.clone(), Arc::clone(renderer));
    let mut broker = broker.with_rights(config.rights.clone());
    broker.restore(&recovery.state, &recovery.queued, now);
    for (consumer, owed) in &recovery.backlogs {
        broker.restore_owed(*consumer, owed.messages, owed.bytes);
    }
    let uplinks = config.uplinks.iter();
    let queues = uplinks.map(|uplink| {
        let first = broker.add_uplink(now, &uplinks::rules(uplink), outputs);
        broker.uplink_queues(first)
    });
    let queues = queues.collect();
    (broker, queues)
}

fn start_uplink_thread(config: &Config) -> Result<Option<UplinkThread>, StartError> {
    let wanted = !config.uplinks.is_empty();
    wanted.then(UplinkThread::start).transpose().map_err(StartError::Threads)
}

async fn start_uplinks(
    config: &Config,
    common: &Common,
    owner: &OwnerHandle,
    recovery: &Recovery,
    queues: Vec<Vec<(ByteString, ConsumerId)>>,
) -> Result<Vec<KeptUplink>, Stopped> {
    let mut kept = Vec::new();
    for (uplink, known) in config.uplinks.iter().zip(queues) {
        let queues = uplinks::queues(uplink, known, recovery);
        let broker = owner.entrance().source().await?;
        kept.push(uplinks::start(common, uplink, queues, broker).await);
    }
    Ok(kept)
}

fn start_listeners(config: &Config, owner: &OwnerHandle, verifier: &Arc<Verifier>) -> Vec<KeptListener> {
    let listeners = config.listeners.iter();
    listeners.map(|listener| listeners::start(listener, owner.reception(), verifier, None)).collect()
}

async fn start_sensors(config: &Config, sources: &Sources<'_>) -> Result<Vec<KeptSensor>, Stopped> {
    sources.start(&config.sensors).await
}
