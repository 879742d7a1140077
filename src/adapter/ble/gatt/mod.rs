//! Sensors that are read over connections: visited on an interval, or kept and listened to.
//!
//! A device is visited when it is due, was heard lately, and it is its turn on its radio; the scan pauses while the
//! connection is made. What fails is told once, shown in the status, and tried again, later each time when it was the
//! device's fault. Decides nothing about what values mean: that is the profile's ([`crate::device::GattReader`]).

mod link;
mod plug;
mod session;
#[cfg(test)]
mod tests;
mod turns;
mod visitor;

use std::sync::Arc;

pub use link::{Abilities, Central, Link, LinkError, Unconnected};
pub use plug::Plug;
pub use visitor::serve;

use super::antenna::Antenna;
use crate::device::Profile;
use crate::device::ble::Address;
use crate::reading::SensorName;
use crate::route::SensorTopics;
use turns::Turns;

/// A sensor that is read over a connection.
#[derive(Debug, Clone)]
pub struct GattSensor {
    /// Its name.
    pub name: SensorName,
    /// Its address.
    pub address: Address,
    /// What is read of it; with `[gatt]`.
    pub profile: Arc<Profile>,
    /// Where it is published.
    pub topics: SensorTopics,
}

/// Everything that connections share.
#[derive(Debug)]
pub struct Connections<C> {
    central: C,
    antenna: Arc<Antenna>,
    turns: Turns,
}

impl<C: Central> Connections<C> {
    /// Connections of `central` to what `antenna` hears, so many at once on each radio.
    pub fn new(central: C, antenna: Arc<Antenna>, at_once: usize) -> Connections<C> {
        Connections { central, antenna, turns: Turns::new(at_once) }
    }
}
