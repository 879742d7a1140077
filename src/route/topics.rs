//! Where a sensor's messages are published.

use bytes::Bytes;

use crate::durable::{Message, MessageBody};
use crate::mqtt::{QoS, TopicError, TopicName};
use crate::reading::{Reading, SensorName};
use crate::time::Moment;

/// The topics of one sensor: `tidegate/<gateway>/<sensor>/state` and its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorTopics {
    /// Readings.
    pub state: TopicName,
    /// `online` and `offline`, retained.
    pub availability: TopicName,
    /// Commands down to the sensor.
    pub set: TopicName,
    /// What became of them.
    pub result: TopicName,
}

/// A name that cannot stand in a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot stand in a topic: {source}")]
pub struct RouteError {
    name: String,
    source: TopicError,
}

impl SensorTopics {
    /// The topics of `sensor` at `gateway`.
    ///
    /// # Errors
    /// When the gateway's name cannot stand in a topic.
    pub fn new(gateway: &str, sensor: &SensorName) -> Result<SensorTopics, RouteError> {
        let topic = |leaf: &str| {
            let text = format!("tidegate/{gateway}/{sensor}/{leaf}");
            TopicName::parse(text).map_err(|source| RouteError { name: gateway.to_owned(), source })
        };
        Ok(SensorTopics {
            state: topic("state")?,
            availability: topic("availability")?,
            set: topic("set")?,
            result: topic("result")?,
        })
    }

    /// A reading as a message: QoS 1, not retained.
    #[must_use]
    pub fn state_of(&self, reading: Reading) -> Message {
        Message {
            topic: self.state.clone(),
            qos: QoS::AtLeastOnce,
            retain: false,
            accepted_at: reading.taken_at,
            body: MessageBody::Reading(Box::new(reading)),
        }
    }

    /// What became of a command, as a message: QoS 1, not retained; `{"name": ..., "error": null or a sentence}`.
    #[must_use]
    pub fn result_of(&self, name: &str, error: Option<&str>, now: Moment) -> Message {
        let payload = serde_json::json!({ "name": name, "error": error }).to_string();
        Message {
            topic: self.result.clone(),
            qos: QoS::AtLeastOnce,
            retain: false,
            accepted_at: now,
            body: MessageBody::Publish { payload: payload.into(), properties: None },
        }
    }

    /// That nothing is to be said any more of whether the sensor is there, as a message.
    #[must_use]
    pub fn availability_forgotten(&self, now: Moment) -> Message {
        let body = MessageBody::Publish { payload: Bytes::new(), properties: None };
        Message { body, ..self.availability_of(false, now) }
    }

    /// That the sensor is there, or is not, as a message: QoS 1, retained.
    #[must_use]
    pub fn availability_of(&self, online: bool, now: Moment) -> Message {
        let payload = Bytes::from_static(if online { b"online" } else { b"offline" });
        Message {
            topic: self.availability.clone(),
            qos: QoS::AtLeastOnce,
            retain: true,
            accepted_at: now,
            body: MessageBody::Publish { payload, properties: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_the_gateways_and_the_sensors() {
        let sensor = SensorName::parse("air").unwrap();
        let topics = SensorTopics::new("greenhouse", &sensor).unwrap();
        assert_eq!(topics.state.as_str(), "tidegate/greenhouse/air/state");
        let offline = topics.availability_of(false, Moment::default());
        assert_eq!((offline.topic.as_str(), offline.retain), ("tidegate/greenhouse/air/availability", true));
        assert!(SensorTopics::new("green+house", &sensor).is_err());
    }
}
