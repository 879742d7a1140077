//! Stands between the gateway and the server, knows what is open between them, and kills the gateway at the very
//! moment at which a certain packet passes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process};
use tidegate::mqtt::{Decoder, Packet, PacketIdentifier, ProtocolVersion, PublishQoS, QoS};

use super::Random;

/// Which packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// When the gateway dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long after it was started.
    Starting(Duration),
    /// So long after the server has taken it.
    AtRandom(Duration),
    /// As so many packets of a kind have passed.
    Packet { kind: Kind, count: u64, still_delivered: bool },
}

impl Moment {
    pub fn random(random: &mut Random, qos: QoS) -> Moment {
        let of_qos: &[Kind] = match qos {
            QoS::ExactlyOnce => &[Kind::Publish, Kind::PubRec, Kind::PubRel, Kind::PubComp],
            _ => &[Kind::Publish, Kind::PubAck],
        };
        match random.below(10) {
            0 => Moment::Starting(Duration::from_millis(random.below(60))),
            1 | 2 => Moment::AtRandom(Duration::from_millis(random.below(150))),
            3 => {
                let kind = if random.below(2) == 0 { Kind::Connect } else { Kind::ConnAck };
                Moment::Packet { kind, count: 1, still_delivered: random.below(2) == 0 }
            }
            _ => Moment::Packet {
                kind: of_qos[usize::try_from(random.below(of_qos.len() as u64)).unwrap()],
                count: 1 + random.below(300),
                still_delivered: random.below(2) == 0,
            },
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Starting(after) => write!(formatter, "{} ms after its start", after.as_millis()),
            Moment::AtRandom(after) => write!(formatter, "{} ms after CONNACK", after.as_millis()),
            Moment::Packet { kind, count, still_delivered } => {
                let end = if *still_delivered { "delivered" } else { "lost" };
                write!(formatter, "at {kind:?} number {count}, {end}")
            }
        }
    }
}

/// How far a delivery is, as seen on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Published,
    Received,
    Released,
}

#[derive(Default)]
struct Seen {
    armed: Option<(Moment, Pid)>,
    passed: BTreeMap<u8, u64>,
    connections: u64,
    connected: bool,
    greeted: bool,
    open: BTreeMap<PacketIdentifier, Phase>,
    acknowledged: u64,
    /// What was open when the gateway died.
    at_death: Option<String>,
}

pub struct Tap {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Tap {
    pub fn start(server: u16, version: ProtocolVersion) -> Tap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let known = Arc::clone(&seen);
        thread::spawn(move || {
            for gateway in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { return };
                connect(&gateway, &server, version, &known);
            }
        });
        Tap { port, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// The process dies at this moment.
    pub fn arm(&self, moment: Moment, process: Pid) {
        let mut seen = self.seen();
        seen.passed.clear();
        seen.at_death = None;
        seen.armed = Some((moment, process));
    }

    /// Kills now, if the moment was to be so long after the server has taken it.
    pub fn strike_when_due(&self, greeted_at: &mut Option<Instant>) {
        let mut seen = self.seen();
        if let Some((Moment::AtRandom(after), process)) = seen.armed
            && seen.greeted
            && greeted_at.get_or_insert_with(Instant::now).elapsed() >= after
        {
            seen.strike(process);
        }
    }

    /// What was open at the moment of death, or now.
    pub fn disarm(&self) -> String {
        let mut seen = self.seen();
        seen.armed = None;
        let now = seen.in_words();
        seen.at_death.take().unwrap_or(now)
    }

    /// What the server has acknowledged, for good, on its way to the gateway.
    pub fn acknowledged(&self) -> u64 {
        self.seen().acknowledged
    }

    pub fn is_idle(&self) -> bool {
        let seen = self.seen();
        seen.greeted && seen.open.is_empty()
    }
}

impl Seen {
    fn in_words(&self) -> String {
        if !self.greeted {
            return if self.connected { "greeting" } else { "not connected" }.to_owned();
        }
        let count = |phase| self.open.values().filter(|open| **open == phase).count();
        format!(
            "open: {} published, {} received, {} released",
            count(Phase::Published),
            count(Phase::Received),
            count(Phase::Released)
        )
    }

    /// Notes a packet; `Some(whether it still passes)` when it was the last.
    fn note(&mut self, packet: &Packet) -> Option<bool> {
        let kind = match packet {
            Packet::Connect(_) => Kind::Connect,
            Packet::ConnAck(_) => {
                self.greeted = true;
                Kind::ConnAck
            }
            Packet::Publish(publish) => {
                if let PublishQoS::AtLeastOnce(identifier) | PublishQoS::ExactlyOnce(identifier) = publish.qos
                {
                    self.open.insert(identifier, Phase::Published);
                }
                Kind::Publish
            }
            Packet::PubAck(ack) => {
                self.acknowledged += u64::from(self.open.remove(&ack.packet_identifier).is_some());
                Kind::PubAck
            }
            Packet::PubRec(ack) => {
                self.open.insert(ack.packet_identifier, Phase::Received);
                Kind::PubRec
            }
            Packet::PubRel(ack) => {
                self.open.insert(ack.packet_identifier, Phase::Released);
                Kind::PubRel
            }
            Packet::PubComp(ack) => {
                self.acknowledged += u64::from(self.open.remove(&ack.packet_identifier).is_some());
                Kind::PubComp
            }
            _ => return None,
        };
        let passed = self.passed.entry(kind as u8).or_default();
        *passed += 1;
        let passed = *passed;
        match self.armed {
            Some((Moment::Packet { kind: wanted, count, still_delivered }, process))
                if wanted == kind && count == passed =>
            {
                self.strike(process);
                Some(still_delivered)
            }
            _ => None,
        }
    }

    fn strike(&mut self, process: Pid) {
        let _ = kill_process(process, Signal::KILL);
        self.armed = None;
        self.at_death = Some(self.in_words());
    }
}

fn connect(gateway: &TcpStream, server: &TcpStream, version: ProtocolVersion, seen: &Arc<Mutex<Seen>>) {
    let number = {
        let mut seen = seen.lock().unwrap();
        (seen.connected, seen.greeted) = (true, false);
        seen.open.clear();
        seen.connections += 1;
        seen.connections
    };
    for (from, to, decoder) in [
        (gateway, server, Decoder::of_client(1 << 20)),
        (server, gateway, Decoder::of_server(version, 1 << 20)),
    ] {
        let (from, to, seen) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(seen));
        thread::spawn(move || pass(from, to, decoder, number, &seen));
    }
}

/// One direction of one connection.
fn pass(mut from: TcpStream, mut to: TcpStream, mut decoder: Decoder, number: u64, seen: &Mutex<Seen>) {
    let (mut buffer, mut chunk) = (BytesMut::new(), [0; 2048]);
    'connection: while let Ok(length @ 1..) = from.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..length]);
        while let Ok(Some((packet, _))) = decoder.decode(&mut buffer) {
            let mut seen = seen.lock().unwrap();
            if seen.connections == number && seen.note(&packet) == Some(false) {
                break 'connection;
            }
        }
        if to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    let mut seen = seen.lock().unwrap();
    if seen.connections == number {
        (seen.connected, seen.greeted) = (false, false);
    }
}
