//! Simulated sensors: readings that are handed to the broker as an adapter would.

use smallvec::smallvec;
use tidegate::broker::{self, SourceId};
use tidegate::durable::{Message, MessageBody, Urgency};
use tidegate::mqtt::{QoS, TopicName};
use tidegate::reading::{Measurement, MeasurementName, Reading, SensorName, Value};

use super::{Event, Weather, World};

impl World {
    pub(super) fn reads(&mut self, sensor: usize) {
        if self.weather != Weather::Storm {
            return;
        }
        self.in_a_while(200, Event::Reads(sensor));
        let now = self.moment();
        let Some(gateway) = &mut self.gateway else { return };
        let topic = format!("sensors/{sensor}");
        let (id, _) = self.truth.sending(&topic, QoS::AtLeastOnce, false, false);
        self.open_readings.push(id);
        let measurement = Measurement {
            name: MeasurementName::parse("message").expect("a name"),
            value: Value::Number(id as f64),
            unit: None,
        };
        let reading = Reading {
            sensor: SensorName::parse(&format!("s{sensor}")).expect("a name"),
            taken_at: now,
            rssi: None,
            measurements: smallvec![measurement],
        };
        let message = Message {
            topic: TopicName::parse(topic).expect("a topic"),
            qos: QoS::AtLeastOnce,
            retain: false,
            accepted_at: now,
            body: MessageBody::Reading(Box::new(reading)),
        };
        let source = SourceId(u32::try_from(sensor).expect("few"));
        let input = broker::Input::Ingest {
            source,
            token: id as u64,
            message,
            relay: broker::Relay::All,
            urgency: Urgency::Lingers,
        };
        gateway.give_broker(now.monotonic, input);
    }
}
