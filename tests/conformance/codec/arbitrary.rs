//! Any packet that one side may send in a version, in the form in which it is read back.

use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate::mqtt::{
    Acknowledgement, AcknowledgementProperties, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties, PublishQoS, QoS,
    ReasonCode, RetainHandling, SubAck, Subscribe, SubscriptionOptions, TopicName, UnsubAck, Unsubscribe,
    UserProperties, Will,
};

use super::wire::{Side, V3_1, V5, VERSIONS};

/// A version, a side, and a packet that this side may send in this version.
pub(crate) fn sent_packet() -> impl Strategy<Value = (ProtocolVersion, Side, Packet)> {
    let version = prop::sample::select(VERSIONS.to_vec());
    (version, prop_oneof![Just(Side::Client), Just(Side::Server)]).prop_flat_map(|(version, side)| {
        packet(version, side).prop_map(move |packet| (version, side, packet))
    })
}

/// Packets of one connection, CONNECT first when a client sends them.
pub(crate) fn conversation() -> impl Strategy<Value = (ProtocolVersion, Side, Vec<Packet>)> {
    let version = prop::sample::select(VERSIONS.to_vec());
    (version, prop_oneof![Just(Side::Client), Just(Side::Server)]).prop_flat_map(|(version, side)| {
        let rest = packet(version, side)
            .prop_filter("CONNECT is the first", |packet| !matches!(packet, Packet::Connect(_)));
        (connect(version), vec(rest, 0..6)).prop_map(move |(connect, mut packets)| {
            if side == Side::Client {
                packets.insert(0, connect);
            }
            (version, side, packets)
        })
    })
}

/// Any packet that a side may send in a version.
pub(crate) fn packet(version: ProtocolVersion, side: Side) -> BoxedStrategy<Packet> {
    let both = prop_oneof![
        4 => publish(version, side),
        1 => acknowledgement(version, FAILURES_OF_PUBLISH).prop_map(Packet::PubAck),
        1 => acknowledgement(version, FAILURES_OF_PUBLISH).prop_map(Packet::PubRec),
        1 => acknowledgement(version, FAILURES_OF_RELEASE).prop_map(Packet::PubRel),
        1 => acknowledgement(version, FAILURES_OF_RELEASE).prop_map(Packet::PubComp),
    ];
    let own = match side {
        Side::Client => prop_oneof![
            connect(version),
            subscribe(version),
            unsubscribe(version),
            Just(Packet::PingReq),
            disconnect(version, side),
        ]
        .boxed(),
        Side::Server => {
            prop_oneof![connack(version), suback(version), unsuback(version), Just(Packet::PingResp)].boxed()
        }
    };
    let of_five = match side {
        _ if version != V5 => {
            Just(if side == Side::Client { Packet::PingReq } else { Packet::PingResp }).boxed()
        }
        Side::Client => auth(&[ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate]).boxed(),
        Side::Server => prop_oneof![
            auth(&[ReasonCode::Success, ReasonCode::ContinueAuthentication]),
            disconnect(version, side)
        ]
        .boxed(),
    };
    prop_oneof![3 => both, 3 => own, 1 => of_five].boxed()
}

const FAILURES_OF_PUBLISH: &[ReasonCode] =
    &[ReasonCode::Success, ReasonCode::NoMatchingSubscribers, ReasonCode::QuotaExceeded];
const FAILURES_OF_RELEASE: &[ReasonCode] = &[ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];

fn text() -> impl Strategy<Value = ByteString> {
    prop_oneof!["[a-z/+#$]{0,8}", "[^\\x00]{0,4}"].prop_map(ByteString::from)
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn topic() -> impl Strategy<Value = TopicName> {
    prop_oneof!["[a-z/$]{1,8}", "[^\\x00+#]{1,4}"].prop_map(|name| TopicName::parse(name).unwrap())
}

fn qos() -> impl Strategy<Value = QoS> {
    prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|number| PacketIdentifier::new(number).unwrap())
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..3)
}

fn reason(codes: &'static [ReasonCode]) -> impl Strategy<Value = ReasonCode> {
    prop::sample::select(codes.to_vec())
}

fn connect(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let credentials = (option::of(text()), option::of(binary())).prop_map(move |(username, password)| {
        // 3.x knows no password without a user name.
        let password = password.filter(|_| version == V5 || username.is_some());
        (username, password)
    });
    let properties = connect_properties();
    (any::<bool>(), any::<u16>(), text(), option::of(will(version)), credentials, properties)
        .prop_map(
            move |(clean_start, keep_alive_seconds, client_id, will, (username, password), properties)| {
                Packet::Connect(Box::new(Connect {
                    version,
                    clean_start,
                    keep_alive_seconds,
                    client_id,
                    will: will.map(Box::new),
                    username,
                    password,
                    properties: if version == V5 { properties } else { ConnectProperties::default() },
                }))
            },
        )
        .boxed()
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let numbers = (option::of(any::<u32>()), any::<u16>(), any::<u32>(), option::of(any::<u16>()));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()));
    let authentication = option::of((text(), option::of(binary())));
    (numbers, flags, user_properties(), authentication).prop_map(
        |((expiry, receive, size, alias), (response, problem), user_properties, authentication)| {
            let (method, data) = authentication.unzip();
            ConnectProperties {
                session_expiry_interval_seconds: expiry,
                receive_maximum: receive.try_into().ok(),
                maximum_packet_size: size.try_into().ok(),
                topic_alias_maximum: alias,
                request_response_information: response,
                request_problem_information: problem,
                user_properties,
                authentication_method: method,
                authentication_data: data.flatten(),
            }
        },
    )
}

fn will(version: ProtocolVersion) -> impl Strategy<Value = Will> {
    (topic(), binary(), qos(), any::<bool>(), any::<u32>(), publish_properties()).prop_map(
        move |(topic, payload, qos, retain, delay, mut properties)| {
            properties.subscription_identifiers.clear();
            let of_five = version == V5;
            Will {
                topic,
                payload,
                qos,
                retain,
                delay_interval_seconds: if of_five { delay } else { 0 },
                properties: if of_five { properties } else { PublishProperties::default() },
            }
        },
    )
}

fn connack(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let reasons = if version == V5 {
        reason(&[ReasonCode::Success, ReasonCode::UnspecifiedError, ReasonCode::ConnectionRateExceeded])
            .boxed()
    } else {
        (0..=5_u8).prop_map(|code| ReasonCode::from_connect_return_code(code).unwrap()).boxed()
    };
    (any::<bool>(), reasons, connack_properties())
        .prop_map(move |(session_present, reason, properties)| {
            Packet::ConnAck(Box::new(ConnAck {
                session_present: session_present && reason == ReasonCode::Success && version != V3_1,
                reason,
                properties: if version == V5 { properties } else { ConnAckProperties::default() },
            }))
        })
        .boxed()
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        option::of(any::<u32>()),
        any::<u16>(),
        any::<u32>(),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
        option::of(any::<bool>()),
    );
    let flags = prop::array::uniform4(option::of(any::<bool>()));
    let texts = prop::array::uniform4(option::of(text()));
    let authentication = option::of((text(), option::of(binary())));
    (numbers, flags, texts, user_properties(), authentication).prop_map(
        |((expiry, receive, size, alias, keep_alive, qos), flags, texts, user_properties, authentication)| {
            let (method, data) = authentication.unzip();
            let [assigned, reason, response, reference] = texts;
            ConnAckProperties {
                session_expiry_interval_seconds: expiry,
                receive_maximum: receive.try_into().ok(),
                maximum_qos: qos.map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
                retain_available: flags[0],
                maximum_packet_size: size.try_into().ok(),
                assigned_client_identifier: assigned,
                topic_alias_maximum: alias,
                reason_string: reason,
                user_properties,
                wildcard_subscription_available: flags[1],
                subscription_identifiers_available: flags[2],
                shared_subscription_available: flags[3],
                server_keep_alive_seconds: keep_alive,
                response_information: response,
                server_reference: reference,
                authentication_method: method,
                authentication_data: data.flatten(),
            }
        },
    )
}

fn publish(version: ProtocolVersion, side: Side) -> BoxedStrategy<Packet> {
    let flags = (any::<bool>(), any::<bool>(), qos(), identifier());
    let topics = (topic(), option::of(1..=u16::MAX), any::<bool>());
    (flags, topics, binary(), publish_properties())
        .prop_map(move |((dup, retain, qos, identifier), (topic, alias, named), payload, properties)| {
            let alias = alias.filter(|_| version == V5);
            Packet::Publish(Publish {
                dup: dup && qos != QoS::AtMostOnce,
                qos: match qos {
                    QoS::AtMostOnce => PublishQoS::AtMostOnce,
                    QoS::AtLeastOnce => PublishQoS::AtLeastOnce(identifier),
                    QoS::ExactlyOnce => PublishQoS::ExactlyOnce(identifier),
                },
                retain,
                topic: (named || alias.is_none()).then_some(topic),
                topic_alias: alias.and_then(|alias| alias.try_into().ok()),
                payload,
                properties: some_properties(version, side, properties),
            })
        })
        .boxed()
}

fn some_properties(
    version: ProtocolVersion,
    side: Side,
    mut properties: PublishProperties,
) -> Option<Box<PublishProperties>> {
    if side == Side::Client {
        properties.subscription_identifiers.clear();
    }
    let some = version == V5 && properties != PublishProperties::default();
    some.then(|| Box::new(properties))
}

fn publish_properties() -> impl Strategy<Value = PublishProperties> {
    (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(topic()),
        option::of(binary()),
        user_properties(),
        vec(subscription_identifier(), 0..3),
        option::of(text()),
    )
        .prop_map(|(format, expiry, response, correlation, user_properties, identifiers, content)| {
            PublishProperties {
                payload_format_indicator: format,
                message_expiry_interval_seconds: expiry,
                response_topic: response,
                correlation_data: correlation,
                user_properties,
                subscription_identifiers: identifiers,
                content_type: content,
            }
        })
}

fn subscription_identifier() -> impl Strategy<Value = std::num::NonZeroU32> {
    prop_oneof![1..300_u32, 1..=268_435_455_u32].prop_map(|number| number.try_into().unwrap())
}

fn acknowledgement(
    version: ProtocolVersion,
    codes: &'static [ReasonCode],
) -> impl Strategy<Value = Acknowledgement> {
    (identifier(), reason(codes), acknowledgement_properties()).prop_map(
        move |(packet_identifier, reason, properties)| {
            let reason = if version == V5 { reason } else { ReasonCode::Success };
            let properties = properties.filter(|_| version == V5);
            Acknowledgement { packet_identifier, reason, properties }
        },
    )
}

fn acknowledgement_properties() -> impl Strategy<Value = Option<Box<AcknowledgementProperties>>> {
    (option::of(text()), user_properties()).prop_map(|(reason_string, user_properties)| {
        let all = AcknowledgementProperties { reason_string, user_properties };
        (all != AcknowledgementProperties::default()).then(|| Box::new(all))
    })
}

fn subscribe(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let requests = vec((text(), subscription_options(version)), 1..4).prop_map(|mut requests| {
        for (filter, options) in &mut requests {
            options.no_local &= !filter.starts_with("$share/");
        }
        requests
    });
    (identifier(), option::of(subscription_identifier()), user_properties(), requests)
        .prop_map(move |(packet_identifier, subscription_identifier, user_properties, requests)| {
            let of_five = version == V5;
            Packet::Subscribe(Box::new(Subscribe {
                packet_identifier,
                subscription_identifier: subscription_identifier.filter(|_| of_five),
                user_properties: if of_five { user_properties } else { Vec::new() },
                requests,
            }))
        })
        .boxed()
}

fn subscription_options(version: ProtocolVersion) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = prop::sample::select(vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(maximum_qos, no_local, retain_as_published, retain_handling)| {
            if version != V5 {
                return SubscriptionOptions::new(maximum_qos);
            }
            SubscriptionOptions { maximum_qos, no_local, retain_as_published, retain_handling }
        },
    )
}

fn suback(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let codes: &[ReasonCode] = if version == V5 {
        &[ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::TopicFilterInvalid]
    } else {
        &[ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::UnspecifiedError]
    };
    (identifier(), acknowledgement_properties(), vec(reason(codes), 1..4))
        .prop_map(move |(packet_identifier, properties, reasons)| {
            let properties = properties.filter(|_| version == V5);
            Packet::SubAck(Box::new(SubAck { packet_identifier, properties, reasons }))
        })
        .boxed()
}

fn unsubscribe(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    (identifier(), user_properties(), vec(text(), 1..4))
        .prop_map(move |(packet_identifier, user_properties, filters)| {
            let user_properties = if version == V5 { user_properties } else { Vec::new() };
            Packet::Unsubscribe(Box::new(Unsubscribe { packet_identifier, user_properties, filters }))
        })
        .boxed()
}

fn unsuback(version: ProtocolVersion) -> BoxedStrategy<Packet> {
    let codes = &[ReasonCode::Success, ReasonCode::NoSubscriptionExisted, ReasonCode::NotAuthorized];
    (identifier(), acknowledgement_properties(), vec(reason(codes), 1..4))
        .prop_map(move |(packet_identifier, properties, reasons)| {
            let of_five = version == V5;
            Packet::UnsubAck(Box::new(UnsubAck {
                packet_identifier,
                properties: properties.filter(|_| of_five),
                reasons: if of_five { reasons } else { Vec::new() },
            }))
        })
        .boxed()
}

fn disconnect(version: ProtocolVersion, side: Side) -> BoxedStrategy<Packet> {
    if version != V5 {
        return Just(Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)))).boxed();
    }
    let codes = reason(&[ReasonCode::Success, ReasonCode::UnspecifiedError, ReasonCode::TopicNameInvalid]);
    (codes, option::of(any::<u32>()), option::of(text()), user_properties(), option::of(text()))
        .prop_map(move |(reason, expiry, reason_string, user_properties, server_reference)| {
            Packet::Disconnect(Box::new(Disconnect {
                reason,
                session_expiry_interval_seconds: expiry.filter(|_| side == Side::Client),
                reason_string,
                user_properties,
                server_reference,
            }))
        })
        .boxed()
}

fn auth(codes: &'static [ReasonCode]) -> impl Strategy<Value = Packet> {
    (reason(codes), text(), option::of(binary()), option::of(text()), user_properties()).prop_map(
        |(reason, method, authentication_data, reason_string, user_properties)| {
            Packet::Auth(Box::new(Auth {
                reason,
                authentication_method: Some(method),
                authentication_data,
                reason_string,
                user_properties,
            }))
        },
    )
}
