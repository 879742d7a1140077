//! Whole lines on real pseudo-terminals and sockets: Modbus units, several sensors on one port, ports over the network,
//! meters that change their speed, and ten devices of which one comes and goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate::adapter::serial::{LineOptions, PortAddress, SerialSensor, SetCommand, serve_line};
use tidegate::adapter::simulated::{Kind, Pty, Simulated};
use tidegate::adapter::{Counters, Sink};
use tidegate::clock::Clock;
use tidegate::device::{Library, Options, Request, hex, modbus_crc};
use tidegate::durable::{Boots, MessageBody};
use tidegate::net::Publication;
use tidegate::reading::{Render as _, SensorName};
use tidegate::route::{Json, SensorTopics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Nothing here takes long: what takes this long does not come.
const DEADLINE: Duration = Duration::from_secs(20);

/// One sensor of a line, as it is configured.
struct Wanted<'a> {
    name: &'a str,
    profile: &'a str,
    unit: Option<u8>,
    options: Options,
}

fn wanted<'a>(name: &'a str, profile: &'a str) -> Wanted<'a> {
    Wanted { name, profile, unit: None, options: Options::default() }
}

/// A line that is served, and what it publishes.
struct Served {
    inbox: mpsc::Receiver<Vec<Publication>>,
    waiting: VecDeque<Publication>,
    commands: mpsc::Sender<SetCommand>,
    counters: Vec<Arc<Counters>>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    fn new(port: &str, wanted: Vec<Wanted<'_>>) -> Served {
        let (sender, inbox) = mpsc::channel(4096);
        let (commands, orders) = mpsc::channel(16);
        let mut counters = Vec::new();
        let mut sensors = Vec::new();
        for one in wanted {
            let name = SensorName::parse(one.name).unwrap();
            let profile =
                Library::shipped().profile(one.profile).unwrap().with_options(&one.options).unwrap();
            let topics = SensorTopics::new("g", &name).unwrap();
            let sensor = SerialSensor {
                name,
                port: PortAddress::parse(port, Path::new("/")).unwrap(),
                line: LineOptions::default(),
                unit: one.unit,
                profile: Arc::new(profile),
                topics,
            };
            counters.push(Arc::new(Counters::default()));
            sensors.push((sensor, Sink::new(sender.clone(), Arc::clone(counters.last().unwrap()))));
        }
        let task = tokio::spawn(serve_line(sensors, orders, Clock::system()));
        Served { inbox, waiting: VecDeque::new(), commands, counters, task }
    }

    /// The next message of a topic's end, as JSON; others are passed over.
    async fn next(&mut self, end: &str) -> Map<String, Value> {
        loop {
            while self.waiting.is_empty() {
                let batch =
                    tokio::time::timeout(DEADLINE, self.inbox.recv()).await.expect("nothing is published");
                self.waiting.extend(batch.unwrap());
            }
            let publication = self.waiting.pop_front().unwrap();
            if !publication.message.topic.as_str().ends_with(end) {
                continue;
            }
            let payload = match &publication.message.body {
                MessageBody::Reading(reading) => Json.render(reading, &Boots::default()),
                MessageBody::Publish { payload, .. } => payload.clone(),
            };
            return serde_json::from_slice(&payload).unwrap();
        }
    }

    async fn set(&self, sensor: &str, name: &str, value: Value) {
        let sensor = SensorName::parse(sensor).unwrap();
        self.commands.send(SetCommand { sensor, name: name.to_owned(), value }).await.unwrap();
    }
}

/// A pseudo-terminal under a name that stays.
fn plugged_in(folder: &Path) -> (Pty, String) {
    let mut pty = Pty::open().unwrap();
    let port = folder.join("port");
    pty.link(&port).unwrap();
    (pty, port.to_str().unwrap().to_owned())
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(modbus_crc(&bytes));
    bytes
}

/// What a line of XY-MD02 answers: unit 1 is there, unit 2 refuses writes, unit 3 is dead.
fn answer(request: &Request, written: &[u8]) -> Option<Vec<u8>> {
    match (request.unit(), written[1]) {
        (3, _) => None,
        (2, 6) => Some(with_crc(vec![2, 0x86, 2])),
        (unit, 4) => Some(with_crc(vec![unit, 4, 4, 0, 200 + unit, 0x01, 0x90])),
        _ => Some(written.to_vec()),
    }
}

/// Answers whatever is asked on the line; gives every write to `writes`.
async fn be_units(pty: Pty, writes: mpsc::UnboundedSender<Vec<u8>>) {
    let mut asked = Vec::new();
    loop {
        pty.read(&mut asked).await.unwrap();
        while asked.len() >= 8 {
            let written: Vec<u8> = asked.drain(..8).collect();
            let request = Request::parse(&written).unwrap_or_else(|| panic!("{written:x?} is no request"));
            if written[1] != 4 {
                writes.send(written.clone()).unwrap();
            }
            if let Some(answer) = answer(&request, &written) {
                // A glitch as the line turns around.
                pty.write_all(&[0x00]).await.unwrap();
                pty.write_all(&answer).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn modbus_units_share_a_port_are_read_and_set_and_say_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (pty, port) = plugged_in(folder.path());
    let (writes, mut written) = mpsc::unbounded_channel();
    let line = tokio::spawn(be_units(pty, writes));
    let unit = |name, unit| Wanted {
        unit: Some(unit),
        options: Options { interval_ms: Some(100), baud: Some(115_200), ..Options::default() },
        ..wanted(name, "xy-md02")
    };
    let mut served = Served::new(&port, vec![unit("one", 1), unit("two", 2), unit("three", 3)]);
    for (name, temperature) in [("one", 20.1), ("two", 20.2), ("one", 20.1)] {
        let state = served.next(&format!("{name}/state")).await;
        assert_eq!(
            (state["temperature"].as_f64(), state["humidity"].as_f64()),
            (Some(temperature), Some(40.0))
        );
    }
    served.set("one", "temperature_correction", json!(-1.5)).await;
    assert_eq!(served.next("one/result").await["error"], Value::Null);
    assert_eq!(written.recv().await.unwrap()[..6], [1, 6, 0x01, 0x03, 0xFF, 0xF1], "-15 tenths");
    served.set("two", "temperature_correction", json!(1)).await;
    let result = served.next("two/result").await;
    assert!(result["error"].as_str().unwrap().contains("illegal data address"), "{result:?}");
    served.set("one", "temperature_correction", json!(11)).await;
    assert!(served.next("one/result").await["error"].as_str().unwrap().contains("takes -10 to 10"));
    served.set("one", "colour", json!(1)).await;
    assert!(served.next("one/result").await["error"].as_str().unwrap().contains("no such command"));
    served.set("three", "temperature_correction", json!(1)).await;
    assert!(served.next("three/result").await["error"].as_str().unwrap().contains("did not answer"));
    line.abort();
}

#[tokio::test]
async fn several_sensors_of_one_port_each_hear_what_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let (pty, port) = plugged_in(folder.path());
    let sender = |name, sender: &str| Wanted {
        options: Options {
            eep: Some([(sender.to_owned(), "A5-02-05".to_owned())].into()),
            ..Options::default()
        },
        ..wanted(name, "enocean-esp3")
    };
    let mut served = Served::new(&port, vec![sender("a", "0181b7ee"), sender("b", "0181b7ef")]);
    let telegram = hex("55000a0701eba500007f080181b7ee0000ffffffff35005b").unwrap();
    while served.counters[0].now().opened == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    pty.write_all(&telegram).await.unwrap();
    assert_eq!(served.next("a/state").await["temperature"], json!(20.08));
    assert_eq!(served.counters[1].now().readings, 0);
}

/// The answer of a water meter with fixed data: its number, and litres.
fn m_bus_answer(address: u8, number: [u8; 4], litres_bcd: u8) -> Vec<u8> {
    let mut content = vec![0x08, address, 0x73];
    content.extend(number);
    content.extend([1, 0, 0xE9, 0x7E, litres_bcd, 0, 0, 0, 0, 0, 0, 0]);
    let sum = content.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    [&[0x68, 19, 19, 0x68][..], &content, &[sum, 0x16]].concat()
}

#[tokio::test]
async fn meters_of_one_m_bus_are_selected_and_asked_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (pty, port) = plugged_in(folder.path());
    let meter = |name, meter: &str| Wanted {
        options: Options { meter: Some(meter.to_owned()), interval_ms: Some(3000), ..Options::default() },
        ..wanted(name, "m-bus")
    };
    let mut served = Served::new(&port, vec![meter("by-address", "5"), meter("by-number", "87654321")]);
    let mut asked = Vec::new();
    let mut hear = async |expected: &[u8]| {
        while asked.len() < expected.len() {
            pty.read(&mut asked).await.unwrap();
        }
        assert_eq!(asked, expected, "nobody else is asked meanwhile");
        asked.clear();
    };
    hear(&hex("10 5B 05 60 16").unwrap()).await;
    // The line's other meter is heard, too; its number is not the one that is meant.
    pty.write_all(&m_bus_answer(5, [0x78, 0x56, 0x34, 0x12], 0x17)).await.unwrap();
    hear(&hex("68 0B 0B 68 53 FD 52 21 43 65 87 FF FF FF FF EE 16").unwrap()).await;
    pty.write_all(&[0xE5]).await.unwrap();
    hear(&hex("10 7B FD 78 16").unwrap()).await;
    pty.write_all(&m_bus_answer(9, [0x21, 0x43, 0x65, 0x87], 0x18)).await.unwrap();
    let state = served.next("by-address/state").await;
    assert_eq!((&state["meter_id"], &state["volume_m3"]), (&json!("12345678"), &json!(0.017)));
    let state = served.next("by-number/state").await;
    assert_eq!((&state["meter_id"], &state["volume_m3"]), (&json!("87654321"), &json!(0.018)));
    assert_eq!((served.counters[0].now().readings, served.counters[1].now().readings), (1, 1));
}

#[tokio::test]
async fn a_port_over_tcp_is_opened_again_when_its_other_end_returns() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("tcp://{}", listener.local_addr().unwrap());
    let mut served = Served::new(&port, vec![wanted("s", "json-lines")]);
    for number in 0..3 {
        let (mut other_end, _) = listener.accept().await.unwrap();
        other_end.write_all(format!("{{\"t\":{number}}}\n").as_bytes()).await.unwrap();
        assert_eq!(served.next("state").await["t"], json!(number));
    }
}

#[tokio::test]
async fn rfc_2217_sets_the_line_and_passes_every_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("rfc2217://{}", listener.local_addr().unwrap());
    let mut served = Served::new(&port, vec![wanted("s", "nova-sds011")]);
    let (mut other_end, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    let baud = [255, 250, 44, 1, 0, 0, 0x25, 0x80, 255, 240];
    while !heard.windows(baud.len()).any(|window| window == baud) {
        assert!(other_end.read_buf(&mut heard).await.unwrap() > 0);
    }
    // PM2.5 of 0x00FF tenths: the 255 is doubled on its way.
    let mut frame = hex("AA C0 FF 00 3A 0A A1 60").unwrap();
    frame.push(frame[2..].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    frame.push(0xAB);
    let escaped: Vec<u8> =
        frame.iter().flat_map(|byte| vec![*byte; if *byte == 255 { 2 } else { 1 }]).collect();
    other_end.write_all(&[255, 251, 44, 255, 253, 0]).await.unwrap();
    other_end.write_all(&escaped).await.unwrap();
    assert_eq!(served.next("state").await["pm25"], json!(25.5));
}

#[tokio::test]
async fn modbus_tcp_is_the_same_machine_behind_a_header() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("tcp://{}", listener.local_addr().unwrap());
    let options = Options { interval_ms: Some(20), ..Options::default() };
    let mut served = Served::new(&port, vec![Wanted { unit: Some(5), options, ..wanted("s", "xy-md02") }]);
    let (mut other_end, _) = listener.accept().await.unwrap();
    for tenths in [201_u8, 202] {
        let mut request = [0; 12];
        other_end.read_exact(&mut request).await.unwrap();
        assert_eq!(request[2..], [0, 0, 0, 6, 5, 4, 0, 1, 0, 2]);
        // An answer to an earlier request first: its number says so.
        let answer = |transaction: [u8; 2], tenths| {
            let [high, low] = transaction;
            vec![high, low, 0, 0, 0, 7, 5, 4, 4, 0, tenths, 1, 0x90]
        };
        other_end.write_all(&answer([0xFF, 0xFF], 99)).await.unwrap();
        other_end.write_all(&answer([request[0], request[1]], tenths)).await.unwrap();
        assert_eq!(served.next("state").await["temperature"], json!(f64::from(tenths) / 10.0));
    }
}

#[tokio::test]
async fn a_meter_that_is_asked_slowly_is_followed_to_its_speed_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (pty, port) = plugged_in(folder.path());
    let options = Options { interval_ms: Some(1000), format: Some("8N1".to_owned()), ..Options::default() };
    let mut served = Served::new(&port, vec![Wanted { options, ..wanted("meter", "iec62056-21") }]);
    let meters = Library::shipped().profile("iec62056-21").unwrap().captures[0].bytes.clone();
    let data = meters.iter().position(|byte| *byte == 2).unwrap();
    for _ in 0..2 {
        let mut asked = Vec::new();
        while !asked.ends_with(b"/?!\r\n") {
            pty.read(&mut asked).await.unwrap();
        }
        assert_eq!(pty.settings().unwrap().output_speed(), 300);
        pty.write_all(b"/ESY5Q3DA1004 V3.04\r\n").await.unwrap();
        asked.clear();
        while !asked.ends_with(b"\x06050\r\n") {
            pty.read(&mut asked).await.unwrap();
        }
        let fast = async {
            while pty.settings().unwrap().output_speed() != 9600 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, fast).await.expect("the gateway does not follow");
        pty.write_all(&meters[data..]).await.unwrap();
        assert_eq!(served.next("state").await["power"], json!(415.87));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_devices_at_real_rates_miss_nothing_while_one_comes_and_goes_each_second() {
    be_ten_devices(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: cargo test --test lines for_a_minute -- --ignored --nocapture"]
async fn ten_devices_miss_nothing_for_a_minute() {
    be_ten_devices(60).await;
}

async fn be_ten_devices(seconds: u64) {
    let folders: Vec<_> = (0..10).map(|_| tempfile::tempdir().unwrap()).collect();
    let port = |index: usize| folders[index].path().join("port");
    let mut devices = Vec::new();
    for index in 0..9 {
        // Once a second as the maker has it, ten times a second as a sketch does.
        let (kind, every) = match index {
            0 => (Kind::Sds011, 1000),
            1 => (Kind::Pms5003, 800),
            2 => (Kind::MhZ19, 500),
            3 => (Kind::Nmea, 200),
            4 => (Kind::VeDirect, 1000),
            5 => (Kind::DsmrP1, 1000),
            6 => (Kind::Sml, 1000),
            7 => (Kind::Linky, 1500),
            _ => (Kind::JsonLines, 100),
        };
        let options = Options { interval_ms: kind.request().map(|_| 1000), ..Options::default() };
        let served = Served::new(
            port(index).to_str().unwrap(),
            vec![Wanted { options, ..wanted("s", kind.profile()) }],
        );
        let sensor = Simulated::start(kind, &port(index), 0, Duration::from_millis(every)).unwrap();
        devices.push((served, sensor));
    }
    let flapping = Served::new(port(9).to_str().unwrap(), vec![wanted("s", "json-lines")]);
    for _ in 0..seconds {
        let sensor = Simulated::start(Kind::JsonLines, &port(9), 0, Duration::from_millis(50)).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(sensor);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(flapping.counters[0].now().opened >= seconds - 1, "it is opened again and again");
    let mut total = 0;
    for (served, sensor) in &mut devices {
        let sent = sensor.stop().await;
        total += sent;
        for number in 0..sent {
            let state = served.next("state").await;
            assert_eq!(sensor.kind().number(&state), Some(number), "{:?}", sensor.kind());
        }
        assert!(sent > 0 && served.counters[0].now().opened == 1);
        let now = served.counters[0].now();
        assert!(now.problems.iter().all(|(_, count)| *count == 0) && now.dropped == 0, "{now:?}");
    }
    let opened = flapping.counters[0].now().opened;
    println!(
        "{seconds} s: nine devices sent {total} readings, all arrived; the tenth was opened {opened} times"
    );
}
