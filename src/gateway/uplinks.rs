//! Uplinks: from their configuration to running tasks.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::watch;

use crate::bridge::{self, Options, PresenceMap, Restored};
use crate::broker::{ForwardRule, UplinkRules};
use crate::config;
use crate::disk::{Clock, JournalHandle};
use crate::durable::{Boots, ConsumerId};
use crate::journal::Recovery;
use crate::mqtt::{QoS, TopicName};
use crate::net::{Acceptances, Source};
use crate::reading::Render;
use crate::telemetry::{BrokerCounters, tell_of_uplink};
use crate::uplink::{self, Surroundings, UplinkOptions};

/// What the broker keeps for an uplink.
pub(super) fn rules(uplink: &config::Uplink) -> UplinkRules {
    let forward = uplink.forward.iter();
    let forward = forward
        .map(|line| ForwardRule { filter: line.filter.clone(), maximum_qos: line.maximum_qos })
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
}

/// An uplink of the configuration.
pub(super) struct KeptUplink {
    pub(super) name: ByteString,
    pub(super) server: String,
    pub(super) consumer: ConsumerId,
    /// `Err`: why it cannot run as it is configured. What it would send is kept.
    pub(super) running: Result<uplink::Uplink, String>,
}

/// Starts one uplink.
pub(super) async fn start(
    common: &Common,
    uplink: &config::Uplink,
    consumer: ConsumerId,
    restored: Restored,
    broker: (Source, Acceptances),
) -> KeptUplink {
    let running = try_to_start(common, uplink, consumer, restored, broker).await;
    if let Err(problem) = &running {
        tracing::error!("uplink {} is not started, its messages are kept: {problem}", uplink.name);
    }
    let server = format!("{}:{}", uplink.host, uplink.port);
    KeptUplink { name: uplink.name.clone(), server, consumer, running }
}

async fn try_to_start(
    common: &Common,
    uplink: &config::Uplink,
    consumer: ConsumerId,
    restored: Restored,
    broker: (Source, Acceptances),
) -> Result<uplink::Uplink, String> {
    let options = UplinkOptions {
        name: uplink.name.clone(),
        host: uplink.host.clone(),
        port: uplink.port,
        session: session(uplink, common)?,
    };
    let surroundings = Surroundings {
        journal: common.journal.clone(),
        broker: Some(broker),
        presence: common.presence.clone(),
        boots: common.boots.clone(),
        clock: Arc::clone(&common.clock),
        renderer: Arc::clone(&common.renderer),
        watch: watch_of(uplink.name.clone(), Arc::clone(&common.counters)),
    };
    uplink::spawn(options, consumer, restored, surroundings).await.map_err(|stopped| stopped.to_string())
}

/// What an earlier run left for the uplink.
pub(super) fn restored(recovery: &Recovery, consumer: ConsumerId) -> Restored {
    let earlier = recovery.state.uplinks.get(&consumer);
    Restored {
        assigned: earlier.map(|uplink| uplink.assigned.clone()).unwrap_or_default(),
        queued: recovery.queued.get(&consumer).copied().unwrap_or_default(),
        new: earlier.is_none(),
    }
}

fn session(uplink: &config::Uplink, common: &Common) -> Result<Options, String> {
    let mut options = Options::new(uplink.client_id.clone());
    options.version = uplink.version;
    options.username = uplink.username.clone().map(ByteString::from);
    if let Some(secret) = &uplink.password {
        let password = secret.reveal().map_err(|error| error.to_string())?;
        options.password = Some(Bytes::from(password));
    }
    options.keep_alive_seconds = uplink.keep_alive_seconds;
    options.status_topic = Some(common.status_topic.clone());
    options.forward.clone_from(&uplink.forward);
    options.receive = uplink.receive.iter().map(|filter| (filter.clone(), QoS::AtLeastOnce)).collect();
    options.seed = RandomState::new().hash_one(uplink.name.as_bytes());
    Ok(options)
}

fn watch_of(name: ByteString, counters: Arc<BrokerCounters>) -> uplink::Watch {
    Box::new(move |event: &bridge::Event| tell_of_uplink(&name, event, &counters))
}
