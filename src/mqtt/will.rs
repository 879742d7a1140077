//! The will that a CONNECT carries (sections 3.1.2.5 and 3.1.3.2). Never publishes it.

use bytes::Bytes;

use super::property::{Property, PropertySink, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, ProtocolVersion, PublishProperties, QoS, TopicName};

/// The will message of a CONNECT (sections 3.1.2.5 and 3.1.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// What is published.
    pub payload: Bytes,
    /// With which quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the will (5.0).
    pub delay_interval_seconds: u32,
    /// The properties of the message that is published (5.0).
    pub properties: PublishProperties,
}

impl Will {
    /// Reads the part of the payload of CONNECT that belongs to the will.
    pub(super) fn read(
        reader: &mut Reader,
        version: ProtocolVersion,
        qos: QoS,
        retain: bool,
    ) -> Result<Will, DecodeError> {
        let (delay_interval_seconds, properties) =
            if version.is_v5() { read_will_properties(reader)? } else { Default::default() };
        // [MQTT-3.1.3-11], in 3.1.1 [MQTT-3.1.3-10]
        let topic = reader.topic_name()?;
        let payload = reader.binary()?;
        Ok(Will { topic, payload, qos, retain, delay_interval_seconds, properties })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        if version.is_v5() {
            sink.properties(&WillProperties(self));
        }
        sink.binary(self.topic.as_str().as_bytes());
        sink.binary(&self.payload);
    }
}

fn read_will_properties(reader: &mut Reader) -> Result<(u32, PublishProperties), DecodeError> {
    let mut delay = None;
    let mut published = PublishProperties::default();
    read_properties(reader, |property| match property {
        Property::WillDelayInterval(value) => once(&mut delay, value),
        Property::SubscriptionIdentifier(_) => Err(property.misplaced()),
        other => published.add(other),
    })?;
    Ok((delay.unwrap_or(0), published))
}

struct WillProperties<'a>(&'a Will);

impl Section for WillProperties<'_> {
    fn write(&self, sink: &mut impl Sink) {
        let delay = self.0.delay_interval_seconds;
        sink.u32_property(id::WILL_DELAY_INTERVAL, (delay != 0).then_some(delay));
        self.0.properties.write_published(self.0.properties.message_expiry_interval_seconds, sink);
    }
}
