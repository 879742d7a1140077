//! A cloud that costs next to nothing: it acknowledges every message, and counts them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bytes::BytesMut;
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, ProtocolVersion, PublishQoS, ReasonCode,
    encode,
};

/// A listening cloud.
pub struct Cloud {
    pub port: u16,
    messages: Arc<AtomicU64>,
}

impl Cloud {
    pub fn start() -> Cloud {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&messages);
        thread::spawn(move || {
            for socket in listener.incoming() {
                serve(&socket.unwrap(), &counter);
            }
        });
        Cloud { port, messages }
    }

    /// How many messages it has acknowledged.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

fn serve(mut socket: &TcpStream, messages: &AtomicU64) {
    let mut decoder = Decoder::of_client(1 << 20);
    let (mut incoming, mut outgoing, mut chunk) = (BytesMut::new(), BytesMut::new(), vec![0; 1 << 16]);
    while let Ok(length @ 1..) = socket.read(&mut chunk) {
        incoming.extend_from_slice(&chunk[..length]);
        while let Some((packet, _)) = decoder.decode(&mut incoming).expect("the gateway speaks MQTT") {
            if let Some(answer) = answer(&packet) {
                let version = decoder.version().unwrap_or(ProtocolVersion::V5);
                encode(version, &answer, &mut outgoing).unwrap();
            }
            messages.fetch_add(u64::from(matches!(packet, Packet::Publish(_))), Ordering::Relaxed);
        }
        if socket.write_all(&outgoing.split()).is_err() {
            return;
        }
    }
}

fn answer(packet: &Packet) -> Option<Packet> {
    let success = ReasonCode::Success;
    match packet {
        Packet::Connect(_) => Some(Packet::ConnAck(Box::new(ConnAck {
            session_present: false,
            reason: success,
            properties: ConnAckProperties::default(),
        }))),
        Packet::Publish(publish) => match publish.qos {
            PublishQoS::AtLeastOnce(identifier) => {
                Some(Packet::PubAck(Acknowledgement::new(identifier, success)))
            }
            _ => None,
        },
        Packet::PingReq => Some(Packet::PingResp),
        _ => None,
    }
}
