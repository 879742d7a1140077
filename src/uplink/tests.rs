//! Tests of the driver: a scripted server over memory in paused time, and over TCP.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smallvec::smallvec;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant as TokioInstant;

use super::*;
use crate::bridge::{Fault, Queue, Restored};
use crate::disk::{FileDisk, start};
use crate::durable::{Delivery, Message, MessageBody, Record, Sequence, Ticket, Urgency};
use crate::journal::{Journal, Options as JournalOptions, Writer};
use crate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, PublishQoS, QoS, ReasonCode, TopicName,
    encode,
};
use crate::reading::Reading;
use crate::stream::{Route, Url};
use crate::time::{Instant, Moment};

const CONSUMER: ConsumerId = ConsumerId(3);

struct NoReadings;

impl Render for NoReadings {
    fn render(&self, _: &Reading, _: &Boots) -> Bytes {
        unreachable!("no readings here")
    }
}

/// While it lives, paused time stands still: the journal's thread may take its real time.
struct TimeStands(Option<std::sync::mpsc::Sender<()>>);

fn time_stands() -> TimeStands {
    let (sender, receiver) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || receiver.recv());
    TimeStands(Some(sender))
}

impl Drop for TimeStands {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

struct MemoryConnector {
    opened: mpsc::UnboundedSender<DuplexStream>,
    buffer_bytes: usize,
}

impl Connector for MemoryConnector {
    fn open(&self) -> Opening {
        let (ours, theirs) = duplex(self.buffer_bytes);
        let there = self.opened.send(theirs).is_ok();
        Box::pin(async move { if there { Ok(Opened::from(ours)) } else { Err("nobody listens".to_owned()) } })
    }
}

/// The server's end of one connection.
struct Server<S> {
    stream: S,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Server<S> {
    fn new(stream: S) -> Server<S> {
        Server { stream, decoder: Decoder::of_client(1 << 20), buffer: BytesMut::new() }
    }

    /// The next packet; `None` when the connection is closed.
    async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, _)) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next PUBLISH: its identifier, DUP and payload; pings are answered.
    async fn read_publish(&mut self) -> Option<(u16, bool, Bytes)> {
        loop {
            match self.read().await? {
                Packet::Publish(publish) => {
                    let identifier = publish.qos.packet_identifier().map_or(0, |identifier| identifier.get());
                    return Some((identifier, publish.dup, publish.payload));
                }
                Packet::PingReq => self.write(&Packet::PingResp).await,
                _ => {}
            }
        }
    }

    async fn write(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(self.decoder.version().unwrap(), packet, &mut bytes).unwrap();
        let _ = self.stream.write_all(&bytes).await;
    }

    async fn acknowledge(&mut self, identifier: u16) {
        let identifier = crate::mqtt::PacketIdentifier::new(identifier).unwrap();
        self.write(&Packet::PubAck(Acknowledgement::new(identifier, ReasonCode::Success))).await;
    }

    async fn greet(&mut self, session_present: bool) {
        let connect = self.read().await;
        assert!(matches!(connect, Some(Packet::Connect(_))), "{connect:?}");
        let properties = ConnAckProperties::default();
        let reason = ReasonCode::Success;
        self.write(&Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))).await;
    }
}

struct Rig {
    uplink: Uplink,
    presence: watch::Sender<PresenceMap>,
    _boots: watch::Sender<Boots>,
    journal: JournalHandle,
    broker: crate::disk::JournalClient,
    sequence: Sequence,
    opened: mpsc::UnboundedReceiver<DuplexStream>,
    _folder: tempfile::TempDir,
}

fn clock() -> Clock {
    let start = TokioInstant::now();
    Arc::new(move || Moment {
        monotonic: Instant::ZERO + start.elapsed() + Duration::from_secs(1),
        ..Moment::default()
    })
}

async fn rig(buffer_bytes: usize, change: impl FnOnce(&mut Options)) -> Rig {
    let (opened_sender, opened) = mpsc::unbounded_channel();
    let connector = MemoryConnector { opened: opened_sender, buffer_bytes };
    let (finish, options, surroundings) = prepare(change).await;
    let uplink = spawn(connector, options, vec![Queue::new(CONSUMER, Restored::default())], surroundings)
        .await
        .unwrap();
    finish(uplink, opened)
}

type Finish = Box<dyn FnOnce(Uplink, mpsc::UnboundedReceiver<DuplexStream>) -> Rig>;

async fn prepare(change: impl FnOnce(&mut Options)) -> (Finish, UplinkOptions, Surroundings) {
    let folder = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(folder.path()).unwrap();
    let real = std::time::Instant::now();
    let real_clock: Clock =
        Arc::new(move || Moment { monotonic: Instant::ZERO + real.elapsed(), ..Moment::default() });
    let options = JournalOptions::new(8 << 20, 1);
    let (journal, _) = Journal::open(disk, options, real_clock()).unwrap();
    let journal = start(journal, real_clock, Box::new(|_| {})).unwrap().handle;
    let broker = journal.client(Writer::BROKER).await.unwrap();
    let opened = Record::UplinkOpened { consumer: CONSUMER, name: "cloud".into() };
    broker.append(vec![(Ticket(1), Urgency::Awaited, opened)]).await.unwrap();
    let (presence, presence_receiver) = watch::channel(PresenceMap::default());
    let (boots, boots_receiver) = watch::channel(Boots::default());
    let mut session = Options::new("gateway");
    change(&mut session);
    let options = UplinkOptions { name: "cloud".into(), session };
    let surroundings = Surroundings {
        runtime: Handle::current(),
        journal: journal.clone(),
        broker: None,
        presence: presence_receiver,
        boots: boots_receiver,
        clock: clock(),
        renderer: Arc::new(NoReadings),
        watch: Box::new(|_| {}),
        lay_aside: Box::new(|_| {}),
    };
    let finish = move |uplink, opened| Rig {
        uplink,
        presence,
        _boots: boots,
        journal,
        broker,
        sequence: Sequence::ZERO,
        opened,
        _folder: folder,
    };
    (Box::new(finish), options, surroundings)
}

impl Rig {
    /// Messages whose payload is their sequence, on disk when this returns.
    async fn keep(&mut self, count: u64, qos: QoS, padding: usize) {
        let mut records = Vec::new();
        for _ in 0..count {
            self.sequence = self.sequence.next();
            let payload = Bytes::from(format!("{}{}", self.sequence, " ".repeat(padding)));
            let message = Message {
                topic: TopicName::parse("t").unwrap(),
                qos,
                retain: false,
                accepted_at: Moment::default(),
                body: MessageBody::Publish { payload, properties: None },
            };
            let subscription_identifiers = smallvec![];
            let delivery = Delivery { consumer: CONSUMER, qos, retain: false, subscription_identifiers };
            let record = Record::Kept { sequence: self.sequence, message, deliveries: smallvec![delivery] };
            records.push((Ticket(self.sequence.0 + 1), Urgency::Awaited, record));
        }
        self.broker.append(records).await.unwrap();
        self.broker.replies().await.unwrap();
    }

    async fn server(&mut self) -> Server<DuplexStream> {
        Server::new(self.opened.recv().await.unwrap())
    }

    fn fault(&self) -> Option<Fault> {
        self.uplink.status().last_fault
    }

    /// Waits until the uplink's figures are so.
    async fn until(&self, good: impl FnMut(&Status) -> bool) -> Status {
        self.uplink.watch().wait_for(good).await.unwrap().clone()
    }
}

fn number(payload: &Bytes) -> u64 {
    std::str::from_utf8(payload).unwrap().trim().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_after_connect_is_left_after_ten_seconds_and_tried_again_without_haste() {
    let mut rig = rig(4096, |_| {}).await;
    let started = TokioInstant::now();
    let mut attempts = 0;
    while started.elapsed() < Duration::from_secs(600) {
        let mut server = rig.server().await;
        let opened_at = TokioInstant::now();
        assert!(matches!(server.read().await, Some(Packet::Connect(_))));
        assert_eq!(server.read().await, None);
        assert_eq!(opened_at.elapsed().as_secs(), 10);
        attempts += 1;
    }
    assert!((10..60).contains(&attempts), "{attempts} attempts in ten minutes");
    assert_eq!(rig.fault(), Some(Fault::GreetingTimeout(Duration::from_secs(10))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_silent_while_we_send_is_found_within_ten_seconds_and_nothing_is_lost() {
    let mut rig = rig(1 << 20, |_| {}).await;
    let stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(50, QoS::AtLeastOnce, 0).await;
    for expected in 1..=50 {
        let (identifier, dup, payload) = server.read_publish().await.unwrap();
        assert_eq!((number(&payload), dup), (expected, false));
        if expected <= 20 {
            server.acknowledge(identifier).await;
        }
    }
    rig.until(|status| status.acknowledged == 20).await;
    drop(stands);
    let silent_since = TokioInstant::now();
    while server.read_publish().await.is_some() {}
    assert!(silent_since.elapsed() <= Duration::from_millis(10_100), "{:?}", silent_since.elapsed());
    assert_eq!(rig.fault(), Some(Fault::AcknowledgementTimeout(Duration::from_secs(10))));
    let mut server = rig.server().await;
    server.greet(true).await;
    for expected in 21..=50 {
        let (identifier, dup, payload) = server.read_publish().await.unwrap();
        assert_eq!((number(&payload), dup), (expected, true));
        server.acknowledge(identifier).await;
    }
    let status = rig.until(|status| status.acknowledged == 50).await;
    assert_eq!(status.possible_duplicates, 30);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_is_found_within_ten_seconds() {
    let mut rig = rig(1024, |options| options.keep_alive_seconds = 0).await;
    let stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(100, QoS::AtMostOnce, 1000).await;
    for _ in 0..3 {
        server.read_publish().await.unwrap();
    }
    drop(stands);
    let silent_since = TokioInstant::now();
    rig.until(|status| status.last_fault.is_some()).await;
    assert!(silent_since.elapsed() <= Duration::from_millis(10_100), "{:?}", silent_since.elapsed());
    assert_eq!(rig.fault(), Some(Fault::WriteTimeout(Duration::from_secs(10))));
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_that_goes_silent_is_found_within_one_and_a_half_keep_alives() {
    let mut rig = rig(4096, |options| options.keep_alive_seconds = 60).await;
    let mut server = rig.server().await;
    server.greet(false).await;
    let silent_since = TokioInstant::now();
    while server.read().await.is_some() {}
    assert!(silent_since.elapsed() <= Duration::from_secs(90), "{:?}", silent_since.elapsed());
    assert!(matches!(rig.fault(), Some(Fault::PingTimeout(_))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_is_not_taken_for_a_dead_one() {
    // It reads 100 bytes each two seconds, from a stream that holds 256: each message takes minutes.
    let mut rig = rig(256, |_| {}).await;
    let stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(3, QoS::AtLeastOnce, 5000).await;
    drop(stands);
    let mut acknowledged = 0;
    while acknowledged < 3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut few = [0; 100];
        let count = server.stream.read(&mut few).await.unwrap();
        assert!(count > 0, "the connection was given up: {:?}", rig.fault());
        server.buffer.extend_from_slice(&few[..count]);
        while let Some((packet, _)) = server.decoder.decode(&mut server.buffer).unwrap() {
            match packet {
                Packet::Publish(publish) => {
                    server.acknowledge(publish.qos.packet_identifier().unwrap().get()).await;
                    acknowledged += 1;
                }
                Packet::PingReq => server.write(&Packet::PingResp).await,
                _ => {}
            }
        }
    }
    assert_eq!(rig.fault(), None);
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_connection_but_what_came_before_it_counts() {
    let mut rig = rig(4096, |_| {}).await;
    let stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(2, QoS::AtLeastOnce, 0).await;
    for _ in 0..2 {
        server.read_publish().await.unwrap();
    }
    // PUBACK of the first, then a packet type that does not exist, in one piece.
    server.stream.write_all(&[0x40, 2, 0, 1, 0x00, 0xFF, 0xFF]).await.unwrap();
    let status = rig.until(|status| status.last_fault.is_some()).await;
    assert_eq!(status.acknowledged, 1);
    let words = status.last_fault.unwrap().to_string();
    assert!(words.contains("not MQTT"), "{words}");
    drop(stands);
    let mut server = rig.server().await;
    server.greet(true).await;
    assert_eq!(server.read_publish().await.unwrap().2, "2");
}

#[tokio::test(start_paused = true)]
async fn bytes_split_anywhere_are_understood() {
    let mut rig = rig(4096, |_| {}).await;
    let _stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(3, QoS::AtLeastOnce, 0).await;
    for _ in 0..3 {
        server.read_publish().await.unwrap();
    }
    for byte in [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3] {
        server.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    rig.until(|status| status.acknowledged == 3).await;
}

#[tokio::test(start_paused = true)]
async fn at_qos_2_the_whole_way_through_the_journal_ends_in_done() {
    let mut rig = rig(1 << 20, |options| options.window = 7).await;
    let stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    rig.keep(100, QoS::ExactlyOnce, 0).await;
    let mut numbers = Vec::new();
    let mut completed = 0;
    while completed < 100 {
        match server.read().await.unwrap() {
            Packet::Publish(publish) => {
                let PublishQoS::ExactlyOnce(identifier) = publish.qos else { panic!("{publish:?}") };
                numbers.push(number(&publish.payload));
                server.write(&Packet::PubRec(Acknowledgement::new(identifier, ReasonCode::Success))).await;
            }
            Packet::PubRel(release) => {
                completed += 1;
                server.write(&Packet::PubComp(release)).await;
            }
            _ => {}
        }
    }
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    rig.until(|status| status.acknowledged == 100).await;
    // What nobody waits for is handed over a little later.
    drop(stands);
    while rig.journal.status().await.unwrap().backlogs.contains_key(&CONSUMER) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_and_good_bye_is_said() {
    let mut rig = rig(4096, |options| options.status_topic = Some(TopicName::parse("s").unwrap())).await;
    let _stands = time_stands();
    let mut server = rig.server().await;
    server.greet(false).await;
    assert_eq!(server.read_publish().await.unwrap().2, "online");
    let topic = TopicName::parse("a").unwrap();
    rig.presence.send(Arc::new([(topic, Bytes::from_static(b"offline"))].into())).unwrap();
    assert_eq!(server.read_publish().await.unwrap().2, "offline");
    let (uplink, _presence, _journal) = (rig.uplink, rig.presence, rig.journal);
    let stopped = tokio::spawn(uplink.stop());
    let Some(Packet::Publish(publish)) = server.read().await else { panic!("the status first") };
    assert_eq!((publish.topic.unwrap().as_str(), publish.payload.as_ref()), ("s", &b"offline"[..]));
    assert!(matches!(server.read().await, Some(Packet::Disconnect(_))));
    assert_eq!(server.read().await, None);
    stopped.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_the_journal_stops_the_uplink_ends() {
    let rig = rig(4096, |_| {}).await;
    let _stands = time_stands();
    rig.journal.shutdown().await.unwrap();
    rig.uplink.task.await.unwrap();
}

/// A rig over real TCP.
async fn tcp_rig(host: &str, port: u16) -> Rig {
    let (finish, options, surroundings) = prepare(|_| {}).await;
    let urls = [Url::parse(&format!("mqtt://{host}:{port}")).unwrap()].to_vec();
    let route = Route { dead_after: options.session.acknowledgement_deadline, ..Route::default() };
    let connector = ServerConnector::new(urls, route);
    let uplink = spawn(connector, options, vec![Queue::new(CONSUMER, Restored::default())], surroundings)
        .await
        .unwrap();
    finish(uplink, mpsc::unbounded_channel().1)
}

#[tokio::test]
async fn over_tcp_every_address_of_the_name_is_tried_and_a_reset_loses_nothing() {
    // `localhost` may be ::1 as well, where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rig = tcp_rig("localhost", listener.local_addr().unwrap().port()).await;
    rig.keep(10, QoS::AtLeastOnce, 0).await;
    let mut server = Server::new(listener.accept().await.unwrap().0);
    server.greet(false).await;
    for _ in 0..10 {
        server.read_publish().await.unwrap();
    }
    server.acknowledge(1).await;
    rig.until(|status| status.acknowledged == 1).await;
    socket2::SockRef::from(&server.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    let mut server = Server::new(listener.accept().await.unwrap().0);
    server.greet(true).await;
    for expected in 2..=10 {
        let (identifier, dup, payload) = server.read_publish().await.unwrap();
        assert_eq!((number(&payload), dup), (expected, true));
        server.acknowledge(identifier).await;
    }
    rig.until(|status| status.acknowledged == 10).await;
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_told_in_plain_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let rig = tcp_rig("127.0.0.1", port).await;
    let fault = rig.until(|status| status.last_fault.is_some()).await.last_fault.unwrap().to_string();
    assert!(fault.contains(&format!("127.0.0.1:{port}")) && fault.contains("refused"), "{fault}");
    let rig = tcp_rig("no-such-host.invalid", 1883).await;
    let fault = rig.until(|status| status.last_fault.is_some()).await.last_fault.unwrap().to_string();
    assert!(fault.contains("no-such-host.invalid") && fault.contains("cannot be looked up"), "{fault}");
}
