//! The whole gateway as a process that is killed with publishers at work, ten times in a row: what was acknowledged is
//! delivered, in order, and at QoS 2 once. Each kill waits for a moment of its own: just behind a PUBLISH, when it is being
//! appended; while the journal syncs; while it makes or begins a segment; just behind a PUBREC; just behind a PUBREL.
//!
//! `cargo test --release --test crash killed -- --ignored --nocapture` kills ten times at 2,000 and ten times at 40,000
//! messages a second; the short form, three times each moment, runs always. `TIDEGATE_KILLS=100` says how many.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::crash_disk::Rng;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
const PAYLOAD_BYTES: usize = 64;
const WINDOW: u64 = 50;

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Append,
    Sync,
    SegmentChange,
    PubRec,
    PubRel,
}

const PHASES: [Phase; 5] = [Phase::PubRec, Phase::Append, Phase::PubRel, Phase::Sync, Phase::SegmentChange];

/// System calls as `/proc` numbers them.
const FDATASYNC: &str = if cfg!(target_arch = "aarch64") { "83" } else { "75" };
const FSYNC: &str = if cfg!(target_arch = "aarch64") { "82" } else { "74" };

struct Gateway {
    child: Child,
    port: u16,
    journal: PathBuf,
}

impl Gateway {
    fn start(folder: &Path) -> Gateway {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = folder.join("tidegate.toml");
        let text = format!(
            "[gateway]\nid = \"killed\"\ndata_dir = \"{}\"\n[broker]\nmax_queued_messages = 100000000\n\
             max_queued_bytes = 10000000000\n[journal]\nmax_bytes = \"1GiB\"\n\
             [[listener]]\naddress = \"127.0.0.1:{port}\"\n",
            folder.join("data").display()
        );
        fs::write(&configuration, text).unwrap();
        let log = fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--config", configuration.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Gateway { child, port, journal: folder.join("data/journal") }
    }

    /// A session that outlives its connection.
    fn connect(&self, client: &str) -> TcpStream {
        let start = Instant::now();
        let mut socket = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(socket) => break socket,
                Err(error) => assert!(start.elapsed() < PATIENCE, "nobody listens: {error}"),
            }
            thread::yield_now();
        };
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = [0x10, 12 + client.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 0, 0];
        socket.write_all(&[&head, [client.len() as u8].as_slice(), client.as_bytes()].concat()).unwrap();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[3], 0, "refused");
        socket
    }

    /// What the journal's thread asks the kernel for, as far as can be seen.
    fn call(&self) -> String {
        let tasks = format!("/proc/{}/task", self.child.id());
        let Ok(tasks) = fs::read_dir(tasks) else { return String::new() };
        let mut tasks = tasks.filter_map(Result::ok).map(|task| task.path());
        let is_it =
            |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "journal");
        let task = tasks.find(is_it);
        task.and_then(|task| fs::read_to_string(task.join("syscall")).ok()).unwrap_or_default()
    }

    /// How many files the journal has.
    fn segments(&self) -> usize {
        fs::read_dir(&self.journal).map_or(0, Iterator::count)
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the journal's thread is at it. Where `/proc` does not tell, only new files are seen.
fn is_now(phase: Phase, gateway: &Gateway, files_before: usize) -> bool {
    let call = gateway.call();
    let call = call.split_whitespace().next().unwrap_or_default();
    match phase {
        Phase::Sync => call == FDATASYNC,
        Phase::SegmentChange => call == FSYNC || gateway.segments() > files_before,
        Phase::Append | Phase::PubRec | Phase::PubRel => false,
    }
}

/// One publisher, over all lives of the gateway. Its messages are numbered from 1.
struct Publisher {
    name: &'static str,
    qos: u8,
    next: u64,
    /// Everything up to this is acknowledged for good.
    acknowledged: u64,
    /// At QoS 2: released and not yet completed, or published and not yet received, by identifier.
    open: BTreeMap<u64, bool>,
}

/// How a publisher goes on.
struct Orders<'a> {
    /// Ends the work: the gateway is killed, or nothing new is to be sent.
    stop: &'a AtomicBool,
    /// Where to say that the moment of the kill has come, and for which answer.
    moment: Option<(Phase, &'a AtomicBool, u64)>,
    /// Messages a second.
    rate: u64,
    /// Only what is open is brought to its end.
    drains: bool,
}

impl Publisher {
    fn new(name: &'static str, qos: u8) -> Publisher {
        Publisher { name, qos, next: 1, acknowledged: 0, open: BTreeMap::new() }
    }

    fn identifier(number: u64) -> u16 {
        (number % 60_000 + 1) as u16
    }

    fn packet(&self, number: u64, dup: bool) -> Vec<u8> {
        let mut payload = [b'x'; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let first = 0x30 | self.qos << 1 | if dup { 8 } else { 0 };
        let identifier = Publisher::identifier(number).to_be_bytes();
        let topic = [b"load/", self.name.as_bytes()].concat();
        let length = 2 + topic.len() + 2 + PAYLOAD_BYTES;
        [&[first, length as u8, 0, topic.len() as u8], topic.as_slice(), &identifier, &payload].concat()
    }

    fn release(number: u64) -> Vec<u8> {
        let [high, low] = Publisher::identifier(number).to_be_bytes();
        vec![0x62, 2, high, low]
    }

    /// Publishes until told to stop or until the connection breaks.
    fn work(&mut self, mut socket: TcpStream, orders: &Orders<'_>) {
        // What was open before, in its order.
        let mut out: Vec<u8> = Vec::new();
        if self.qos == 1 {
            (self.acknowledged + 1..self.next).for_each(|number| out.extend(self.packet(number, true)));
        }
        for (number, released) in &self.open {
            out.extend(if *released { Publisher::release(*number) } else { self.packet(*number, true) });
        }
        let (start, first) = (Instant::now(), self.next);
        let (mut held, mut answers): (Vec<u8>, u64) = (Vec::new(), 0);
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        loop {
            let is_over = orders.stop.load(Ordering::Relaxed);
            let due = first + (start.elapsed().as_secs_f64() * orders.rate as f64) as u64;
            while !orders.drains && self.next < due && self.next - 1 - self.acknowledged < WINDOW {
                out.extend(self.packet(self.next, false));
                if self.qos == 2 {
                    self.open.insert(self.next, false);
                }
                self.next += 1;
            }
            if socket.write_all(&out).is_err() || is_over {
                return;
            }
            if let Some((Phase::Append, moment, behind)) = orders.moment
                && !out.is_empty()
                && answers >= behind
            {
                moment.store(true, Ordering::Relaxed);
            }
            out.clear();
            if orders.drains && self.next == self.acknowledged + 1 {
                return;
            }
            assert!(start.elapsed() < PATIENCE * 5, "{}: {} of {}", self.name, self.acknowledged, self.next);
            let mut bytes = [0; 4096];
            match socket.read(&mut bytes) {
                Ok(length) if length > 0 => held.extend_from_slice(&bytes[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                _ => return,
            }
            let whole = held.len() / 4 * 4;
            for answer in held.drain(..whole).collect::<Vec<_>>().chunks_exact(4) {
                answers += 1;
                let is_moment = |phase: Phase| {
                    orders.moment.is_some_and(|(wanted, _, behind)| wanted == phase && answers >= behind)
                };
                match answer[0] >> 4 {
                    4 => self.acknowledged += 1,
                    5 => {
                        let identifier = u16::from_be_bytes([answer[2], answer[3]]);
                        let number =
                            self.open.keys().copied().find(|n| Publisher::identifier(*n) == identifier);
                        let number = number.expect("an identifier that is open");
                        self.open.insert(number, true);
                        if is_moment(Phase::PubRec) {
                            orders.moment.unwrap().1.store(true, Ordering::Relaxed);
                            return;
                        }
                        out.extend(Publisher::release(number));
                        if is_moment(Phase::PubRel) {
                            let _ = socket.write_all(&out);
                            orders.moment.unwrap().1.store(true, Ordering::Relaxed);
                            return;
                        }
                    }
                    7 => {
                        let first = *self.open.keys().next().expect("something is open");
                        self.open.remove(&first);
                        self.acknowledged += 1;
                    }
                    other => panic!("packet {other} to a publisher"),
                }
            }
        }
    }
}

/// Somebody who wants everything and is away until the end.
fn subscribe(gateway: &Gateway) {
    let mut socket = gateway.connect("away");
    socket.write_all(b"\x82\x0B\x00\x01\x00\x06load/#\x02").unwrap();
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4], 2);
    socket.write_all(&[0xE0, 0]).unwrap();
}

/// Everything that was kept for whoever was away, by publisher; up to the last message of each.
fn receive(gateway: &Gateway, last: &BTreeMap<&str, u64>) -> BTreeMap<String, Vec<u64>> {
    let mut socket = gateway.connect("away");
    let mut received: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut held = Vec::new();
    let is_there = |received: &BTreeMap<String, Vec<u64>>| {
        last.iter().all(|(name, last)| received.get(*name).is_some_and(|all| all.last() >= Some(last)))
    };
    while !is_there(&received) {
        let mut bytes = [0; 1 << 16];
        let length = socket.read(&mut bytes).expect("everything comes");
        assert!(length > 0, "the gateway closed the connection");
        held.extend_from_slice(&bytes[..length]);
        let (mut at, mut answers) = (0, Vec::new());
        while at + 2 <= held.len() && at + 2 + held[at + 1] as usize <= held.len() {
            let packet = &held[at..at + 2 + held[at + 1] as usize];
            if packet[0] >> 4 == 3 {
                let topic = 4 + packet[3] as usize;
                let name = String::from_utf8(packet[9..topic].to_vec()).unwrap();
                let number = packet[topic + 2..topic + 10].try_into().unwrap();
                received.entry(name).or_default().push(u64::from_be_bytes(number));
                let answer = if packet[0] & 6 == 4 { 0x50 } else { 0x40 };
                answers.extend([answer, 2, packet[topic], packet[topic + 1]]);
            } else {
                assert_eq!(packet[0], 0x62, "PUBREL");
                answers.extend([0x70, 2, packet[2], packet[3]]);
            }
            at += packet.len();
        }
        held.drain(..at);
        socket.write_all(&answers).unwrap();
    }
    received
}

/// Kills the gateway so many times with so many messages a second; how often at which moment.
fn kill_at(rate: u64, kills: usize, seed: u64) {
    println!("seed {seed}: {kills} kills at {rate} messages a second");
    let mut rng = Rng::new(seed);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut publishers = [Publisher::new("a", 1), Publisher::new("b", 2)];
    subscribe(&Gateway::start(folder.path()));
    let mut seen: BTreeMap<Phase, u64> = BTreeMap::new();
    let mut under_load = Duration::ZERO;
    for round in 0..kills {
        let phase = PHASES[round % PHASES.len()];
        let gateway = Gateway::start(folder.path());
        let (stop, moment) = (AtomicBool::new(false), AtomicBool::new(false));
        let behind = 20 + rng.below(rate / 8 + 1);
        // Nobody is killed before everybody is there.
        let sockets = publishers.each_ref().map(|publisher| gateway.connect(publisher.name));
        thread::scope(|scope| {
            for (publisher, socket) in publishers.iter_mut().zip(sockets) {
                let moment = Some((phase, &moment, behind));
                let orders = Orders { stop: &stop, moment, rate: rate / 2, drains: false };
                scope.spawn(move || publisher.work(socket, &orders));
            }
            let start = Instant::now();
            let least = Duration::from_millis(100 + rng.below(300));
            let files = gateway.segments();
            let has_come = || {
                let is_seen = || start.elapsed() > least && is_now(phase, &gateway, files);
                moment.load(Ordering::Relaxed) || is_seen()
            };
            while !has_come() && start.elapsed() < PATIENCE {}
            if phase == Phase::Append {
                // Somewhere between its arrival and its place on disk.
                let later = Instant::now() + Duration::from_micros(rng.below(500));
                while Instant::now() < later {}
            }
            kill_process(Pid::from_child(&gateway.child), Signal::KILL).unwrap();
            stop.store(true, Ordering::Relaxed);
            assert!(start.elapsed() < PATIENCE, "the moment {phase:?} never came");
            under_load += start.elapsed();
        });
        gateway.kill();
        *seen.entry(phase).or_default() += 1;
    }
    let gateway = Gateway::start(folder.path());
    let never = AtomicBool::new(false);
    for publisher in &mut publishers {
        let socket = gateway.connect(publisher.name);
        publisher.work(socket, &Orders { stop: &never, moment: None, rate, drains: true });
    }
    let last = publishers.iter().map(|publisher| (publisher.name, publisher.acknowledged)).collect();
    let received = receive(&gateway, &last);
    let of = |name: &str| received.get(name).cloned().unwrap_or_default();
    let mut highest = 0;
    for number in of("a") {
        assert!(number <= highest + 1, "QoS 1: {number} comes behind {highest}");
        highest = highest.max(number);
    }
    assert!(highest >= last["a"], "QoS 1: {highest} came of {}", last["a"]);
    assert!(of("b").into_iter().eq(1..=last["b"]), "QoS 2: each once, and in order");
    let rate = (last["a"] + last["b"]) as f64 / under_load.as_secs_f64();
    println!(
        "{seen:?}: {} messages at QoS 1, {} at QoS 2, {rate:.0} a second: all there",
        last["a"], last["b"]
    );
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_in_a_gateway_that_is_killed_at_every_moment() {
    kill_at(2_000, PHASES.len(), number("TIDEGATE_SEED", 1));
}

#[test]
#[ignore = "takes a minute: cargo test --release --test crash killed -- --ignored --nocapture"]
fn nothing_is_lost_in_a_gateway_that_is_killed_under_load() {
    let kills = usize::try_from(number("TIDEGATE_KILLS", 10)).unwrap();
    for (seed, rate) in [(1, 2_000), (2, 40_000)] {
        kill_at(rate, kills, number("TIDEGATE_SEED", seed));
    }
}
