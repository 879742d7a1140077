//! Advertisements of a file through `tidegate decode --jsonl`, as a tool outside would call it:
//! `TIDEGATE_BLE_VECTORS=vectors.jsonl cargo test --test ble vectors -- --ignored --nocapture`.
//!
//! Each line has the fields that `decode` reads, and `expect` (values that must come), `absent` (names that must not),
//! `expect_none` (nothing may come), and `tol` (by name, how far off a value may be).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// How far off: what sensors and their readers differ by.
fn tolerance(name: &str, wanted: f64, row: &Value) -> f64 {
    if let Some(own) = row["tol"][name].as_f64() {
        return own;
    }
    // `temperature_2` is a temperature, `temperature_probe_2` too.
    let is = |quantity: &str| name == quantity || name.starts_with(&format!("{quantity}_"));
    let decimals = wanted.to_string().split_once('.').map_or(0, |(_, digits)| digits.len());
    let digit = 10_f64.powi(-i32::try_from(decimals).unwrap());
    match name {
        _ if name.contains("temperature") => 0.11,
        _ if is("humidity") => 0.6,
        _ if is("pressure") => 0.2,
        _ if is("battery") => 1.0,
        _ if is("voltage") => 0.011,
        _ if is("acceleration") => 0.011,
        _ => (0.6 * digit).max(wanted.abs() * 1e-6),
    }
}

fn is_said(name: &str, wanted: &Value, said: Option<&Value>, row: &Value) -> bool {
    // Some write yes and no as 1 and 0.
    let number = |value: &Value| value.as_f64().or(value.as_bool().map(f64::from));
    match (number(wanted), said.and_then(number)) {
        (Some(wanted), Some(said)) => (wanted - said).abs() <= tolerance(name, wanted, row) + 1e-9,
        _ => said == Some(wanted),
    }
}

/// What is wrong with an answer.
fn fault(row: &Value, answer: &Value) -> Option<String> {
    let said = &answer["readings"][0];
    if row["expect_none"] == true {
        let is_named = answer["errors"].as_array().is_some_and(|errors| !errors.is_empty());
        return (!said.is_null() || !is_named).then(|| format!("must say nothing, and why: {answer}"));
    }
    let expect = row["expect"].as_object().into_iter().flatten();
    for (name, wanted) in expect {
        if !is_said(name, wanted, said.get(name), row) {
            return Some(format!("{name} must be {wanted}, is {:?}: {answer}", said.get(name)));
        }
    }
    let absent = row["absent"].as_array().into_iter().flatten().filter_map(Value::as_str);
    absent.into_iter().find(|name| said.get(name).is_some()).map(|name| format!("{name} must not be there"))
}

#[test]
#[ignore = "wants a file: TIDEGATE_BLE_VECTORS=FILE cargo test --test ble vectors -- --ignored --nocapture"]
fn vectors_of_a_file_give_what_they_must() {
    let file = std::env::var("TIDEGATE_BLE_VECTORS").expect("TIDEGATE_BLE_VECTORS names a file");
    let text = std::fs::read_to_string(file).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["decode", "--jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), answers.len());
    let mut kinds = BTreeMap::from([("readings", 0), ("nothing, and why", 0), ("with absent values", 0)]);
    let mut faults = Vec::new();
    for (row, answer) in rows.iter().zip(&answers) {
        assert_eq!(row["id"], answer["id"]);
        let kind = if row["expect_none"] == true { "nothing, and why" } else { "readings" };
        *kinds.get_mut(kind).unwrap() += 1;
        *kinds.get_mut("with absent values").unwrap() += usize::from(row["absent"] != json!(null));
        faults.extend(fault(row, answer).map(|fault| format!("{}: {fault}", row["id"])));
    }
    println!("{} rows, {} as they must be: {kinds:?}", rows.len(), rows.len() - faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
