//! A client that we did not write, on the cloud's side: what it sees has arrived.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

/// One reading of one sensor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading {
    pub sensor: String,
    pub n: u64,
}

/// What has arrived, in order.
#[derive(Debug, Default)]
struct Arrivals {
    readings: Vec<Reading>,
    /// Those that the cloud's broker marked as its own repetitions to us.
    repeated_by_cloud: usize,
    subscribed: bool,
}

impl Arrivals {
    /// What comes with DUP and is here already was sent twice by the cloud, not to it.
    fn take(&mut self, reading: Option<Reading>, dup: bool) {
        let Some(reading) = reading else { return };
        if dup && self.readings.contains(&reading) {
            self.repeated_by_cloud += 1;
        } else {
            self.readings.push(reading);
        }
    }
}

/// A persistent subscriber at the cloud's broker; it comes back whenever that does.
pub struct Observer {
    shared: Arc<(Mutex<Arrivals>, Condvar)>,
}

impl Observer {
    pub fn start(address: Ipv4Addr, port: u16) -> Observer {
        let mut options = MqttOptions::new("observer", address.to_string(), port);
        options.set_clean_session(false).set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = Client::new(options, 100);
        let shared = Arc::new((Mutex::new(Arrivals::default()), Condvar::new()));
        let theirs = Arc::downgrade(&shared);
        thread::spawn(move || {
            client.subscribe("tidegate/+/+/state", QoS::AtLeastOnce).unwrap();
            for event in connection.iter() {
                let Some(shared) = theirs.upgrade() else { return };
                let (arrivals, changed) = &*shared;
                match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let reading = parse(&publish.topic, &publish.payload);
                        arrivals.lock().unwrap().take(reading, publish.dup);
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => arrivals.lock().unwrap().subscribed = true,
                    Ok(_) => {}
                    // The cloud is away: not too often.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
                changed.notify_all();
            }
        });
        let observer = Observer { shared };
        observer.wait("the observer's subscription", |arrivals| {
            if arrivals.subscribed { Vec::new() } else { vec!["SUBACK"] }
        });
        observer
    }

    /// Waits until every one of these has arrived.
    pub fn wait_for_all(&self, expected: &[Reading]) {
        let is_missing = |arrivals: &Arrivals| missing(expected, &arrivals.readings);
        self.wait("everything accepted to arrive", is_missing);
    }

    /// What has arrived, in order.
    pub fn readings(&self) -> Vec<Reading> {
        self.shared.0.lock().unwrap().readings.clone()
    }

    pub fn repeated_by_cloud(&self) -> usize {
        self.shared.0.lock().unwrap().repeated_by_cloud
    }

    /// Waits until nothing is lacking.
    fn wait<T: Debug>(&self, what: &str, lacking: impl Fn(&Arrivals) -> Vec<T>) {
        let (arrivals, changed) = &*self.shared;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut arrivals = arrivals.lock().unwrap();
        loop {
            let lacking = lacking(&arrivals);
            if lacking.is_empty() {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited a minute in vain for {what}: {lacking:?}");
            arrivals = changed.wait_timeout(arrivals, left).unwrap().0;
        }
    }
}

/// Those that have not arrived.
pub fn missing(expected: &[Reading], arrived: &[Reading]) -> Vec<Reading> {
    let arrived: std::collections::BTreeSet<&Reading> = arrived.iter().collect();
    expected.iter().filter(|reading| !arrived.contains(reading)).cloned().collect()
}

/// How many came more than once; panics when a first arrival is out of its sensor's order.
pub fn duplicates_in_order(arrived: &[Reading]) -> usize {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut duplicates = 0;
    for reading in arrived {
        if !seen.insert(reading) {
            duplicates += 1;
            continue;
        }
        let before = newest.insert(&reading.sensor, reading.n);
        assert!(before.is_none_or(|before| before < reading.n), "{reading:?} came after {before:?}");
    }
    duplicates
}

/// The reading of a state message: the sensor from its topic, the number from its JSON.
pub fn parse(topic: &str, payload: &[u8]) -> Option<Reading> {
    let sensor = topic.strip_prefix("tidegate/lab/")?.strip_suffix("/state")?;
    let state: serde_json::Value = serde_json::from_slice(payload).expect("a state is JSON");
    Some(Reading { sensor: sensor.to_owned(), n: state["n"].as_u64().expect("a number") })
}
