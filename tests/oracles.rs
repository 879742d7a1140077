//! Generated frames through `tidegate decode` and through independent Python packages: both must read the same.
//!
//! The packages come from PyPI into a folder of the build; where it cannot be reached, the tests are skipped, and say
//! so. How fast each reads its own frames: `cargo test --release --test bench decoding -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "devices/packages.rs"]
#[allow(dead_code, reason = "the bench needs more of it")]
mod packages;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use packages::{made_by, profiles, python};

/// Frames of each package.
const COUNT: &str = "2000";
fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    if let Some(file) = std::env::var_os("TIDEGATE_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}

/// Whether a reading says what the package says, as exactly as six digits behind the point and single floats are.
fn agrees(wanted: &Value, reading: &Value) -> bool {
    let same = |wanted: &Value, said: &Value| match (wanted.as_f64(), said.as_f64()) {
        (Some(wanted), Some(said)) => (wanted - said).abs() <= 1e-6_f64.max(wanted.abs() * 1e-7),
        _ => wanted == said,
    };
    wanted
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, wanted)| reading.get(name).is_some_and(|said| same(wanted, said)))
}

fn compare(package: &str) {
    let Some(python) = python() else {
        return skip("the packages of PyPI cannot be installed");
    };
    let seed = std::env::var("TIDEGATE_ORACLE_SEED").unwrap_or_else(|_| "1".to_owned());
    let vectors = made_by(python, package, COUNT, &seed, &[]);
    let profiles = profiles();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["decode", "--jsonl", "--profiles"])
        .arg(profiles.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = vectors.clone();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), vectors.lines().count());
    for (vector, answer) in vectors.lines().zip(answers.lines()) {
        let (vector, answer): (Value, Value) =
            (serde_json::from_str(vector).unwrap(), serde_json::from_str(answer).unwrap());
        let (wanted, readings) =
            (vector["expect"].as_array().unwrap(), answer["readings"].as_array().unwrap());
        let all = wanted.iter().zip(readings).all(|(wanted, reading)| agrees(wanted, reading));
        assert!(all && wanted.len() == readings.len(), "{package} and we differ:\n{vector}\n{answer}");
    }
}

#[test]
fn nmea_sentences_are_read_as_pynmea2_reads_them() {
    compare("pynmea2");
}

#[test]
fn p1_telegrams_are_read_as_dsmr_parser_reads_them() {
    compare("dsmr-parser");
}

#[test]
fn sml_files_are_read_as_smllib_reads_them() {
    compare("smllib");
}

#[test]
fn m_bus_frames_are_read_as_py_meter_bus_reads_them() {
    compare("pyMeterBus");
}

#[test]
fn modbus_answers_are_read_as_minimalmodbus_reads_them() {
    compare("minimalmodbus");
}

#[test]
fn cobs_frames_are_read_as_cobs_reads_them() {
    compare("cobs");
}

#[test]
fn slip_frames_are_read_as_sliplib_reads_them() {
    compare("sliplib");
}
