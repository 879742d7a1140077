//! What an advertisement costs, beside independent packages in the same run:
//! `cargo test --release --test ble -- --ignored --nocapture cost`.

use std::hint::black_box;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use tidegate::adapter::ble::Written;
use tidegate::device::ble::{self, Memory};

use super::oracles::{MAKER, python, rows};

const COUNT: usize = 2000;
const ROUNDS: u32 = 200;
const FAMILIES: [&str; 10] = [
    "bthome",
    "xiaomi",
    "govee",
    "ruuvi",
    "inkbird",
    "sensorpush",
    "qingping",
    "thermopro",
    "thermobeacon",
    "theengs",
];

/// What this thread has used: a busy machine around it does not count.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Half of the frames of BTHome and Xiaomi are encrypted.
#[test]
#[ignore = "prints figures, wants a quiet machine: cargo test --release --test ble cost -- --ignored --nocapture"]
fn cost_of_an_advertisement() {
    let Some(python) = python() else {
        return super::site::skip("the packages of PyPI cannot be installed");
    };
    println!("| advertisements of | ours/s, one core | CPU each | the package's/s | times |");
    println!("|---|---|---|---|---|");
    let mut sum = 0.0;
    for family in FAMILIES {
        let output =
            Command::new(python).args([MAKER, family, &COUNT.to_string(), "1", "--time"]).output().unwrap();
        let theirs: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let all: Vec<Written> =
            rows(python, family, COUNT).iter().map(|row| Written::read(row).unwrap()).collect();
        let began = cpu_seconds();
        for _ in 0..ROUNDS {
            for written in &all {
                let mut memory = Memory::default();
                let _ = black_box(ble::decode(&written.advertisement, written.key.as_ref(), &mut memory));
            }
        }
        let each = (cpu_seconds() - began) / f64::from(ROUNDS) / all.len() as f64;
        sum += each;
        let ours = 1.0 / each;
        println!("| {family} | {ours:.0} | {:.2} µs | {theirs:.0} | {:.0} |", each * 1e6, ours / theirs);
    }
    println!("the average of all: {:.2} µs", sum / FAMILIES.len() as f64 * 1e6);
}
