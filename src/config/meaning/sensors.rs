//! Sensors together: one way to reach each, one master per port, a profile that exists.

use std::path::Path;

use crate::adapter::serial::PortAddress;
use crate::config::Folder;
use crate::config::profiles::Profiles;
use crate::config::report::Problem;
use crate::config::section::Section;
use crate::config::tree::Table;

use super::missing;

/// The keys of which a sensor has exactly one.
const WAYS: [&str; 3] = ["serial", "modbus", "ble"];

/// Keys that make sense with some of the ways only.
const BELONGS: [(&str, &[&str]); 18] = [
    ("unit", &["serial", "modbus"]),
    ("key", &["ble", "serial"]),
    ("authentication_key", &["serial"]),
    ("baud", &["serial", "modbus"]),
    ("format", &["serial", "modbus"]),
    ("interval_ms", &["serial", "modbus", "ble"]),
    ("columns", &["serial"]),
    ("separator", &["serial"]),
    ("map", &["serial"]),
    ("pattern", &["serial"]),
    ("eep", &["serial"]),
    ("meter", &["serial"]),
    ("flow", &["serial", "modbus"]),
    ("exclusive", &["serial", "modbus"]),
    ("dtr", &["serial", "modbus"]),
    ("rts", &["serial", "modbus"]),
    ("rs485", &["serial", "modbus"]),
    ("low_latency", &["serial", "modbus"]),
];

pub(super) fn check(root: &Table, folder: &Folder, profiles: &Profiles, problems: &mut Vec<Problem>) {
    let sensors = Section::named(root, "sensor");
    for sensor in &sensors {
        check_way(sensor, problems);
        check_profile(sensor, profiles, problems);
        check_port_name(sensor, folder, problems);
    }
    check_ports(&sensors, folder, problems);
    check_addresses(&sensors, problems);
}

fn check_way(sensor: &Section<'_>, problems: &mut Vec<Problem>) {
    let ways: Vec<&str> = WAYS.into_iter().filter(|way| sensor.node(way).is_some()).collect();
    match ways.as_slice() {
        [] => {
            let message = format!("sensor `{}` has none of `serial`, `modbus` and `ble`", sensor.name);
            let problem = Problem::error(&sensor.path, sensor.place.clone(), message);
            problems
                .push(problem.help("serial = \"/dev/serial/by-id/...\"; `tidegate scan` shows the ports"));
        }
        [way] => {
            for (key, belongs) in BELONGS {
                if sensor.node(key).is_some() && !belongs.contains(way) {
                    let message =
                        format!("`{key}` belongs to {}, this sensor has {way}", belongs.join(" and "));
                    problems.push(Problem::error(sensor.path_of(key), sensor.place_of(key), message));
                }
            }
        }
        [first, second, ..] => {
            let message =
                format!("`{first}` and `{second}` contradict each other: one sensor, one way to reach it");
            let problem = Problem::error(sensor.path_of(second), sensor.place_of(second), message);
            problems.push(problem.also(&sensor.place_of(first), "here the other"));
        }
    }
}

fn check_profile(sensor: &Section<'_>, profiles: &Profiles, problems: &mut Vec<Problem>) {
    let Some(name) = sensor.text("profile") else {
        let needed = sensor.node("serial").is_some() || sensor.node("modbus").is_some();
        if needed && sensor.node("profile").is_none() {
            problems.push(
                missing(sensor, "profile", "it says what kind of device this is").help(profiles.advice()),
            );
        }
        return;
    };
    profiles.check(sensor, name, problems);
}

/// Names such as ttyUSB0 are given in the order in which adapters are found: they swap.
fn check_port_name(sensor: &Section<'_>, folder: &Folder, problems: &mut Vec<Problem>) {
    for way in ["serial", "modbus"] {
        let Some(port) = sensor.port(way, folder.path()) else { continue };
        let Some(path) = port.path() else { continue };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let swaps = name.starts_with("ttyUSB") || name.starts_with("ttyACM");
        let in_dev = path.parent() == Some(Path::new("/dev"));
        if in_dev && swaps {
            let message = format!("{name} may be another device after a restart or a replug");
            let by_id = match crate::config::ports::by_id(path) {
                Some(stable) => format!("its lasting name is {}", stable.display()),
                None => "use its name in /dev/serial/by-id; `tidegate scan` shows it".to_owned(),
            };
            problems.push(Problem::warning(sensor.path_of(way), sensor.place_of(way), message).help(by_id));
        } else if !path.exists() {
            let message = format!("{} is not there now", path.display());
            problems.push(
                Problem::warning(sensor.path_of(way), sensor.place_of(way), message)
                    .help("the gateway waits for it; `tidegate scan` shows what is there"),
            );
        }
    }
}

/// A port has one owner, or is a Modbus line on which all agree.
fn check_ports(sensors: &[Section<'_>], folder: &Folder, problems: &mut Vec<Problem>) {
    let mut seen: Vec<(PortAddress, &'static str, &Section<'_>)> = Vec::new();
    for sensor in sensors {
        for way in ["serial", "modbus"] {
            let Some(port) = sensor.port(way, folder.path()) else { continue };
            // One port may have several names.
            let port = match port.path().map(Path::canonicalize) {
                Some(Ok(path)) => PortAddress::Path(path),
                _ => port,
            };
            for (_, other_way, other) in seen.iter().filter(|(other, _, _)| *other == port) {
                problems.extend(check_pair(other, other_way, sensor, way));
            }
            seen.push((port, way, sensor));
        }
    }
}

fn check_pair(
    first: &Section<'_>,
    first_way: &str,
    second: &Section<'_>,
    second_way: &str,
) -> Option<Problem> {
    let is_one_kind = first.text("profile").is_some() && first.text("profile") == second.text("profile");
    let both_listen = is_one_kind && (first_way, second_way) == ("serial", "serial");
    if !both_listen && (first_way != "modbus" || second_way != "modbus") {
        let speeds = (first.number::<u32>("baud"), second.number::<u32>("baud"));
        let different = matches!(speeds, (Some(one), Some(other)) if one != other);
        let message = if different {
            format!("sensors `{}` and `{}` want one port at different speeds", first.name, second.name)
        } else {
            format!("sensors `{}` and `{}` want the same port", first.name, second.name)
        };
        let problem = Problem::error(second.path_of(second_way), second.place_of(second_way), message)
            .also(&first.place_of(first_way), "the first")
            .help("a serial port belongs to one sensor, or to several of one profile; Modbus lines are shared by all");
        return Some(problem);
    }
    for key in ["baud", "format", "flow", "exclusive", "dtr", "rts", "rs485", "low_latency"] {
        let (one, other) = (first.node(key), second.node(key));
        let differs = |one: &crate::config::tree::Node, other: &crate::config::tree::Node| {
            format!("{:?}", one.value) != format!("{:?}", other.value)
        };
        if let (Some(one), Some(other)) = (one, other)
            && differs(one, other)
        {
            let message = format!("`{key}` differs from that of sensor `{}` on the same line", first.name);
            let problem = Problem::error(second.path_of(key), other.place.clone(), message);
            return Some(problem.also(&one.place, "there"));
        }
    }
    if both_listen {
        return None;
    }
    let unit = second.number::<u8>("unit").filter(|unit| first.number("unit") == Some(*unit))?;
    let message = format!("sensors `{}` and `{}` are both unit {unit} of one line", first.name, second.name);
    let problem = Problem::error(second.path_of("unit"), second.place_of("unit"), message);
    Some(problem.also(&first.place_of("unit"), "the first"))
}

fn check_addresses(sensors: &[Section<'_>], problems: &mut Vec<Problem>) {
    for (at, sensor) in sensors.iter().enumerate() {
        let address = |sensor: &Section<'_>| crate::config::kind::ble_address(sensor.text("ble")?).ok();
        let Some(own) = address(sensor) else { continue };
        let twin = sensors.iter().take(at).find(|other| address(other) == Some(own));
        if let Some(other) = twin {
            let message =
                format!("sensors `{}` and `{}` have one Bluetooth address", other.name, sensor.name);
            let problem = Problem::error(sensor.path_of("ble"), sensor.place_of("ble"), message);
            problems.push(problem.also(&other.place_of("ble"), "the first"));
        }
    }
}
