//! What is in the air becomes readings, and comes back within a minute after everything that happens to radios.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::site::{KITCHEN, RECOVERY, Site};

fn kitchen() -> String {
    format!("[ble]\nauto = ['ruuvi']\n[sensor.kitchen]\nble = '{KITCHEN}'\n")
}

/// Adverts, merged maps, memory that is not "now", families of themselves; then a radio pulled out and back,
/// bluetoothd gone and back, a scan that somebody ended, a start that is "in progress".
#[test]
fn readings_come_back_after_everything_that_happens_to_radios() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
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

/// bluetoothd that does not answer, a bus that dies with everybody on it.
#[test]
fn readings_come_back_after_calls_that_hang_and_a_bus_that_died() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("the start");
    site.freeze(true);
    site.shows("does not answer");
    site.freeze(false);
    site.comes_back("bluetoothd answered again");
    site.restart_bus();
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("the bus was another one");
}

/// A radio that hears nothing any more: its scan is begun again, then it is switched off and on, then it is called
/// deaf; what is heard then is told at once. One that is blocked is said to be.
#[test]
fn a_deaf_radio_is_shaken_and_said() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("the start");
    let began = Instant::now();
    site.shows("nothing is heard for");
    assert!(began.elapsed() < RECOVERY);
    let calls = site.air.tell(&json!({ "do": "look" }))["calls"].as_array().cloned().unwrap_or_default();
    let count = |name: &str| calls.iter().filter(|call| *call == name).count();
    assert!(
        count("StartDiscovery") >= 3 && count("StopDiscovery") >= 1 && count("SetPowered") >= 3,
        "{calls:?}"
    );
    site.comes_back("a silence");
    site.air.tell(&json!({ "do": "fail", "method": "SetPowered", "times": 3 }));
    site.air.tell(&json!({ "do": "block" }));
    site.shows("switched off or blocked");
    site.comes_back("the radio was blocked");
}

/// A radio that heard something, was pulled out and comes back deaf: it is not taken for one in a silent place.
#[test]
fn a_radio_that_comes_back_deaf_is_shaken_and_said() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
    site.air.tell(&json!({ "do": "plug" }));
    site.comes_back("the start");
    site.air.tell(&json!({ "do": "pull" }));
    site.shows("no Bluetooth radio");
    let powered = |site: &mut Site| {
        let calls = site.air.tell(&json!({ "do": "look" }))["calls"].as_array().cloned().unwrap_or_default();
        calls.iter().filter(|call| *call == "SetPowered").count()
    };
    site.air.tell(&json!({ "do": "plug" }));
    let before = powered(&mut site);
    site.shows("nothing is heard for");
    assert!(powered(&mut site) >= before + 3, "switched on, off and on");
    site.comes_back("a silence after the return");
}

/// One radio of two is blocked: that is said, once, however much the other one hears.
#[test]
fn a_blocked_radio_beside_one_that_hears_is_said_once() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
    for radio in ["hci0", "hci1"] {
        site.air.tell(&json!({ "do": "plug", "radio": radio }));
    }
    site.comes_back("the start");
    site.air.tell(&json!({ "do": "fail", "method": "SetPowered", "times": 1000 }));
    site.air.tell(&json!({ "do": "block", "radio": "hci1" }));
    site.shows("hci1 is switched off or blocked");
    let calls = |site: &mut Site| {
        let calls = site.air.tell(&json!({ "do": "look" }))["calls"].as_array().cloned().unwrap_or_default();
        calls.iter().filter(|call| *call == "SetPowered").count()
    };
    // Three looks later.
    let (before, deadline) = (calls(&mut site), Instant::now() + RECOVERY);
    while calls(&mut site) < before + 3 {
        assert!(Instant::now() < deadline, "it is not tried again");
        site.comes_back("what happened to the other radio");
    }
    site.shows("hci1 is switched off or blocked");
    let said = site.log().matches("switched off or blocked").count();
    assert!(said <= 2, "said {said} times: {}", site.log());
}

/// A format that is known by its name only, of a device whose name comes with a later answer to the scan.
#[test]
fn a_name_that_comes_late_is_taken() {
    let pool = "49:22:07:26:0A:01";
    let Some(mut site) = Site::start(&format!("[sensor.pool]\nble = '{pool}'\n")) else { return };
    site.air.tell(&json!({ "do": "plug" }));
    let is_pool = |topic: &str, value: &Value| {
        topic == "tidegate/g/pool/state" && value["humidity"] == 43.3 && value["battery"] == 100
    };
    // The temperature stands in the company's place.
    let advertise = |site: &mut Site, number: u16, name: Option<&str>| {
        let mut command = json!({ "do": "advertise", "mac": pool, "rssi": -60,
                                  "manufacturer_data": { (format!("{number:04x}")): "ea100100006406" } });
        if let Some(name) = name {
            command["name"] = json!(name);
        }
        site.air.tell(&command);
    };
    let deadline = Instant::now() + RECOVERY;
    while site.air.tell(&json!({ "do": "look" }))["is_scanning"] != true {
        assert!(Instant::now() < deadline, "nobody scans");
        std::thread::sleep(Duration::from_millis(20));
    }
    // It is known without its name before it says it.
    advertise(&mut site, 2000, None);
    assert!(site.wait(Duration::from_secs(2), is_pool).is_err());
    for number in 2001.. {
        assert!(Instant::now() < deadline, "it is never understood: {}\n{}", site.status(), site.log());
        advertise(&mut site, number, Some("sps"));
        if site.wait(Duration::from_millis(500), is_pool).is_ok() {
            return;
        }
    }
}

/// Two radios hear one device: it is said once, with the better signal.
#[test]
fn several_radios_are_one_air() {
    let Some(mut site) = Site::start(&kitchen()) else { return };
    for radio in ["hci0", "hci1"] {
        site.air.tell(&json!({ "do": "plug", "radio": radio }));
    }
    site.comes_back("the start");
    let hear = |data: &str, radio: &str, rssi: i32| {
        json!({ "do": "advertise", "mac": KITCHEN, "radio": radio, "rssi": rssi,
                "service_data": { "fcd2": data } })
    };
    let is_kitchen = |wanted: f64| {
        move |topic: &str, value: &Value| {
            topic == "tidegate/g/kitchen/state" && value["temperature"] == wanted
        }
    };
    // Until both radios scan.
    let deadline = Instant::now() + RECOVERY;
    for step in 0_u8.. {
        assert!(Instant::now() < deadline, "the second radio is never the better one");
        site.air.tell(&hear(&format!("4002{step:02x}0a"), "hci1", -40));
        site.air.tell(&hear(&format!("4002{step:02x}0b"), "hci0", -80));
        let wanted = f64::from(0x0B00 + u16::from(step)) / 100.0;
        if site.wait(Duration::from_millis(500), is_kitchen(wanted)).is_ok_and(|value| value["rssi"] == -40) {
            break;
        }
    }
    // The same words over the other radio are no news.
    site.air.tell(&hear("4002ff0b", "hci0", -80));
    site.wait(RECOVERY, is_kitchen(30.71)).unwrap();
    site.air.tell(&hear("4002ff0b", "hci1", -40));
    let twice = site.wait(Duration::from_millis(500), is_kitchen(30.71));
    assert!(twice.is_err(), "said twice: {twice:?}");
}

/// SIGHUP: a sensor and a family come, others go; the status lists what is published of itself.
#[test]
fn a_reload_takes_other_sensors_and_families_over() {
    let Some(mut site) = Site::start("[ble]\nauto = ['bthome']\n") else { return };
    site.air.tell(&json!({ "do": "plug" }));
    let automatic = "tidegate/g/bthome-a4c138000001/state";
    let deadline = Instant::now() + RECOVERY;
    loop {
        assert!(Instant::now() < deadline, "the family is not published");
        site.air.advertise();
        if site.wait(Duration::from_millis(500), |topic, _| topic == automatic).is_ok() {
            break;
        }
    }
    let listed = &site.status()["sensors"]["bthome-a4c138000001"];
    assert_eq!((&listed["source"], &listed["available"]), (&json!(KITCHEN), &json!(true)), "{listed}");
    assert!(listed["readings"].as_u64() >= Some(1), "{listed}");
    site.reload(&kitchen());
    site.comes_back("a reload");
    let others = site.status();
    assert!(others["sensors"].get("bthome-a4c138000001").is_none(), "{others}");
}

/// What a sensor lacks is said in words: a key, the right one.
#[test]
fn a_missing_key_and_a_wrong_one_are_said() {
    let sealed = "41a47266c95f730011223378237214";
    let configuration = "[sensor.kitchen]\nble = '54:48:E6:8F:80:A5'\n";
    let Some(mut site) = Site::start(configuration) else { return };
    site.air.tell(&json!({ "do": "plug" }));
    let advertisement = json!({ "do": "advertise", "mac": "54:48:E6:8F:80:A5", "rssi": -60,
                                "service_data": { "fcd2": sealed } });
    let heard = |site: &mut Site, wanted: &str| {
        let deadline = Instant::now() + RECOVERY;
        while !site.status()["problems"].to_string().contains(wanted) {
            assert!(Instant::now() < deadline, "the status never says {wanted:?}: {}", site.status());
            site.air.tell(&advertisement);
        }
    };
    heard(&mut site, "encrypted");
    site.reload(&format!("{configuration}key = '00000000000000000000000000000000'\n"));
    heard(&mut site, "key");
    site.reload(&format!("{configuration}key = '231d39c1d7cc1ab1aee224cd096db932'\n"));
    let deadline = Instant::now() + RECOVERY;
    loop {
        assert!(Instant::now() < deadline, "{}", site.status());
        site.air.tell(&advertisement);
        if let Ok(value) =
            site.wait(Duration::from_millis(500), |topic, _| topic == "tidegate/g/kitchen/state")
        {
            assert_eq!((&value["temperature"], &value["humidity"]), (&json!(25.06), &json!(50.55)));
            return;
        }
    }
}
