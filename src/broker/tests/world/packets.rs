//! What clients send, put together in a few words.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use crate::limits::Limits;
use crate::mqtt::{
    Acknowledgement, Connect, ConnectProperties, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, PublishQoS, QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions,
    TopicName, Unsubscribe, Will,
};

/// A CONNECT that is put together step by step.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) connect: Connect,
    pub(crate) user: Option<ByteString>,
    pub(crate) limits: Option<Limits>,
}

impl Login {
    fn new(version: ProtocolVersion, client_id: &str) -> Login {
        let connect = Connect {
            version,
            clean_start: true,
            keep_alive_seconds: 0,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        Login { connect, user: None, limits: None }
    }

    pub(crate) fn v31(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V3_1, client_id)
    }

    pub(crate) fn v311(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V3_1_1, client_id)
    }

    pub(crate) fn v5(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V5, client_id)
    }

    /// Goes on with an earlier session, and wants it kept: clean session 0, or clean start 0 with an expiry.
    pub(crate) fn persistent(mut self) -> Login {
        self.connect.clean_start = false;
        if self.connect.version == ProtocolVersion::V5 {
            self = self.expiry(u32::MAX);
        }
        self
    }

    pub(crate) fn clean_start(mut self, clean_start: bool) -> Login {
        self.connect.clean_start = clean_start;
        self
    }

    pub(crate) fn expiry(mut self, seconds: u32) -> Login {
        self.connect.properties.session_expiry_interval_seconds = Some(seconds);
        self
    }

    pub(crate) fn receive_maximum(mut self, maximum: u16) -> Login {
        self.connect.properties.receive_maximum = NonZeroU16::new(maximum);
        self
    }

    pub(crate) fn maximum_packet_size(mut self, bytes: u32) -> Login {
        self.connect.properties.maximum_packet_size = NonZeroU32::new(bytes);
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Login {
        self.connect.keep_alive_seconds = seconds;
        self
    }

    /// Comes by a listener with bounds of its own.
    pub(crate) fn limits(mut self, limits: Limits) -> Login {
        self.limits = Some(limits);
        self
    }

    pub(crate) fn user(mut self, user: &str) -> Login {
        self.user = Some(user.into());
        self
    }

    pub(crate) fn will(mut self, topic: &str, qos: u8, delay_interval_seconds: u32) -> Login {
        self.connect.will = Some(Box::new(Will {
            topic: name(topic),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::from_u8(qos).unwrap(),
            retain: false,
            delay_interval_seconds,
            properties: PublishProperties::default(),
        }));
        self
    }
}

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName::parse(topic).unwrap()
}

pub(crate) fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

/// A PUBLISH as a client sends it; `number` is its packet identifier.
pub(crate) fn publish(topic: &str, qos: u8, number: u16, payload: &str) -> Publish {
    Publish {
        dup: false,
        qos: match qos {
            0 => PublishQoS::AtMostOnce,
            1 => PublishQoS::AtLeastOnce(identifier(number)),
            _ => PublishQoS::ExactlyOnce(identifier(number)),
        },
        retain: false,
        topic: Some(name(topic)),
        topic_alias: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: None,
    }
}

pub(crate) fn qos0(topic: &str, payload: &str) -> Packet {
    Packet::Publish(publish(topic, 0, 1, payload))
}

pub(crate) fn qos1(topic: &str, number: u16, payload: &str) -> Packet {
    Packet::Publish(publish(topic, 1, number, payload))
}

pub(crate) fn qos2(topic: &str, number: u16, payload: &str) -> Packet {
    Packet::Publish(publish(topic, 2, number, payload))
}

pub(crate) fn retained(topic: &str, qos: u8, number: u16, payload: &str) -> Packet {
    Packet::Publish(Publish { retain: true, ..publish(topic, qos, number, payload) })
}

pub(crate) fn expiring(topic: &str, qos: u8, number: u16, seconds: u32) -> Packet {
    let properties =
        PublishProperties { message_expiry_interval_seconds: Some(seconds), ..PublishProperties::default() };
    let properties = Some(Box::new(properties));
    Packet::Publish(Publish { properties, ..publish(topic, qos, number, "short-lived") })
}

pub(crate) fn puback(number: u16) -> Packet {
    Packet::PubAck(Acknowledgement::new(identifier(number), ReasonCode::Success))
}

pub(crate) fn pubrec(number: u16) -> Packet {
    Packet::PubRec(Acknowledgement::new(identifier(number), ReasonCode::Success))
}

pub(crate) fn pubrel(number: u16) -> Packet {
    Packet::PubRel(Acknowledgement::new(identifier(number), ReasonCode::Success))
}

pub(crate) fn pubcomp(number: u16) -> Packet {
    Packet::PubComp(Acknowledgement::new(identifier(number), ReasonCode::Success))
}

pub(crate) fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions::new(QoS::from_u8(qos).unwrap())
}

pub(crate) fn retain_handling(qos: u8, retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..options(qos) }
}

pub(crate) fn subscribe(number: u16, requests: &[(&str, SubscriptionOptions)]) -> Packet {
    subscribe_as(number, None, requests)
}

pub(crate) fn subscribe_as(
    number: u16,
    subscription_identifier: Option<u32>,
    requests: &[(&str, SubscriptionOptions)],
) -> Packet {
    Packet::Subscribe(Box::new(Subscribe {
        packet_identifier: identifier(number),
        subscription_identifier: subscription_identifier.and_then(NonZeroU32::new),
        user_properties: Vec::new(),
        requests: requests.iter().map(|(filter, options)| ((*filter).into(), *options)).collect(),
    }))
}

pub(crate) fn unsubscribe(number: u16, filters: &[&str]) -> Packet {
    Packet::Unsubscribe(Box::new(Unsubscribe {
        packet_identifier: identifier(number),
        user_properties: Vec::new(),
        filters: filters.iter().map(|filter| (*filter).into()).collect(),
    }))
}
