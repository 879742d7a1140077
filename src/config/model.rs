//! The configuration as the gateway uses it: plain values, every default filled in, nothing left to judge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytestring::ByteString;

use super::secret::Secret;
use crate::adapter::serial::{LineOptions, PortAddress};
use crate::bridge::{DayWindow, Durability, Forward, MessageId, Order, Provider, Rate, Receive};
use crate::broker::Rights;
use crate::device::Options;
use crate::journal::{WhenFull, WhenUsedUp};
use crate::limits::Limits;
use crate::mqtt::ProtocolVersion;
use crate::net::ListenAddress;
use crate::reading::SensorName;
use crate::stream::{AllowedOrigins, ClientTls, Proxy, ServerTls, Url};

/// Everything that a configuration file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[broker]`: the bounds, as they hold where a listener says nothing else.
    pub limits: Limits,
    /// `[[acl]]`
    pub rights: Rights,
    /// `[[listener]]`; at least one.
    pub listeners: Vec<Listener>,
    /// `[journal]`
    pub journal: Journal,
    /// `[sensor.NAME]`, in the order of the file.
    pub sensors: Vec<Sensor>,
    /// `[uplink.NAME]`, in the order of the file.
    pub uplinks: Vec<Uplink>,
    /// `[ble]`
    pub ble: Ble,
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
    /// How often its own figures are published; zero: never.
    pub report_interval: Duration,
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: ListenAddress,
    /// Encryption.
    pub tls: Option<ServerTls>,
    /// MQTT over WebSocket, and from which web pages.
    pub websocket: Option<AllowedOrigins>,
    /// Whether a load balancer in front says whose connections it passes on.
    pub proxy_protocol: bool,
    /// Whether clients may come without a name.
    pub allow_anonymous: bool,
    /// Its users; `None`: it knows none.
    pub password_file: Option<PathBuf>,
    /// The bounds of its connections.
    pub limits: Limits,
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

/// `[ble]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ble {
    /// Families of devices that are published without being named.
    pub auto: Vec<String>,
    /// Connections at once on each radio; `None`: one.
    pub connections: Option<u8>,
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
    /// What completes or changes its profile.
    pub options: Options,
}

/// How a sensor is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A serial port.
    Serial {
        /// The port; sensors of one kind may share it.
        port: PortAddress,
        /// How it is opened.
        line: LineOptions,
        /// What it encrypts its frames with: the key, and the one that proves them.
        keys: [Option<Secret>; 2],
    },
    /// A place on a Modbus line.
    Modbus {
        /// The port; several sensors may share it.
        port: PortAddress,
        /// How it is opened.
        line: LineOptions,
        /// Its number on the line; `None`: that of its profile.
        unit: Option<u8>,
    },
    /// Bluetooth Low Energy.
    Ble {
        /// Its address.
        address: [u8; 6],
        /// What its advertisements are encrypted with.
        key: Option<Secret>,
    },
}

/// `[uplink.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// NAME
    pub name: ByteString,
    /// Where it goes.
    pub server: Server,
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
    /// What comes down; the first that matches a message decides.
    pub receive: Vec<Receive>,
    /// What goes first after an outage.
    pub order: Order,
    /// How much of the journal may wait for it.
    pub max_bytes: Option<u64>,
    /// How long a message may wait for it.
    pub max_age: Option<Duration>,
    /// What happens at `max_bytes`.
    pub when_full: WhenUsedUp,
    /// Whether a message may go up before it is on disk.
    pub durability: Durability,
    /// Where messages carry their names.
    pub message_id: MessageId,
    /// How many messages may be sent.
    pub rate: Option<Rate>,
    /// Messages open at once; `None`: as many as is good.
    pub window: Option<u16>,
    /// What readings look like there.
    pub payload: Payload,
    /// Bytes in a day, where the link costs.
    pub daily_budget: Option<u64>,
    /// When it may be used, where it costs; empty: always.
    pub windows: Vec<DayWindow>,
    /// A known cloud.
    pub provider: Option<&'static Provider>,
    /// The key from which passwords are made.
    pub shared_access_key: Option<Secret>,
}

/// What readings look like at a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Payload {
    /// One JSON object each.
    #[default]
    Json,
    /// SenML packs (RFC 8428).
    SenMl,
    /// What ThingsBoard wants from gateways.
    ThingsBoard,
}

/// How the server of an uplink is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// One, or several that stand in for each other.
    pub urls: Vec<Url>,
    /// A web proxy on the way, without its login.
    pub proxy: Option<Proxy>,
    /// As whom to log in at the proxy.
    pub proxy_username: Option<String>,
    /// And with which password.
    pub proxy_password: Option<Secret>,
    /// For `mqtts` and `wss`.
    pub tls: ClientTls,
}
