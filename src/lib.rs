//! Tidegate: an IoT gateway that loses nothing.
//!
//! Sensor bytes come in over serial lines and Bluetooth, become clean readings, are served by an embedded
//! MQTT broker, are kept in a journal on disk, and flow to a cloud broker when the link allows it.
//!
//! # The house
//!
//! Imports go down only; siblings on floor 1 do not import each other (`tests/tidy.rs` checks it).
//!
//! | floor | modules | what they may do |
//! |---|---|---|
//! | 3 assembly | [`cli`] [`config`] [`gateway`] [`telemetry`] | know everybody, decide nothing |
//! | 2 drivers | [`net`] [`stream`] [`adapter`] [`uplink`] [`users`] [`disk`] [`clock`] | the only ones with tokio, sockets, files and clocks |
//! | 1 pure machines | [`broker`] [`device`] [`route`] [`bridge`] [`journal`] | take `(now, input)`, give outputs; no async, no clock, no files, no logging |
//! | 0 words | [`mqtt`] [`flow`] [`durable`] [`reading`] [`time`] [`limits`] | the vocabulary of all floors |
//!
//! # The way of one reading
//!
//! bytes → [`device`] framer → frame → decoder → [`reading::Reading`] → [`route`] → [`durable::Message`] →
//! [`broker::Broker::handle`] → live subscribers at once, and [`broker::Output::Append`] for durable consumers →
//! [`journal::Journal`], one write and one `fdatasync` for everything waiting → `Committed` → what waited for the
//! disk is released → [`bridge::Forwarder`] loads committed deliveries and sends them within its window →
//! PUBACK or PUBCOMP → delivery done → the journal's space is used again.
//!
//! # Invariants
//!
//! 1. An acknowledgement promises that the record is on disk; nothing else waits for the disk.
//! 2. Everything accepted is delivered, or is counted as dropped with a reason.
//! 3. A kept message has a [`durable::Sequence`] that never changes; where it lies is the journal's secret.
//! 4. Everything that a peer can make grow has a bound in [`limits`].

pub mod adapter;
pub mod bridge;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod device;
pub mod disk;
pub mod durable;
pub mod flow;
pub mod gateway;
pub mod journal;
pub mod limits;
pub mod mqtt;
pub mod net;
pub mod reading;
pub mod route;
pub mod stream;
pub mod telemetry;
pub mod time;
pub mod uplink;
pub mod users;
