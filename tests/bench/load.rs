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
}

/// Runs a case against a server: how long it took until everything was delivered.
pub fn run(case: Case, port: u16) -> Duration {
    let (published, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
    let wanted = case.messages * case.subscribers;
    let subscribers: Vec<TcpStream> = (0..case.subscribers).map(|n| subscriber(port, n, case.qos)).collect();
    let publishers: Vec<TcpStream> = (0..case.publishers).map(|n| connect(port, &format!("p{n}"))).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for mut socket in subscribers {
            let delivered = &delivered;
            scope.spawn(move || receive(&mut socket, case.messages, delivered));
        }
        for mut socket in publishers {
            let (published, delivered, messages) = (&published, &delivered, case.messages / case.publishers);
            let behind = move || {
                let due = published.load(Ordering::Relaxed) * case.subscribers;
                due.saturating_sub(delivered.load(Ordering::Relaxed))
            };
            scope.spawn(move || publish(&mut socket, case, messages, published, behind));
        }
        while delivered.load(Ordering::Relaxed) < wanted {
            assert!(start.elapsed() < PATIENCE, "{}: {delivered:?} of {wanted}", case.name);
            thread::sleep(Duration::from_millis(1));
        }
    });
    start.elapsed()
}

fn connect(port: u16, client: &str) -> TcpStream {
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

fn subscriber(port: u16, number: u64, qos: u8) -> TcpStream {
    let mut socket = connect(port, &format!("s{number}"));
    socket.write_all(&[0x82, 10, 0, 1, 0, 5, b'l', b'o', b'a', b'd', b'/', qos]).unwrap();
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4], qos, "the subscription was not granted");
    socket
}

/// A PUBLISH to `load/`, its packet identifier (at QoS 1) from byte 9.
fn packet(qos: u8) -> Vec<u8> {
    let identifier: &[u8] = if qos == 0 { &[] } else { &[0, 1] };
    let length = 7 + identifier.len() + PAYLOAD.len();
    [&[0x30 | qos << 1, length as u8, 0, 5], b"load/".as_slice(), identifier, &PAYLOAD].concat()
}

fn publish(
    socket: &mut TcpStream,
    case: Case,
    messages: u64,
    published: &AtomicU64,
    behind: impl Fn() -> u64,
) {
    let start = Instant::now();
    let one = packet(case.qos);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut answers = vec![0; 1 << 14];
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
                    let identifier = ((sent + index) % 60_000 + 1) as u16;
                    let at = index as usize * one.len() + 9;
                    batch[at..at + 2].copy_from_slice(&identifier.to_be_bytes());
                }
            }
            published.fetch_add(many, Ordering::Relaxed);
            socket.write_all(&batch).unwrap();
            sent += many;
        }
        if case.qos == 0 {
            acknowledged = sent;
        } else if sent - acknowledged > BATCH || sent == messages {
            let length = socket.read(&mut answers).unwrap();
            assert!(length > 0, "the server closed the connection");
            acknowledged += acknowledgements(socket, &answers[..length]);
        }
    }
}

/// How many PUBACKs (four bytes each) these are; reads the rest of one that came in part.
fn acknowledgements(socket: &mut TcpStream, bytes: &[u8]) -> u64 {
    if !bytes.len().is_multiple_of(4) {
        let mut rest = vec![0; 4 - bytes.len() % 4];
        socket.read_exact(&mut rest).unwrap();
    }
    bytes.len().div_ceil(4) as u64
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
            if buffer[at] >> 4 == 3 {
                received += 1;
                if buffer[at] & 0x06 != 0 {
                    answers.extend([0x40, 2, buffer[at + 9], buffer[at + 10]]);
                }
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
