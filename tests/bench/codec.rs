//! Nanoseconds per packet, ours beside rumqttc's: `cargo bench --bench codec`.
//!
//! Each figure is the best of many rounds over a buffer of 256 packets. Without `--bench` (as when the tests run it)
//! one round shows that it works.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench prints and may panic"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use tidegate::mqtt::{
    Acknowledgement, Decoder, OutgoingPublish, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, PublishQoS, QoS, ReasonCode, TopicName, encode,
};

const PACKETS: usize = 256;
const MAX: usize = 1 << 20;
const V4: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 20_000 } else { 1 };
    let publish = publish(None);
    let with_properties = with_properties();
    let puback = Packet::PubAck(Acknowledgement::new(PacketIdentifier::FIRST, ReasonCode::Success));

    println!("| nanoseconds per packet | tidegate | rumqttc |");
    println!("|---|---|---|");
    let reading: [(&str, ProtocolVersion, &Packet); 5] = [
        ("read PUBLISH QoS 1, 64 bytes, 3.1.1", V4, &publish),
        ("read PUBLISH QoS 1, 65 bytes, 5.0", V5, &publish),
        ("read PUBLISH QoS 1, 5.0, three properties", V5, &with_properties),
        ("read PUBACK, 3.1.1", V4, &puback),
        ("read PUBACK, 5.0", V5, &puback),
    ];
    for (name, version, packet) in reading {
        let wire = written(version, packet);
        let fill = || BytesMut::from(&*wire);
        let ours = best(rounds, fill, |buffer| read_ours(version, buffer));
        let theirs = best(rounds, fill, if version == V5 { read_v5 } else { read_v4 });
        row(name, ours, Some(theirs));
    }
    for (name, version, packet) in
        [("write PUBLISH QoS 1, 3.1.1", V4, &publish), ("write PUBACK, 3.1.1", V4, &puback)]
    {
        let ours = best(rounds, room, |buffer| write_ours(version, packet, buffer));
        let packet = v4::Packet::read(&mut BytesMut::from(&*written(version, packet)), MAX).unwrap();
        let theirs = best(rounds, room, |buffer| write_v4(&packet, buffer));
        row(name, ours, Some(theirs));
    }
    row(
        "encode PUBLISH once for many, 5.0",
        best(rounds, BytesMut::new, |_| encode_once(&with_properties)),
        None,
    );
}

fn publish(properties: Option<Box<PublishProperties>>) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos: PublishQoS::AtLeastOnce(PacketIdentifier::FIRST),
        retain: false,
        topic: Some(TopicName::parse("tidegate/greenhouse/air/state").unwrap()),
        topic_alias: None,
        payload: Bytes::from_static(b"{\"temperature\":21.5,\"hum\":40}"),
        properties,
    })
}

fn with_properties() -> Packet {
    publish(Some(Box::new(PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval_seconds: Some(3600),
        content_type: Some("application/json".into()),
        ..Default::default()
    })))
}

fn room() -> BytesMut {
    BytesMut::with_capacity(PACKETS * 80)
}

/// The best round, per packet; what it works on is prepared outside of the measured time.
fn best(rounds: usize, prepare: impl Fn() -> BytesMut, mut round: impl FnMut(&mut BytesMut)) -> f64 {
    let shortest = (0..rounds).map(|_| {
        let mut buffer = prepare();
        let start = Instant::now();
        round(&mut buffer);
        start.elapsed()
    });
    let shortest = shortest.min().unwrap_or(Duration::ZERO);
    shortest.as_secs_f64() * 1e9 / f64::from(u32::try_from(PACKETS).unwrap())
}

fn row(name: &str, ours: f64, theirs: Option<f64>) {
    let theirs = theirs.map_or_else(|| "-".into(), |theirs| format!("{theirs:.0}"));
    println!("| {name} | {ours:.0} | {theirs} |");
}

fn written(version: ProtocolVersion, packet: &Packet) -> Bytes {
    let mut wire = BytesMut::new();
    for _ in 0..PACKETS {
        encode(version, packet, &mut wire).unwrap();
    }
    wire.freeze()
}

fn read_ours(version: ProtocolVersion, buffer: &mut BytesMut) {
    let mut decoder = Decoder::of_server(version, MAX);
    while let Some(packet) = decoder.decode(buffer).unwrap() {
        black_box(packet);
    }
}

fn read_v4(buffer: &mut BytesMut) {
    while !buffer.is_empty() {
        black_box(v4::Packet::read(buffer, MAX).unwrap());
    }
}

fn read_v5(buffer: &mut BytesMut) {
    while !buffer.is_empty() {
        black_box(v5::Packet::read(buffer, None).unwrap());
    }
}

fn write_ours(version: ProtocolVersion, packet: &Packet, buffer: &mut BytesMut) {
    for _ in 0..PACKETS {
        encode(version, black_box(packet), buffer).unwrap();
    }
}

fn write_v4(packet: &v4::Packet, buffer: &mut BytesMut) {
    for _ in 0..PACKETS {
        black_box(packet).write(buffer, MAX).unwrap();
    }
}

fn encode_once(packet: &Packet) {
    let Packet::Publish(publish) = packet else { return };
    for _ in 0..PACKETS {
        let outgoing = OutgoingPublish {
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: publish.topic.as_ref(),
            topic_alias: None,
            payload: &publish.payload,
            properties: publish.properties.as_deref(),
            added_user_property: None,
            message_expiry_interval_seconds: Some(60),
            subscription_identifiers: &[],
        };
        black_box(black_box(outgoing).encode(V5).unwrap());
    }
}
