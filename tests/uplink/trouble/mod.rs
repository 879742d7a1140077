//! Trouble with the link: what the status says of it in plain words, that the gateway does not run in circles
//! meanwhile, and that everything accepted arrives when it is over. The real program, a link that can be spoilt.
//!
//! What a certificate can have wrong is in `tests/end_to_end/uplinks.rs`, packets that vanish in `tests/lab`.

pub mod link;

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use link::{Link, Mood, Sink};
use serde_json::Value;
use tidegate::mqtt::QoS;

use crate::process::Process;
use crate::rig::{free_port, has, is_root, wait_for};
use crate::soak::Publisher;

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the gateway is watched in trouble.
const WATCHED: Duration = Duration::from_secs(6);
/// Attempts in that time: pauses are a second at first, double, and are random from a tenth of a second on.
const ATTEMPTS: u64 = 25;
/// Of a processor, in percent, in trouble. A loop without pauses takes a hundred.
const CPU_PERCENT: u64 = 25;

struct Gateway {
    process: Process,
    publisher: Publisher,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// `wrapped`: makes the command that starts it.
    fn start(url: &str, wrapped: impl Fn(&[&str], &Path) -> Vec<String>) -> Gateway {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let text = format!(
            "[gateway]\nid = \"trouble\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [uplink.cloud]\nurl = \"{url}\"\nkeep_alive_seconds = 5\nforward = [\"t/#\"]\n"
        );
        let configuration = folder.path().join("tidegate.toml");
        fs::write(&configuration, text).unwrap();
        let binary = env!("CARGO_BIN_EXE_tidegate");
        let command = [binary, "run", "--config", configuration.to_str().unwrap()];
        let command = wrapped(&command, folder.path());
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let process = Process::start("tidegate", &command, folder.path());
        wait_for("the gateway to listen", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Gateway { process, publisher: Publisher::new(port, QoS::AtLeastOnce), folder }
    }

    /// Accepts some hundred messages more.
    fn accept(&mut self) {
        let before = self.publisher.accepted().len();
        self.publisher.publish_in_the_background();
        wait_for("messages to be accepted", PATIENCE, || {
            (self.publisher.accepted().len() >= before + 600).then_some(())
        });
        self.publisher.stop();
    }

    /// What `tidegate status` says of the uplink.
    fn status(&self) -> Value {
        let configuration = self.folder.path().join("tidegate.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = command.args(["status", "--json", "--config"]).arg(configuration).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["uplinks"]["cloud"].clone()
    }

    fn wait_for_words(&self, words: &str) {
        let mut last = String::new();
        let start = std::time::Instant::now();
        while start.elapsed() < PATIENCE {
            let status = self.status();
            last = status["last_error"].as_str().unwrap_or_default().to_owned();
            if last.contains(words) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the status never says {words:?}; it says {last:?}");
    }

    /// While it is in trouble: counted attempts, bounded work.
    fn watch(&self) {
        let attempts = || self.status()["attempts"].as_u64().unwrap();
        let (before, cpu) = (attempts(), cpu(self.process.id()));
        thread::sleep(WATCHED);
        let (tried, used) = (attempts() - before, cpu_since(self.process.id(), cpu));
        assert!(tried <= ATTEMPTS, "{tried} attempts in {WATCHED:?}");
        let percent = used.as_millis() * 100 / WATCHED.as_millis();
        assert!(percent <= u128::from(CPU_PERCENT), "{percent} % of a processor while the link is down");
        println!("{tried} attempts in {WATCHED:?}, {percent} % of a processor");
    }

    /// It is over: everything accepted arrives.
    fn recover(&self, sink: &Sink) {
        let accepted = self.publisher.accepted();
        wait_for("everything accepted to arrive", PATIENCE, || {
            let arrived = sink.arrived();
            accepted.iter().all(|number| arrived.contains(number)).then_some(())
        });
        wait_for("the status to say that it is connected", PATIENCE, || {
            self.status()["connected"].as_bool().unwrap().then_some(())
        });
    }
}

fn plainly(command: &[&str], _: &Path) -> Vec<String> {
    command.iter().map(|&part| part.to_owned()).collect()
}

fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The first field, the state, is no number: user and system time are the 11th and 12th behind it.
    Duration::from_millis((fields[10] + fields[11]) * 10)
}

fn cpu_since(process: u32, before: Duration) -> Duration {
    cpu(process).saturating_sub(before)
}

/// Spoils the link of a gateway that is connected, and makes it good again.
fn trouble(mood: Mood, words: &str) {
    if !has("setpriv") {
        return;
    }
    let sink = Sink::start(Duration::ZERO);
    let link = Link::start(sink.port);
    let mut gateway = Gateway::start(&format!("mqtt://127.0.0.1:{}", link.port), plainly);
    gateway.accept();
    gateway.recover(&sink);
    link.is(mood);
    gateway.accept();
    gateway.wait_for_words(words);
    gateway.watch();
    link.is(Mood::Good);
    gateway.recover(&sink);
}

#[test]
fn a_black_hole_is_called_a_dead_link_and_costs_nothing() {
    trouble(Mood::Swallows, "the link is dead");
}

/// As a server behind a broken load balancer: connections are taken, nothing ever comes back.
#[test]
fn a_server_that_takes_connections_and_says_nothing_is_told_apart() {
    trouble(Mood::Swallows, "no answer to CONNECT within 10 s: is this an MQTT server?");
}

#[test]
fn resets_are_told_and_cost_nothing() {
    trouble(Mood::Resets, "reset the connection");
}

#[test]
fn a_refused_connection_is_told_and_costs_nothing() {
    trouble(Mood::Refuses, "connection refused: nothing listens there");
}

/// Up for three seconds, down for three, again and again; the server takes 400 messages a second, so that the backlog
/// needs many of them.
#[test]
fn a_link_that_flaps_every_three_seconds_still_drains_a_backlog() {
    if !has("setpriv") {
        return;
    }
    let sink = Sink::start(Duration::from_micros(2500));
    let link = Link::start(sink.port);
    link.is(Mood::Refuses);
    let mut gateway = Gateway::start(&format!("mqtt://127.0.0.1:{}", link.port), plainly);
    for _ in 0..3 {
        gateway.accept();
    }
    let accepted = gateway.publisher.accepted();
    let cpu = cpu(gateway.process.id());
    let (mut flaps, mut moved) = (0, 0);
    let mut before = 0;
    while !accepted.iter().all(|number| sink.arrived().contains(number)) {
        assert!(flaps < 40, "{} of {} after {flaps} flaps", sink.arrived().len(), accepted.len());
        for mood in [Mood::Good, Mood::Resets] {
            link.is(mood);
            thread::sleep(Duration::from_secs(3));
        }
        flaps += 1;
        let now = sink.arrived().len();
        moved += u64::from(now > before);
        before = now;
    }
    link.is(Mood::Good);
    gateway.recover(&sink);
    let attempts = gateway.status()["attempts"].as_u64().unwrap();
    let used = cpu_since(gateway.process.id(), cpu);
    println!("{flaps} flaps, in {moved} of them something arrived, {attempts} attempts, {used:?} of CPU");
    assert!(moved > 1, "all of it came in one flap: it was none");
    assert!(attempts < 10 + flaps * 12, "{attempts} attempts in {flaps} flaps");
}

/// A name that nobody knows; and then somebody does.
#[test]
fn a_name_that_cannot_be_looked_up_is_told_and_is_looked_up_anew_each_time() {
    if !has("setpriv") || !has("unshare") || !is_root() {
        return;
    }
    let sink = Sink::start(Duration::ZERO);
    // In a file system of its own, whose list of hosts is the test's.
    let wrapped = |command: &[&str], folder: &Path| {
        let hosts = folder.join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
        let before = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        before.iter().chain(command).map(|&part| part.to_owned()).collect()
    };
    let url = format!("mqtt://cloud.tidegate.invalid:{}", sink.port);
    let mut gateway = Gateway::start(&url, wrapped);
    gateway.accept();
    gateway.wait_for_words("the name \"cloud.tidegate.invalid\" cannot be looked up");
    gateway.watch();
    let hosts = "127.0.0.1 localhost cloud.tidegate.invalid\n";
    fs::write(gateway.folder.path().join("hosts"), hosts).unwrap();
    gateway.recover(&sink);
}
