//! A server that does nothing but acknowledge, as fast as it can: the measure of a drain.

use bytes::BytesMut;
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, PublishQoS, ReasonCode, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves connections to `listener` for ever.
pub async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let mut decoder = Decoder::of_client(1 << 20);
    let (mut incoming, mut outgoing) = (BytesMut::new(), BytesMut::new());
    loop {
        incoming.reserve(64 * 1024);
        if stream.read_buf(&mut incoming).await.unwrap_or(0) == 0 {
            return;
        }
        while let Some((packet, _)) = decoder.decode(&mut incoming).unwrap() {
            let ok = |identifier| Acknowledgement::new(identifier, ReasonCode::Success);
            let answer = match packet {
                Packet::Connect(_) => Packet::ConnAck(Box::new(ConnAck {
                    session_present: false,
                    reason: ReasonCode::Success,
                    properties: ConnAckProperties::default(),
                })),
                Packet::Publish(publish) => match publish.qos {
                    PublishQoS::AtMostOnce => continue,
                    PublishQoS::AtLeastOnce(identifier) => Packet::PubAck(ok(identifier)),
                    PublishQoS::ExactlyOnce(identifier) => Packet::PubRec(ok(identifier)),
                },
                Packet::PubRel(release) => Packet::PubComp(ok(release.packet_identifier)),
                Packet::PingReq => Packet::PingResp,
                _ => continue,
            };
            encode(decoder.version().unwrap(), &answer, &mut outgoing).unwrap();
        }
        if stream.write_all(&outgoing).await.is_err() {
            return;
        }
        outgoing.clear();
    }
}
