//! Sealed Bluetooth frames with whatever a fuzzer puts into them, and one bit of them changed.

#![no_main]

#[path = "../checks/advertisement.rs"]
#[allow(dead_code, reason = "the other targets use the rest")]
mod advertisement;

libfuzzer_sys::fuzz_target!(|data: &[u8]| advertisement::fuzz_sealed(data));
