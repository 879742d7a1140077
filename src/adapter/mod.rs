//! The sources of readings: serial ports, Bluetooth radios, and simulated devices.
//!
//! One task per port; a port that is gone harms no other. Decides nothing about what bytes mean: that is
//! [`crate::device`]'s, nor where readings go: that is [`crate::route`]'s.

pub mod ble;
mod counters;
pub mod profiles;
pub mod serial;
pub mod simulated;
mod sink;

pub use counters::{Counters, CountersNow};
pub use sink::{Outlet, Sink};
