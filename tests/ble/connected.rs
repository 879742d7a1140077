//! Sensors that are read over connections, through btleplug and the stand-in for bluetoothd: read, notified, written
//! to; and back within a minute after everything that happens to connections.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::site::{RECOVERY, Site};

const THERMOMETER: &str = "A4:C1:38:00:00:02";
const UART: &str = "A4:C1:38:00:00:03";

fn configuration() -> String {
    format!(
        "[sensor.ess]\nble = '{THERMOMETER}'\nprofile = 'sig-environmental-sensing'\n\
         [sensor.uart]\nble = '{UART}'\nprofile = 'nordic-uart'\n[ble]\nconnections = 2\n"
    )
}

/// What the devices have, and that they are in the air.
fn appear(site: &mut Site) {
    let ess = json!({ "181a": { "2a6e": { "flags": ["read", "notify"], "value": "2909" },
                                "2a6f": { "flags": ["read"], "value": "8813" } },
                      "180f": { "2a19": { "flags": ["read"], "value": "64" } } });
    let uart = json!({ "6e400001-b5a3-f393-e0a9-e50e24dcca9e": {
        "6e400002-b5a3-f393-e0a9-e50e24dcca9e": { "flags": ["write-without-response", "write"], "value": "" },
        "6e400003-b5a3-f393-e0a9-e50e24dcca9e": { "flags": ["notify"], "value": "" } } });
    site.air.tell(&json!({ "do": "plug" }));
    site.air.tell(&json!({ "do": "has", "mac": THERMOMETER, "services": ess }));
    site.air.tell(&json!({ "do": "has", "mac": UART, "services": uart }));
}

/// Both devices advertise once more.
fn advertise(site: &mut Site, rssi: i32) {
    for mac in [THERMOMETER, UART] {
        site.air.tell(&json!({ "do": "advertise", "mac": mac, "rssi": rssi, "name": "x" }));
    }
}

/// The thermometer goes on advertising, and notifying once it is asked to; its notifications must be back in time.
fn comes_back(site: &mut Site, after: &str) {
    let began = Instant::now();
    let mut number: i16 = 0;
    while began.elapsed() < RECOVERY {
        number += 1;
        advertise(site, -60 - i32::from(number % 2));
        let raw = 3000 + number;
        let [low, high] = raw.to_le_bytes();
        site.air.tell(&json!({ "do": "notify", "uuid": "2a6e", "value": format!("{low:02x}{high:02x}") }));
        let wanted = f64::from(raw) / 100.0;
        let is_it =
            |topic: &str, value: &Value| topic == "tidegate/g/ess/state" && value["temperature"] == wanted;
        if site.wait(Duration::from_millis(500), is_it).is_ok() {
            println!("back {:.1} s after {after}", began.elapsed().as_secs_f64());
            return;
        }
    }
    panic!(
        "no notification within {RECOVERY:?} after {after}; the status: {}\n{}",
        site.status(),
        site.log()
    );
}

#[test]
fn values_are_read_and_notified_and_commands_written() {
    let Some(mut site) = Site::start(&configuration()) else { return };
    appear(&mut site);
    let deadline = Instant::now() + RECOVERY;
    let first = loop {
        assert!(Instant::now() < deadline, "nothing is read: {}", site.status());
        advertise(&mut site, -60);
        if let Ok(value) = site.wait(Duration::from_millis(500), |topic, _| topic == "tidegate/g/ess/state") {
            break value;
        }
    };
    let read = (&first["temperature"], &first["humidity"], &first["battery"], &first["rssi"]);
    assert_eq!(read, (&json!(23.45), &json!(50), &json!(100), &json!(-60)), "{first}");
    comes_back(&mut site, "the first reading");
    // A line that comes in pieces, and a command as long as two packets.
    let wait_for = |site: &mut Site, wanted: &str| {
        let deadline = Instant::now() + RECOVERY;
        while !site.air.tell(&json!({ "do": "look" }))["calls"].to_string().contains(wanted) {
            assert!(Instant::now() < deadline, "no {wanted}");
            advertise(site, -61);
        }
    };
    wait_for(&mut site, "StartNotify");
    let uart = "6e400003-b5a3-f393-e0a9-e50e24dcca9e";
    let deadline = Instant::now() + RECOVERY;
    loop {
        assert!(Instant::now() < deadline, "the stream is not read: {}", site.status());
        for piece in ["7b2274223a32", "317d0a"] {
            site.air.tell(&json!({ "do": "notify", "uuid": uart, "value": piece }));
        }
        advertise(&mut site, -62);
        if let Ok(value) = site.wait(Duration::from_millis(500), |topic, _| topic == "tidegate/g/uart/state")
        {
            assert_eq!(value["t"], 21);
            break;
        }
    }
    site.set("uart", &json!({ "send": "a command of more than twenty bytes" }));
    let result = site.wait(RECOVERY, |topic, _| topic == "tidegate/g/uart/result").unwrap();
    assert_eq!(result, json!({ "name": "send", "error": null }));
    let written: String = site.air.tell(&json!({ "do": "look" }))["written"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    let sent = "a command of more than twenty bytes\n".bytes().map(|byte| format!("{byte:02x}"));
    assert_eq!(written, sent.collect::<String>());
    // The scan went on.
    assert_eq!(site.air.tell(&json!({ "do": "look" }))["is_scanning"], true);
}

#[test]
fn connections_come_back_after_everything_that_happens_to_them() {
    let alone = format!("[sensor.ess]\nble = '{THERMOMETER}'\nprofile = 'sig-environmental-sensing'\n");
    let Some(mut site) = Site::start(&alone) else { return };
    site.air.tell(&json!({ "do": "fail", "method": "Connect", "times": 2 }));
    appear(&mut site);
    comes_back(&mut site, "two connects that were in progress");
    site.air.tell(&json!({ "do": "part" }));
    comes_back(&mut site, "the link was lost");
    site.air.tell(&json!({ "do": "forget" }));
    comes_back(&mut site, "bluetoothd was killed and found its connections again");
    site.air.tell(&json!({ "do": "pull" }));
    site.shows("no Bluetooth radio");
    appear(&mut site);
    comes_back(&mut site, "the radio was pulled and plugged in again");
    site.air.tell(&json!({ "do": "vanish" }));
    site.shows("bluetoothd");
    site.air.tell(&json!({ "do": "return" }));
    appear(&mut site);
    comes_back(&mut site, "bluetoothd vanished and returned");
}

#[test]
fn connections_come_back_after_calls_that_hang() {
    let Some(mut site) = Site::start(&configuration()) else { return };
    appear(&mut site);
    comes_back(&mut site, "the start");
    site.freeze(true);
    site.shows("does not answer");
    site.freeze(false);
    comes_back(&mut site, "bluetoothd answered again");
}

/// bluetoothd is killed and begins anew while another device is being connected to, which pauses the scan: that it
/// scans or not tells nothing then.
#[test]
fn a_new_bluetoothd_is_noticed_while_the_scan_is_paused() {
    let Some(mut site) = Site::start(&configuration()) else { return };
    site.air.tell(&json!({ "do": "hang", "mac": UART }));
    appear(&mut site);
    comes_back(&mut site, "the start");
    for round in 0..3 {
        let deadline = Instant::now() + RECOVERY;
        while site.air.tell(&json!({ "do": "look" }))["is_scanning"] != false {
            assert!(Instant::now() < deadline, "the scan never pauses");
            advertise(&mut site, -60 - round);
            std::thread::sleep(Duration::from_millis(20));
        }
        site.air.tell(&json!({ "do": "forget" }));
        comes_back(&mut site, "bluetoothd was killed in a pause of the scan");
    }
}

/// Who is connected does not advertise: in a lonely place the radio hears nothing, and is in order.
#[test]
fn a_kept_connection_in_a_lonely_place_is_kept() {
    let alone = format!("[sensor.ess]\nble = '{THERMOMETER}'\nprofile = 'sig-environmental-sensing'\n");
    let Some(mut site) = Site::start(&alone) else { return };
    appear(&mut site);
    comes_back(&mut site, "the start");
    let count = |site: &mut Site, name: &str| {
        let calls = site.air.tell(&json!({ "do": "look" }))["calls"].as_array().cloned().unwrap_or_default();
        calls.iter().filter(|call| *call == name).count()
    };
    let before = ["Connect", "Disconnect"].map(|name| count(&mut site, name));
    // Until it was asked twice to scan again: the second time is when others are switched off and on.
    let scans = count(&mut site, "StopDiscovery");
    let deadline = Instant::now() + RECOVERY;
    let mut raw: i16 = 0;
    while count(&mut site, "StopDiscovery") < scans + 2 {
        assert!(Instant::now() < deadline, "the scan is not begun again");
        raw += 1;
        let [low, high] = raw.to_le_bytes();
        site.air.tell(&json!({ "do": "notify", "uuid": "2a6e", "value": format!("{low:02x}{high:02x}") }));
        let is_it = |topic: &str, value: &Value| {
            topic == "tidegate/g/ess/state" && value["temperature"] == f64::from(raw) / 100.0
        };
        site.wait(RECOVERY, is_it).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(before, ["Connect", "Disconnect"].map(|name| count(&mut site, name)), "connected anew");
    assert!(site.status()["problems"].as_array().is_none_or(Vec::is_empty), "{}", site.status());
}
