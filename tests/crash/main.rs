//! The journal against disks that crash, tear, fail, fill up and rot; and on real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how to repeat it"
)]

mod backup;
mod bounded;
#[path = "../simulation/crash_disk.rs"]
mod crash_disk;
mod damage;
mod failures;
mod injected;
mod killed;
mod model;
mod oracle;
mod power;
mod quota;
mod share;
mod skips;
mod spared;
mod upgrade;
mod world;
mod writer;
