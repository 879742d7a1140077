//! rumqttc against the embedded broker: QoS 2, persistent sessions, take-over.
