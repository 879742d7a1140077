//! From the bytes of two sensors on real pseudo-terminals to a real broker upstream.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use serde_json::{Map, Value};
use tidegate::adapter::simulated::{Kind, Simulated};
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};
use crate::skip;

/// Debian's mosquitto; killed when dropped.
struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    /// `None`, said aloud, where it is not installed.
    fn start(folder: &Path) -> Option<Mosquitto> {
        // It cannot be told to choose a port itself.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = folder.join("mosquitto.conf");
        std::fs::write(&configuration, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        let program = ["mosquitto", "/usr/sbin/mosquitto"];
        let child = program.iter().find_map(|program| {
            Command::new(program).arg("-c").arg(&configuration).stderr(Stdio::null()).spawn().ok()
        });
        let Some(child) = child else {
            skip("mosquitto is not installed");
            return None;
        };
        let mosquitto = Mosquitto { child, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::yield_now();
        }
        Some(mosquitto)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every message under `tidegate/` at the upstream broker, as an independent client sees it.
struct Observer(rumqttc::EventLoop);

impl Observer {
    async fn start(port: u16) -> Observer {
        let (client, mut events) = AsyncClient::new(MqttOptions::new("observer", "127.0.0.1", port), 10);
        client.subscribe("tidegate/#", QoS::AtLeastOnce).await.unwrap();
        let subscribed =
            async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {} };
        timeout(PATIENCE, subscribed).await.unwrap();
        Observer(events)
    }

    async fn next(&mut self) -> Publish {
        let next = async {
            loop {
                if let Event::Incoming(Packet::Publish(publish)) = self.0.poll().await.unwrap() {
                    return publish;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("nothing arrived upstream")
    }
}

/// What arrived, by sensor: the numbers of its readings, in order.
#[derive(Default)]
struct Arrived {
    numbers: BTreeMap<String, Vec<u64>>,
    presence: BTreeMap<String, String>,
}

impl Arrived {
    fn take(&mut self, publish: &Publish, kinds: &[(&str, Kind)]) {
        let Some(sensor) = publish.topic.strip_suffix("/state") else {
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            self.presence.insert(publish.topic.clone(), payload);
            return;
        };
        let (_, name) = sensor.rsplit_once('/').unwrap();
        let (_, kind) = kinds.iter().find(|(known, _)| *known == name).unwrap();
        let state: Map<String, Value> = serde_json::from_slice(&publish.payload).unwrap();
        let number = kind.number(&state);
        let number = number.unwrap_or_else(|| panic!("no reading of {name}: {:?}", publish.payload));
        assert!(!publish.dup && publish.qos == QoS::AtLeastOnce && !publish.retain, "{publish:?}");
        let ts = state.get("ts").and_then(Value::as_str).unwrap();
        assert!(ts.len() == 24 && ts.ends_with('Z'), "RFC 3339 in milliseconds and UTC: {ts}");
        self.numbers.entry(name.to_owned()).or_default().push(number);
    }

    fn last(&self, sensor: &str) -> Option<u64> {
        self.numbers.get(sensor)?.last().copied()
    }
}

/// What the issue asks first: SDS011 and json-lines at once arrive as JSON states, in order, each once at QoS 1.
#[tokio::test]
async fn the_bytes_of_two_sensors_arrive_upstream_in_order_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mosquitto) = Mosquitto::start(folder.path()) else { return };
    let mut observer = Observer::start(mosquitto.port).await;
    let kinds = [("air", Kind::Sds011), ("bench", Kind::JsonLines)];
    let mut sensors = Vec::new();
    let mut configuration = "[journal]\ncommit_interval_ms = 50\n".to_owned();
    for (name, kind) in kinds {
        let link = folder.path().join(name);
        sensors.push((name, Simulated::start(kind, &link, 0, Duration::from_millis(10)).unwrap()));
        let (port, profile) = (link.display(), kind.profile());
        configuration += &format!("[sensor.{name}]\nserial = \"{port}\"\nprofile = \"{profile}\"\n");
    }
    configuration += &format!(
        "[uplink.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\nforward = [\"tidegate/#\"]\n",
        mosquitto.port
    );
    let program = Program::start(&configuration);

    let mut arrived = Arrived::default();
    while kinds.iter().any(|(name, _)| arrived.last(name) < Some(150)) {
        let publish = observer.next().await;
        arrived.take(&publish, &kinds);
    }
    for (name, mut sensor) in sensors {
        let next = sensor.stop().await;
        while arrived.last(name) < next.checked_sub(1) {
            let publish = observer.next().await;
            arrived.take(&publish, &kinds);
        }
        let numbers = &arrived.numbers[name];
        // What a sensor said before its port was opened is nobody's; from then on nothing is missing or repeated.
        let first = numbers[0];
        assert!(first < 100, "{name} was heard from {first} on");
        assert_eq!(*numbers, (first..next).collect::<Vec<_>>(), "{name}");
        assert_eq!(arrived.presence[&format!("tidegate/gw/{name}/availability")], "online");
    }
    assert_eq!(arrived.presence["tidegate/gw/status"], "online");

    let (status, _) = program.terminate();
    assert_eq!(status.code(), Some(0));
    while arrived.presence["tidegate/gw/status"] != "offline" {
        let publish = observer.next().await;
        arrived.take(&publish, &kinds);
    }
}
