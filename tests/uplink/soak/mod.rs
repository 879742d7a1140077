//! The gateway's binary is killed (`kill -9`) again and again while a backlog flows to mosquitto, at moments that a
//! seed chooses: as it starts, at random, or just as a certain packet passes.
//!
//! Every kill is printed: its seed, what passed in that moment, what was open towards the server, how much the gateway
//! had accepted and the server acknowledged. In the end whatever was accepted has arrived; at QoS 2 nothing twice.

mod publisher;
mod tap;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

pub use publisher::Publisher;
use rustix::process::Pid;
use tap::{Moment, Tap};
use tidegate::mqtt::{ProtocolVersion, QoS};

use crate::mosquitto::Mosquitto;
use crate::process::Process;
use crate::rig::{free_port, has, wait_for};

/// How long the gateway may take to reach the moment of its death; then it dies all the same.
const LIFE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// A small generator (SplitMix64).
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// What one soak came to.
struct Verdict {
    accepted: usize,
    arrived: usize,
    lost: Vec<u64>,
    /// How many copies there were beyond the first.
    copies: usize,
}

struct Soak {
    version: ProtocolVersion,
    qos: QoS,
    port: u16,
    configuration: String,
    tap: Tap,
    publisher: Publisher,
    random: Random,
    folder: tempfile::TempDir,
    // Dropped last: the observer before the server.
    observer: Observer,
    _mosquitto: Mosquitto,
}

impl Soak {
    fn new(version: ProtocolVersion, qos: QoS, seed: u64) -> Option<Soak> {
        if !has("setpriv") || !has("mosquitto_sub") {
            return None;
        }
        let mosquitto = Mosquitto::start("soak")?;
        let observer = Observer::start(mosquitto.port);
        let tap = Tap::start(mosquitto.port, version);
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let (speaks, level) = (if version.is_v5() { "5" } else { "3.1.1" }, qos.as_u8());
        let text = format!(
            "[gateway]\nid = \"soak\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [uplink.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\nversion = \"{speaks}\"\n\
             forward = [{{ filter = \"t/#\", qos = {level} }}]\n",
            tap.port
        );
        let configuration = folder.path().join("tidegate.toml");
        fs::write(&configuration, text).unwrap();
        let configuration = configuration.to_str().unwrap().to_owned();
        let publisher = Publisher::new(port, qos);
        let random = Random(seed);
        Some(Soak {
            version,
            qos,
            port,
            configuration,
            tap,
            publisher,
            random,
            folder,
            observer,
            _mosquitto: mosquitto,
        })
    }

    fn gateway(&self) -> Process {
        let binary = env!("CARGO_BIN_EXE_tidegate");
        Process::start("tidegate", &[binary, "run", "--config", &self.configuration], self.folder.path())
    }

    /// Waits until the gateway listens; it may have died before.
    fn listens(&self, gateway: &mut Process) {
        let address = (Ipv4Addr::LOCALHOST, self.port);
        wait_for("the gateway to listen", PATIENCE, || {
            (!gateway.is_running() || TcpStream::connect(address).is_ok()).then_some(())
        });
    }

    /// One life of the gateway, up to its `kill -9`.
    fn live(&mut self, kill: u64, seed: u64) {
        self.random = Random(seed);
        let moment = Moment::random(&mut self.random, self.qos);
        let mut gateway = self.gateway();
        let process = Pid::from_raw(gateway.id().cast_signed()).unwrap();
        if let Moment::Starting(after) = moment {
            thread::sleep(after);
        } else {
            self.tap.arm(moment, process);
            self.listens(&mut gateway);
            self.publisher.publish_in_the_background();
            let (start, mut greeted_at) = (Instant::now(), None);
            while gateway.is_running() && start.elapsed() < LIFE {
                self.tap.strike_when_due(&mut greeted_at);
                thread::sleep(Duration::from_millis(1));
            }
        }
        let passed = self.tap.disarm();
        if gateway.is_running() {
            gateway.kill();
        }
        self.publisher.stop();
        println!(
            "{:?} {:?} kill {kill:3} seed {seed:#018x} {:<44} {}; accepted {}, acknowledged upstream {}",
            self.version,
            self.qos,
            format!("{moment}"),
            passed,
            self.publisher.accepted().len(),
            self.tap.acknowledged(),
        );
    }

    /// The last life, which ends in peace.
    fn judge(mut self) -> Verdict {
        let mut gateway = self.gateway();
        self.listens(&mut gateway);
        let accepted = self.publisher.accepted();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let seen = self.observer.seen();
            if accepted.iter().all(|number| seen.contains_key(number)) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        // What may still come twice, comes now.
        wait_for("the gateway to have nothing open", PATIENCE, || self.tap.is_idle().then_some(()));
        let seen = self.observer.settled();
        gateway.terminate();
        self.publisher.stop();
        let lost = accepted.iter().filter(|number| !seen.contains_key(*number)).copied().collect();
        let copies = seen.values().map(|times| times - 1).sum();
        Verdict { accepted: accepted.len(), arrived: seen.len(), lost, copies }
    }
}

/// Kills the gateway so many times, in one version at one QoS.
fn soak(version: ProtocolVersion, qos: QoS, kills: u64, first_seed: u64) {
    let Some(mut soak) = Soak::new(version, qos, first_seed) else { return };
    for kill in 1..=kills {
        let seed = Random(first_seed.wrapping_add(kill)).next();
        soak.live(kill, seed);
    }
    let verdict = soak.judge();
    println!(
        "{version:?} {qos:?}: {kills} kills, {} accepted, {} arrived, {} lost, {} copies too many",
        verdict.accepted,
        verdict.arrived,
        verdict.lost.len(),
        verdict.copies
    );
    assert!(verdict.lost.is_empty(), "accepted and lost: {:?}", verdict.lost);
    assert!(verdict.accepted > 0, "nothing was accepted");
    assert!(qos == QoS::AtLeastOnce || verdict.copies == 0, "{} came twice at QoS 2", verdict.copies);
}

fn soak_all(kills: u64) {
    let seed = number("TIDEGATE_SOAK_SEED").unwrap_or(20_261_123);
    let kills = number("TIDEGATE_SOAK_KILLS").unwrap_or(kills);
    for qos in [QoS::ExactlyOnce, QoS::AtLeastOnce] {
        for (at, version) in [ProtocolVersion::V5, ProtocolVersion::V3_1_1].into_iter().enumerate() {
            let at = u64::try_from(at).unwrap();
            let own = Random(seed ^ at << 32 ^ u64::from(qos.as_u8()) << 40).next();
            soak(version, qos, (kills + 1 - at) / 2, own);
        }
    }
}

/// The short form, of every ordinary run.
#[test]
fn kills_at_chosen_moments_lose_nothing_and_repeat_nothing_at_qos_2() {
    soak_all(12);
}

/// 200 kills at each QoS: `cargo test --release --test uplink two_hundred -- --ignored --nocapture`.
/// `TIDEGATE_SOAK_SEED` and `TIDEGATE_SOAK_KILLS` say other numbers.
#[test]
#[ignore = "takes minutes: cargo test --release --test uplink two_hundred -- --ignored --nocapture"]
fn two_hundred_kills_lose_nothing_and_repeat_nothing_at_qos_2() {
    soak_all(200);
}

/// `mosquitto_sub` at the server, for the whole of a soak.
struct Observer {
    child: Child,
    seen: Arc<Mutex<BTreeMap<u64, usize>>>,
}

impl Observer {
    fn start(port: u16) -> Observer {
        let port = port.to_string();
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-i", "observer", "-c", "-q", "2", "-t", "t/#"]);
        // The subscription is there before anything comes.
        assert!(command.arg("-E").stdout(Stdio::null()).status().unwrap().success());
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-i", "observer", "-c", "-q", "2", "-t", "t/#"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let written = Arc::clone(&seen);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *written.lock().unwrap().entry(line.parse().unwrap()).or_insert(0) += 1;
            }
        });
        Observer { child, seen }
    }

    fn seen(&self) -> BTreeMap<u64, usize> {
        self.seen.lock().unwrap().clone()
    }

    /// What has come when nothing more does.
    fn settled(&self) -> BTreeMap<u64, usize> {
        let mut before = self.seen();
        loop {
            thread::sleep(Duration::from_millis(500));
            let now = self.seen();
            if now == before {
                return now;
            }
            before = now;
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
