//! The codec by the standard's numbers.

use bytes::{BufMut, BytesMut};

use super::*;

fn client(version: ProtocolVersion) -> Decoder {
    let mut decoder = Decoder::of_client(1 << 20);
    let mut buffer = BytesMut::new();
    let connect = Packet::Connect(Box::new(Connect {
        version,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: "c".into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }));
    encode(version, &connect, &mut buffer).unwrap();
    assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().0, connect);
    assert_eq!(decoder.version(), Some(version));
    decoder
}

const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5];

#[test]
fn a_publish_survives_the_wire_in_every_version_however_it_is_split() {
    for version in VERSIONS {
        let packet = Packet::Publish(Publish {
            dup: true,
            qos: PublishQoS::AtLeastOnce(PacketIdentifier::FIRST),
            retain: false,
            topic: Some(TopicName::parse("a/b").unwrap()),
            topic_alias: None,
            payload: "hello".into(),
            properties: None,
        });
        let mut wire = BytesMut::new();
        encode(version, &packet, &mut wire).unwrap();
        assert_eq!(encoded_len(version, &packet), Ok(wire.len()));
        let mut decoder = client(version);
        let mut buffer = BytesMut::new();
        for (at, byte) in wire.iter().enumerate() {
            assert_eq!(decoder.decode(&mut buffer), Ok(None), "after {at} bytes");
            buffer.put_u8(*byte);
        }
        assert_eq!(decoder.decode(&mut buffer), Ok(Some((packet, wire.len()))));
    }
}
