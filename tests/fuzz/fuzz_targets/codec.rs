//! The MQTT codec on whatever a fuzzer comes up with.

#![no_main]

#[path = "../checks/codec.rs"]
mod codec;

libfuzzer_sys::fuzz_target!(|data: &[u8]| codec::fuzz_codec(data));
