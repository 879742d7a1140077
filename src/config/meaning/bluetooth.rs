//! Bluetooth: families that exist, keys that can be one.

use crate::config::report::Problem;
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::config::tree::Table;
use crate::device::ble::{Key, families};
use crate::device::nearest;

pub(super) fn check(root: &Table, problems: &mut Vec<Problem>) {
    let ble = Section::of_root(root, "ble");
    let known = families();
    for (number, (family, place)) in (1..).zip(ble.texts("auto")) {
        if known.contains(&family) {
            continue;
        }
        let problem = Problem::error(
            format!("ble.auto.{number}"),
            place.clone(),
            format!("there is no family {family:?}"),
        );
        problems.push(match nearest(family, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean {near:?}?")),
            None => problem.help(format!("families: {}", known.join(", "))),
        });
    }
    for sensor in Section::named(root, "sensor") {
        let Some(text) = sensor.text("key") else { continue };
        let Secret::Plain(key) = Secret::parse(text) else { continue };
        if Key::parse(&key).is_none() {
            let message = "a Bluetooth key has 32 hexadecimal digits (24 for old Xiaomi devices)";
            let problem = Problem::error(sensor.path_of("key"), sensor.place_of("key"), message);
            problems.push(problem.help("or where it is: file:PATH, env:NAME, credential:NAME"));
        }
    }
}
