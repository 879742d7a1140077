//! Uplinks: from their configuration to running tasks.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::watch;

use crate::bridge::{self, Options, PresenceMap, Priority, Queue, Restored};
use crate::broker::{ForwardRule, UplinkRules};
use crate::config::{self, Secret};
use crate::disk::{Clock, JournalHandle};
use crate::durable::{Boots, ConsumerId};
use crate::journal::Recovery;
use crate::mqtt::TopicName;
use crate::net::{Acceptances, Source};
use crate::reading::Render;
use crate::stream::Route;
use crate::telemetry::{BrokerCounters, tell_of_uplink};
use crate::uplink::{self, Credentials, Login, ServerConnector, Surroundings, UplinkOptions};

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

/// An uplink of the configuration.
pub(super) struct KeptUplink {
    pub(super) name: ByteString,
    pub(super) server: String,
    /// Its queues, the first of which its name stands for.
    pub(super) queues: Vec<ConsumerId>,
    /// `Err`: why it cannot run as it is configured. What it would send is kept.
    pub(super) running: Result<uplink::Uplink, String>,
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
    KeptUplink { name: uplink.name.clone(), server, queues: consumers, running }
}

async fn try_to_start(
    common: &Common,
    uplink: &config::Uplink,
    queues: Vec<Queue>,
    broker: (Source, Acceptances),
) -> Result<uplink::Uplink, String> {
    let session = session(uplink, common);
    let connector = connector(uplink, common, session.acknowledgement_deadline)?;
    let options = UplinkOptions { name: uplink.name.clone(), session };
    let surroundings = Surroundings {
        journal: common.journal.clone(),
        broker: Some(broker),
        presence: common.presence.clone(),
        boots: common.boots.clone(),
        clock: Arc::clone(&common.clock),
        renderer: Arc::clone(&common.renderer),
        watch: watch_of(uplink.name.clone(), Arc::clone(&common.counters)),
        lay_aside: Box::new(|_| {}),
    };
    uplink::spawn(connector, options, queues, surroundings).await.map_err(|stopped| stopped.to_string())
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
    options.rate = uplink.rate;
    options.window = uplink.window.unwrap_or(options.window);
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
    Ok(ServerConnector {
        urls: server.urls.clone().into(),
        route: Route { proxy, tls: server.tls.clone(), dead_after },
        credentials: credentials(uplink),
        note: Some(common.uplink_notes.join(format!("uplink-{}.server", uplink.name))),
        next: Arc::default(),
    })
}

/// The login, read anew for each connection: its file may have been renewed.
fn credentials(uplink: &config::Uplink) -> Option<Credentials> {
    let username = uplink.username.clone().map(ByteString::from);
    let secret = uplink.password.clone()?;
    Some(Arc::new(move || {
        let password = secret.reveal().map_err(|error| error.to_string())?;
        Ok(Login { username: username.clone(), password: Some(Bytes::from(password)) })
    }))
}

fn watch_of(name: ByteString, counters: Arc<BrokerCounters>) -> uplink::Watch {
    Box::new(move |event: &bridge::Event| tell_of_uplink(&name, event, &counters))
}
