//! Real processes: the gateway's binary, Debian's mosquitto as the cloud, ptys as serial ports, real networks.
//!
//! What a rig needs and is not here (mosquitto, root for network namespaces) makes its tests skip, aloud. An outage
//! lasts 30 seconds; `TIDEGATE_LAB_OUTAGE_SECONDS` says otherwise. Everything started here ends with its test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::as_conversions, reason = "the numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod gateway;
mod namespace;
mod observer;
mod outage;
mod process;
mod rig;
mod sensor;
mod upstream;
mod witness;
