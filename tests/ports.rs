//! The real serial adapter on real pseudo-terminals: settings, polling, unplugging and plugging in again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use rustix::termios::{ControlModes, LocalModes};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tidegate::adapter::simulated::{Kind, Pty, Simulated};
use tidegate::adapter::{Counters, Sink, serial};
use tidegate::clock::Clock;
use tidegate::device::{Library, Options, ProblemKind, Profile};
use tidegate::durable::{Boots, MessageBody};
use tidegate::net::Publication;
use tidegate::reading::{Render as _, SensorName};
use tidegate::route::{Json, SensorTopics};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Nothing here takes long: what takes this long does not come.
const DEADLINE: Duration = Duration::from_secs(20);

/// A sensor that the adapter serves, and what it publishes.
struct Served {
    folder: TempDir,
    counters: Arc<Counters>,
    inbox: mpsc::Receiver<Vec<Publication>>,
    waiting: std::collections::VecDeque<Publication>,
    task: JoinHandle<()>,
}

impl Served {
    fn new(profile: &str, options: &Options) -> Served {
        let profile = Library::shipped().profile(profile).unwrap().with_options(options).unwrap();
        Served::with(Arc::new(profile))
    }

    fn with(profile: Arc<Profile>) -> Served {
        keep_logs();
        let folder = tempfile::tempdir().unwrap();
        let (sender, inbox) = mpsc::channel(1024);
        let counters = Arc::new(Counters::default());
        let name = SensorName::parse("s").unwrap();
        let topics = SensorTopics::new("g", &name).unwrap();
        let sensor = serial::SerialSensor {
            name,
            port: folder.path().join("port").into(),
            line: serial::LineOptions::default(),
            unit: None,
            profile,
            topics,
        };
        let sink = Sink::new(sender, Arc::clone(&counters));
        let task = tokio::spawn(serial::serve(sensor, sink, Clock::system()));
        Served { folder, counters, inbox, waiting: std::collections::VecDeque::new(), task }
    }

    fn port(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    async fn next(&mut self) -> Publication {
        while self.waiting.is_empty() {
            let batch =
                tokio::time::timeout(DEADLINE, self.inbox.recv()).await.expect("nothing is published");
            self.waiting.extend(batch.unwrap());
        }
        self.waiting.pop_front().unwrap()
    }

    /// The next state, presence passed over.
    async fn state(&mut self) -> Map<String, Value> {
        loop {
            let publication = self.next().await;
            if let MessageBody::Reading(reading) = &publication.message.body {
                assert_eq!(publication.message.topic.as_str(), "tidegate/g/s/state");
                return serde_json::from_slice(&Json.render(reading, &Boots::default())).unwrap();
            }
        }
    }

    /// The next presence, states passed over.
    async fn presence(&mut self) -> String {
        loop {
            let publication = self.next().await;
            if let MessageBody::Publish { payload, .. } = &publication.message.body {
                assert_eq!(publication.message.topic.as_str(), "tidegate/g/s/availability");
                assert!(publication.message.retain && publication.relay == tidegate::broker::Relay::None);
                return String::from_utf8(payload.to_vec()).unwrap();
            }
        }
    }

    /// Until `happened`; asks the counters in between.
    async fn until(&self, what: &str, happened: impl Fn(&Counters) -> bool) {
        let wait = async {
            while !happened(&self.counters) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}: never"));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn columns() -> Options {
    Options { columns: Some(vec!["t".into(), "h".into()]), ..Options::default() }
}

#[tokio::test]
async fn every_kind_of_simulated_sensor_is_read_from_its_port_in_order() {
    for kind in Kind::ALL {
        let options = Options { interval_ms: kind.request().map(|_| 20), ..Options::default() };
        let profile = Library::shipped().profile(kind.profile()).unwrap();
        let mut profile = profile.with_options(&options).unwrap();
        for poll in &mut profile.polls {
            poll.timeout = Duration::from_millis(20);
        }
        let mut served = Served::with(Arc::new(profile));
        let mut sensor = Simulated::start(kind, &served.port(), 998, Duration::from_millis(2)).unwrap();
        for number in 998..1040 {
            let state = served.state().await;
            assert_eq!(kind.number(&state), Some(number), "{kind:?}: {state:?}");
            assert!(state["ts"].as_str().unwrap().ends_with('Z'));
        }
        let sent = sensor.stop().await;
        served.until("all that was sent is read", |counters| counters.now().readings == sent - 998).await;
    }
}

#[tokio::test]
async fn a_port_is_opened_with_the_settings_of_the_profile_and_the_options_overrule_them() {
    let mut pty = Pty::open().unwrap();
    let served = Served::new("nova-sds011", &Options::default());
    pty.link(&served.port()).unwrap();
    served.until("the port is opened", |counters| counters.now().opened == 1).await;
    let settings = pty.settings().unwrap();
    assert_eq!((settings.input_speed(), settings.output_speed()), (9600, 9600));
    // A pseudo-terminal takes eight data bits without parity only; stop bits it keeps.
    assert_eq!(settings.control_modes & ControlModes::CSIZE, ControlModes::CS8);
    assert!(!settings.control_modes.contains(ControlModes::CSTOPB));
    let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
    assert!(!settings.local_modes.intersects(cooked), "raw: no lines, no echo, no signals");

    let mut pty = Pty::open().unwrap();
    let options = Options { baud: Some(250_000), format: Some("8N2".to_owned()), ..columns() };
    let served = Served::new("csv", &options);
    pty.link(&served.port()).unwrap();
    served.until("the port is opened", |counters| counters.now().opened == 1).await;
    let settings = pty.settings().unwrap();
    assert_eq!(settings.input_speed(), 250_000, "speeds that no table lists too");
    assert!(settings.control_modes.contains(ControlModes::CSTOPB));
}

#[tokio::test]
async fn an_unplugged_sensor_is_offline_and_comes_back_under_its_name_without_loss() {
    let mut served = Served::new("json-lines", &Options::default());
    assert_eq!(served.presence().await, "offline", "before it was ever there");
    let mut number = 0;
    for round in 0..5 {
        let mut sensor =
            Simulated::start(Kind::JsonLines, &served.port(), number, Duration::from_millis(1)).unwrap();
        let other_name = sensor.pty().path().to_owned();
        assert_eq!(served.presence().await, "online", "round {round}, {}", other_name.display());
        served.until("some are read", |counters| counters.now().readings > number + 5).await;
        let sent = sensor.stop().await;
        served.until("all are read", |counters| counters.now().readings == sent).await;
        drop(sensor);
        for expected in number..sent {
            assert_eq!(served.state().await["count"].as_u64(), Some(expected));
        }
        assert_eq!(served.presence().await, "offline", "round {round}");
        number = sent;
    }
    assert_eq!(served.counters.now().opened, 5);
    assert_eq!(served.counters.now().dropped, 0);
}

#[tokio::test]
async fn a_sensor_that_comes_and_goes_costs_its_neighbours_nothing() {
    const NEIGHBOURS: u64 = 4;
    let mut neighbours = Vec::new();
    for index in 0..NEIGHBOURS {
        let kind = if index % 2 == 0 { Kind::JsonLines } else { Kind::Sds011 };
        let served = Served::new(kind.profile(), &Options::default());
        let sensor = Simulated::start(kind, &served.port(), 0, Duration::from_millis(2)).unwrap();
        neighbours.push((served, sensor));
    }
    let flapping = Served::new("json-lines", &Options::default());
    for round in 1..=4 {
        let sensor =
            Simulated::start(Kind::JsonLines, &flapping.port(), 0, Duration::from_millis(1)).unwrap();
        flapping.until("it is back", |counters| counters.now().opened == round).await;
        drop(sensor);
    }
    for (served, sensor) in &mut neighbours {
        let sent = sensor.stop().await;
        served.until("all that was sent is read", |counters| counters.now().readings == sent).await;
        assert!(sent > 10 && served.counters.now().opened == 1);
        for number in 0..sent {
            assert_eq!(sensor.kind().number(&served.state().await), Some(number));
        }
    }
}

#[tokio::test]
async fn bytes_of_a_frame_cut_by_the_unplugging_do_not_join_those_after_it() {
    let mut served = Served::new("csv", &columns());
    let mut pty = Pty::open().unwrap();
    pty.link(&served.port()).unwrap();
    pty.write_all(b"1,2\n3,").await.unwrap();
    served.until("all bytes are read", |counters| counters.now().bytes == 6).await;
    let mut pty = {
        drop(pty);
        Pty::open().unwrap()
    };
    pty.link(&served.port()).unwrap();
    pty.write_all(b"4\n5,6\n").await.unwrap();
    assert_eq!(served.state().await["t"], 1.0);
    assert_eq!(served.state().await["t"], 5.0, "3,4 was never said");
}

#[tokio::test]
async fn a_polled_sensor_that_does_not_answer_is_counted_and_asked_again() {
    let mut profile = Library::shipped().profile("winsen-mh-z19").unwrap();
    for poll in &mut profile.polls {
        (poll.interval, poll.timeout) = (Duration::from_millis(10), Duration::from_millis(5));
    }
    let mut served = Served::with(Arc::new(profile));
    let mut pty = Pty::open().unwrap();
    pty.link(&served.port()).unwrap();
    let no_answers = |counters: &Counters| {
        let problems = counters.now().problems;
        problems.into_iter().find(|(kind, _)| *kind == ProblemKind::NoAnswer).unwrap().1
    };
    served.until("three requests are missed", |counters| no_answers(counters) >= 3).await;
    let mut asked = Vec::new();
    while asked.len() < 9 {
        pty.read(&mut asked).await.unwrap();
    }
    assert_eq!(&asked[..9], Kind::MhZ19.request().unwrap());
    // Half an answer, then a whole one, later.
    pty.write_all(&Kind::MhZ19.frame(7)[..4]).await.unwrap();
    let before = no_answers(&served.counters);
    served.until("the half is given up", |counters| no_answers(counters) > before + 1).await;
    pty.write_all(&Kind::MhZ19.frame(8)).await.unwrap();
    assert_eq!(Kind::MhZ19.number(&served.state().await), Some(8));
}

#[tokio::test]
async fn two_gateways_do_not_share_a_port() {
    let mut first = Served::new("json-lines", &Options::default());
    let mut pty = Pty::open().unwrap();
    pty.link(&first.port()).unwrap();
    first.until("the port is opened", |counters| counters.now().opened == 1).await;
    let second = Served::new("json-lines", &Options::default());
    pty.link(&second.port()).unwrap();
    pty.write_all(b"{\"t\":1}\n").await.unwrap();
    assert_eq!(first.state().await["t"], 1.0);
    assert_eq!(second.counters.now().opened, 0);
    assert!(Path::new(&second.port()).exists());
}

thread_local! {
    /// What was logged on this thread: each test has one of its own.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the log of its thread.
struct ThreadLog;

impl std::io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One subscriber for all tests, before anything is logged.
fn keep_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| ThreadLog).init());
}

/// The lines logged on this thread since the last call.
fn logged() -> Vec<String> {
    let text = String::from_utf8(LOG.take()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_log_has_one_line_for_each_change_and_none_for_each_attempt() {
    let mut served = Served::new("json-lines", &Options::default());
    assert_eq!(served.presence().await, "offline");
    // Long enough for several attempts: 100, 200 and 400 ms apart.
    tokio::time::sleep(Duration::from_millis(900)).await;
    let lines = logged();
    assert!(lines.len() == 1 && lines[0].contains("is not there: is it plugged in?"), "{lines:#?}");

    let mut pty = Pty::open().unwrap();
    pty.link(&served.port()).unwrap();
    pty.write_all(b"{\"t\":1}\n").await.unwrap();
    assert_eq!(served.presence().await, "online");
    let lines = logged();
    assert!(
        lines.len() == 2 && lines[0].contains("port opened") && lines[1].contains("online"),
        "{lines:#?}"
    );

    drop(pty);
    assert_eq!(served.presence().await, "offline");
    let lines = logged();
    assert!(!lines.is_empty() && lines[0].contains("port lost: unplugged; it is opened again"), "{lines:#?}");
}
