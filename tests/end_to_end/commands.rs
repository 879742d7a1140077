//! Commands down to sensors: from an MQTT client to the bytes on a line, and what became of them back to the client.

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tidegate::adapter::simulated::Pty;
use tidegate::device::modbus_crc;
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};

const LAMP: &str = r#"
    [device]
    model = "lamp"
    about = "a lamp that is told how bright it shall be, and says how bright it is"
    [serial]
    baud = 9600
    [frame]
    start = "5A"
    length = 3
    checksum = { kind = "sum8", over = "0..2", at = 2 }
    [[field]]
    name = "brightness"
    at = 1
    type = "u8"
    [[command]]
    name = "brightness"
    send = "A5 01 {value:u8} {sum8:0}"
    min = 0
    max = 100
    table = { off = 0, full = 100 }
"#;

/// What becomes of commands, by the sensor's topic.
async fn next_result(events: &mut EventLoop) -> (String, Value) {
    let next = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return (publish.topic.clone(), serde_json::from_slice(&publish.payload).unwrap());
            }
        }
    };
    timeout(PATIENCE, next).await.expect("nothing is said of the command")
}

async fn bytes(pty: &Pty, count: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    let all = async {
        while heard.len() < count {
            pty.read(&mut heard).await.unwrap();
        }
    };
    timeout(PATIENCE, all).await.expect("nothing reaches the line");
    heard
}

/// A client at the gateway that hears what becomes of commands.
async fn client(site: &Program) -> (AsyncClient, EventLoop) {
    let options = MqttOptions::new("on-site", "127.0.0.1", site.address.port());
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("tidegate/+/+/result", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    (client, events)
}

#[tokio::test]
async fn a_command_over_mqtt_becomes_the_bytes_of_the_profile_and_its_result_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    std::fs::write(folder.path().join("profiles/lamp.toml"), LAMP).unwrap();
    let mut pty = Pty::open().unwrap();
    pty.link(&folder.path().join("lamp.port")).unwrap();
    let configuration = "[sensor.lamp]\nserial = \"lamp.port\"\nprofile = \"lamp\"\n";
    let profiles = folder.path().join("profiles").to_str().unwrap().to_owned();
    let site = Program::start_in(folder, configuration, &[("TIDEGATE_GATEWAY_PROFILE_DIRS", &profiles)]);
    site.wait_for_line("port opened");
    let (on_site, mut events) = client(&site).await;
    let set =
        |value: &str| on_site.publish("tidegate/gw/lamp/set", QoS::AtLeastOnce, false, value.to_owned());
    let result = |error: Value| {
        ("tidegate/gw/lamp/result".to_owned(), json!({ "name": "brightness", "error": error }))
    };

    set(r#"{"brightness": 66}"#).await.unwrap();
    assert_eq!(next_result(&mut events).await, result(Value::Null));
    assert_eq!(bytes(&pty, 4).await, [0xA5, 0x01, 66, 0xE8]);
    set(r#"{"brightness": "full"}"#).await.unwrap();
    assert_eq!(next_result(&mut events).await, result(Value::Null));
    assert_eq!(bytes(&pty, 4).await, [0xA5, 0x01, 100, 0x0A]);
    // What it cannot be told is refused, and nothing is sent.
    set(r#"{"brightness": 101}"#).await.unwrap();
    let (_, refused) = next_result(&mut events).await;
    assert!(refused["error"].as_str().unwrap().contains("the device takes 0 to 100"), "{refused}");
    set(r#"{"brightness": 0}"#).await.unwrap();
    assert_eq!(next_result(&mut events).await, result(Value::Null));
    assert_eq!(bytes(&pty, 4).await, [0xA5, 0x01, 0, 0xA6], "nothing came between");
}

#[tokio::test]
async fn a_command_over_mqtt_writes_a_register_and_says_what_the_unit_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut pty = Pty::open().unwrap();
    pty.link(&folder.path().join("bus.port")).unwrap();
    let configuration =
        "[sensor.cellar]\nmodbus = \"bus.port\"\nunit = 7\nprofile = \"xy-md02\"\ninterval_ms = 60000\n";
    let site = Program::start_in(folder, configuration, &[]);
    let reads = bytes(&pty, 8).await;
    assert_eq!(reads[..6], [7, 4, 0, 1, 0, 2]);
    let mut answer = vec![7, 4, 4, 0, 215, 1, 144];
    answer.extend(modbus_crc(&answer));
    pty.write_all(&answer).await.unwrap();
    let (on_site, mut events) = client(&site).await;
    let set =
        |value: &str| on_site.publish("tidegate/gw/cellar/set", QoS::AtLeastOnce, false, value.to_owned());

    set(r#"{"temperature_correction": -1.5}"#).await.unwrap();
    let unit = async {
        let written = bytes(&pty, 8).await;
        assert_eq!(written[..6], [7, 6, 0x01, 0x03, 0xFF, 0xF1], "-15 tenths");
        pty.write_all(&written).await.unwrap();
        set(r#"{"temperature_correction": 2}"#).await.unwrap();
        let refused = bytes(&pty, 8).await;
        assert_eq!(refused[..6], [7, 6, 0x01, 0x03, 0, 20]);
        let mut exception = vec![7, 0x86, 3];
        exception.extend(modbus_crc(&exception));
        pty.write_all(&exception).await.unwrap();
    };
    let results = async { (next_result(&mut events).await, next_result(&mut events).await) };
    let ((), (first, second)) = tokio::join!(unit, results);
    assert_eq!(first.0, "tidegate/gw/cellar/result");
    assert_eq!(first.1, json!({ "name": "temperature_correction", "error": null }));
    assert!(second.1["error"].as_str().unwrap().contains("illegal data value"), "{}", second.1);
}
