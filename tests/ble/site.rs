//! The program and a stand-in for bluetoothd (`bluez.py`) on a bus of their own, for the tests that use them.
//!
//! Needs `dbus-daemon` and Debian's python3-dbus and python3-gi; counted as skipped where they are missing.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

/// What the statement allows for every recovery.
pub(super) const RECOVERY: Duration = Duration::from_secs(60);
pub(super) const KITCHEN: &str = "A4:C1:38:00:00:01";

/// A child that ends with the test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn skip(why: &str) {
    eprintln!("SKIPPED Bluetooth against a stand-in: {why}");
    if let Some(file) = std::env::var_os("TIDEGATE_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "Bluetooth against a stand-in: {why}").unwrap();
    }
}

fn bus(folder: &Path) -> Option<(Kept, String)> {
    let socket = format!("unix:path={}", folder.join("bus").display());
    let configuration = folder.join("bus.conf");
    let text = format!(
        "<busconfig><type>system</type><listen>{socket}</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/>\
         <allow own='*'/></policy></busconfig>"
    );
    std::fs::write(&configuration, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg(format!("--config-file={}", configuration.display())).args(["--nofork", "--print-address"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut address).ok()?;
    Some((Kept(child), socket))
}

/// The stand-in for bluetoothd.
pub(super) struct Air {
    process: Kept,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Hundredths of a degree; each advertisement has another.
    temperature: u16,
}

impl Air {
    fn start(bus: &str) -> Option<Air> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ble/bluez.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().ok()?;
        let commands = process.stdin.take()?;
        let mut answers = BufReader::new(process.stdout.take()?);
        let mut ready = String::new();
        answers.read_line(&mut ready).ok().filter(|read| *read > 0)?;
        Some(Air { process: Kept(process), commands, answers, temperature: 2000 })
    }

    pub(super) fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Advertises another temperature of the kitchen, and tells which.
    pub(super) fn advertise(&mut self) -> f64 {
        self.temperature += 1;
        let [low, high] = self.temperature.to_le_bytes();
        let data = format!("4002{low:02x}{high:02x}");
        self.tell(
            &json!({ "do": "advertise", "mac": KITCHEN, "rssi": -60, "service_data": { "fcd2": data } }),
        );
        f64::from(self.temperature) / 100.0
    }
}

/// The gateway, and a client that sees what it publishes.
pub(super) struct Site {
    gateway: Kept,
    published: Receiver<(String, String)>,
    client: Client,
    pub(super) air: Air,
    bus: Kept,
    folder: tempfile::TempDir,
}

impl Site {
    /// `None`, and the skip counted, where something is not installed.
    pub(super) fn start(sensors: &str) -> Option<Site> {
        let folder = tempfile::tempdir().unwrap();
        let Some((bus, address)) = bus(folder.path()) else {
            skip("dbus-daemon is not installed");
            return None;
        };
        let Some(air) = Air::start(&address) else {
            skip("python3-dbus or python3-gi is not installed");
            return None;
        };
        let configuration = folder.path().join("tidegate.toml");
        std::fs::write(&configuration, Site::configuration(sensors)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["run", "--config"]).arg(&configuration).env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        command.env("TIDEGATE_LOG", "info,tidegate::adapter::ble=debug");
        let mut gateway = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(gateway.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the gateway has ended");
        }
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        // Read on, so that it never waits for us.
        let mut kept = std::fs::File::create(folder.path().join("log")).unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut kept));
        let (published, client) = subscribe(port);
        Some(Site { gateway: Kept(gateway), published, client, air, bus, folder })
    }

    fn configuration(sensors: &str) -> String {
        format!("[gateway]\nid = 'g'\ndata_dir = 'data'\n[[listener]]\naddress = '127.0.0.1:0'\n{sensors}")
    }

    /// Another configuration, taken over while running.
    pub(super) fn reload(&self, sensors: &str) {
        std::fs::write(self.folder.path().join("tidegate.toml"), Site::configuration(sensors)).unwrap();
        signal(&self.gateway, "HUP");
    }

    /// bluetoothd stops answering, or answers again.
    pub(super) fn freeze(&self, frozen: bool) {
        signal(&self.air.process, if frozen { "STOP" } else { "CONT" });
    }

    /// The bus dies with everybody on it, and is there again after a while.
    pub(super) fn restart_bus(&mut self) {
        drop(std::mem::replace(&mut self.bus, Kept(Command::new("true").spawn().unwrap())));
        let temperature = self.air.temperature;
        let (bus, address) = bus(self.folder.path()).unwrap();
        self.bus = bus;
        self.air = Air::start(&address).unwrap();
        self.air.temperature = temperature;
    }

    /// Publishes.
    pub(super) fn set(&self, sensor: &str, command: &Value) {
        let topic = format!("tidegate/g/{sensor}/set");
        self.client.publish(topic, QoS::AtLeastOnce, false, command.to_string()).unwrap();
    }

    /// Waits for a publication that `is` the one; tells what came instead when it does not come.
    pub(super) fn wait(
        &self,
        patience: Duration,
        is: impl Fn(&str, &Value) -> bool,
    ) -> Result<Value, Vec<String>> {
        let deadline = Instant::now() + patience;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.published.recv_timeout(left) {
                Ok((topic, payload)) => {
                    let value = serde_json::from_str(&payload).unwrap_or(Value::from(payload.as_str()));
                    if is(&topic, &value) {
                        return Ok(value);
                    }
                    seen.push(format!("{topic} {payload}"));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(seen),
            }
        }
    }

    /// The kitchen goes on advertising; its readings must be back in time.
    pub(super) fn comes_back(&mut self, after: &str) {
        let started = Instant::now();
        while started.elapsed() < RECOVERY {
            let wanted = self.air.advertise();
            let is = |topic: &str, value: &Value| {
                topic == "tidegate/g/kitchen/state" && value["temperature"] == wanted
            };
            if self.wait(Duration::from_millis(500), is).is_ok() {
                return;
            }
        }
        panic!(
            "no readings within {RECOVERY:?} after {after}; the status: {}\n{}",
            self.status(),
            self.log()
        );
    }

    pub(super) fn status(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["status", "--json", "--config"]).arg(self.folder.path().join("tidegate.toml"));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
    }

    /// What the gateway has logged lately.
    pub(super) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until a problem of the status contains `text`.
    pub(super) fn shows(&self, text: &str) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let status = self.status();
            let problems = status["problems"].as_array().cloned().unwrap_or_default();
            let said = |problem: &Value| problem.as_str().is_some_and(|one| one.contains(text));
            if problems.iter().any(said) {
                return;
            }
            assert!(Instant::now() < deadline, "the status never says {text:?}: {problems:?}");
        }
    }
}

fn signal(process: &Kept, name: &str) {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

fn subscribe(port: u16) -> (Receiver<(String, String)>, Client) {
    let (sender, published) = channel();
    let (client, mut connection) = Client::new(MqttOptions::new("observer", "127.0.0.1", port), 16);
    client.subscribe("tidegate/#", QoS::AtLeastOnce).unwrap();
    let (subscribed, is_subscribed) = channel();
    std::thread::spawn(move || {
        for event in connection.iter() {
            let gone = match event {
                Ok(Event::Incoming(Packet::SubAck(_))) => subscribed.send(()).is_err(),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let payload = String::from_utf8_lossy(&publish.payload).into_owned();
                    sender.send((publish.topic, payload)).is_err()
                }
                Ok(_) => false,
                Err(_) => true,
            };
            if gone {
                return;
            }
        }
    });
    is_subscribed.recv_timeout(RECOVERY).unwrap();
    (published, client)
}
