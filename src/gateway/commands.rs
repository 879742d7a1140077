//! Commands down: what is published to a sensor's `set` topic is handed to the task of its port.
//!
//! `{"name": value, ...}`, each name one of the commands of the sensor's profile. What became of each is published by
//! the port to the sensor's `result` topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::sensors::{KeptSensor, Setter};
use crate::durable::{Message, MessageBody};

/// Who takes what is published to a topic.
type Setters = Arc<BTreeMap<String, Setter>>;

/// The sensors that can be set, as they are now.
#[derive(Debug, Default)]
pub(super) struct CommandBoard(watch::Sender<Setters>);

impl CommandBoard {
    /// These are the sensors from now on.
    pub(super) fn update(&self, sensors: &[KeptSensor]) {
        let setters = sensors.iter().filter_map(KeptSensor::setter);
        self.0.send_replace(Arc::new(setters.collect()));
    }

    /// For the task that hands over.
    pub(super) fn subscribe(&self) -> watch::Receiver<Setters> {
        self.0.subscribe()
    }
}

/// Hands over what comes; ends with the broker.
pub(super) async fn carry(mut messages: mpsc::Receiver<Message>, setters: watch::Receiver<Setters>) {
    while let Some(message) = messages.recv().await {
        let Some(setter) = setters.borrow().get(message.topic.as_str()).cloned() else { continue };
        let MessageBody::Publish { payload, .. } = &message.body else { continue };
        match serde_json::from_slice::<Map<String, Value>>(payload) {
            Ok(commands) => {
                for (name, value) in commands {
                    if !setter.set(&name, value) {
                        tracing::warn!(
                            "{}: too many commands wait, {name} is not set",
                            message.topic.as_str()
                        );
                    }
                }
            }
            Err(error) => {
                tracing::warn!(
                    "{}: a command is a JSON object, {{\"name\": value}}: {error}",
                    message.topic.as_str()
                );
            }
        }
    }
}
