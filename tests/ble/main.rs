//! Bluetooth: formats against captures made from their descriptions, damage of every kind, and what must never come
//! out of a tampered frame.
//!
//! `captures.jsonl` holds one advertisement per line: its fields as `tidegate decode` reads them, what it must give
//! (`expect`), must not give (`absent`), or why it gives nothing (`error`), and the description it was made from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod connected;
mod cost;
mod crowd;
mod damage;
mod differences;
#[path = "../fuzz/checks/advertisement.rs"]
mod fuzz;
mod live;
mod oracles;
mod random;
mod site;
mod vectors;

use bytes::Bytes;
use serde_json::{Map, Value};
use tidegate::adapter::ble::Written;
use tidegate::device::Problem;
use tidegate::device::ble::{self, Memory, Sighting};
use tidegate::route::render_value;

/// Every capture.
fn captures() -> Vec<Map<String, Value>> {
    let lines = include_str!("captures.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an advertisement of a device of which nothing is remembered says.
fn decode(written: &Written) -> Result<Sighting, Problem> {
    ble::decode(&written.advertisement, written.key.as_ref(), &mut Memory::default())
}

fn is_near(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= 0.005_1 + other.abs() * 1e-6,
        _ => one == other,
    }
}

fn judge(capture: &Map<String, Value>) -> Result<(), String> {
    let decoded = decode(&Written::read(capture).unwrap());
    if let Some(error) = capture.get("error") {
        let kind = decoded.map(|sighting| format!("{:?}", sighting.measurements));
        return match kind {
            Err(problem) if problem.kind.label() == error => Ok(()),
            other => Err(format!("must be {error}, is {other:?}")),
        };
    }
    let sighting = decoded.map_err(|problem| problem.to_string())?;
    let value = |name: &str| {
        let found = sighting.measurements.iter().find(|one| one.name.as_str() == name);
        found.map(|one| render_value(&one.value))
    };
    for (name, wanted) in capture["expect"].as_object().unwrap() {
        match value(name) {
            Some(found) if is_near(&found, wanted) => {}
            found => return Err(format!("{name} must be {wanted}, is {found:?}")),
        }
    }
    let absent = capture.get("absent").and_then(Value::as_array).cloned().unwrap_or_default();
    match absent.iter().find(|name| value(name.as_str().unwrap()).is_some()) {
        Some(name) => Err(format!("{name} must not be there")),
        None => Ok(()),
    }
}

#[test]
fn every_capture_gives_what_its_description_says() {
    let captures = captures();
    let verdicts = captures.iter().map(|capture| (&capture["id"], judge(capture)));
    let wrong: Vec<String> =
        verdicts.filter_map(|(id, verdict)| verdict.err().map(|why| format!("{id}: {why}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(captures.len() >= 70);
}

/// A counter that goes back is a replay; one that begins anew is a device with a new battery.
#[test]
fn an_encrypted_advertisement_that_was_heard_before_a_later_one_is_a_replay() {
    let sealed = |counter: u32| seal("5448E68F80A5", counter, &[0x02, 0xCA, 0x09]);
    let mut memory = Memory::default();
    let mut play = |counter| {
        let Written { advertisement, key } = sealed(counter);
        let outcome = ble::decode(&advertisement, key.as_ref(), &mut memory);
        outcome.map(|_| ()).map_err(|problem| problem.kind.label())
    };
    assert_eq!(play(1000), Ok(()));
    assert_eq!(play(1000), Ok(()), "a repetition is no replay");
    assert_eq!(play(1001), Ok(()));
    assert_eq!(play(999), Err("replayed"));
    assert_eq!(play(1001), Ok(()));
    assert_eq!(play(5), Ok(()), "begun anew");
    assert_eq!(play(4_000_000_000), Ok(()));
}

/// A BTHome advertisement of `objects`, encrypted as <https://bthome.io/encryption> says.
fn seal(address: &str, counter: u32, objects: &[u8]) -> Written {
    use ccm::aead::{Aead as _, KeyInit as _, Payload};
    type Cipher = ccm::Ccm<aes::Aes128, ccm::consts::U4, ccm::consts::U13>;
    const KEY: &str = "231d39c1d7cc1ab1aee224cd096db932";
    let key: [u8; 16] = tidegate::device::hex(KEY).unwrap().try_into().unwrap();
    let mut nonce = tidegate::device::hex(address).unwrap();
    nonce.extend_from_slice(&[0xD2, 0xFC, 0x41]);
    nonce.extend_from_slice(&counter.to_le_bytes());
    let nonce: [u8; 13] = nonce.try_into().unwrap();
    let payload = Payload { msg: objects, aad: &[] };
    let sealed = Cipher::new(&key.into()).encrypt(&nonce.into(), payload).unwrap();
    let (text, tag) = sealed.split_at(objects.len());
    let data = [&[0x41], text, &counter.to_le_bytes(), tag].concat();
    let address = ble::Address::parse(address).unwrap();
    let mut advertisement = ble::Advertisement { address, ..ble::Advertisement::default() };
    advertisement.service_data.push((ble::Uuid::from_short(0xFCD2), Bytes::from(data)));
    Written { advertisement, key: ble::Key::parse(KEY) }
}
