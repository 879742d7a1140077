//! Generated frames through `tidegate decode` and through independent Python packages: both must read the same.
//!
//! The packages come from PyPI into a folder of the build; where it cannot be reached, the tests are skipped, and say
//! so. `cargo test --test oracles -- --ignored --nocapture` prints how fast each reads its own frames.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::Value;
use tidegate::device::{Library, Listener, Options, Profile, Request, hex};

/// Frames of each package.
const COUNT: &str = "2000";
const PACKAGES: [&str; 7] =
    ["pynmea2", "dsmr-parser", "smllib", "pyMeterBus", "minimalmodbus", "cobs", "sliplib"];
const MAKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/devices/oracles.py");

/// Profiles of frames that no device of the shipped ones has.
const STUFFED: &str = r#"
    device = { model = "x", about = "x" }
    serial = { baud = 9600 }
    frame = { stuffing = "STUFFING", shortest = 8 }
    field = [
        { name = "a", at = 0, type = "i16le", scale = 0.01 },
        { name = "b", at = 2, type = "u16le", scale = 0.01 },
        { name = "count", at = 4, type = "u32le" },
    ]
"#;

/// The Python with the packages; `None`: there is none, which was said.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracles");
    let (python, done) = (folder.join("bin/python"), folder.join("done"));
    let succeeds = |command: &mut Command| {
        let outcome = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        outcome.is_ok_and(|status| status.success())
    };
    if !done.exists() {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            && succeeds(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(PACKAGES));
        if !made {
            return None;
        }
        std::fs::write(&done, "").unwrap();
    }
    Some(python)
}

fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    if let Some(file) = std::env::var_os("TIDEGATE_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{test}: {why}").unwrap();
    }
}

/// The vectors that a package made.
fn vectors(python: &Path, package: &str) -> String {
    let seed = std::env::var("TIDEGATE_ORACLE_SEED").unwrap_or_else(|_| "1".to_owned());
    let output = Command::new(python).args([MAKER, package, COUNT, &seed]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn profiles() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for stuffing in ["cobs", "slip"] {
        let text = STUFFED.replace("STUFFING", stuffing);
        std::fs::write(folder.path().join(format!("stuffed-{stuffing}.toml")), text).unwrap();
    }
    folder
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
    let vectors = vectors(python, package);
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

/// A vector's stream with the listener that reads it.
fn stream(vector: &str, folder: &Path) -> (Vec<u8>, Listener) {
    let vector: Value = serde_json::from_str(vector).unwrap();
    let id = vector["sensor"]["profile"].as_str().unwrap();
    let profile = Library::shipped().profile(id).unwrap_or_else(|_| {
        let text = std::fs::read_to_string(folder.join(format!("{id}.toml"))).unwrap();
        Profile::parse(id, id, &text).unwrap()
    });
    let profile = profile.with_options(&Options::default()).unwrap();
    let mut listener = Listener::new(profile.into());
    if let Some(request) = vector["request_hex"].as_str() {
        listener.ask(Request::parse(&hex(request).unwrap()).unwrap());
    }
    (hex(vector["stream_hex"].as_str().unwrap()).unwrap(), listener)
}

#[test]
#[ignore = "a benchmark: it prints figures and judges nothing"]
fn frames_per_second_beside_the_packages() {
    let Some(python) = python() else {
        return skip("the packages of PyPI cannot be installed");
    };
    let profiles = profiles();
    println!("| package | its frames/s | ours | CPU per frame | one core at 921600 baud |");
    println!("|---|---|---|---|---|");
    for package in PACKAGES {
        let output = Command::new(python).args([MAKER, package, COUNT, "1", "--time"]).output().unwrap();
        let theirs: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let vectors = vectors(python, package);
        let mut work: Vec<(Vec<u8>, Listener)> =
            vectors.lines().map(|vector| stream(vector, profiles.path())).collect();
        let (mut frames, mut bytes) = (0_u32, 0_usize);
        let start = Instant::now();
        for _ in 0..10 {
            for (stream, listener) in &mut work {
                listener.push(stream, &mut |found| frames += u32::from(found.is_ok()));
                bytes += stream.len();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let ours = f64::from(frames) / seconds;
        let share = 92_160.0 / (f64::from(u32::try_from(bytes).unwrap()) / seconds) * 100.0;
        println!("| {package} | {theirs:.0} | {ours:.0} | {:.2} µs | {share:.2} % |", 1e6 / ours);
    }
}
