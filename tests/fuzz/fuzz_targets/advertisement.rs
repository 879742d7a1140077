//! Bluetooth on whatever a fuzzer comes up with.

#![no_main]

#[path = "../checks/advertisement.rs"]
#[allow(dead_code, reason = "the other target uses the rest")]
mod advertisement;

libfuzzer_sys::fuzz_target!(|data: &[u8]| advertisement::fuzz_advertisement(data));
