//! Publishes numbers to the gateway, each once in its life, and remembers which of them were accepted.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate::mqtt::{
    Acknowledgement, Connect, ConnectProperties, Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishQoS, QoS, ReasonCode, TopicName, encode,
};

/// What is not answered yet, at most.
const OPEN: usize = 50;
/// Of one life of the gateway.
const NUMBERS: u64 = 600;

pub struct Publisher {
    port: u16,
    qos: QoS,
    next: Arc<AtomicU64>,
    accepted: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub fn new(port: u16, qos: QoS) -> Publisher {
        Publisher {
            port,
            qos,
            next: Arc::new(AtomicU64::new(1)),
            accepted: Arc::default(),
            stop: Arc::default(),
            thread: None,
        }
    }

    /// Until enough was said, or the gateway is gone. What was not answered then is never said again: nobody knows of
    /// it, and a repetition would be the publisher's.
    pub fn publish_in_the_background(&mut self) {
        self.stop.store(false, Ordering::Relaxed);
        let (next, accepted, stop) =
            (Arc::clone(&self.next), Arc::clone(&self.accepted), Arc::clone(&self.stop));
        let (port, qos) = (self.port, self.qos);
        self.thread = Some(std::thread::spawn(move || {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                let _ = publish(stream, qos, &next, &accepted, &stop);
            }
        }));
    }

    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// What the gateway has promised to keep.
    pub fn accepted(&self) -> Vec<u64> {
        self.accepted.lock().unwrap().clone()
    }
}

fn publish(
    mut stream: TcpStream,
    qos: QoS,
    next: &AtomicU64,
    accepted: &Mutex<Vec<u64>>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    let version = ProtocolVersion::V3_1_1;
    let mut out = BytesMut::new();
    encode(version, &Packet::Connect(Box::new(connect())), &mut out).unwrap();
    let (mut decoder, mut incoming) = (Decoder::of_server(version, 1 << 16), BytesMut::new());
    let mut open: BTreeMap<PacketIdentifier, u64> = BTreeMap::new();
    let (mut greeted, mut said, mut identifier) = (false, 0, PacketIdentifier::FIRST);
    let mut chunk = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        while greeted && open.len() < OPEN && said < NUMBERS {
            let number = next.fetch_add(1, Ordering::Relaxed);
            open.insert(identifier, number);
            encode(version, &Packet::Publish(message(number, qos, identifier)), &mut out).unwrap();
            identifier = identifier.next();
            said += 1;
        }
        stream.write_all(&out.split())?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => incoming.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        while let Some((packet, _)) = decoder.decode(&mut incoming).unwrap() {
            match packet {
                Packet::ConnAck(_) => greeted = true,
                Packet::PubAck(ack) | Packet::PubComp(ack) => {
                    accepted.lock().unwrap().extend(open.remove(&ack.packet_identifier));
                }
                // Accepted, but its identifier is still in use.
                Packet::PubRec(ack) => {
                    let release = Acknowledgement::new(ack.packet_identifier, ReasonCode::Success);
                    encode(version, &Packet::PubRel(release), &mut out).unwrap();
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn connect() -> Connect {
    Connect {
        version: ProtocolVersion::V3_1_1,
        clean_start: true,
        keep_alive_seconds: 0,
        client_id: "publisher".into(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn message(number: u64, qos: QoS, identifier: PacketIdentifier) -> Publish {
    Publish {
        dup: false,
        qos: match qos {
            QoS::ExactlyOnce => PublishQoS::ExactlyOnce(identifier),
            _ => PublishQoS::AtLeastOnce(identifier),
        },
        retain: false,
        topic: Some(TopicName::parse("t/x").unwrap()),
        topic_alias: None,
        payload: Bytes::from(number.to_string()),
        properties: None,
    }
}
