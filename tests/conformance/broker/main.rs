//! Does the broker do what the standards say? Bytes in, bytes out, through the codec and the broker's core; every
//! numbered statement has its place in `../statements.toml`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod aliases;
mod compare;
mod connecting;
mod ending;
mod extent;
mod flows;
#[path = "../../fuzz/checks/connection.rs"]
mod fuzz_connection;
mod hostile;
mod lines;
mod model;
mod packets;
mod peer;
mod properties;
mod publishing;
mod random;
mod reference;
mod refusals;
mod site;
mod statements;
mod subscribing;
mod versions;
mod websocket;
