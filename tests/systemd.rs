//! The systemd unit: systemd itself finds nothing wrong with it, and finds it well confined.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// The unit with a program that exists here, in a folder of its own.
fn unit_with_our_program(folder: &Path) -> std::path::PathBuf {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tidegate.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let text = text.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"));
    let path = folder.join("tidegate.service");
    std::fs::write(&path, text).unwrap();
    path
}

/// `None`, said aloud, where there is no systemd-analyze.
fn analyze(arguments: &[&str], unit: &Path) -> Option<std::process::Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: systemd-analyze cannot be run: {error}");
            None
        }
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit_with_our_program(folder.path());
    let Some(output) = analyze(&["verify", "--man=no"], &unit) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "systemd-analyze verify: {said}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    unit_with_our_program(folder.path());
    let socket = folder.path().join("tidegate.socket");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tidegate.socket"), &socket).unwrap();
    let Some(output) = analyze(&["verify", "--man=no"], &socket) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "systemd-analyze verify: {said}");
}

#[test]
fn the_unit_is_well_confined() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit_with_our_program(folder.path());
    // The threshold is in tenths: an exposure above 2.0 fails.
    let Some(output) = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"], &unit) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let summary = said.lines().last().unwrap_or_default();
    assert!(output.status.success(), "systemd-analyze security: {summary}");
}
