//! Uplinks: from their configuration to running tasks.

use std::cmp::Reverse;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::control::pause_note;
use super::drain::Drain;
use crate::bridge::{Metered, Options, PresenceMap, Priority, Provider, Queue, Receive, Restored, Spent};
use crate::broker::{ForwardRule, UplinkRules};
use crate::config::{self, Payload, Secret};
use crate::disk::{Clock, JournalHandle};
use crate::durable::{Boots, ConsumerId};
use crate::journal::{Quota, Recovery};
use crate::mqtt::TopicName;
use crate::net::{Acceptances, Source};
use crate::reading::Render;
use crate::route::{SenMl, ThingsBoard};
use crate::stream::Route;
use crate::telemetry::{BrokerCounters, LaidAside, UplinkObserver};
use crate::time::TimeQuality;
use crate::uplink::{
    self, Command, Credentials, DeadLetterFile, Login, ServerConnector, SharedAccessKey, Surroundings,
    UplinkOptions, shared_access_username,
};

/// How long a connection lasts whose password was made from a key.
const SHARED_ACCESS_RENEWAL: Duration = Duration::from_secs(55 * 60);
/// How much longer the password is valid.
const SHARED_ACCESS_MARGIN: Duration = Duration::from_secs(5 * 60);

/// What the broker keeps for an uplink.
pub(super) fn rules(uplink: &config::Uplink) -> UplinkRules {
    let forward = uplink.forward.iter();
    let forward = forward
        .map(|line| ForwardRule {
            filter: line.filter.clone(),
            maximum_qos: line.maximum_qos,
            queue: line.queue(),
        })
        .collect();
    UplinkRules { name: uplink.name.clone(), forward }
}

/// What all uplinks of a gateway work with.
pub(super) struct Common {
    /// Where their tasks run.
    pub(super) runtime: Handle,
    pub(super) journal: JournalHandle,
    pub(super) presence: watch::Receiver<PresenceMap>,
    pub(super) boots: watch::Receiver<Boots>,
    pub(super) clock: Clock,
    pub(super) renderer: Arc<dyn Render>,
    pub(super) counters: Arc<BrokerCounters>,
    pub(super) status_topic: TopicName,
    /// The folder in which uplinks note what they need after a restart.
    pub(super) uplink_notes: PathBuf,
    pub(super) gateway: ByteString,
}

#[derive(Default)]
struct Noted(Mutex<Spent>);

impl Noted {
    fn replace(&self, spent: Spent) -> Spent {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), spent)
    }
}

/// An uplink of the configuration.
pub(super) struct KeptUplink {
    pub(super) name: ByteString,
    pub(super) server: String,
    /// Its queues, the first of which its name stands for.
    pub(super) queues: Vec<ConsumerId>,
    /// `Err`: why it cannot run as it is configured. What it would send is kept.
    pub(super) running: Result<uplink::Uplink, String>,
    /// How fast it sends.
    pub(super) drain: Drain,
    /// What was noted of a link that costs.
    noted: Noted,
}

/// Starts one uplink.
pub(super) async fn start(
    common: &Common,
    uplink: &config::Uplink,
    queues: Vec<Queue>,
    broker: (Source, Acceptances),
) -> KeptUplink {
    let consumers = queues.iter().map(|queue| queue.consumer).collect();
    let running = try_to_start(common, uplink, queues, broker).await;
    if let Err(problem) = &running {
        tracing::error!("uplink {} is not started, its messages are kept: {problem}", uplink.name);
    }
    let server = uplink.server.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    KeptUplink {
        name: uplink.name.clone(),
        server,
        queues: consumers,
        running,
        drain: Drain::default(),
        noted: Noted::default(),
    }
}

async fn try_to_start(
    common: &Common,
    uplink: &config::Uplink,
    queues: Vec<Queue>,
    broker: (Source, Acceptances),
) -> Result<uplink::Uplink, String> {
    let share = share(uplink, &queues);
    common.journal.set_quota(share).await.map_err(|stopped| stopped.to_string())?;
    let session = session(uplink, common);
    let connector = connector(uplink, common, session.acknowledgement_deadline)?;
    let options = UplinkOptions { name: uplink.name.clone(), session };
    let surroundings = Surroundings {
        runtime: common.runtime.clone(),
        journal: common.journal.clone(),
        broker: Some(broker),
        presence: common.presence.clone(),
        boots: common.boots.clone(),
        clock: Arc::clone(&common.clock),
        renderer: renderer(uplink, common),
        watch: watch_of(uplink.name.clone(), Arc::clone(&common.counters)),
        lay_aside: lay_aside(uplink, common),
    };
    let running = uplink::spawn(connector, options, queues, surroundings).await;
    let running = running.map_err(|stopped| stopped.to_string())?;
    if pause_note(&common.uplink_notes, &uplink.name).exists() {
        running.command(Command::Pause).await;
    }
    Ok(running)
}

/// Its share of the journal: what is least urgent goes first.
fn share(uplink: &config::Uplink, queues: &[Queue]) -> Quota {
    let mut by_priority: Vec<&Queue> = queues.iter().collect();
    by_priority.sort_by_key(|queue| Reverse(queue.priority));
    Quota {
        consumers: by_priority.into_iter().map(|queue| queue.consumer).collect(),
        max_bytes: uplink.max_bytes,
        max_age: uplink.max_age,
        when_used_up: uplink.when_full,
    }
}

/// What readings look like at its server.
fn renderer(uplink: &config::Uplink, common: &Common) -> Arc<dyn Render> {
    match uplink.payload {
        Payload::Json => Arc::clone(&common.renderer),
        Payload::SenMl => Arc::new(SenMl::new(&common.gateway)),
        Payload::ThingsBoard => Arc::new(ThingsBoard),
    }
}

/// What the link may carry, where it costs; goes on where an earlier run ended.
fn metered(uplink: &config::Uplink, notes: &Path) -> Option<Metered> {
    (uplink.daily_budget.is_some() || !uplink.windows.is_empty()).then(|| Metered {
        bytes_per_day: uplink.daily_budget,
        windows: uplink.windows.clone(),
        zone: TimeZone::system(),
        spent: spent(&spent_note(notes, &uplink.name)).unwrap_or_default(),
    })
}

/// The file that says how much a link that costs has carried today.
fn spent_note(notes: &Path, name: &str) -> PathBuf {
    notes.join(format!("uplink-{name}.spent"))
}

fn spent(note: &Path) -> Option<Spent> {
    let text = fs::read_to_string(note).ok()?;
    let (day, bytes) = text.trim_end().split_once(' ')?;
    Some(Spent { day: day.parse().ok()?, bytes: bytes.parse().ok()? })
}

impl KeptUplink {
    /// Notes how much a link that costs has carried, for the next run.
    pub(super) fn note_spent(&self, notes: &Path) {
        let Ok(running) = &self.running else { return };
        let now = running.status().spent;
        let before = self.noted.replace(now);
        if now != before
            && let Err(error) =
                fs::write(spent_note(notes, &self.name), format!("{} {}\n", now.day, now.bytes))
        {
            tracing::warn!("uplink {}: cannot note what the link has carried: {error}", self.name);
        }
    }
}

/// The queues of an uplink, with what an earlier run left in them. `known`: their names, and under which number the
/// journal knows each.
pub(super) fn queues(
    uplink: &config::Uplink,
    known: Vec<(ByteString, ConsumerId)>,
    recovery: &Recovery,
) -> Vec<Queue> {
    let queue = |(name, consumer): (ByteString, ConsumerId)| {
        let rule = uplink.forward.iter().find(|rule| rule.queue() == name);
        let queue = Queue::new(consumer, restored(recovery, consumer));
        match rule {
            Some(rule) => Queue { priority: rule.priority, rate: rule.rate, batch: rule.batch, ..queue },
            // No rule fills it any more; what it holds is sent when nothing else waits.
            None if !name.is_empty() => Queue { priority: Priority::Bulk, ..queue },
            None => queue,
        }
    };
    known.into_iter().map(queue).collect()
}

/// What an earlier run left for the uplink.
fn restored(recovery: &Recovery, consumer: ConsumerId) -> Restored {
    let earlier = recovery.state.uplinks.get(&consumer);
    Restored {
        assigned: earlier.map(|uplink| uplink.assigned.clone()).unwrap_or_default(),
        queued: recovery.queued.get(&consumer).copied().unwrap_or_default(),
        new: earlier.is_none(),
    }
}

fn session(uplink: &config::Uplink, common: &Common) -> Options {
    let mut options = Options::new(uplink.client_id.clone());
    options.version = uplink.version;
    options.username = uplink.username.clone().map(ByteString::from);
    options.keep_alive_seconds = uplink.keep_alive_seconds;
    options.status_topic = Some(common.status_topic.clone());
    options.forward.clone_from(&uplink.forward);
    options.receive.clone_from(&uplink.receive);
    options.gateway = common.gateway.clone();
    options.message_id = uplink.message_id;
    options.order = uplink.order;
    options.durability = uplink.durability;
    options.rate = uplink.rate;
    options.metered = metered(uplink, &common.uplink_notes);
    options.window = uplink.window.unwrap_or(options.window);
    if let Some(provider) = uplink.provider {
        respect(provider, uplink, &mut options);
    }
    options.renew_after = uplink.shared_access_key.as_ref().map(|_| SHARED_ACCESS_RENEWAL);
    options.seed = RandomState::new().hash_one(uplink.name.as_bytes());
    options
}

/// The way to the server, or to the servers that stand in for each other.
fn connector(
    uplink: &config::Uplink,
    common: &Common,
    dead_after: Duration,
) -> Result<ServerConnector, String> {
    let server = &uplink.server;
    let mut proxy = server.proxy.clone();
    if let (Some(proxy), Some(user)) = (&mut proxy, &server.proxy_username) {
        let password = server.proxy_password.as_ref().map(Secret::reveal).transpose();
        let password = password.map_err(|error| error.to_string())?.unwrap_or_default();
        proxy.login = Some((user.clone(), password));
    }
    let route = Route { proxy, tls: server.tls.clone(), dead_after };
    Ok(ServerConnector {
        credentials: credentials(uplink, common)?,
        note: Some(common.uplink_notes.join(format!("uplink-{}.server", uplink.name))),
        ..ServerConnector::new(server.urls.clone(), route)
    })
}

/// The login, read anew for each connection: its file may have been renewed.
fn credentials(uplink: &config::Uplink, common: &Common) -> Result<Option<Credentials>, String> {
    if let Some(key) = &uplink.shared_access_key {
        return shared_access(uplink, key, common).map(Some);
    }
    let username = uplink.username.clone().map(ByteString::from);
    let Some(secret) = uplink.password.clone() else { return Ok(None) };
    Ok(Some(Arc::new(move || {
        let password = secret.reveal().map_err(|error| error.to_string())?;
        Ok(Login { username: username.clone(), password: Some(Bytes::from(password)) })
    })))
}

/// A login that is made anew for each connection, valid a little longer than one.
fn shared_access(uplink: &config::Uplink, key: &Secret, common: &Common) -> Result<Credentials, String> {
    let hub = uplink.server.urls.first().map(|url| url.host.clone()).ok_or("no URL")?;
    let device = uplink.client_id.to_string();
    let key = key.clone();
    let clock = Arc::clone(&common.clock);
    Ok(Arc::new(move || {
        let now = clock();
        if now.quality == TimeQuality::Unsynced {
            return Err("the clock is not set yet: no password can be made that is valid".to_owned());
        }
        let text = key.reveal().map_err(|error| error.to_string())?;
        let key = SharedAccessKey::parse(&text).map_err(|error| error.to_string())?;
        let lifetime = SHARED_ACCESS_RENEWAL + SHARED_ACCESS_MARGIN;
        let password = key.password(&hub, &device, now.unix_ms / 1000, lifetime);
        let username = ByteString::from(shared_access_username(&hub, &device));
        Ok(Login { username: Some(username), password: Some(Bytes::from(password)) })
    }))
}

/// What the server will never take goes into a file.
fn lay_aside(uplink: &config::Uplink, common: &Common) -> uplink::LayAside {
    let name = uplink.name.clone();
    let file = DeadLetterFile::new(&common.uplink_notes, &name);
    let mut log = LaidAside::new(name.clone());
    Box::new(move |letter| match file.lay_aside(letter) {
        Ok(0) => log.letter(letter),
        Ok(gone) => {
            tracing::warn!("uplink {name}: the file of dead letters is full; the oldest {gone} are gone");
        }
        Err(error) => tracing::error!("uplink {name}: {}: {error}", file.path().display()),
    })
}

/// Respects what a known cloud takes and refuses.
fn respect(provider: &Provider, uplink: &config::Uplink, options: &mut Options) {
    let (client_id, username) = (&*uplink.client_id, uplink.username.as_deref().unwrap_or_default());
    options.takes = provider.takes(client_id, username);
    options.rate = options.rate.or(provider.rate);
    options.window = options.window.min(provider.window.unwrap_or(u16::MAX));
    options.max_packet_bytes = options.max_packet_bytes.min(provider.packet_bytes.unwrap_or(usize::MAX));
    options.session_expiry_seconds =
        options.session_expiry_seconds.min(provider.session_expiry_seconds.unwrap_or(u32::MAX));
    let complaints = provider.complaints_to(client_id, username);
    options.receive.extend(complaints.into_iter().map(Receive::new));
}

fn watch_of(name: ByteString, counters: Arc<BrokerCounters>) -> uplink::Watch {
    let mut observer = UplinkObserver::new(name, counters);
    Box::new(move |event| observer.event(event))
}
