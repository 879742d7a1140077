//! `$SYS/broker/...`: the broker's figures as retained messages, by the names that users of mosquitto know.
//!
//! Each is published when it has changed, at QoS 0, and never written to disk. Clients may have them as access rules
//! say: `$SYS/#` is its own, `#` is not about it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::{Figures, Relay};
use crate::disk::Clock;
use crate::durable::{Message, MessageBody, Urgency};
use crate::mqtt::{QoS, TopicName};
use crate::net::{Counters, Entrance, Publication, Source, Stopped};
use crate::telemetry::BrokerCounters;
use crate::time::Instant;

/// Where the figures come from.
pub(super) struct SysTopics {
    pub(super) entrance: Entrance,
    pub(super) connections: Arc<Counters>,
    pub(super) counters: Arc<BrokerCounters>,
    pub(super) clock: Clock,
    pub(super) started_at: Instant,
}

impl SysTopics {
    /// Publishes until the gateway stops.
    pub(super) async fn publish(self, every: Duration) {
        let Ok((source, _)) = self.entrance.source().await else { return };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = HashMap::new();
        let mut most_connected = 0;
        loop {
            ticks.tick().await;
            let Ok(figures) = self.entrance.figures().await else { return };
            most_connected = most_connected.max(figures.connected);
            if self.say(&source, &figures, most_connected, &mut said).await == Err(Stopped) {
                return;
            }
        }
    }

    async fn say(
        &self,
        source: &Source,
        figures: &Figures,
        most_connected: usize,
        said: &mut HashMap<&'static str, String>,
    ) -> Result<(), Stopped> {
        let mut publications = Vec::new();
        for (name, text) in self.values(figures, most_connected) {
            if said.get(name) == Some(&text) {
                continue;
            }
            // The names are ours, and are topics.
            let Ok(topic) = TopicName::parse(format!("$SYS/broker/{name}")) else { continue };
            let message = Message {
                topic,
                qos: QoS::AtMostOnce,
                retain: true,
                accepted_at: (self.clock)(),
                body: MessageBody::Publish { payload: Bytes::from(text.clone()), properties: None },
            };
            publications.push(Publication {
                token: 0,
                message,
                relay: Relay::None,
                urgency: Urgency::Lingers,
            });
            said.insert(name, text);
        }
        source.publish(publications).await
    }

    fn values(&self, figures: &Figures, most_connected: usize) -> Vec<(&'static str, String)> {
        let uptime = (self.clock)().monotonic.since(self.started_at).as_secs();
        let dropped: u64 = self.counters.dropped().values().sum();
        let away = figures.sessions - figures.connected;
        vec![
            ("version", concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime", format!("{uptime} seconds")),
            ("clients/total", figures.sessions.to_string()),
            ("clients/connected", figures.connected.to_string()),
            ("clients/active", figures.connected.to_string()),
            ("clients/disconnected", away.to_string()),
            ("clients/inactive", away.to_string()),
            ("clients/maximum", most_connected.to_string()),
            ("messages/received", self.connections.messages_received().to_string()),
            ("messages/sent", self.connections.messages_sent().to_string()),
            ("publish/messages/received", self.connections.messages_received().to_string()),
            ("publish/messages/sent", self.connections.messages_sent().to_string()),
            ("publish/messages/dropped", dropped.to_string()),
            ("bytes/received", self.connections.bytes_received().to_string()),
            ("bytes/sent", self.connections.bytes_sent().to_string()),
            ("retained messages/count", figures.retained.to_string()),
            ("subscriptions/count", figures.subscriptions.to_string()),
        ]
    }
}
