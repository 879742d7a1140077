//! What devices say: bytes of a serial line become frames, frames become measurements.
//!
//! A device is data: a [`Profile`] says how its frames are recognised, what the bytes mean, how it is polled, and
//! carries captured frames with the readings they must give. [`Listener`] is the whole way for one port:
//! bytes → framer → frame → decoder → [`Measurements`] or a [`Problem`].
//!
//! Never touches a port, a clock, a file or a log; never gives a measurement from a frame whose checksum is wrong.

pub mod ble;
mod checksum;
mod command;
mod decoder;
mod expression;
mod framer;
mod gatt;
mod listener;
mod modbus;
mod number;
mod poll;
mod problem;
mod profile;
mod protocol;
mod secret;
mod sign_on;
mod stuffing;
#[cfg(test)]
mod tests;

pub use command::{Command, Order};
pub use decoder::Measurements;
pub use gatt::{Characteristic, Gatt, GattReader};
pub use listener::{Found, Listener};
pub use modbus::{Master, MasterAction, Outcome, Request, UnitPlan, crc as modbus_crc};
pub use poll::{PollAction, PollPlan};
pub use problem::{Problem, ProblemKind};
pub use profile::{
    Capture, Library, LibraryError, Modbus, ModbusRead, Options, OptionsError, Parity, Poll, Profile,
    ProfileError, SerialFormat, SerialSettings, hex, nearest,
};
pub use secret::MeterKey;
pub use sign_on::{GoOn, SignOn};
