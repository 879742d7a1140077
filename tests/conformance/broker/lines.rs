//! Packets as short lines, `publish a/b q1 #1 hello`: everything that is not at its default is said.

use std::fmt::{Display, Write as _};

use tidegate::mqtt::{
    Acknowledgement, AcknowledgementProperties, ConnAck, Disconnect, Packet, PacketIdentifier, Publish,
    ReasonCode, UserProperties,
};

/// What a server said, as a line.
pub fn said(packet: &Packet) -> String {
    match packet {
        Packet::ConnAck(packet) => said_connack(packet),
        Packet::Publish(packet) => said_publish(packet),
        Packet::PubAck(packet) => said_acknowledgement("puback", packet),
        Packet::PubRec(packet) => said_acknowledgement("pubrec", packet),
        Packet::PubRel(packet) => said_acknowledgement("pubrel", packet),
        Packet::PubComp(packet) => said_acknowledgement("pubcomp", packet),
        Packet::SubAck(answer) => {
            said_codes("suback", answer.packet_identifier, &answer.reasons, answer.properties.as_deref())
        }
        Packet::UnsubAck(answer) => {
            said_codes("unsuback", answer.packet_identifier, &answer.reasons, answer.properties.as_deref())
        }
        Packet::PingResp => "pingresp".to_owned(),
        Packet::Disconnect(packet) => said_disconnect(packet),
        other => panic!("a server does not send {other:?}"),
    }
}

fn add(line: &mut String, name: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        let _ = write!(line, " {name}={value}");
    }
}

fn add_user(line: &mut String, properties: &UserProperties) {
    for (name, value) in properties {
        let _ = write!(line, " {name}:{value}");
    }
}

fn said_connack(packet: &ConnAck) -> String {
    let mut line = format!("connack {:02x}", packet.reason.as_u8());
    if packet.session_present {
        line.push_str(" present");
    }
    let all = &packet.properties;
    add(&mut line, "expiry", all.session_expiry_interval_seconds);
    add(&mut line, "max-qos", all.maximum_qos.map(|qos| qos.as_u8()));
    add(&mut line, "retain", all.retain_available);
    add(&mut line, "id", all.assigned_client_identifier.as_ref());
    add(&mut line, "wildcards", all.wildcard_subscription_available);
    add(&mut line, "identifiers", all.subscription_identifiers_available);
    add(&mut line, "keep-alive", all.server_keep_alive_seconds);
    add(&mut line, "response", all.response_information.as_ref());
    add(&mut line, "method", all.authentication_method.as_ref());
    line
}

fn said_acknowledgement(name: &str, packet: &Acknowledgement) -> String {
    let mut line = format!("{name} #{}", packet.packet_identifier);
    if packet.reason != ReasonCode::Success {
        let _ = write!(line, " {:02x}", packet.reason.as_u8());
    }
    line
}

fn said_codes(
    name: &str,
    identifier: PacketIdentifier,
    reasons: &[ReasonCode],
    _: Option<&AcknowledgementProperties>,
) -> String {
    let mut line = format!("{name} #{identifier}");
    for reason in reasons {
        let _ = write!(line, " {:02x}", reason.as_u8());
    }
    line
}

fn said_disconnect(packet: &Disconnect) -> String {
    assert_eq!(packet.session_expiry_interval_seconds, None);
    format!("disconnect {:02x}", packet.reason.as_u8())
}

fn said_publish(publish: &Publish) -> String {
    let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
    let mut line = format!("publish {topic} q{}", publish.qos.qos().as_u8());
    if let Some(identifier) = publish.qos.packet_identifier() {
        let _ = write!(line, " #{identifier}");
    }
    if publish.dup {
        line.push_str(" dup");
    }
    if publish.retain {
        line.push_str(" retain");
    }
    add(&mut line, "alias", publish.topic_alias);
    if let Some(all) = &publish.properties {
        for identifier in &all.subscription_identifiers {
            let _ = write!(line, " sub={identifier}");
        }
        add(&mut line, "format", all.payload_format_indicator.map(u8::from));
        add(&mut line, "expiry", all.message_expiry_interval_seconds);
        add(&mut line, "content", all.content_type.as_ref());
        add(&mut line, "response", all.response_topic.as_ref());
        add(
            &mut line,
            "correlation",
            all.correlation_data.as_ref().map(|data| String::from_utf8_lossy(data)),
        );
        add_user(&mut line, &all.user_properties);
    }
    let _ = write!(line, " {}", String::from_utf8_lossy(&publish.payload));
    line
}

/// The reason string of an answer, if it has one.
pub fn words(packet: &Packet) -> Option<String> {
    let words = match packet {
        Packet::ConnAck(packet) => packet.properties.reason_string.clone(),
        Packet::Disconnect(packet) => packet.reason_string.clone(),
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => packet.properties.as_ref().and_then(|all| all.reason_string.clone()),
        Packet::SubAck(packet) => packet.properties.as_ref().and_then(|all| all.reason_string.clone()),
        Packet::UnsubAck(packet) => packet.properties.as_ref().and_then(|all| all.reason_string.clone()),
        _ => None,
    };
    words.map(|words| words.to_string())
}
