//! What known clouds take and refuse, as data: read when a configuration is checked, and respected when messages are
//! sent.
//!
//! Each line says where it is from. What a cloud does not publish is not in here: the server says it itself, or
//! nobody knows it.

use std::time::Duration;

use super::mapping::Rate;
use super::options::Takes;
use crate::mqtt::{QoS, TopicFilter};

/// One known cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    /// As it stands behind `provider`.
    pub name: &'static str,
    /// As people call it.
    pub called: &'static str,
    /// Whether it speaks MQTT 5.
    pub speaks_5: bool,
    /// Whether it takes connections without TLS.
    pub takes_plain: bool,
    /// Bytes of a packet.
    pub packet_bytes: Option<usize>,
    /// Bytes of a payload.
    pub payload_bytes: Option<usize>,
    /// Slashes in a topic.
    pub topic_slashes: Option<usize>,
    /// Bytes of a topic.
    pub topic_bytes: Option<usize>,
    /// The only topics that may be published, with `{client_id}` and `{username}` in them; empty: all.
    pub only_topics: &'static [&'static str],
    /// Characters that no topic may have.
    pub no_characters: &'static str,
    /// The highest quality of service.
    pub maximum_qos: QoS,
    /// Whether it retains messages.
    pub retain: bool,
    /// Unacknowledged messages at once.
    pub window: Option<u16>,
    /// Messages on one connection.
    pub rate: Option<Rate>,
    /// Seconds of keep-alive that it takes.
    pub keep_alive_seconds: (u16, u16),
    /// Filters on one connection.
    pub subscriptions: Option<usize>,
    /// Seconds that it keeps a session at most.
    pub session_expiry_seconds: Option<u32>,
    /// Bytes of a client identifier.
    pub client_id_bytes: Option<usize>,
    /// What it tells about refusals, with `{username}` in it: worth listening to.
    pub complaints: &'static [&'static str],
    /// Whether user name and password are made from a shared access key.
    pub shared_access: bool,
    /// The application protocol that it wants to be named on port 443 (TLS ALPN).
    pub alpn_on_443: Option<&'static str>,
    /// Where it is written.
    pub source: &'static str,
}

const fn per_second(messages: u32) -> Option<Rate> {
    Some(Rate { messages, per: Duration::from_secs(1) })
}

/// A cloud that takes everything.
const ANY: Provider = Provider {
    name: "",
    called: "",
    speaks_5: true,
    takes_plain: false,
    packet_bytes: None,
    payload_bytes: None,
    topic_slashes: None,
    topic_bytes: None,
    only_topics: &[],
    no_characters: "",
    maximum_qos: QoS::ExactlyOnce,
    retain: true,
    window: None,
    rate: None,
    keep_alive_seconds: (0, u16::MAX),
    subscriptions: None,
    session_expiry_seconds: None,
    client_id_bytes: None,
    complaints: &[],
    shared_access: false,
    alpn_on_443: None,
    source: "",
};

/// Every known cloud.
pub static PROVIDERS: [Provider; 9] = [
    Provider {
        name: "aws-iot",
        called: "AWS IoT Core",
        payload_bytes: Some(128 * 1024),
        topic_slashes: Some(7),
        topic_bytes: Some(256),
        maximum_qos: QoS::AtLeastOnce,
        window: Some(100),
        rate: per_second(100),
        keep_alive_seconds: (30, 1200),
        subscriptions: Some(50),
        session_expiry_seconds: Some(7 * 24 * 3600),
        client_id_bytes: Some(128),
        alpn_on_443: Some("x-amzn-mqtt-ca"),
        source: "AWS General Reference, AWS IoT Core endpoints and quotas",
        ..ANY
    },
    Provider {
        name: "azure-iot-hub",
        called: "Azure IoT Hub",
        speaks_5: false,
        packet_bytes: Some(256 * 1024),
        only_topics: &["devices/{client_id}/messages/events/#", "$iothub/#"],
        maximum_qos: QoS::AtLeastOnce,
        retain: false,
        window: Some(100),
        keep_alive_seconds: (1, 19 * 60),
        client_id_bytes: Some(128),
        shared_access: true,
        source: "Microsoft Learn, Communicate with an IoT hub using the MQTT protocol",
        ..ANY
    },
    Provider {
        name: "azure-event-grid",
        called: "Azure Event Grid",
        packet_bytes: Some(512 * 1024),
        topic_bytes: Some(256),
        maximum_qos: QoS::AtLeastOnce,
        rate: per_second(100),
        keep_alive_seconds: (1, 1160),
        client_id_bytes: Some(128),
        source: "Microsoft Learn, MQTT support in Azure Event Grid; quotas and limits",
        ..ANY
    },
    Provider { name: "hivemq-cloud", called: "HiveMQ Cloud", source: "HiveMQ Cloud documentation", ..ANY },
    Provider {
        name: "emqx-serverless",
        called: "EMQX Serverless",
        packet_bytes: Some(1024 * 1024),
        rate: per_second(10),
        subscriptions: Some(10),
        session_expiry_seconds: Some(2 * 3600),
        source: "EMQX Cloud documentation, Serverless limitations",
        ..ANY
    },
    Provider {
        name: "thingsboard",
        called: "ThingsBoard",
        takes_plain: true,
        payload_bytes: Some(64 * 1024),
        only_topics: &["v1/gateway/#", "v1/devices/me/#"],
        maximum_qos: QoS::AtLeastOnce,
        retain: false,
        source: "ThingsBoard documentation, Gateway MQTT API reference; transport limits",
        ..ANY
    },
    Provider {
        name: "adafruit-io",
        called: "Adafruit IO",
        speaks_5: false,
        takes_plain: true,
        only_topics: &[
            "{username}/feeds/#",
            "{username}/f/#",
            "{username}/groups/#",
            "{username}/g/#",
            "{username}/dashboard/#",
        ],
        payload_bytes: Some(100 * 1024),
        maximum_qos: QoS::AtLeastOnce,
        retain: false,
        rate: Some(Rate { messages: 30, per: Duration::from_secs(60) }),
        complaints: &["{username}/throttle", "{username}/errors"],
        source: "Adafruit IO MQTT API",
        ..ANY
    },
    Provider {
        name: "rabbitmq",
        called: "RabbitMQ",
        takes_plain: true,
        maximum_qos: QoS::AtLeastOnce,
        source: "RabbitMQ documentation, MQTT plugin",
        ..ANY
    },
    Provider {
        name: "nats",
        called: "NATS",
        speaks_5: false,
        takes_plain: true,
        no_characters: " ",
        // QoS 2 came with 2.10; older ones break off the connection.
        maximum_qos: QoS::AtLeastOnce,
        source: "NATS documentation, MQTT",
        ..ANY
    },
];

impl Provider {
    /// The cloud of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// What it takes of this client.
    #[must_use]
    pub fn takes(&self, client_id: &str, username: &str) -> Takes {
        let named = self.only_topics.iter().map(|topic| with_names(topic, client_id, username));
        Takes {
            topic_slashes: self.topic_slashes,
            topic_bytes: self.topic_bytes,
            only_topics: named.filter_map(|topic| TopicFilter::parse(topic).ok()).collect(),
            no_characters: self.no_characters,
            maximum_qos: self.maximum_qos,
            retain: self.retain,
            payload_bytes: self.payload_bytes,
        }
    }

    /// Where it tells this client about refusals.
    #[must_use]
    pub fn complaints_to(&self, client_id: &str, username: &str) -> Vec<TopicFilter> {
        let named = self.complaints.iter().map(|topic| with_names(topic, client_id, username));
        named.filter_map(|topic| TopicFilter::parse(topic).ok()).collect()
    }
}

fn with_names(topic: &str, client_id: &str, username: &str) -> String {
    topic.replace("{client_id}", client_id).replace("{username}", username)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::TopicName;

    #[test]
    fn every_cloud_is_found_by_its_name_and_its_topics_are_filters() {
        for provider in &PROVIDERS {
            assert_eq!(Provider::find(provider.name), Some(provider));
            let takes = provider.takes("gw", "me");
            assert_eq!(takes.only_topics.len(), provider.only_topics.len());
            assert!(
                !provider.source.is_empty() && provider.keep_alive_seconds.0 <= provider.keep_alive_seconds.1
            );
        }
    }

    #[test]
    fn what_a_cloud_takes_is_said_in_words() {
        let refusal = |cloud: &str, topic: &str| {
            let takes = Provider::find(cloud).unwrap().takes("gw", "me");
            takes.topic(&TopicName::parse(topic.to_owned()).unwrap()).err().unwrap_or_default()
        };
        assert_eq!(refusal("aws-iot", "a/b/c/d/e/f/g/h"), "");
        assert!(refusal("aws-iot", "a/b/c/d/e/f/g/h/i").contains("8 slashes"));
        assert!(refusal("aws-iot", &"x".repeat(257)).contains("257 bytes"));
        assert_eq!(refusal("azure-iot-hub", "devices/gw/messages/events/"), "");
        assert!(refusal("azure-iot-hub", "devices/other/messages/events/").contains("no other topics"));
        assert!(refusal("nats", "hall 3/t").contains("' '"));
        assert_eq!(refusal("adafruit-io", "me/feeds/t"), "");
    }
}
