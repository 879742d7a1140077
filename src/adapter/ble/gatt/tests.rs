//! Sensors against a central that is none: when they connect, what they say, and what they do when it fails.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};

use super::*;
use crate::adapter::ble::Heard;
use crate::adapter::serial::SetCommand;
use crate::adapter::{Counters, Sink};
use crate::clock::Clock;
use crate::device::Library;
use crate::device::ble::{Advertisement, Uuid};
use crate::durable::MessageBody;
use crate::net::Publication;
use crate::route::render_value;

/// Who notifies; nothing ends the connection.
type Notifier = mpsc::UnboundedSender<Option<(Uuid, Vec<u8>)>>;

/// What all the stand-ins know.
#[derive(Debug, Default)]
struct Stage {
    values: BTreeMap<Uuid, Vec<u8>>,
    /// Connections that will fail.
    failures: u32,
    connects: Vec<(Address, Instant)>,
    open: usize,
    most_open: usize,
    writes: Vec<(Uuid, Vec<u8>)>,
    notify: BTreeMap<Address, Notifier>,
}

#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<Stage>>);

struct FakeLink {
    stage: Fake,
    notified: mpsc::UnboundedReceiver<Option<(Uuid, Vec<u8>)>>,
}

impl Central for Fake {
    type Link = FakeLink;

    async fn connect(&self, address: Address, _: &str) -> Result<FakeLink, Unconnected> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut stage = self.0.lock().unwrap();
        stage.connects.push((address, Instant::now()));
        if stage.failures > 0 {
            stage.failures -= 1;
            return Err(Unconnected::Device("as the test wants it".to_owned()));
        }
        stage.open += 1;
        stage.most_open = stage.most_open.max(stage.open);
        let (sender, notified) = mpsc::unbounded_channel();
        stage.notify.insert(address, sender);
        Ok(FakeLink { stage: self.clone(), notified })
    }

    async fn connected_on(&self, _: Address) -> Option<String> {
        None
    }
}

impl Drop for FakeLink {
    fn drop(&mut self) {
        self.stage.0.lock().unwrap().open -= 1;
    }
}

impl Link for FakeLink {
    fn abilities(&self, uuid: Uuid) -> Option<Abilities> {
        let has = self.stage.0.lock().unwrap().values.contains_key(&uuid);
        has.then_some(Abilities { read: true, notify: true })
    }

    async fn read(&mut self, uuid: Uuid) -> Result<Vec<u8>, LinkError> {
        Ok(self.stage.0.lock().unwrap().values[&uuid].clone())
    }

    async fn write(&mut self, uuid: Uuid, value: &[u8]) -> Result<(), LinkError> {
        self.stage.0.lock().unwrap().writes.push((uuid, value.to_vec()));
        Ok(())
    }

    async fn listen(&mut self, _: Uuid) -> Result<(), LinkError> {
        Ok(())
    }

    async fn next(&mut self) -> Result<(Uuid, Vec<u8>), LinkError> {
        match self.notified.recv().await {
            Some(Some(one)) => Ok(one),
            _ => Err(LinkError::Lost("pulled".to_owned())),
        }
    }

    async fn close(self) {}
}

/// Sensors on one radio.
struct Site {
    fake: Fake,
    antenna: Arc<Antenna>,
    connections: Arc<Connections<Fake>>,
}

struct Served {
    address: Address,
    inbox: mpsc::Receiver<Vec<Publication>>,
    commands: mpsc::Sender<SetCommand>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    fn new(values: &[(&str, &[u8])]) -> Site {
        let fake = Fake::default();
        let values = values.iter().map(|(uuid, value)| (Uuid::parse(uuid).unwrap(), value.to_vec()));
        fake.0.lock().unwrap().values = values.collect();
        let antenna = Arc::new(Antenna::default());
        let connections = Arc::new(Connections::new(fake.clone(), Arc::clone(&antenna), 1));
        Site { fake, antenna, connections }
    }

    fn serve(&self, last: u8, profile: &str) -> Served {
        let address = Address([0, 0, 0, 0, 0, last]);
        let name = SensorName::parse(&format!("s{last}")).unwrap();
        let topics = SensorTopics::new("g", &name).unwrap();
        let profile = Arc::new(Library::shipped().profile(profile).unwrap());
        let sensor = GattSensor { name, address, profile, topics };
        let (commands, waiting) = mpsc::channel(4);
        let (outlet, inbox) = mpsc::channel(64);
        let counters = Arc::new(Counters::default());
        let sink = Sink::new(outlet, Arc::clone(&counters));
        let connections = Arc::clone(&self.connections);
        let task = tokio::spawn(serve(sensor, connections, waiting, sink, Clock::system()));
        Served { address, inbox, commands, counters, task }
    }

    /// The sensor's task listens, and hears its device.
    async fn hears(&self, sensor: &Served) {
        while !self.antenna.is_wanted(sensor.address) {
            tokio::task::yield_now().await;
        }
        let fresh = Advertisement { address: sensor.address, rssi: Some(-50), ..Advertisement::default() };
        self.antenna.heard(Heard { radio: "hci0".into(), whole: fresh.clone(), fresh });
    }

    fn notify(&self, sensor: &Served, uuid: &str, value: &[u8]) {
        let stage = self.fake.0.lock().unwrap();
        let one = Some((Uuid::parse(uuid).unwrap(), value.to_vec()));
        stage.notify[&sensor.address].send(one).unwrap();
    }

    fn pull(&self, sensor: &Served) {
        self.fake.0.lock().unwrap().notify[&sensor.address].send(None).unwrap();
    }
}

impl Served {
    /// The next reading or result, as topic's last level and JSON.
    async fn next(&mut self) -> (String, Json) {
        loop {
            let publications = timeout(Duration::from_secs(3600), self.inbox.recv()).await.unwrap().unwrap();
            for publication in publications {
                let message = publication.message;
                let leaf = message.topic.as_str().rsplit('/').next().unwrap().to_owned();
                match message.body {
                    MessageBody::Reading(reading) => {
                        let measurements = reading.measurements.iter();
                        let named =
                            measurements.map(|one| (one.name.as_str().to_owned(), render_value(&one.value)));
                        return (leaf, Json::Object(named.collect()));
                    }
                    MessageBody::Publish { payload, .. } if leaf == "result" => {
                        return (leaf, serde_json::from_slice(&payload).unwrap());
                    }
                    MessageBody::Publish { .. } => {}
                }
            }
        }
    }
}

const FLOWER: [(&str, &[u8]); 3] = [
    ("00001a00-0000-1000-8000-00805f9b34fb", &[]),
    ("1a01", &[0xEA, 0, 0, 0x15, 3, 0, 0, 0x11, 0x4D, 0, 2, 0x3C, 0, 0xFB, 0x34, 0x9B]),
    ("1a02", &[0x64, 0x27, 0x33, 0x2E, 0x31, 0x2E, 0x38]),
];

#[tokio::test(start_paused = true)]
async fn a_visit_writes_what_opens_the_device_reads_everything_at_once_and_goes() {
    let site = Site::new(&FLOWER);
    let mut plant = site.serve(1, "hhcc-flower-care");
    site.hears(&plant).await;
    let (leaf, reading) = plant.next().await;
    assert_eq!(
        (leaf.as_str(), &reading["moisture"], &reading["battery"]),
        ("state", &json!(17), &json!(100))
    );
    while site.fake.0.lock().unwrap().open > 0 {
        tokio::task::yield_now().await;
    }
    let stage = site.fake.0.lock().unwrap();
    assert_eq!(stage.writes, [(Uuid::parse("1a00").unwrap(), vec![0xA0, 0x1F])]);
    assert_eq!(stage.connects.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_to_a_device_that_is_not_heard() {
    let site = Site::new(&FLOWER);
    let _plant = site.serve(1, "hhcc-flower-care");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(site.fake.0.lock().unwrap().connects.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_says_what_is_notified_and_comes_back_when_it_is_lost() {
    let site = Site::new(&[("2a37", &[0, 60]), ("2a38", &[1])]);
    let mut strap = site.serve(1, "sig-heart-rate");
    site.hears(&strap).await;
    let (_, first) = strap.next().await;
    assert_eq!(first, json!({ "heart_rate": 60, "body_sensor_location": "chest" }));
    site.notify(&strap, "2a37", &[0, 72]);
    assert_eq!(strap.next().await.1, json!({ "heart_rate": 72 }));
    site.pull(&strap);
    site.hears(&strap).await;
    let again = strap.next().await.1;
    assert_eq!(again, json!({ "heart_rate": 60 }), "what never changes is read once");
    let stage = site.fake.0.lock().unwrap();
    assert_eq!((stage.connects.len(), stage.most_open), (2, 1));
    drop(stage);
    assert!(strap.counters.now().online);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_refuses_is_tried_later_each_time_and_its_trouble_is_shown() {
    let site = Site::new(&FLOWER);
    site.fake.0.lock().unwrap().failures = 4;
    let mut plant = site.serve(1, "hhcc-flower-care");
    let hearing = async {
        loop {
            site.hears(&plant).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if site.fake.0.lock().unwrap().connects.len() == 4 {
                return plant.counters.now().trouble;
            }
        }
    };
    assert_eq!(hearing.await.as_deref(), Some("as the test wants it"));
    site.hears(&plant).await;
    plant.next().await;
    let stage = site.fake.0.lock().unwrap();
    let pauses: Vec<u64> = stage.connects.windows(2).map(|pair| (pair[1].1 - pair[0].1).as_secs()).collect();
    assert!(pauses.is_sorted() && pauses[0] >= 2 && pauses[3] >= 16, "{pauses:?}");
    drop(stage);
    assert_eq!(plant.counters.now().trouble, None);
}

#[tokio::test(start_paused = true)]
async fn two_kept_connections_take_turns_on_one_radio() {
    let site = Site::new(&[("2a37", &[0, 60])]);
    let (mut one, mut other) = (site.serve(1, "sig-heart-rate"), site.serve(2, "sig-heart-rate"));
    let hearing = async {
        loop {
            site.hears(&one).await;
            site.hears(&other).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let connects = site.fake.0.lock().unwrap().connects.clone();
            let of = |address: Address| connects.iter().filter(|(known, _)| *known == address).count();
            if of(one.address) >= 3 && of(other.address) >= 3 {
                return connects;
            }
        }
    };
    let connects = timeout(Duration::from_secs(600), hearing).await.unwrap();
    assert!(connects.windows(2).all(|pair| pair[0].0 != pair[1].0), "in turn: {connects:?}");
    assert_eq!(site.fake.0.lock().unwrap().most_open, 1);
    one.next().await;
    other.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_is_written_over_a_connection_and_answered() {
    let site = Site::new(&FLOWER);
    let mut plant = site.serve(1, "hhcc-flower-care");
    site.hears(&plant).await;
    plant.next().await;
    let set = |name: &str| SetCommand {
        sensor: SensorName::parse("s1").unwrap(),
        name: name.to_owned(),
        value: json!(1),
    };
    plant.commands.send(set("blink")).await.unwrap();
    assert_eq!(plant.next().await.0, "state", "a visit reads, too");
    assert_eq!(plant.next().await, ("result".to_owned(), json!({ "name": "blink", "error": null })));
    assert_eq!(site.fake.0.lock().unwrap().writes.last().unwrap().1, [0xFD, 0xFF]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    plant.commands.send(set("blink")).await.unwrap();
    let (_, result) = plant.next().await;
    assert!(
        result["error"].as_str().unwrap().contains("not within 60 s: the device is not heard"),
        "{result}"
    );
}
