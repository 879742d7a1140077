//! What the gateway costs, measured on this machine in one run:
//! `cargo test --release --test bench -- --ignored --nocapture`.
//!
//! Figures that matter: a sensor's bytes until they are a reading, and until a cloud acknowledges it; the embedded
//! broker beside Debian's mosquitto. The load comes from this process, over loopback; with two cores it competes with what is
//! measured, which is why CPU seconds of the server are printed beside the rate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::as_conversions, reason = "the numbers of a bench are small")]
#![allow(clippy::print_stdout, reason = "figures are what it is for")]
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod broker;
mod cloud;
mod decoding;
mod drain;
mod durable;
mod journal;
mod load;
#[path = "../devices/packages.rs"]
mod packages;
#[path = "../lab/process.rs"]
#[allow(dead_code, reason = "made for the lab")]
mod process;
mod readings;
#[path = "../lab/rig.rs"]
#[allow(dead_code, reason = "made for the lab")]
mod rig;
#[path = "../lab/sensor.rs"]
#[allow(dead_code, reason = "made for the lab")]
mod sensor;
mod usage;

#[test]
#[ignore = "takes a minute and wants a quiet machine: cargo test --release --test bench -- --ignored --nocapture"]
fn what_it_costs() {
    readings::print();
    broker::print();
}

#[test]
#[ignore = "wants a quiet machine: cargo test --release --test bench decoding -- --ignored --nocapture"]
fn what_decoding_costs() {
    decoding::print();
    decoding::print_beside_packages();
}

#[test]
#[ignore = "wants a quiet machine: cargo test --release --test bench drains -- --ignored --nocapture"]
fn how_fast_a_backlog_drains() {
    drain::print();
}

#[test]
#[ignore = "wants root and a quiet machine: cargo test --release --test bench keeping -- --ignored --nocapture"]
fn what_keeping_costs() {
    journal::print();
}

#[test]
#[ignore = "wants root: cargo test --release --test bench start -- --ignored --nocapture"]
fn what_a_start_costs() {
    journal::print_start();
}

#[test]
#[ignore = "wants a quiet machine: cargo test --release --test bench durable -- --ignored --nocapture"]
fn what_durable_publishing_costs() {
    durable::print();
}

#[test]
#[ignore = "the child of another: cargo test --release --test bench keeping -- --ignored --nocapture"]
fn opens_a_large_journal() {
    journal::open_large();
}
