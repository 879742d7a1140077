//! The driver over real sockets: bytes in and out, pressure back to the socket, ends of all kinds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::inbox::{Batch, Inbox};
use super::outbox::{Outbox, Outgoing};
use super::wire::Line;
use super::writer::Writer;
use super::*;
use crate::broker::{Broker, CloseReason, ConnectionId, Input, Output, PublishFrame};
use crate::clock::Clock as SystemClock;
use crate::disk::{self, FileDisk};
use crate::durable::{ConsumerId, Record, Ticket, Urgency};
use crate::journal::{Journal, Options, Writer as JournalWriter};
use crate::limits::Limits;
use crate::mqtt::{Packet, PacketIdentifier, ProtocolVersion};
use crate::route::Json;
use crate::stream::{AllowedOrigins, Stream};
use crate::users::{StoredHash, UserName, Users, Verifier};

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker over TCP, its journal in a folder of its own.
struct Rig {
    owner: OwnerHandle,
    listener: Listener,
    door: Arc<Door>,
    dropped: Arc<AtomicU64>,
    _folder: TempDir,
}

/// Counts what is dropped.
struct Drops(Arc<AtomicU64>);

impl Observer for Drops {
    fn event(&mut self, event: Event) {
        if let Event::Dropped { count, .. } = event {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Rig {
    async fn start(limits: Limits) -> Rig {
        Rig::admitting(Admittance { allow_anonymous: true, users: None }, limits).await
    }

    async fn admitting(admittance: Admittance, limits: Limits) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let journal = journal(&folder, &clock).await;
        let broker = Broker::new(limits.clone(), Arc::new(Json));
        let dropped = Arc::new(AtomicU64::new(0));
        let observer = Box::new(Drops(Arc::clone(&dropped)));
        let (owner, _) = start(OwnerParts {
            broker,
            outputs: Vec::new(),
            journal,
            clock,
            observer,
            runtime: Handle::current(),
        })
        .unwrap();
        let verifier = Arc::new(Verifier::start().unwrap());
        let door = Arc::new(Door::new(admittance, verifier));
        let limits = Arc::new(limits);
        let settings = ListenerSettings {
            address: ListenAddress::Tcp(loopback()),
            layers: Layers::default(),
            allow_anonymous: false,
            door: Arc::clone(&door),
            limits,
        };
        let listener = owner.reception().listen(settings).unwrap();
        Rig { owner, listener, door, dropped, _folder: folder }
    }

    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.listener.bound().tcp().unwrap()).await.unwrap()
    }

    /// A client of 3.1.1 that was accepted.
    async fn client(&self, client_id: u8) -> TcpStream {
        let mut stream = self.open().await;
        let connect = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, client_id];
        stream.write_all(&connect).await.unwrap();
        assert_eq!(read(&mut stream, 4).await, [0x20, 2, 0, 0]);
        stream
    }
}

fn clock() -> Clock {
    let clock = SystemClock::system();
    Arc::new(move || clock.now())
}

async fn journal(folder: &TempDir, clock: &Clock) -> JournalLink {
    let disk = FileDisk::open(folder.path()).unwrap();
    let (journal, _) = Journal::open(disk, Options::new(1 << 26, 1), clock()).unwrap();
    let thread = disk::start(journal, Arc::clone(clock), Box::new(|_| ())).unwrap();
    JournalLink::new(thread.handle.client(JournalWriter::BROKER).await.unwrap())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("nothing came").unwrap();
    bytes
}

/// Reads until the other side closes.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it was not closed") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    bytes
}

async fn is_served(stream: &mut TcpStream) {
    stream.write_all(&[0xC0, 0]).await.unwrap();
    assert_eq!(read(stream, 2).await, [0xD0, 0]);
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let (ours, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (ours.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn what_is_written_arrives_in_order_whatever_its_size_and_however_the_socket_takes_it() {
    let (ours, mut theirs) = pair().await;
    let mut ours = Line::Layered(Box::new(Stream::Plain(ours.into())));
    let mut expected = BytesMut::new();
    let mut writer = Writer::default();
    for number in 1..=60_u16 {
        let size = if number % 3 == 0 { 200_000 } else { 20 };
        let mut bytes = vec![b'x'; size];
        bytes[0] = 0x32;
        bytes[5..7].fill(0);
        let frame = PublishFrame {
            bytes: Bytes::from(bytes.clone()),
            packet_identifier_at: Some(5),
            message_expiry_at: None,
        };
        let dup = number % 2 == 0;
        writer.put_publish(&frame, PacketIdentifier::new(number), dup);
        writer.put(&Packet::PingResp, ProtocolVersion::V5).unwrap();
        bytes[0] |= if dup { 8 } else { 0 };
        bytes[5..7].copy_from_slice(&number.to_be_bytes());
        expected.extend_from_slice(&bytes);
        expected.extend_from_slice(&[0xD0, 0]);
    }
    assert_eq!(writer.waiting_bytes(), expected.len());
    let length = expected.len();
    let reading = tokio::spawn(async move { read(&mut theirs, length).await });
    let mut written = 0;
    while writer.waiting_bytes() > 0 {
        std::future::poll_fn(|context| ours.poll_write_ready(context)).await;
        written += writer.write(&mut ours).unwrap();
    }
    assert_eq!(written, expected.len());
    assert!(reading.await.unwrap() == expected, "every byte is in its place");
}

#[tokio::test]
async fn what_is_handed_over_is_taken_at_once_and_in_order() {
    let outbox = Outbox::default();
    outbox.hand_over(vec![Outgoing::Packet(Packet::PingReq)]);
    outbox.hand_over(vec![Outgoing::Close(CloseReason::Lost)]);
    outbox.abandon();
    let taken = std::future::poll_fn(|context| outbox.poll_take(context)).await.unwrap();
    assert!(matches!(taken[..], [Outgoing::Packet(_), Outgoing::Close(_)]), "{taken:?}");
    let taken = std::future::poll_fn(|context| outbox.poll_take(context)).await;
    assert!(taken.is_none(), "the broker has stopped");
}

/// The disk has something to do while the rest of a large round is dealt with.
#[tokio::test]
async fn a_large_round_is_handed_over_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(&folder, &clock()).await;
    let stage = |journal: &mut JournalLink, ticket| {
        let record = Box::new(Record::ConsumerClosed { consumer: ConsumerId(9) });
        journal.stage(Output::Append { ticket: Ticket(ticket), urgency: Urgency::Awaited, record });
    };
    (1..64).for_each(|ticket| stage(&mut journal, ticket));
    journal.hand_over_early();
    assert!(journal.is_behind(), "a small one goes whole");
    stage(&mut journal, 64);
    journal.hand_over_early();
    assert!(!journal.is_behind());
    let is_last = |input: &Input| matches!(input, Input::Committed { ticket: Ticket(64) });
    while !timeout(PATIENCE, journal.next()).await.unwrap().unwrap().iter().any(is_last) {}
}

#[tokio::test]
async fn the_broker_hears_of_the_end_of_a_connection_even_when_its_inbox_is_full() {
    let (inbox, mut batches) = Inbox::new(1);
    inbox.send(Batch { opened: None, inputs: Vec::new() }).await.unwrap();
    inbox.closed(ConnectionId(7));
    assert!(batches.recv().await.unwrap().inputs.is_empty());
    let inputs = batches.recv().await.unwrap().inputs;
    assert!(matches!(inputs[..], [Input::Closed { connection: ConnectionId(7) }]), "{inputs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_says_connect_is_closed() {
    let rig = Rig::start(Limits::default()).await;
    let (mut silent, mut slow) = (rig.open().await, rig.open().await);
    slow.write_all(&[0x10, 13, 0, 4, b'M']).await.unwrap();
    assert!(read_to_end(&mut silent).await.is_empty());
    assert!(read_to_end(&mut slow).await.is_empty());
}

/// What dawdles ahead of MQTT has a deadline too, and is counted.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_get_through_the_gate_is_closed() {
    let rig = Rig::start(Limits::default()).await;
    let layers = Layers { websocket: Some(AllowedOrigins::default()), ..Layers::default() };
    let settings = ListenerSettings {
        address: ListenAddress::Tcp(loopback()),
        layers,
        allow_anonymous: true,
        door: Arc::clone(&rig.door),
        limits: Arc::default(),
    };
    let listener = rig.owner.reception().listen(settings).unwrap();
    let open = || TcpStream::connect(listener.bound().tcp().unwrap());
    let (mut silent, mut slow) = (open().await.unwrap(), open().await.unwrap());
    slow.write_all(b"GET /mqtt HTTP/1.1\r\nHost: ").await.unwrap();
    assert!(read_to_end(&mut silent).await.is_empty());
    assert!(read_to_end(&mut slow).await.is_empty());
    assert_eq!(rig.owner.reception().counters().connections_refused(), 2);
}

#[tokio::test]
async fn connections_above_the_limit_are_refused_until_one_leaves() {
    let rig = Rig::start(Limits { max_connections: 2, ..Limits::default() }).await;
    let (first, mut second) = (rig.client(b'1').await, rig.client(b'2').await);
    assert!(read_to_end(&mut rig.open().await).await.is_empty());
    assert_eq!(rig.owner.reception().counters().connections_refused(), 1);
    is_served(&mut second).await;
    drop(first);
    // Its place is free when its task has ended, which nobody tells.
    let admitted = async {
        loop {
            let mut stream = rig.open().await;
            let connect = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'3'];
            let answered =
                stream.write_all(&connect).await.is_ok() && stream.read_exact(&mut [0; 4]).await.is_ok();
            if answered {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, admitted).await.expect("a place becomes free");
}

/// Section 4.13 does not oblige a server to buffer for who does not read: it is not read from either.
#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_from_and_harms_nobody() {
    let limits = Limits { max_outbox_bytes: 10_000, ..Limits::default() };
    let rig = Rig::start(limits).await;
    let (mut greedy, mut other) = (rig.client(b'g').await, rig.client(b'o').await);
    let pings = [0xC0, 0].repeat(8192);
    let mut sent = 0;
    // Until nothing is taken for a while: what the kernel holds for both sides, and a little more here.
    while let Ok(Ok(count)) = timeout(Duration::from_millis(500), greedy.write(&pings)).await {
        sent += count;
        assert!(sent < 200_000_000, "it is read without end");
    }
    is_served(&mut other).await;
    assert_eq!(read(&mut greedy, sent / 2 * 2).await, [0xD0, 0].repeat(sent / 2), "no answer is lost");
    if sent % 2 == 1 {
        greedy.write_all(&[0]).await.unwrap();
        read(&mut greedy, 2).await;
    }
    is_served(&mut greedy).await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_qos_0_and_harms_nobody() {
    let limits = Limits { max_outbox_bytes: 50_000, ..Limits::default() };
    let rig = Rig::start(limits).await;
    let (mut stuck, mut publisher) = (rig.client(b's').await, rig.client(b'p').await);
    let mut reader = rig.client(b'r').await;
    for subscriber in [&mut stuck, &mut reader] {
        subscriber.write_all(&[0x82, 6, 0, 1, 0, 1, b'a', 0]).await.unwrap();
        assert_eq!(read(subscriber, 5).await, [0x90, 3, 0, 1, 0]);
    }
    // Far more than what the kernel holds for one socket.
    let message = [&[0x30, 0xA3, 0x9C, 0x01, 0, 1, b'a'][..], &[b'x'; 20_000]].concat();
    let messages = 2_000;
    let reading = tokio::spawn(async move {
        for _ in 0..messages {
            assert_eq!(read(&mut reader, 20_007).await[..7], [0x30, 0xA3, 0x9C, 0x01, 0, 1, b'a']);
        }
    });
    for _ in 0..messages {
        // Not faster than the reader that reads: it must not lose anything.
        publisher.write_all(&[&message[..], &[0xC0, 0]].concat()).await.unwrap();
        assert_eq!(read(&mut publisher, 2).await, [0xD0, 0]);
    }
    reading.await.unwrap();
    is_served(&mut publisher).await;
    assert!(rig.dropped.load(Ordering::Relaxed) > 0, "what it lost is counted");
}

#[tokio::test]
async fn a_stopping_broker_says_goodbye_to_clients_of_5_and_closes_all() {
    let rig = Rig::start(Limits::default()).await;
    let mut old = rig.client(b'o').await;
    let mut new = rig.open().await;
    new.write_all(&[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 1, b'n']).await.unwrap();
    let connack = read(&mut new, 2).await;
    read(&mut new, usize::from(connack[1])).await;
    let entrance = rig.owner.entrance().clone();
    entrance.ping().await.unwrap();
    let stopping = tokio::spawn(async move { entrance.stop().await });
    assert!(read_to_end(&mut old).await.is_empty(), "3.1.1 has no DISCONNECT from the server");
    assert_eq!(read_to_end(&mut new).await[..3], [0xE0, 2, 0x8B], "Server shutting down");
    drop((old, new));
    timeout(PATIENCE, stopping).await.expect("it ends").unwrap().unwrap();
    assert_eq!(rig.owner.entrance().ping().await, Err(Stopped));
    timeout(PATIENCE, rig.owner.entrance().ended()).await.expect("it has ended");
}

#[tokio::test]
async fn a_listener_that_is_open_to_others_has_to_be_allowed() {
    let rig = Rig::start(Limits::default()).await;
    let open = |allow_anonymous| {
        let address = ListenAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
        let (layers, door, limits) = (Layers::default(), Arc::clone(&rig.door), Arc::default());
        rig.owner.reception().listen(ListenerSettings { address, layers, allow_anonymous, door, limits })
    };
    assert!(matches!(open(false), Err(ListenError::NotAllowed(_))));
    assert!(open(true).is_ok());
}

/// Users by password, with hashes that cost next to nothing.
fn users(all: &[(&str, &str)]) -> Option<Arc<Users>> {
    let user =
        |(name, password): &(&str, &str)| (UserName::parse(name).unwrap(), crate::users::cheap(password));
    Some(Arc::new(all.iter().map(user).collect()))
}

/// A CONNECT of 3.1.1 (level 4) or 5.0.
fn connect(level: u8, client_id: &str, login: Option<(&str, Option<&str>)>) -> Vec<u8> {
    let mut flags = 0b0000_0010;
    let mut payload = Vec::new();
    let mut put = |text: &str| {
        payload.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(text.as_bytes());
    };
    put(client_id);
    if let Some((user, password)) = login {
        flags |= 0b1000_0000;
        put(user);
        if let Some(password) = password {
            flags |= 0b0100_0000;
            put(password);
        }
    }
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 0];
    if level == 5 {
        body.push(0);
    }
    body.extend_from_slice(&payload);
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.extend_from_slice(&body);
    packet
}

/// The reason of the CONNACK that comes.
async fn connack(stream: &mut TcpStream) -> u8 {
    let head = read(stream, 2).await;
    assert_eq!(head[0], 0x20);
    read(stream, head[1].into()).await[1]
}

/// Who may come in by password, by which name, and what the others are told.
#[tokio::test]
async fn the_door_asks_for_names_and_passwords() {
    let admittance = Admittance { allow_anonymous: false, users: users(&[("anna", "secret")]) };
    let rig = Rig::admitting(admittance, Limits::default()).await;
    let cases = [
        (Some(("anna", Some("secret"))), 0, 0),
        (Some(("anna", Some("wrong"))), 4, 0x86),
        (Some(("anna", Some(""))), 4, 0x86),
        (Some(("nobody", Some("secret"))), 4, 0x86),
        (None, 5, 0x87),
    ];
    for (login, old, new) in cases {
        for (level, expected) in [(4, old), (5, new)] {
            let mut stream = rig.open().await;
            stream.write_all(&connect(level, "c", login)).await.unwrap();
            assert_eq!(connack(&mut stream).await, expected, "{login:?} {level}");
            if expected != 0 {
                assert!(read_to_end(&mut stream).await.is_empty());
            }
        }
    }
    // A user name without a password is written in 5.0 only.
    let mut stream = rig.open().await;
    stream.write_all(&connect(5, "c", Some(("anna", None)))).await.unwrap();
    assert_eq!(connack(&mut stream).await, 0x86);
    let refused: Vec<_> =
        rig.owner.reception().counters().refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(Refusal::BadUserNameOrPassword, 7), (Refusal::NotAuthorized, 2)]);
}

/// Where anonymous clients may come, a name without users behind it means nothing, and one with users has to be right.
#[tokio::test]
async fn an_open_door_lets_in_who_says_no_name() {
    let wrong = Some(("anna", Some("wrong")));
    for (users, login, expected) in [
        (None, None, 0),
        (None, wrong, 0),
        (users(&[("anna", "x")]), None, 0),
        (users(&[("anna", "x")]), wrong, 4),
    ] {
        let rig = Rig::admitting(Admittance { allow_anonymous: true, users }, Limits::default()).await;
        let mut stream = rig.open().await;
        stream.write_all(&connect(4, "c", login)).await.unwrap();
        assert_eq!(connack(&mut stream).await, expected, "{login:?}");
    }
}

/// Who has lost the account is told so and shown out; nobody else notices.
#[tokio::test]
async fn an_account_that_is_gone_ends_its_connections() {
    let before = [("anna", "1"), ("bert", "2"), ("cleo", "3")];
    let admittance = Admittance { allow_anonymous: true, users: users(&before) };
    let rig = Rig::admitting(admittance.clone(), Limits::default()).await;
    let mut streams = Vec::new();
    for login in [Some(("anna", Some("1"))), Some(("bert", Some("2"))), Some(("cleo", Some("3"))), None] {
        let mut stream = rig.open().await;
        let client_id = format!("c{}", streams.len());
        stream.write_all(&connect(5, &client_id, login)).await.unwrap();
        assert_eq!(connack(&mut stream).await, 0);
        is_served(&mut stream).await;
        streams.push(stream);
    }
    assert_eq!(rig.owner.reception().change(&rig.door, admittance.clone()).await, Ok(0));
    let cleo = admittance.users.as_ref().unwrap().find("cleo").unwrap().clone();
    let after = [("bert", crate::users::cheap("new")), ("cleo", cleo)];
    let after = after.into_iter().map(|(name, hash)| (UserName::parse(name).unwrap(), hash));
    let after = Admittance { allow_anonymous: false, users: Some(Arc::new(after.collect())) };
    assert_eq!(rig.owner.reception().change(&rig.door, after).await, Ok(3));
    let [anna, bert, cleo, nobody] = streams.as_mut_slice() else { panic!() };
    for (stream, reason) in [(anna, 0x87), (bert, 0x98), (nobody, 0x87)] {
        let last = read_to_end(stream).await;
        assert_eq!((last[0], last[2]), (0xE0, reason));
    }
    is_served(cleo).await;
}

/// Many wrong passwords at once: who is in is served meanwhile, what waits is bounded, and all are answered.
#[tokio::test]
async fn a_flood_of_wrong_passwords_stops_nobody_who_is_in() {
    let stored = StoredHash::of_password(b"secret").unwrap();
    let all = [(UserName::parse("anna").unwrap(), stored)].into_iter().collect();
    let admittance = Admittance { allow_anonymous: true, users: Some(Arc::new(all)) };
    let rig = Rig::admitting(admittance, Limits::default()).await;
    let mut inside = rig.client(b'i').await;
    let flood = crate::limits::LOGINS_WAITING_PER_ADDRESS + 40;
    let mut streams = Vec::new();
    for _ in 0..flood {
        let mut stream = rig.open().await;
        stream.write_all(&connect(5, "x", Some(("anna", Some("wrong"))))).await.unwrap();
        streams.push(stream);
    }
    let mut busy = 0;
    for mut stream in streams {
        is_served(&mut inside).await;
        match connack(&mut stream).await {
            0x86 => {}
            0x89 => busy += 1,
            other => panic!("{other:#x}"),
        }
    }
    assert!(busy > 0, "more wait than may");
    let mut late = rig.open().await;
    late.write_all(&connect(5, "anna", Some(("anna", Some("secret"))))).await.unwrap();
    assert_eq!(connack(&mut late).await, 0);
}

/// A connection that says nothing is closed in time, one too many at once; both are counted.
#[tokio::test]
async fn connections_are_bounded_in_number_and_in_silence() {
    let limits = Limits { max_connections_per_address: 2, connect_timeout_seconds: 1, ..Limits::default() };
    let rig = Rig::start(limits).await;
    let _one = rig.client(b'1').await;
    let mut silent = rig.open().await;
    let mut refused = rig.open().await;
    assert!(read_to_end(&mut refused).await.is_empty());
    assert!(read_to_end(&mut silent).await.is_empty());
    let _two = rig.client(b'2').await;
    let counted: Vec<_> =
        rig.owner.reception().counters().refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(Refusal::TooManyFromAddress, 1), (Refusal::TooLate, 1)]);
}

/// Who comes too fast is told so in words of its version, and counted; the others were let in.
#[tokio::test]
async fn connects_are_bounded_in_rate() {
    let rig = Rig::start(Limits { max_connects_per_second: 2, ..Limits::default() }).await;
    let mut reasons = Vec::new();
    let mut kept = Vec::new();
    for (level, client) in [(4, "a"), (5, "b"), (5, "c"), (4, "d")] {
        let mut stream = rig.open().await;
        stream.write_all(&connect(level, client, None)).await.unwrap();
        reasons.push(connack(&mut stream).await);
        kept.push(stream);
    }
    assert_eq!(reasons, [0, 0, 0x9F, 3]);
    let counted: Vec<_> =
        rig.owner.reception().counters().refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(Refusal::TooFast, 2)]);
}

/// What an idle connection holds, by all allocations of the thread that the gateway and its clients share here: a
/// gateway with a thousand clients that rarely say anything stays small.
#[test]
fn an_idle_connection_holds_little() {
    // With the first hundred, tables that double are nearly full.
    const CONNECTIONS: usize = 1650;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limits = Limits { max_connections_per_address: 3 * CONNECTIONS, ..Limits::default() };
    let rig = runtime.block_on(Rig::start(limits));
    let mut kept = Vec::with_capacity(3 * CONNECTIONS);
    let mut connect = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                let mut client = rig.open().await;
                let packet = [0x10, 18, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 6];
                client.write_all(&[&packet, format!("{:06}", kept.len()).as_bytes()].concat()).await.unwrap();
                assert_eq!(read(&mut client, 4).await, [0x20, 2, 0, 0]);
                // Its end must not count.
                kept.push(client.into_std().unwrap());
            }
        });
    };
    // The first ones bring what is there once.
    connect(100);
    let held = allocation_counter::measure(|| connect(CONNECTIONS));
    let bytes = held.bytes_current / i64::try_from(CONNECTIONS).unwrap();
    assert!(bytes <= 1600, "{bytes} bytes for each idle connection");
}
