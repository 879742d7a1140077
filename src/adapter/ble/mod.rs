//! Bluetooth Low Energy: advertisements from the radios of this machine.
//!
//! What advertisements mean is [`crate::device::ble`]'s.

mod written;

pub use written::{Written, WrittenError};
