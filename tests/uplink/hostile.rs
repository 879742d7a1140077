//! A cloud that does everything wrong, one thing at a time, and behaves in the end: silent, slow, half-open,
//! forgetful, out of order, twice, never, too strict, or not MQTT at all.
//!
//! Nothing may be lost, nothing may be stuck, and no more may be open than the window.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::bridge::Options;
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Disconnect, Packet, PacketIdentifier,
    ProtocolVersion, Publish, PublishQoS, QoS, ReasonCode, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::gateway::Gateway;

const MESSAGES: u64 = 400;
const DEADLINE: Duration = Duration::from_millis(400);

/// What is wrong with it, on its first connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    /// It takes the connection and says nothing.
    Silent,
    /// It says something that is not MQTT.
    Garbage,
    /// It greets, takes everything, and answers nothing.
    NeverAcknowledges,
    /// It greets and reads no more.
    HalfOpen,
    /// It answers the last first, in groups.
    AcknowledgesBackwards,
    AcknowledgesTwice,
    /// Every seventh answer is missing.
    AcknowledgesSome,
    /// It closes after some messages, and knows nothing of the session afterwards.
    Forgets,
    /// It takes one at a time.
    OneAtATime,
    /// It complains of too many open messages, and closes.
    ComplainsOfWindow,
    /// It has no quota left for some, for now.
    HasNoQuota,
    /// A moment for each answer.
    Slow,
}

const VICES: [Vice; 12] = [
    Vice::Silent,
    Vice::Garbage,
    Vice::NeverAcknowledges,
    Vice::HalfOpen,
    Vice::AcknowledgesBackwards,
    Vice::AcknowledgesTwice,
    Vice::AcknowledgesSome,
    Vice::Forgets,
    Vice::OneAtATime,
    Vice::ComplainsOfWindow,
    Vice::HasNoQuota,
    Vice::Slow,
];

/// Connections on which it is bad, before it behaves.
const BAD_CONNECTIONS: usize = 3;

#[derive(Default)]
struct Seen {
    /// How often each message came.
    arrived: BTreeMap<String, usize>,
    connections: usize,
    most_open: usize,
    has_session: bool,
    /// QoS 2 messages that were received and not released.
    received: BTreeMap<PacketIdentifier, ()>,
    refused: usize,
}

struct Visit {
    stream: TcpStream,
    decoder: Decoder,
    buffer: BytesMut,
    vice: Option<Vice>,
    held_back: Vec<Packet>,
    answered: usize,
    seen: Arc<Mutex<Seen>>,
}

/// Serves until the test ends.
async fn serve(listener: TcpListener, vice: Vice, seen: Arc<Mutex<Seen>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let connections = {
            let mut seen = seen.lock().unwrap();
            seen.connections += 1;
            seen.connections
        };
        let visit = Visit {
            stream,
            decoder: Decoder::of_client(1 << 20),
            buffer: BytesMut::new(),
            vice: (connections <= BAD_CONNECTIONS).then_some(vice),
            held_back: Vec::new(),
            answered: 0,
            seen: Arc::clone(&seen),
        };
        tokio::spawn(visit.receive());
    }
}

impl Visit {
    async fn receive(mut self) {
        if self.vice == Some(Vice::Silent) {
            // For as long as anybody waits.
            while self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) > 0 {}
            return;
        }
        let mut open = 0;
        loop {
            while let Ok(Some((packet, _))) = self.decoder.decode(&mut self.buffer) {
                if matches!(packet, Packet::Publish(_)) {
                    open += 1;
                    let mut seen = self.seen.lock().unwrap();
                    seen.most_open = seen.most_open.max(open);
                }
                if !self.take(packet).await {
                    return;
                }
            }
            open = 0;
            self.say_backwards().await;
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    async fn take(&mut self, packet: Packet) -> bool {
        match packet {
            Packet::Connect(connect) => self.greet(connect.clean_start).await,
            Packet::Publish(publish) => self.publish(publish).await,
            Packet::PubRel(release) => {
                self.seen.lock().unwrap().received.remove(&release.packet_identifier);
                let answer = Acknowledgement::new(release.packet_identifier, ReasonCode::Success);
                self.answer(Packet::PubComp(answer)).await;
                true
            }
            Packet::PingReq => {
                self.write(&Packet::PingResp).await;
                true
            }
            Packet::Disconnect(_) => false,
            _ => true,
        }
    }

    async fn greet(&mut self, clean_start: bool) -> bool {
        let session_present = {
            let mut seen = self.seen.lock().unwrap();
            if clean_start {
                (seen.has_session, seen.received) = (false, BTreeMap::new());
            }
            std::mem::replace(&mut seen.has_session, true)
        };
        if self.vice == Some(Vice::Garbage) {
            let _ = self.stream.write_all(&[0xF7, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x00, 0x80]).await;
            return true;
        }
        let receive_maximum = (self.vice == Some(Vice::OneAtATime)).then(|| 1.try_into().unwrap());
        let properties = ConnAckProperties { receive_maximum, ..ConnAckProperties::default() };
        let reason = ReasonCode::Success;
        self.write(&Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))).await;
        if self.vice == Some(Vice::HalfOpen) {
            // Longer than anybody waits.
            sleep(DEADLINE * 20).await;
            return false;
        }
        true
    }

    async fn publish(&mut self, publish: Publish) -> bool {
        self.answered += 1;
        match self.vice {
            Some(Vice::Forgets) if self.answered > 50 => {
                let mut seen = self.seen.lock().unwrap();
                (seen.has_session, seen.received) = (false, BTreeMap::new());
                return false;
            }
            Some(Vice::ComplainsOfWindow) if self.answered > 20 => {
                let complaint = Disconnect::new(ReasonCode::ReceiveMaximumExceeded);
                self.write(&Packet::Disconnect(Box::new(complaint))).await;
                return false;
            }
            Some(Vice::Slow) => sleep(Duration::from_millis(2)).await,
            _ => {}
        }
        let refuses = self.vice == Some(Vice::HasNoQuota) && self.answered == 7;
        let reason = if refuses { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        let answer = match publish.qos {
            PublishQoS::AtMostOnce => return true,
            PublishQoS::AtLeastOnce(identifier) => Packet::PubAck(Acknowledgement::new(identifier, reason)),
            PublishQoS::ExactlyOnce(identifier) => Packet::PubRec(Acknowledgement::new(identifier, reason)),
        };
        {
            let mut seen = self.seen.lock().unwrap();
            let is_new = match publish.qos {
                PublishQoS::ExactlyOnce(identifier) if !refuses => {
                    seen.received.insert(identifier, ()).is_none()
                }
                _ => true,
            };
            if refuses {
                seen.refused += 1;
            } else if is_new {
                *seen.arrived.entry(String::from_utf8(publish.payload.to_vec()).unwrap()).or_default() += 1;
            }
        }
        self.answer(answer).await;
        true
    }

    async fn answer(&mut self, packet: Packet) {
        match self.vice {
            Some(Vice::NeverAcknowledges) => {}
            Some(Vice::AcknowledgesBackwards) => self.held_back.push(packet),
            Some(Vice::AcknowledgesTwice) => {
                self.write(&packet).await;
                self.write(&packet).await;
            }
            Some(Vice::AcknowledgesSome) if self.answered.is_multiple_of(7) => {}
            _ => self.write(&packet).await,
        }
    }

    async fn say_backwards(&mut self) {
        for packet in std::mem::take(&mut self.held_back).into_iter().rev() {
            self.write(&packet).await;
        }
    }

    async fn write(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(self.decoder.version().unwrap_or(ProtocolVersion::V5), packet, &mut bytes).unwrap();
        let _ = self.stream.write_all(&bytes).await;
    }
}

fn impatient(options: &mut Options) {
    options.acknowledgement_deadline = DEADLINE;
    options.greeting_deadline = DEADLINE;
    options.backoff_min = Duration::from_millis(100);
    options.backoff_max = Duration::from_millis(200);
    options.window = 100;
}

async fn endure(vice: Vice, qos: QoS) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let server = tokio::spawn(serve(listener, vice, Arc::clone(&seen)));
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), port, impatient).await;
    gateway.keep(MESSAGES, qos).await;
    let status = gateway.until(|status| status.acknowledged == MESSAGES && status.in_flight == 0).await;
    gateway.stop().await;
    server.abort();
    let seen = seen.lock().unwrap();
    assert_eq!(u64::try_from(seen.arrived.len()).unwrap(), MESSAGES, "{vice:?} {qos:?}: some were lost");
    let double: usize = seen.arrived.values().map(|times| times - 1).sum();
    assert!(
        u64::try_from(double).unwrap() <= status.possible_duplicates,
        "{vice:?} {qos:?}: {double}, {status:?}"
    );
    let may_be_double = qos == QoS::AtLeastOnce || vice == Vice::Forgets;
    assert!(may_be_double || double == 0, "{vice:?}: {double} came twice at QoS 2");
    assert!(seen.most_open <= 100, "{vice:?}: {} were open at once", seen.most_open);
    assert!(vice != Vice::HasNoQuota || (seen.refused > 0 && status.postponed > 0));
    assert!(seen.connections < 40, "{vice:?}: {} connections: it never rested", seen.connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_cloud_does_nothing_is_lost_and_nothing_is_stuck() {
    let mut all = Vec::new();
    for vice in VICES {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            all.push(tokio::spawn(endure(vice, qos)));
        }
    }
    for one in all {
        one.await.unwrap();
    }
}
