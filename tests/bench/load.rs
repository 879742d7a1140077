//! Publishers and subscribers that cost little, so that what is measured is the server.
//!
//! Blocking sockets, packets encoded once. A publisher never runs further ahead of the subscribers than a server's
//! queue bears: what is measured is what is delivered.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Messages on the way at most.
const AHEAD: u64 = 5_000;
/// How long a case may take, and a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: u64 = 50;
const PAYLOAD: [u8; 64] = [b'x'; 64];

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub publishers: u64,
    pub subscribers: u64,
    pub qos: u8,
    /// How many messages are published, by all together.
    pub messages: u64,
    /// Whether every publisher has a topic, and a subscriber, of its own.
    pub in_pairs: bool,
    /// How many messages all publishers offer in a second, if it is not as many as they can.
    pub offered_per_second: Option<u64>,
}

impl Case {
    /// Everybody as fast as possible, on one topic.
    pub const fn flat_out(
        name: &'static str,
        publishers: u64,
        subscribers: u64,
        qos: u8,
        messages: u64,
    ) -> Case {
        Case { name, publishers, subscribers, qos, messages, in_pairs: false, offered_per_second: None }
    }

    /// How many of the messages each subscriber gets.
    const fn received_by_each(&self) -> u64 {
        if self.in_pairs { self.messages / self.subscribers } else { self.messages }
    }

    /// How many copies of a message are delivered.
    const fn copies(&self) -> u64 {
        if self.in_pairs { 1 } else { self.subscribers }
    }

    /// How many messages are delivered, to all together.
    pub const fn delivered(&self) -> u64 {
        self.messages * self.copies()
    }
}

/// Runs a case against a server: how long it took until everything was delivered.
pub fn run(case: Case, port: u16) -> Duration {
    let (published, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
    let wanted = case.delivered();
    let subscribers: Vec<TcpStream> = (0..case.subscribers).map(|n| subscriber(port, n, case)).collect();
    let publishers: Vec<TcpStream> = (0..case.publishers).map(|n| connect(port, &format!("p{n}"))).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for mut socket in subscribers {
            let delivered = &delivered;
            scope.spawn(move || receive(&mut socket, case.received_by_each(), delivered));
        }
        for (number, mut socket) in (0..).zip(publishers) {
            let (published, delivered, messages) = (&published, &delivered, case.messages / case.publishers);
            let behind = move || {
                let due = published.load(Ordering::Relaxed) * case.copies();
                due.saturating_sub(delivered.load(Ordering::Relaxed))
            };
            scope.spawn(move || publish(&mut socket, number, case, messages, published, behind));
        }
        while delivered.load(Ordering::Relaxed) < wanted {
            assert!(start.elapsed() < PATIENCE, "{}: {delivered:?} of {wanted}", case.name);
            thread::sleep(Duration::from_millis(1));
        }
    });
    start.elapsed()
}

/// A clean session of 3.1.1.
pub fn connect(port: u16, client: &str) -> TcpStream {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut packet = vec![0x10, 12 + client.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0];
    packet.push(client.len() as u8);
    packet.extend(client.as_bytes());
    socket.write_all(&packet).unwrap();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[3], 0, "refused");
    socket
}

/// The topic of a publisher and its subscriber: five bytes, so that every packet has one layout.
fn topic(case: Case, number: u64) -> String {
    if case.in_pairs { format!("l{number:03}/") } else { "load/".to_owned() }
}

fn subscriber(port: u16, number: u64, case: Case) -> TcpStream {
    let mut socket = connect(port, &format!("s{number}"));
    let packet = [&[0x82, 10, 0, 1, 0, 5], topic(case, number).as_bytes(), &[case.qos]].concat();
    socket.write_all(&packet).unwrap();
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4], case.qos, "the subscription was not granted");
    socket
}

/// A PUBLISH, its packet identifier (at QoS 1 and 2) from byte 9.
fn packet(topic: &str, qos: u8) -> Vec<u8> {
    let identifier: &[u8] = if qos == 0 { &[] } else { &[0, 1] };
    let length = 7 + identifier.len() + PAYLOAD.len();
    [&[0x30 | qos << 1, length as u8, 0, 5], topic.as_bytes(), identifier, &PAYLOAD].concat()
}

fn publish(
    socket: &mut TcpStream,
    number: u64,
    case: Case,
    messages: u64,
    published: &AtomicU64,
    behind: impl Fn() -> u64,
) {
    if let Some(rate) = case.offered_per_second {
        return offer(
            socket,
            &packet(&topic(case, number), case.qos),
            messages,
            rate / case.publishers,
            published,
        );
    }
    let start = Instant::now();
    let one = packet(&topic(case, number), case.qos);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut answers = Answers::default();
    while acknowledged < messages {
        if sent < messages && sent - acknowledged <= BATCH {
            while behind() > AHEAD.max(BATCH * case.publishers * case.subscribers * 2) {
                assert!(start.elapsed() < PATIENCE, "{}: what was published does not arrive", case.name);
                thread::yield_now();
            }
            let many = BATCH.min(messages - sent);
            let mut batch = one.repeat(many as usize);
            if case.qos > 0 {
                for index in 0..many {
                    let at = index as usize * one.len() + 9;
                    batch[at..at + 2].copy_from_slice(&identifier(sent + index));
                }
            }
            published.fetch_add(many, Ordering::Relaxed);
            socket.write_all(&batch).unwrap();
            sent += many;
        }
        if case.qos == 0 {
            acknowledged = sent;
        } else if sent - acknowledged > BATCH || sent == messages {
            acknowledged += answers.read(socket);
        }
    }
}

/// Publishes at QoS 1, one at a time at its time, as sensors do: whatever has been answered until then.
fn offer(socket: &mut TcpStream, one: &[u8], messages: u64, rate: u64, published: &AtomicU64) {
    let mut reader = socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut answers = Answers::default();
            let mut acknowledged = 0;
            while acknowledged < messages {
                acknowledged += answers.read(&mut reader);
            }
        });
        let start = Instant::now();
        let mut packet = one.to_vec();
        for index in 0..messages {
            let due = start + Duration::from_secs(1) * (index as u32) / (rate as u32);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            packet[9..11].copy_from_slice(&identifier(index));
            published.fetch_add(1, Ordering::Relaxed);
            socket.write_all(&packet).unwrap();
        }
    });
}

fn identifier(index: u64) -> [u8; 2] {
    ((index % 60_000 + 1) as u16).to_be_bytes()
}

/// What a publisher is answered: PUBACK; or PUBREC, to which it says PUBREL, and PUBCOMP. Four bytes each.
#[derive(Default)]
struct Answers {
    held: Vec<u8>,
}

impl Answers {
    /// Reads what is there, at least something; how many messages are acknowledged for good.
    fn read(&mut self, socket: &mut TcpStream) -> u64 {
        let mut bytes = [0; 1 << 14];
        let length = socket.read(&mut bytes).unwrap();
        assert!(length > 0, "the server closed the connection");
        self.held.extend_from_slice(&bytes[..length]);
        let mut done = 0;
        let mut releases = Vec::new();
        let mut answers = self.held.chunks_exact(4);
        for answer in &mut answers {
            match answer[0] >> 4 {
                5 => releases.extend([0x62, 2, answer[2], answer[3]]),
                _ => done += 1,
            }
        }
        self.held = answers.remainder().to_vec();
        socket.write_all(&releases).unwrap();
        done
    }
}

fn receive(socket: &mut TcpStream, messages: u64, delivered: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    let (mut held, mut received) = (0, 0);
    let mut answers = Vec::new();
    while received < messages {
        let length = socket.read(&mut buffer[held..]).unwrap();
        assert!(length > 0, "the server closed the connection");
        held += length;
        let (mut at, before) = (0, received);
        // Every packet here is shorter than 128 bytes: one byte tells its length.
        while at + 2 <= held && at + 2 + buffer[at + 1] as usize <= held {
            match (buffer[at] >> 4, buffer[at] & 0x06) {
                (3, 0) => received += 1,
                (3, 2) => {
                    received += 1;
                    answers.extend([0x40, 2, buffer[at + 9], buffer[at + 10]]);
                }
                (3, _) => answers.extend([0x50, 2, buffer[at + 9], buffer[at + 10]]),
                // At QoS 2 a message has arrived with its release.
                (6, _) => {
                    received += 1;
                    answers.extend([0x70, 2, buffer[at + 2], buffer[at + 3]]);
                }
                _ => {}
            }
            at += 2 + buffer[at + 1] as usize;
        }
        buffer.copy_within(at..held, 0);
        held -= at;
        delivered.fetch_add(received - before, Ordering::Relaxed);
        socket.write_all(&answers).unwrap();
        answers.clear();
    }
}

/// So many connections that say nothing more.
pub fn idle(port: u16, connections: u64) -> Vec<TcpStream> {
    (0..connections).map(|n| connect(port, &format!("i{n}"))).collect()
}

/// Lets so many messages at QoS 1 wait for somebody who is away.
pub fn queue(port: u16, messages: u64) {
    away(port);
    let case = Case::flat_out("queued", 1, 0, 1, messages);
    publish(&mut connect(port, "p"), 0, case, messages, &AtomicU64::new(0), || 0);
}

/// Somebody who wants everything below `load` at QoS 1, and goes away.
pub fn away(port: u16) {
    let mut away = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    away.write_all(b"\x10\x10\x00\x04MQTT\x04\x00\x00\x00\x00\x04away").unwrap();
    let mut answer = [0; 9];
    away.read_exact(&mut answer[..4]).unwrap();
    away.write_all(b"\x82\x0A\x00\x01\x00\x05load/\x01").unwrap();
    away.read_exact(&mut answer[4..]).unwrap();
    away.write_all(&[0xE0, 0]).unwrap();
    // The server closes when it has seen that.
    assert_eq!(away.read(&mut answer).unwrap(), 0);
}

/// The topics of the first and the last of many messages.
const FIRST: u64 = 1;
const LAST: u64 = 2;

/// Lets a server accept so many messages at QoS 1, the first and the last of them on topics of their own.
pub fn fill(port: u16, messages: u64) {
    let mut socket = connect(port, "p");
    let mark = Case { in_pairs: true, ..Case::flat_out("marks", 1, 1, 1, 1) };
    let copy = socket.try_clone().unwrap();
    let mut say = |number| publish(&mut socket, number, mark, 1, &AtomicU64::new(0), || 0);
    say(FIRST);
    publish_openly(copy, 8 * BATCH, messages - 2);
    say(LAST);
}

/// Publishes the same at QoS 1 again and again. Never more than `window` are open; each acknowledgement makes room for
/// one more at once: a server that saves packets (Nagle) holds back the next until it hears from us.
pub fn publish_openly(mut socket: TcpStream, window: u64, messages: u64) {
    let one = packet("load/", 1);
    let (mut sent, mut acknowledged) = (0, 0);
    let (mut batch, mut answers) = (Vec::new(), Answers::default());
    while acknowledged < messages {
        batch.clear();
        while sent < messages && sent - acknowledged < window {
            let at = batch.len() + 9;
            batch.extend_from_slice(&one);
            batch[at..at + 2].copy_from_slice(&identifier(sent));
            sent += 1;
        }
        socket.write_all(&batch).unwrap();
        acknowledged += answers.read(&mut socket);
    }
}

/// Somebody who is told of the first and of the last, and of nothing else.
pub struct Listener {
    first: TcpStream,
    last: TcpStream,
}

/// Subscribes to two of those that [`fill`] publishes.
pub fn listener(port: u16) -> Listener {
    let marks = Case { in_pairs: true, ..Case::flat_out("listens", 0, 2, 0, 0) };
    Listener { first: subscriber(port, FIRST, marks), last: subscriber(port, LAST, marks) }
}

impl Listener {
    /// How long it takes from the first message to the last.
    pub fn wait(self) -> Duration {
        self.first.peek(&mut [0]).unwrap();
        let start = Instant::now();
        self.last.peek(&mut [0]).unwrap();
        start.elapsed()
    }
}
