//! A backlog that drains to a local mosquitto: the gateway, which keeps it on disk, beside a mosquitto bridge, which
//! keeps it in memory, in the same run.
//!
//! While nothing listens upstream, the messages are published at QoS 1 and acknowledged. Then the server starts; what
//! is measured is the time from the first to the last message there. The bridge speaks 3.1.1, the gateway 5.0 and then
//! 3.1.1. `TIDEGATE_BENCH_BINARY` says another gateway.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::load;
use crate::process::Process;
use crate::rig::{free_port, has, wait_for};
use crate::usage;

const MESSAGES: u64 = 200_000;
/// One drain differs from the next by a tenth, with the same server and the same contender: many rounds, one contender
/// after the other in each, and another one first each time.
const ROUNDS: usize = 15;
/// What the gateway may take of memory, at its most.
const MEMORY_KIB: u64 = 32 * 1024;

/// What one contender did.
#[derive(Debug)]
struct Drained {
    per_second: f64,
    most_kib: u64,
}

/// Prints both figures, and judges them.
pub fn print() {
    if !has("mosquitto") || !has("setpriv") {
        return;
    }
    println!("\n{MESSAGES} messages of 64 B, kept while the server is away, at QoS 1 to a local mosquitto");
    let mut contenders = [
        Contender::new("mosquitto's bridge, in memory", bridge),
        Contender::new("tidegate, durable", |folder, server| gateway(folder, server, "")),
        // As the bridge speaks: MQTT 3.1.1, which has no names of messages.
        Contender::new("tidegate, durable, MQTT 3.1.1", |folder, server| {
            gateway(folder, server, "version = \"3.1.1\"\n")
        }),
    ];
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            contenders[at].drain();
        }
    }
    let [theirs, ours, plain] = contenders.each_ref().map(Contender::per_second);
    println!(
        "\nof all {ROUNDS} rounds, in one round beside the bridge's (least, median, most), KiB at most:"
    );
    for contender in &contenders {
        let mut beside = contender.beside(&contenders[0]);
        beside.sort_by(f64::total_cmp);
        let [least, median, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| beside[at]);
        let (per_second, kib) = (contender.per_second(), contender.most_kib());
        println!(
            "{:<34} {per_second:8.0}/s {:6.3} of the bridge   {least:.2} {median:.2} {most:.2}   {kib}",
            contender.name,
            per_second / theirs,
        );
    }
    let most = contenders[1].most_kib().max(contenders[2].most_kib());
    assert!(most <= MEMORY_KIB, "{most} KiB at most, filling included");
    assert!(plain >= theirs, "a mosquitto bridge is faster, at the same protocol");
    assert!(ours >= theirs, "a mosquitto bridge is faster");
}

type Start = fn(&Path, u16) -> (Process, u16);

/// Who drains a backlog, and what it did in each round.
struct Contender {
    name: &'static str,
    start: Start,
    drained: Vec<Drained>,
}

impl Contender {
    fn new(name: &'static str, start: Start) -> Contender {
        Contender { name, start, drained: Vec::new() }
    }

    fn drain(&mut self) {
        self.drained.push(measure(self.name, self.start));
    }

    /// Of all rounds together.
    fn per_second(&self) -> f64 {
        let seconds: f64 = self.drained.iter().map(|drained| 1.0 / drained.per_second).sum();
        self.drained.len() as f64 / seconds
    }

    fn beside(&self, other: &Contender) -> Vec<f64> {
        let rounds = self.drained.iter().zip(&other.drained);
        rounds.map(|(one, other)| one.per_second / other.per_second).collect()
    }

    fn most_kib(&self) -> u64 {
        self.drained.iter().map(|drained| drained.most_kib).max().unwrap_or_default()
    }
}

fn measure(name: &str, start: Start) -> Drained {
    let folder = tempfile::tempdir().unwrap();
    let server_port = free_port();
    let (contender, port) = start(folder.path(), server_port);
    listens(port);
    load::fill(port, MESSAGES);
    let (filled_kib, most_filled_kib) = usage::memory_kib(contender.id());
    // It must not come before the subscriber.
    signal(&contender, "STOP");
    let server = server(folder.path(), server_port);
    listens(server_port);
    let subscriber = load::listener(server_port);
    let (before, before_server) = (usage::cpu(contender.id()), usage::cpu(server.id()));
    signal(&contender, "CONT");
    let took = subscriber.wait();
    let cpu = usage::cpu(contender.id()) - before;
    let server_cpu = usage::cpu(server.id()) - before_server;
    let (_, most_kib) = usage::memory_kib(contender.id());
    let per_second = MESSAGES as f64 / took.as_secs_f64();
    println!(
        "{name:<34} {per_second:8.0}/s   {:5.2} us CPU each (the server {:5.2})   KiB: {filled_kib} filled, {most_filled_kib} at most until then, {most_kib} at most",
        cpu.as_secs_f64() * 1e6 / MESSAGES as f64,
        server_cpu.as_secs_f64() * 1e6 / MESSAGES as f64,
    );
    Drained { per_second, most_kib }
}

fn listens(port: u16) {
    wait_for("a server to listen", Duration::from_secs(10), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
}

fn signal(process: &Process, name: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
}

fn gateway(folder: &Path, server: u16, more: &str) -> (Process, u16) {
    let port = free_port();
    let text = format!(
        "[gateway]\nid = \"bench\"\ndata_dir = \"{}\"\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
         [uplink.cloud]\nurl = \"mqtt://127.0.0.1:{server}\"\nforward = [\"#\"]\n{more}",
        folder.join("data").display()
    );
    let configuration = folder.join("tidegate.toml");
    fs::write(&configuration, text).unwrap();
    let binary = std::env::var("TIDEGATE_BENCH_BINARY");
    let binary = binary.unwrap_or_else(|_| env!("CARGO_BIN_EXE_tidegate").to_owned());
    let command = [&binary, "run", "--config", configuration.to_str().unwrap()];
    (Process::start("tidegate", &command, folder), port)
}

fn bridge(folder: &Path, server: u16) -> (Process, u16) {
    let mut text = String::new();
    let port = free_port();
    write!(
        text,
        "listener {port}\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
         connection cloud\naddress 127.0.0.1:{server}\ntopic # out 1\ncleansession false\n\
         restart_timeout 1\nnotifications false\n"
    )
    .unwrap();
    mosquitto(folder, "bridge", &text, port)
}

fn server(folder: &Path, port: u16) -> Process {
    let text =
        format!("listener {port}\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n");
    mosquitto(folder, "server", &text, port).0
}

fn mosquitto(folder: &Path, name: &str, text: &str, port: u16) -> (Process, u16) {
    let configuration = folder.join(format!("{name}.conf"));
    fs::write(&configuration, text).unwrap();
    (Process::start(name, &["mosquitto", "-c", configuration.to_str().unwrap()], folder), port)
}
