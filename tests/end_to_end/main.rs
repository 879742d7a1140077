//! The running program against clients and servers that we did not write.
//!
//! Every test starts the real binary on ports that the system chooses, in a folder of its own, and cleans up. What
//! needs a program that is not installed is skipped aloud (see [`skip`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod authority;
mod commands;
mod dashboard;
mod downlink;
mod garbage;
mod listeners;
mod mosquitto;
mod mosquitto_clients;
mod pipeline;
mod program;
mod rights;
mod rumqtt_clients;
mod service;
mod spared;
mod uplinks;

/// Notes that a test could not run here, and why; `.ci/run` counts and shows it.
fn skip(reason: &str) {
    use std::io::Write as _;
    eprintln!("SKIPPED: {reason}");
    if let Some(file) = std::env::var_os("TIDEGATE_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = file.and_then(|mut file| writeln!(file, "{reason}"));
    }
}
