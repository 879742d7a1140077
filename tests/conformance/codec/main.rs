//! Is what we read and write MQTT? The codec against the standards, against itself, and against a codec that we
//! did not write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

mod allocation;
mod arbitrary;
mod differential;
mod encoding;
mod fields;
mod form;
#[path = "../../fuzz/checks/codec.rs"]
mod fuzz_codec;
mod mutation;
mod properties;
mod reasons;
mod round_trip;
mod topic;
mod wire;
