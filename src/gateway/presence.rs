//! What is true now of the gateway and its sensors, retained: `tidegate/<gateway>/status` and availability.
//!
//! Published here as retained messages, and shown to uplinks as one map, which they tell their servers on every
//! connection. Never history: nothing of it goes through the backlog.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::adapter::Outlet;
use crate::bridge::PresenceMap;
use crate::broker::Relay;
use crate::disk::Clock;
use crate::durable::{Message, MessageBody, Urgency};
use crate::mqtt::{QoS, TopicName};
use crate::net::{Entrance, Publication, Source, Stopped};

use super::StartError;

const ONLINE: Bytes = Bytes::from_static(b"online");
const OFFLINE: Bytes = Bytes::from_static(b"offline");

/// Where presence is published and looked up.
pub(super) struct PresenceBoard {
    status: TopicName,
    source: Source,
    map: watch::Sender<PresenceMap>,
    clock: Clock,
}

impl PresenceBoard {
    /// A board on which the gateway is online.
    pub(super) async fn start(
        gateway: &str,
        entrance: &Entrance,
        clock: Clock,
    ) -> Result<PresenceBoard, StartError> {
        let status = TopicName::parse(format!("tidegate/{gateway}/status"))
            .map_err(|error| StartError::Name(gateway.to_owned(), error))?;
        let (source, _) = entrance.source().await?;
        let (map, _) = watch::channel(Arc::new(BTreeMap::new()));
        let board = PresenceBoard { status: status.clone(), source, map, clock };
        board.say(status, ONLINE).await?;
        Ok(board)
    }

    /// The map, for uplinks.
    pub(super) fn subscribe(&self) -> watch::Receiver<PresenceMap> {
        self.map.subscribe()
    }

    pub(super) const fn status_topic(&self) -> &TopicName {
        &self.status
    }

    /// Something is true from now on.
    pub(super) async fn say(&self, topic: TopicName, payload: Bytes) -> Result<(), Stopped> {
        self.map.send_modify(|map| {
            Arc::make_mut(map).insert(topic.clone(), payload.clone());
        });
        self.publish(topic, payload).await
    }

    /// A figure of now: told to uplinks as presence is, and here to whoever listens.
    pub(super) async fn report(&self, topic: TopicName, payload: Bytes) -> Result<(), Stopped> {
        self.map.send_modify(|map| {
            Arc::make_mut(map).insert(topic.clone(), payload.clone());
        });
        self.tell(topic, payload, false).await
    }

    /// Publishes here alone, at QoS 0: nothing of it is written to disk.
    pub(super) async fn tell(&self, topic: TopicName, payload: Bytes, retain: bool) -> Result<(), Stopped> {
        let message = Message {
            topic,
            qos: QoS::AtMostOnce,
            retain,
            accepted_at: (self.clock)(),
            body: MessageBody::Publish { payload, properties: None },
        };
        let publication = Publication { token: 0, message, relay: Relay::None, urgency: Urgency::Lingers };
        self.source.publish(vec![publication]).await
    }

    async fn publish(&self, topic: TopicName, payload: Bytes) -> Result<(), Stopped> {
        let message = Message {
            topic,
            qos: QoS::AtLeastOnce,
            retain: true,
            accepted_at: (self.clock)(),
            body: MessageBody::Publish { payload, properties: None },
        };
        let publication = Publication { token: 0, message, relay: Relay::None, urgency: Urgency::Lingers };
        self.source.publish(vec![publication]).await
    }

    /// A way for an adapter, whose presence is noted on this board as it passes.
    pub(super) fn watched(&self, source: Source) -> Watched {
        self.watching().watched(source)
    }

    /// What makes such ways later.
    pub(super) fn watching(&self) -> Watching {
        Watching { map: self.map.clone() }
    }

    /// A sensor is no longer configured: nothing is said of it any more.
    pub(super) async fn forget(&self, topic: TopicName) -> Result<(), Stopped> {
        self.map.send_modify(|map| {
            Arc::make_mut(map).remove(&topic);
        });
        // An empty retained message removes the one before.
        self.publish(topic, Bytes::new()).await
    }

    /// The gateway stops: it and everything that it knows of is offline.
    pub(super) async fn offline(&self) {
        let map = self.map.borrow().clone();
        let online = map.iter().filter(|(_, payload)| **payload == ONLINE);
        let topics: Vec<TopicName> = online.map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            // The broker may have stopped: then nobody is there to be told.
            let _ = self.say(topic, OFFLINE).await;
        }
    }
}

/// Makes [`Watched`] ways.
#[derive(Clone)]
pub(super) struct Watching {
    map: watch::Sender<PresenceMap>,
}

impl Watching {
    /// A way for an adapter, whose presence is noted as it passes.
    pub(super) fn watched(&self, source: Source) -> Watched {
        Watched { source, map: self.map.clone() }
    }
}

/// A source that passes everything on and notes the presence among it.
pub(super) struct Watched {
    source: Source,
    map: watch::Sender<PresenceMap>,
}

impl Outlet for Watched {
    fn try_publish(&self, publications: Vec<Publication>) -> Result<(), Vec<Publication>> {
        // What is not retained is no presence: what became of a command.
        let is_presence = |one: &&Publication| one.relay == Relay::None && one.message.retain;
        for publication in publications.iter().filter(is_presence) {
            if let MessageBody::Publish { payload, .. } = &publication.message.body {
                let (topic, payload) = (publication.message.topic.clone(), payload.clone());
                self.map.send_modify(|map| {
                    // An empty one says that there is nothing to be told any more.
                    if payload.is_empty() {
                        Arc::make_mut(map).remove(&topic);
                    } else {
                        Arc::make_mut(map).insert(topic, payload);
                    }
                });
            }
        }
        self.source.try_publish(publications)
    }
}
