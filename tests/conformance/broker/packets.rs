//! What clients say, put together in few words.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use tidegate::mqtt::{
    Acknowledgement, Connect, ConnectProperties, Disconnect, Packet, PacketIdentifier, ProtocolVersion,
    Publish, PublishProperties, PublishQoS, QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions,
    TopicName, Unsubscribe, Will,
};

/// A CONNECT that is put together step by step.
#[derive(Clone)]
pub struct Hello(pub Connect);

pub fn v5(client_id: &str) -> Hello {
    hello(ProtocolVersion::V5, client_id)
}

pub fn v311(client_id: &str) -> Hello {
    hello(ProtocolVersion::V3_1_1, client_id)
}

pub fn v31(client_id: &str) -> Hello {
    hello(ProtocolVersion::V3_1, client_id)
}

pub fn hello(version: ProtocolVersion, client_id: &str) -> Hello {
    Hello(Connect {
        version,
        clean_start: true,
        keep_alive_seconds: 0,
        client_id: client_id.into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    })
}

impl Hello {
    /// Goes on with an earlier session, and keeps it when the connection ends.
    pub fn persistent(mut self) -> Hello {
        self.0.clean_start = false;
        if self.0.version == ProtocolVersion::V5 { self.expiry(u32::MAX) } else { self }
    }

    pub fn clean_start(mut self, clean_start: bool) -> Hello {
        self.0.clean_start = clean_start;
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Hello {
        self.0.keep_alive_seconds = seconds;
        self
    }

    pub fn expiry(self, seconds: u32) -> Hello {
        self.with(|all| all.session_expiry_interval_seconds = Some(seconds))
    }

    pub fn receive_maximum(self, maximum: u16) -> Hello {
        self.with(|all| all.receive_maximum = NonZeroU16::new(maximum))
    }

    pub fn maximum_packet_size(self, bytes: u32) -> Hello {
        self.with(|all| all.maximum_packet_size = NonZeroU32::new(bytes))
    }

    pub fn topic_alias_maximum(self, maximum: u16) -> Hello {
        self.with(|all| all.topic_alias_maximum = Some(maximum))
    }

    pub fn with(mut self, change: impl FnOnce(&mut ConnectProperties)) -> Hello {
        change(&mut self.0.properties);
        self
    }

    pub fn will(mut self, will: Will) -> Hello {
        self.0.will = Some(Box::new(will));
        self
    }
}

impl From<Hello> for Packet {
    fn from(hello: Hello) -> Packet {
        Packet::Connect(Box::new(hello.0))
    }
}

pub fn will(topic: &str, payload: &str) -> Will {
    Will {
        topic: name(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_interval_seconds: 0,
        properties: PublishProperties::default(),
    }
}

pub fn name(topic: &str) -> TopicName {
    TopicName::parse(topic).expect("a topic name")
}

pub fn number(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

/// A PUBLISH that is put together step by step.
#[derive(Clone)]
pub struct Says(pub Publish);

/// A PUBLISH; `identifier` counts at QoS 1 and 2.
pub fn publish(topic: &str, qos: u8, identifier: u16, payload: &str) -> Says {
    Says(Publish {
        dup: false,
        qos: match qos {
            0 => PublishQoS::AtMostOnce,
            1 => PublishQoS::AtLeastOnce(number(identifier)),
            _ => PublishQoS::ExactlyOnce(number(identifier)),
        },
        retain: false,
        topic: Some(name(topic)),
        topic_alias: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: None,
    })
}

impl Says {
    pub fn retained(mut self) -> Says {
        self.0.retain = true;
        self
    }

    pub fn again(mut self) -> Says {
        self.0.dup = true;
        self
    }

    pub fn alias(mut self, alias: u16) -> Says {
        self.0.topic_alias = NonZeroU16::new(alias);
        self
    }

    pub fn without_topic(mut self) -> Says {
        self.0.topic = None;
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut PublishProperties)) -> Says {
        change(self.0.properties.get_or_insert_default());
        self
    }

    pub fn expiry(self, seconds: u32) -> Says {
        self.with(|all| all.message_expiry_interval_seconds = Some(seconds))
    }
}

impl From<Says> for Packet {
    fn from(says: Says) -> Packet {
        Packet::Publish(says.0)
    }
}

pub fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions::new(QoS::from_u8(qos).expect("0, 1 or 2"))
}

pub fn retain_handling(qos: u8, retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..options(qos) }
}

/// A SUBSCRIBE to one filter.
pub fn subscribe(identifier: u16, filter: &str, qos: u8) -> Packet {
    subscribe_all(identifier, None, &[(filter, options(qos))])
}

pub fn subscribe_all(
    identifier: u16,
    subscription_identifier: Option<u32>,
    requests: &[(&str, SubscriptionOptions)],
) -> Packet {
    Packet::Subscribe(Box::new(Subscribe {
        packet_identifier: number(identifier),
        subscription_identifier: subscription_identifier.and_then(NonZeroU32::new),
        user_properties: Vec::new(),
        requests: requests.iter().map(|(filter, options)| ((*filter).into(), *options)).collect(),
    }))
}

pub fn unsubscribe(identifier: u16, filters: &[&str]) -> Packet {
    Packet::Unsubscribe(Box::new(Unsubscribe {
        packet_identifier: number(identifier),
        user_properties: Vec::new(),
        filters: filters.iter().map(|filter| (*filter).into()).collect(),
    }))
}

pub fn puback(identifier: u16) -> Packet {
    Packet::PubAck(Acknowledgement::new(number(identifier), ReasonCode::Success))
}

pub fn pubrec(identifier: u16) -> Packet {
    Packet::PubRec(Acknowledgement::new(number(identifier), ReasonCode::Success))
}

pub fn pubrel(identifier: u16) -> Packet {
    Packet::PubRel(Acknowledgement::new(number(identifier), ReasonCode::Success))
}

pub fn pubcomp(identifier: u16) -> Packet {
    Packet::PubComp(Acknowledgement::new(number(identifier), ReasonCode::Success))
}

pub fn disconnect(reason: ReasonCode) -> Packet {
    Packet::Disconnect(Box::new(Disconnect::new(reason)))
}

pub fn refusal(identifier: u16) -> Acknowledgement {
    Acknowledgement::new(number(identifier), ReasonCode::NotAuthorized)
}
