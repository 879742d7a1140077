//! The broker and the codec on whatever a fuzzer has several clients say.

#![no_main]

#[path = "../checks/connection.rs"]
mod connection;
#[path = "../../conformance/broker/lines.rs"]
mod lines;
#[path = "../../conformance/broker/site.rs"]
mod site;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection::fuzz_connection(data));
