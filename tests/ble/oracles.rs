//! Generated advertisements through our decoders and through independent Python packages: both must read the same,
//! and where they do not, the list of differences says why.
//!
//! The packages come from PyPI into a folder of the build; where it cannot be reached, the tests are skipped, and say
//! so. `TIDEGATE_ORACLE_SEED` makes other advertisements, `TIDEGATE_ORACLE_PYTHON` names a Python that has the packages.

#[path = "../devices/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tidegate::adapter::ble::Written;
use tidegate::route::render_value;

use super::decode;
use super::differences::{Case, DIFFERENCES, Difference};

/// Advertisements of each family.
const COUNT: usize = 4000;
const PACKAGES: [&str; 13] = [
    "bthome-ble",
    "xiaomi-ble",
    "govee-ble",
    "ruuvitag-ble",
    "inkbird-ble",
    "sensorpush-ble",
    "qingping-ble",
    "thermopro-ble",
    "thermobeacon-ble",
    "TheengsDecoder",
    "habluetooth",
    "bleak",
    "cryptography",
];
pub(super) const MAKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ble/oracles.py");

/// The Python with the packages; `None`: there is none.
pub(super) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("TIDEGATE_ORACLE_PYTHON") {
        return Some(python.into());
    }
    python::with_packages("ble-oracles", &PACKAGES)
}

/// The advertisements of a family, with what its package found.
pub(super) fn rows(python: &Path, family: &str, count: usize) -> Vec<Map<String, Value>> {
    let seed = std::env::var("TIDEGATE_ORACLE_SEED").unwrap_or_else(|_| "1".to_owned());
    let output = Command::new(python).args([MAKER, family, &count.to_string(), &seed]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Our name for a package's key. Binary sensors begin with `is:`, events with `event:`; several of one kind are
/// numbered from 1.
fn our_name(key: &str) -> String {
    let renamed = match key {
        "mass" => "weight",
        "volatile_organic_compounds" => "tvoc",
        "carbon_dioxide" => "co2",
        "acceleration_total" => "acceleration",
        "is:battery" => "battery_low",
        "is:moisture" => "moisture_wet",
        "is:power" => "power_on",
        "iaqs" => "air_quality",
        _ => key,
    };
    if let Some(plain) = key.strip_suffix("_1").filter(|plain| !plain.contains("probe")) {
        return our_name(plain);
    }
    if let Some((plain, number)) = key.rsplit_once('_').filter(|(plain, _)| !plain.contains("probe"))
        && let Ok(number @ 2..) = number.parse::<u8>()
    {
        return format!("{}_{number}", our_name(plain));
    }
    renamed.trim_start_matches("is:").trim_start_matches("event:").to_owned()
}

fn is_near(theirs: &Value, ours: &Value) -> bool {
    match (theirs.as_f64(), ours.as_f64()) {
        (Some(theirs), Some(ours)) => (theirs - ours).abs() <= 0.006 + ours.abs() * 1e-6,
        _ => theirs == ours,
    }
}

fn compare(family: &'static str) {
    let Some(python) = python() else {
        return super::site::skip("the packages of PyPI cannot be installed");
    };
    let rows = rows(python, family, COUNT);
    let mut used = vec![0_usize; DIFFERENCES.len()];
    let mut unexplained: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut compared, mut silent) = (0, 0);
    for row in &rows {
        let sighting = decode(&Written::read(row).unwrap());
        let ours: Map<String, Value> = match &sighting {
            Ok(sighting) => sighting
                .measurements
                .iter()
                .map(|one| (one.name.as_str().to_owned(), render_value(&one.value)))
                .collect(),
            Err(_) => Map::new(),
        };
        let expect = row["expect"].as_object().unwrap();
        silent += usize::from(expect.is_empty() && ours.is_empty());
        let nothing = (expect.is_empty() && !ours.is_empty()).then(|| ("nothing".to_owned(), Value::Null));
        let theirs = expect.iter().map(|(key, value)| (key.clone(), value.clone()));
        for (key, theirs) in theirs.chain(nothing) {
            let found = ours.get(&our_name(&key));
            if found.is_some_and(|found| is_near(&theirs, found)) {
                compared += 1;
                continue;
            }
            let plain = key.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
            let error = sighting.as_ref().err().map(|problem| problem.kind.label());
            let case = Case { theirs: &theirs, ours: found, all: &ours, error, row };
            let explains = |one: &Difference| {
                let is_about = one.keys.iter().any(|known| *known == plain || *known == key || *known == "*");
                one.family == family && is_about && (one.holds)(&case)
            };
            match DIFFERENCES.iter().position(explains) {
                Some(place) => used[place] += 1,
                None => unexplained.entry(key.clone()).or_default().push(format!(
                    "theirs {theirs}, ours {found:?} of {ours:?}, {:?}: {}",
                    sighting.as_ref().err(),
                    Value::Object(row.clone())
                )),
            }
        }
    }
    let words: Vec<String> = unexplained
        .iter()
        .map(|(key, all)| {
            format!(
                "{key}: {} differ, as {}",
                all.len(),
                all.iter().take(2).cloned().collect::<Vec<_>>().join("\n   and ")
            )
        })
        .collect();
    assert!(words.is_empty(), "{family}:\n{}", words.join("\n"));
    println!(
        "{family}: {} advertisements, {compared} values agree, {silent} give nothing in both",
        rows.len()
    );
    for (one, count) in DIFFERENCES.iter().zip(used).filter(|(one, _)| one.family == family) {
        println!("  {count} differ: {}", one.why);
        assert!(count > 0, "{family}: a difference that is none any more: {}", one.why);
    }
    assert!(compared > COUNT / 2, "{family}: hardly anything was compared: {compared}");
}

macro_rules! families {
    ($($test:ident: $family:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            compare($family);
        })*
    };
}

families! {
    ruuvi_is_read_as_ruuvitag_ble_reads_it: "ruuvi",
    bthome_is_read_as_bthome_ble_reads_it: "bthome",
    xiaomi_is_read_as_xiaomi_ble_reads_it: "xiaomi",
    govee_is_read_as_govee_ble_reads_it: "govee",
    inkbird_is_read_as_inkbird_ble_reads_it: "inkbird",
    sensorpush_is_read_as_sensorpush_ble_reads_it: "sensorpush",
    qingping_is_read_as_qingping_ble_reads_it: "qingping",
    thermopro_is_read_as_thermopro_ble_reads_it: "thermopro",
    thermobeacon_is_read_as_thermobeacon_ble_reads_it: "thermobeacon",
    everything_is_read_as_theengs_reads_it: "theengs",
}
