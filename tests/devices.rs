//! Captured serial streams through `tidegate decode --jsonl`, as a tool outside would call it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// The answers to `lines`, in order.
fn decode(arguments: &[&str], lines: &[u8]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["decode", "--jsonl"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&lines));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whether a reading says what it must; it may say more.
fn says(wanted: &Value, reading: &Value) -> bool {
    let close = |wanted: &Value, said: &Value| match (wanted.as_f64(), said.as_f64()) {
        // Half of the last digit shown.
        (Some(number), Some(said)) => {
            let digits = wanted.to_string().split_once('.').map_or(0, |(_, digits)| digits.len());
            (number - said).abs() <= 0.5 / 10_f64.powi(i32::try_from(digits).unwrap()) + 1e-12
        }
        _ => same(wanted, said),
    };
    let wanted = wanted.as_object().unwrap();
    wanted.iter().all(|(name, wanted)| reading.get(name).is_some_and(|said| close(wanted, said)))
}

/// Whether two values are the same, numbers as numbers.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

#[test]
fn captured_streams_give_exactly_the_readings_that_they_must() {
    let rows = include_str!("devices/serial.jsonl");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/devices/profiles");
    let answers = decode(&["--profiles", own], rows.as_bytes());
    assert_eq!(answers.len(), rows.lines().count());
    for (row, answer) in rows.lines().zip(&answers) {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["id"], answer["id"]);
        let (wanted, readings) = (row["expect"].as_array().unwrap(), answer["readings"].as_array().unwrap());
        let all_said = wanted.iter().zip(readings).all(|(wanted, reading)| says(wanted, reading));
        assert!(all_said && wanted.len() == readings.len(), "{row:#}\ngives {answer:#}");
        let nothing_said = answer["errors"].as_array().unwrap().is_empty();
        assert!(
            !nothing_said || !row["expect"].as_array().unwrap().is_empty(),
            "silence needs a reason: {answer}"
        );
    }
}

#[test]
fn a_line_that_cannot_be_read_gives_its_error_and_stops_nothing() {
    let good = json!({ "id": 7, "sensor": { "profile": "json-lines" }, "stream_hex": "7b2274223a317d0a" });
    let bad = [
        "{".to_owned(),
        "[]".to_owned(),
        json!({ "id": "no stream" }).to_string(),
        json!({ "id": "odd", "sensor": { "profile": "csv" }, "stream_hex": "0" }).to_string(),
        json!({ "id": "unknown", "sensor": { "profile": "nova-sds01" }, "stream_hex": "" }).to_string(),
        json!({ "id": "option", "sensor": { "profile": "csv" }, "stream_hex": "" }).to_string(),
        json!({ "id": "typo", "sensor": { "profile": "csv", "colums": [] }, "stream_hex": "" }).to_string(),
        json!({ "id": "ble", "manufacturer_data": { "0499": "05" } }).to_string(),
    ];
    let mut lines = bad.join("\n").into_bytes();
    lines.extend(b"\n\xFF\xFE\n\n");
    lines.extend(good.to_string().bytes());
    let answers = decode(&[], &lines);
    let kinds: Vec<&str> = answers.iter().filter_map(|answer| answer["errors"][0]["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        ["input", "input", "input", "input", "profile", "options", "options", "truncated", "input"]
    );
    let unknown = answers[4]["errors"][0]["detail"].as_str().unwrap();
    assert!(unknown.contains("did you mean \"nova-sds011\"?"), "{unknown}");
    assert_eq!(
        answers.last().unwrap(),
        &json!({ "id": 7, "readings": [{ "t": 1 }], "model": "JSON lines", "errors": [] })
    );
}

#[test]
fn a_folder_of_profiles_adds_to_the_shipped_ones_and_overrides_them() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |scale: &str| {
        format!(
            "device = {{ model = \"own\", about = \"x\" }}\nserial = {{ baud = 9600 }}\n\
             frame = {{ start = \"A5\", length = 3 }}\n\
             [[field]]\nname = \"level\"\nat = 1\ntype = \"u16be\"\nscale = {scale}\n"
        )
    };
    std::fs::write(folder.path().join("own.toml"), profile("0.01")).unwrap();
    std::fs::write(folder.path().join("nova-sds011.toml"), profile("1")).unwrap();
    std::fs::write(folder.path().join("broken.toml"), profile("zero")).unwrap();
    let row = |id: &str| json!({ "id": id, "sensor": { "profile": id }, "stream_hex": "a5000d" }).to_string();
    let lines = ["own", "nova-sds011", "broken", "own"].map(row).join("\n");
    let answers = decode(&["--profiles", folder.path().to_str().unwrap()], lines.as_bytes());
    assert_eq!(answers[0]["readings"], json!([{ "level": 0.13 }]));
    assert_eq!(answers[1]["readings"], json!([{ "level": 13 }]));
    let detail = answers[2]["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("broken.toml:8:9: "), "{detail}");
    assert_eq!(answers[3], answers[0]);
}

#[test]
fn a_profile_file_is_checked_with_its_captures() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let file = folder.path().join("own.toml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["decode", "--profile", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let good = include_str!("../hardware/profiles/nova-sds011.toml");
    let (code, said) = check(good);
    assert_eq!((code, said.as_str()), (Some(0), "own: all 4 captures give what they must\n"));
    let (code, said) = check(&good.replacen("pm25 = 123.6", "pm25 = 123.7", 1));
    assert!(code == Some(1) && said.contains("capture 1: gives"), "{said}");
    let (code, said) = check(&good.replacen("sum8", "sum88", 1));
    assert!(code == Some(2) && said.contains("own.toml:18:21: ") && said.contains("\"sum8\"?"), "{said}");
}
