//! The families of formats, one file each; the smallest share one.
//!
//! A reader takes one field of an advertisement: it says that the field is another's, or what is wrong with it, or
//! writes what it says. The registry decides who is asked.

pub(super) mod aranet;
pub(super) mod atc;
pub(super) mod beacons;
pub(super) mod bluemaestro;
pub(super) mod bthome;
pub(super) mod govee;
mod govee_events;
mod govee_probes;
pub(super) mod ibeacon_like;
pub(super) mod inkbird;
pub(super) mod inode;
pub(super) mod kkm;
mod mi_events;
mod mi_models;
mod mi_objects;
pub(super) mod mibeacon;
pub(super) mod mopeka;
pub(super) mod oral_b;
pub(super) mod parasite;
pub(super) mod qingping;
pub(super) mod relsib;
pub(super) mod ruuvi;
pub(super) mod scales;
pub(super) mod sensirion;
pub(super) mod sensorpush;
pub(super) mod small;
pub(super) mod switchbot;
pub(super) mod tanks;
pub(super) mod teltonika;
pub(super) mod thermobeacon;
pub(super) mod thermopro;
pub(super) mod victron;
pub(super) mod xiaomi_plain;

use super::crypt;
use super::data::{Bits, Data, Outcome, bad, ensure};
use super::quantity::Quantity;
use super::readout::Readout;
use super::registry::Frame;
use crate::device::number::round;
use crate::device::problem::ProblemKind;
use crate::reading::Value;

/// The charge that is left in a lithium coin cell of 3 V at rest, from its voltage: the piecewise line that the
/// vendors' apps draw.
fn coin_cell(volts: f64) -> f64 {
    let percent = match volts {
        v if v >= 3.0 => 100.0,
        v if v >= 2.6 => 60.0 + (v - 2.6) * 100.0,
        v if v >= 2.5 => 40.0 + (v - 2.5) * 200.0,
        v if v >= 2.45 => 20.0 + (v - 2.45) * 400.0,
        _ => 0.0,
    };
    round(percent, 1)
}

/// A temperature of Sensirion's SHT3x, SHT4x and SCD4x: 0 to 65535 is -45 to 130 °C.
fn sht_temperature(raw: u16) -> f64 {
    round(f64::from(raw) * 175.0 / 65535.0 - 45.0, 2)
}

/// A humidity of SHT3x and SCD4x: 0 to 65535 is 0 to 100 %.
fn sht_humidity(raw: u16) -> f64 {
    round(f64::from(raw) * 100.0 / 65535.0, 2)
}

fn hex_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
