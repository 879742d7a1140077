//! Bluetooth Low Energy: advertisements from the radios of this machine to the sensors that send them.
//!
//! An [`AdvertSource`] hears ([`BlueZ`], or a [`Replay`]) and tells the [`Antenna`], which knows who listens to which
//! address; [`serve`] is one sensor's task, [`serve_all`] that of all devices of chosen families, and
//! [`serve_connected`] that of a sensor that is read over connections. What advertisements mean is
//! [`crate::device::ble`]'s.
//!
//! A machine without Bluetooth, a radio that is pulled out, a bluetoothd that restarts: each is told once, shown in
//! the status, and tried again for ever; nothing else of the gateway notices.

mod antenna;
mod automatic;
mod bluez;
mod bus;
mod gatt;
mod links;
mod pauses;
mod replay;
mod sensor;
mod snapshot;
mod watchdog;
mod written;

pub use antenna::{AdvertSource, Antenna, Heard};
pub use automatic::{Automatic, serve_all};
pub use bluez::BlueZ;
pub use gatt::{
    Abilities, Central, Connections, GattSensor, Link, LinkError, Plug, Unconnected, serve as serve_connected,
};
pub use replay::Replay;
pub use sensor::{BleSensor, serve};
pub use written::{Written, WrittenError};
