//! A message as it is kept and routed: independent of any connection or version.

use bytes::Bytes;

use crate::mqtt::{PublishProperties, QoS, TopicName};
use crate::reading::Reading;
use crate::time::Moment;

/// A message that was accepted from a publisher or a sensor. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where it was published.
    pub topic: TopicName,
    /// The publisher's quality of service; readings are QoS 1.
    pub qos: QoS,
    /// Whether the publisher asked to retain it.
    pub retain: bool,
    /// When it was accepted; its expiry counts from here.
    pub accepted_at: Moment,
    /// What it says.
    pub body: MessageBody,
}

impl Message {
    /// A copy in memory of its own, for what is kept in memory for long: what was read from a socket keeps the whole
    /// read buffer alive, be it ever so short.
    #[must_use]
    pub fn detached(&self) -> Message {
        let body = match &self.body {
            MessageBody::Publish { payload, properties } => MessageBody::Publish {
                payload: Bytes::copy_from_slice(payload),
                properties: properties.as_ref().map(|all| Box::new(all.detached())),
            },
            MessageBody::Reading(reading) => MessageBody::Reading(reading.clone()),
        };
        Message { topic: self.topic.detached(), body, ..*self }
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageBody {
    /// A publisher's bytes, passed on as they are.
    Publish {
        /// The application's bytes.
        payload: Bytes,
        /// Properties of 5.0 (never subscription identifiers), when there are any.
        properties: Option<Box<PublishProperties>>,
    },
    /// A reading, rendered when it is sent.
    Reading(Box<Reading>),
}
