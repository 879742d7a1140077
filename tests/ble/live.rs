//! The program and a stand-in for bluetoothd on a bus of their own: what is in the air becomes readings, and comes
//! back after everything that happens to radios.
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
const RECOVERY: Duration = Duration::from_secs(60);
const KITCHEN: &str = "A4:C1:38:00:00:01";

/// A child that ends with the test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn skip(why: &str) {
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
struct Air {
    _process: Kept,
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
        Some(Air { _process: Kept(process), commands, answers, temperature: 2000 })
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Advertises another temperature of the kitchen, and tells which.
    fn advertise(&mut self) -> f64 {
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
struct Site {
    _gateway: Kept,
    published: Receiver<(String, String)>,
    air: Air,
    _bus: Kept,
    folder: tempfile::TempDir,
}

impl Site {
    /// `None`, and the skip counted, where something is not installed.
    fn start() -> Option<Site> {
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
        let text = format!(
            "[gateway]\nid = 'g'\ndata_dir = 'data'\n[[listener]]\naddress = '127.0.0.1:0'\n\
             [ble]\nauto = ['ruuvi']\n[sensor.kitchen]\nble = '{KITCHEN}'\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["run", "--config"]).arg(&configuration).env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let mut gateway = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(gateway.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the gateway has ended");
        }
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        // Read on, so that it never waits for us.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let published = subscribe(port);
        Some(Site { _gateway: Kept(gateway), published, air, _bus: bus, folder })
    }

    /// Waits for a publication that `is` the one; tells what came instead when it does not come.
    fn wait(&self, patience: Duration, is: impl Fn(&str, &Value) -> bool) -> Result<Value, Vec<String>> {
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
    fn comes_back(&mut self, after: &str) {
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
        panic!("no readings within {RECOVERY:?} after {after}; the status: {}", self.status());
    }

    fn status(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["status", "--json", "--config"]).arg(self.folder.path().join("tidegate.toml"));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
    }

    /// Waits until the status says something about Bluetooth that contains `text`.
    fn shows(&self, text: &str) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let status = self.status();
            let problems = status["problems"].as_array().cloned().unwrap_or_default();
            let said = |problem: &Value| {
                problem.as_str().is_some_and(|one| one.contains("Bluetooth") && one.contains(text))
            };
            if problems.iter().any(said) {
                return;
            }
            assert!(Instant::now() < deadline, "the status never says {text:?}: {problems:?}");
        }
    }
}

fn subscribe(port: u16) -> Receiver<(String, String)> {
    let (sender, published) = channel();
    let (client, mut connection) = Client::new(MqttOptions::new("observer", "127.0.0.1", port), 16);
    client.subscribe("tidegate/#", QoS::AtLeastOnce).unwrap();
    let (subscribed, is_subscribed) = channel();
    std::thread::spawn(move || {
        let _client = client;
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
    published
}

/// Adverts, merged maps, memory that is not "now", families of themselves; then a radio pulled out and back,
/// bluetoothd gone and back, a scan that somebody ended, a start that is "in progress".
#[test]
fn readings_come_back_after_everything_that_happens_to_radios() {
    let Some(mut site) = Site::start() else { return };
    site.shows("no Bluetooth radio");
    // A device of which BlueZ remembers something, and which is not heard.
    let stale = json!({ "do": "advertise", "mac": KITCHEN, "service_data": { "fcd2": "40020f27" } });
    site.air.tell(&json!({ "do": "plug" }));
    site.air.tell(&stale);
    site.comes_back("the radio was plugged in");
    let memory = |topic: &str, value: &Value| topic.ends_with("/state") && value["temperature"] == 99.99;
    let said = site.wait(Duration::from_millis(200), memory);
    assert!(said.is_err(), "BlueZ's memory was published as now: {said:?}");

    // Two fields of one map: only the one that changed is said.
    let ruuvi = |data: &str| json!({ "do": "advertise", "mac": "CB:B8:33:4C:88:4F", "rssi": -40, "name": "x", "manufacturer_data": { "0499": data } });
    site.air.tell(&ruuvi("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"));
    let is_ruuvi = |topic: &str, _: &Value| topic == "tidegate/g/ruuvi-cbb8334c884f/state";
    let reading = site.wait(RECOVERY, is_ruuvi).unwrap();
    assert_eq!((&reading["temperature"], &reading["rssi"]), (&json!(24.3), &json!(-40)));

    site.air.tell(&json!({ "do": "pull" }));
    site.shows("radio");
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("the radio was pulled and plugged in again");

    site.air.tell(&json!({ "do": "vanish" }));
    site.shows("bluetoothd");
    site.air.tell(&json!({ "do": "return" }));
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("bluetoothd vanished and returned");

    site.air.tell(&json!({ "do": "fail", "method": "StartDiscovery", "times": 2 }));
    site.air.tell(&json!({ "do": "stop" }));
    let deadline = Instant::now() + RECOVERY;
    while site.air.tell(&json!({ "do": "look" }))["is_scanning"] != true {
        assert!(Instant::now() < deadline, "the scan was not begun again");
        std::thread::sleep(Duration::from_millis(100));
    }
    site.comes_back("the scan was ended and its start was in progress");
}
