//! The configuration as the gateway uses it: plain values, every default filled in, nothing left to judge.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytestring::ByteString;

use super::secret::Secret;
use crate::journal::WhenFull;
use crate::limits::Limits;
use crate::mqtt::{ProtocolVersion, QoS, TopicFilter};
use crate::reading::SensorName;

/// Everything that a configuration file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[broker]`: the bounds, as they hold where a listener says nothing else.
    pub limits: Limits,
    /// `[[listener]]`; at least one.
    pub listeners: Vec<Listener>,
    /// `[journal]`
    pub journal: Journal,
    /// `[sensor.NAME]`, in the order of the file.
    pub sensors: Vec<Sensor>,
    /// `[uplink.NAME]`, in the order of the file.
    pub uplinks: Vec<Uplink>,
    /// `[http]`; `None`: not served.
    pub http: Option<SocketAddr>,
}

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name in topics.
    pub id: String,
    /// Where the journal lies.
    pub data_dir: PathBuf,
    /// Folders of profiles beside those in the program; the later ones win.
    pub profile_dirs: Vec<PathBuf>,
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; port 0: the system chooses.
    pub address: SocketAddr,
    /// Whether clients may come without a name.
    pub allow_anonymous: bool,
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// How long records linger for which nobody waits.
    pub commit_interval: Duration,
    /// How large it may grow; `None`: the smaller of 1 GiB and 10 % of what is free at start.
    pub max_bytes: Option<u64>,
    /// Older messages are dropped.
    pub max_age: Duration,
    /// What happens at `max_bytes`.
    pub when_full: WhenFull,
}

/// `[sensor.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// NAME
    pub name: SensorName,
    /// How it is reached.
    pub source: Source,
    /// Its profile; `None` only for Bluetooth, where the advertisement says what it is.
    pub profile: Option<String>,
    /// What generic profiles want to know.
    pub options: ProfileOptions,
}

/// How a sensor is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A serial port of its own.
    Serial {
        /// The port.
        path: PathBuf,
        /// Bits per second, where the profile does not say or is overruled.
        baud: Option<u32>,
        /// `8N1` and the like, where the profile does not say or is overruled.
        format: Option<SerialFormat>,
    },
    /// A place on a Modbus line.
    Modbus {
        /// The port; several sensors may share it.
        path: PathBuf,
        /// Its number on the line.
        unit: u8,
        /// As for [`Source::Serial`].
        baud: Option<u32>,
        /// As for [`Source::Serial`].
        format: Option<SerialFormat>,
    },
    /// Bluetooth Low Energy.
    Ble {
        /// Its address.
        address: [u8; 6],
        /// What its advertisements are encrypted with.
        key: Option<Secret>,
    },
}

/// Data bits, parity and stop bits of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialFormat {
    /// 7 or 8.
    pub data_bits: u8,
    /// Whether there is a parity bit, and which.
    pub parity: SerialParity,
    /// 1 or 2.
    pub stop_bits: u8,
}

/// The parity bit of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialParity {
    /// `N`
    None,
    /// `E`
    Even,
    /// `O`
    Odd,
}

/// What generic profiles want to know beside the port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileOptions {
    /// `columns`: the measurement of each column of a line, in order; an empty name skips one.
    pub columns: Vec<String>,
    /// `map`: from the sender's name to the measurement's.
    pub map: BTreeMap<String, String>,
}

/// `[uplink.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// NAME
    pub name: ByteString,
    /// The server's name or address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The standard to speak.
    pub version: ProtocolVersion,
    /// Who we are there.
    pub client_id: ByteString,
    /// With which name we log in.
    pub username: Option<String>,
    /// And with which password.
    pub password: Option<Secret>,
    /// Seconds; 0: none.
    pub keep_alive_seconds: u16,
    /// What goes up; the first that matches a message decides.
    pub forward: Vec<Forward>,
    /// What comes down.
    pub receive: Vec<TopicFilter>,
}

/// One entry of `forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which messages.
    pub filter: TopicFilter,
    /// Where they go, instead of their own topic.
    pub to: Option<String>,
    /// The highest quality of service upstream.
    pub qos: QoS,
}
