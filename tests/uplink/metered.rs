//! Links that cost, with the real program: a day's bytes, and times of the day. What time it is the gateway learns from
//! its time zone, which the test chooses: nobody waits for midnight.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tidegate::mqtt::QoS;

use crate::process::Process;
use crate::rig::{free_port, has, wait_for};
use crate::soak::Publisher;
use crate::trouble::link::Sink;

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const BUDGET: u64 = 8 * 1024;
/// Numbers that the publisher does not reach.
const ALARM: u64 = 1_000_000;

/// Where it is so many seconds after midnight now; `days` ahead of the date of Greenwich.
fn zone(seconds: i64, days: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let west = i64::try_from(now).unwrap() % DAY - seconds - days * DAY;
    let sign = if west < 0 { '-' } else { '+' };
    let west = west.abs();
    format!("TZ=LOC{sign}{:02}:{:02}:{:02}", west / HOUR, west % HOUR / MINUTE, west % MINUTE)
}

/// A gateway whose link costs, and the server at the other end.
struct Site {
    folder: tempfile::TempDir,
    port: u16,
    sink: Sink,
    publisher: Publisher,
}

impl Site {
    fn new(keys: &str) -> Site {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let site = Site {
            folder,
            port,
            sink: Sink::start(Duration::ZERO),
            publisher: Publisher::new(port, QoS::AtLeastOnce),
        };
        site.configure(keys);
        site
    }

    fn configure(&self, keys: &str) {
        let text = format!(
            "[gateway]\nid = \"metered\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:{}\"\n\
             [uplink.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\n\
             forward = [{{ filter = \"t/alarm\", priority = \"alarm\" }}, \"t/#\"]\n{keys}\n",
            self.port, self.sink.port
        );
        fs::write(self.folder.path().join("tidegate.toml"), text).unwrap();
    }

    fn run(&self, zone: &str) -> Process {
        let configuration = self.folder.path().join("tidegate.toml");
        let binary = env!("CARGO_BIN_EXE_tidegate");
        let command = ["env", zone, binary, "run", "--config", configuration.to_str().unwrap()];
        let process = Process::start("tidegate", &command, self.folder.path());
        wait_for("the gateway to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", self.port)).ok());
        process
    }

    /// Some hundred messages that can wait: those that were accepted now.
    fn accept(&mut self) -> BTreeSet<u64> {
        let before = self.publisher.accepted().len();
        self.publisher.publish_in_the_background();
        wait_for("messages to be accepted", PATIENCE, || {
            (self.publisher.accepted().len() >= before + 600).then_some(())
        });
        self.publisher.stop();
        self.publisher.accepted()[before..].iter().copied().collect()
    }

    /// An alarm is accepted, behind everything else, and arrives.
    fn alarm(&self, number: u64) {
        let url = format!("mqtt://127.0.0.1:{}", self.port);
        let number_text = number.to_string();
        let arguments = ["pub", "--url", &url, "t/alarm", "-m", &number_text];
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wait_for("an alarm to arrive", PATIENCE, || self.sink.arrived().contains(&number).then_some(()));
    }

    /// What `tidegate status` says of the uplink.
    fn status(&self) -> Value {
        let configuration = self.folder.path().join("tidegate.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = command.args(["status", "--json", "--config"]).arg(configuration).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["uplinks"]["cloud"].clone()
    }

    fn is_held(&self, why: &str) -> bool {
        self.status()["held"].as_str().is_some_and(|held| held.contains(why))
    }

    fn wait_until_held(&self, why: &str) {
        wait_for("the status to say why nothing is sent", PATIENCE, || self.is_held(why).then_some(()));
    }

    /// Waits until what the gateway says that it has spent is what the server has seen: nothing is on the way.
    fn wait_for_the_bill(&self) -> u64 {
        wait_for("both ends to agree on the bytes", PATIENCE, || {
            let spent = self.status()["spent_bytes"].as_u64()?;
            (spent == self.sink.bytes()).then_some(spent)
        })
    }

    fn wait_for_all(&self, numbers: &BTreeSet<u64>) {
        wait_for("everything accepted to arrive", PATIENCE, || {
            numbers.is_subset(&self.sink.arrived()).then_some(())
        });
    }

    /// How much of what can wait has arrived.
    fn arrived(&self) -> usize {
        self.sink.arrived().range(..ALARM).count()
    }
}

#[test]
fn outside_of_its_windows_only_alarms_go_and_inside_of_them_everything() {
    if !has("setpriv") {
        return;
    }
    let mut site = Site::new("windows = [\"12:00-13:00\"]");
    let gateway = site.run(&zone(HOUR / 2, 0));
    let accepted = site.accept();
    site.alarm(ALARM);
    site.wait_until_held("windows");
    assert_eq!(site.arrived(), 0, "an alarm came behind them, and overtook them");
    gateway.terminate();
    let gateway = site.run(&zone(12 * HOUR + HOUR / 2, 0));
    site.wait_for_all(&accepted);
    assert_eq!(site.status()["held"], Value::Null);
    gateway.terminate();
}

/// While it runs: what waits goes when the window opens.
#[test]
fn a_window_that_opens_lets_out_what_waits() {
    if !has("setpriv") {
        return;
    }
    // A slow machine may need longer until all is ready.
    for seconds in [8, 30, 120] {
        let mut site = Site::new("windows = [\"12:00-13:00\"]");
        let start = Instant::now();
        let gateway = site.run(&zone(12 * HOUR - seconds, 0));
        let accepted = site.accept();
        site.wait_until_held("windows");
        let arrived = site.arrived();
        if start.elapsed() >= Duration::from_secs(seconds.unsigned_abs()) {
            continue;
        }
        assert_eq!(arrived, 0, "before it opened");
        wait_for("everything accepted to arrive", PATIENCE * 3, || {
            accepted.is_subset(&site.sink.arrived()).then_some(())
        });
        return gateway.terminate();
    }
    panic!("two minutes were too short to start a gateway and to publish some hundred messages");
}

/// While it runs: what comes when the window has closed waits.
#[test]
fn a_window_that_closes_holds_back_what_comes_then() {
    if !has("setpriv") {
        return;
    }
    let mut site = Site::new("windows = [\"11:00-12:00\"]");
    let gateway = site.run(&zone(12 * HOUR - 6, 0));
    let mut accepted = BTreeSet::new();
    wait_for("the window to close", PATIENCE, || {
        accepted.extend(site.accept());
        site.is_held("windows").then_some(())
    });
    let late = site.accept();
    site.alarm(ALARM);
    assert!(late.is_disjoint(&site.sink.arrived()), "it came after the window");
    gateway.terminate();
    let gateway = site.run(&zone(11 * HOUR, 0));
    accepted.extend(late);
    site.wait_for_all(&accepted);
    gateway.terminate();
}

/// The bytes are counted as the server counts them, survive a restart, and are new on another day.
#[test]
fn when_the_days_bytes_are_used_up_only_alarms_go_until_another_day() {
    if !has("setpriv") {
        return;
    }
    let mut site = Site::new(&format!("daily_budget = {BUDGET}"));
    let today = zone(12 * HOUR, 0);
    let gateway = site.run(&today);
    let accepted = site.accept();
    site.wait_until_held("daily_budget");
    site.alarm(ALARM);
    let (spent, of_today) = (site.wait_for_the_bill(), site.arrived());
    assert!((20..400).contains(&of_today), "{of_today} of {} went", accepted.len());
    // What was on the way when the last byte was spent is still acknowledged.
    assert!((BUDGET..BUDGET + 2048).contains(&spent), "{spent} bytes");
    gateway.terminate();
    let gateway = site.run(&today);
    site.wait_until_held("daily_budget");
    site.alarm(ALARM + 1);
    assert_eq!(site.arrived(), of_today, "it is still the same day");
    gateway.terminate();
    let gateway = site.run(&zone(HOUR / 2, 1));
    wait_for("more to arrive", PATIENCE, || (site.arrived() >= of_today + 20).then_some(()));
    site.wait_until_held("daily_budget");
    assert!(site.arrived() < accepted.len());
    gateway.terminate();
    site.configure("");
    let gateway = site.run(&today);
    site.wait_for_all(&accepted);
    gateway.terminate();
}

/// While it runs: midnight brings new bytes.
#[test]
fn at_midnight_what_waits_for_new_bytes_goes() {
    if !has("setpriv") {
        return;
    }
    for seconds in [8, 30, 120] {
        let mut site = Site::new(&format!("daily_budget = {BUDGET}"));
        let start = Instant::now();
        let gateway = site.run(&zone(DAY - seconds, 0));
        site.accept();
        site.wait_until_held("daily_budget");
        site.wait_for_the_bill();
        let of_today = site.arrived();
        if start.elapsed() >= Duration::from_secs(seconds.unsigned_abs()) {
            continue;
        }
        wait_for("midnight", PATIENCE * 3, || (site.arrived() >= of_today + 20).then_some(()));
        return gateway.terminate();
    }
    panic!("two minutes were too short to start a gateway and to publish some hundred messages");
}
