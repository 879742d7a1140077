//! `tidegate demo` tells the truth about what arrived, and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A demo whose temporary folder is its own.
fn demo(temporary: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["demo", "--outage", "2", "--duration", "8"]);
    command.env("TMPDIR", temporary.path()).env_remove("TIDEGATE_LOG").env_remove("TIDEGATE_DEMO_DROP_ONE");
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// The numbers in `sent 128, delivered 128, lost 0, duplicated 0`, the last line.
fn score(output: &str) -> [u64; 4] {
    let line = output.lines().last().unwrap();
    let words: Vec<&str> = line.split(", ").collect();
    let names = ["sent ", "delivered ", "lost ", "duplicated "];
    assert_eq!(words.len(), names.len(), "{output}");
    std::array::from_fn(|at| words[at].strip_prefix(names[at]).unwrap().parse().unwrap())
}

#[test]
fn an_outage_loses_nothing_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(&temporary).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let [sent, delivered, lost, _] = score(&shown);
    assert!(sent > 80, "{shown}");
    assert_eq!((delivered, lost), (sent, 0));
    for scene in ["the cloud goes away", "the cloud is back", "the sensors stop", "in order"] {
        assert!(shown.contains(scene), "{scene:?} is not in\n{shown}");
    }
    assert!(is_empty(temporary.path()));
}

#[test]
fn one_message_that_is_dropped_on_purpose_is_told_and_ends_with_1() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(&temporary).env("TIDEGATE_DEMO_DROP_ONE", "1").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let [sent, delivered, lost, _] = score(&shown);
    assert_eq!((delivered, lost), (sent - 1, 1), "{shown}");
    assert!(shown.contains("READINGS WERE LOST"), "{shown}");
    assert!(is_empty(temporary.path()));
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child: Child = demo(&temporary).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // The first line with readings: everything is there by then.
    let mut line = String::new();
    while !line.contains("at the cloud ") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the demo ended early");
    }
    assert!(!is_empty(temporary.path()));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    output.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(is_empty(temporary.path()));
}
