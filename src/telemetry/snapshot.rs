//! Everything that is shown, as plain values at one moment. Written as JSON for `tidegate status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The gateway at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub gateway: String,
    /// Of the program.
    pub version: String,
    /// Of this run.
    pub uptime_seconds: f64,
    /// Whether all is well.
    pub health: Health,
    /// What is not well, in plain language.
    pub problems: Vec<String>,
    /// The wall clock.
    pub clock: ClockStatus,
    /// The embedded broker.
    pub broker: BrokerStatus,
    /// The sensors, by name.
    pub sensors: BTreeMap<String, SensorStatus>,
    /// Readings that are on disk, or that no durable consumer wants.
    pub readings_committed: u64,
    /// The uplinks, by name.
    pub uplinks: BTreeMap<String, UplinkStatus>,
    /// The journal.
    pub journal: JournalStatus,
    /// Messages that will not be delivered, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// What clients were refused: by what they asked for, then by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How the gateway is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// All is well.
    #[default]
    Healthy,
    /// It works; something needs a look.
    Degraded,
}

/// The wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whether it was set from a trusted source since boot.
    pub synced: bool,
    /// Milliseconds since 1970, as it says.
    pub unix_ms: i64,
}

/// The embedded broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Clients that said CONNECT and were accepted.
    pub clients_connected: u64,
    /// Connections that were refused.
    pub connections_refused: u64,
    /// PUBLISH packets from clients.
    pub messages_received: u64,
    /// PUBLISH packets to clients.
    pub messages_sent: u64,
}

/// One sensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SensorStatus {
    /// Where it is connected.
    pub source: String,
    /// Whether it is heard.
    pub available: bool,
    /// Readings decoded.
    pub readings: u64,
    /// Frames that could not be decoded, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Since the last reading; `None`: none in this run.
    pub age_seconds: Option<f64>,
    /// What is wrong with its port, if anything.
    pub problem: Option<String>,
}

/// One uplink.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Where it leads.
    pub server: String,
    /// Whether the server has accepted us.
    pub connected: bool,
    /// Messages that are kept for it and not acknowledged.
    pub backlog_messages: u64,
    /// Their bytes.
    pub backlog_bytes: u64,
    /// Since the oldest of them was accepted; 0 when there is none.
    pub backlog_oldest_seconds: f64,
    /// Messages acknowledged by the server in this run.
    pub acked: u64,
    /// What is wrong, if anything.
    pub problem: Option<String>,
    /// Which of several servers has accepted us, while one has.
    pub connected_to: Option<String>,
    /// For how long it has.
    pub connected_seconds: Option<f64>,
    /// Why the last connection or attempt ended, in this run, even if all is well now.
    pub last_error: Option<String>,
    /// Attempts to connect in this run.
    pub attempts: u64,
    /// Whether a person paused it.
    pub paused: bool,
    /// Why nothing but alarms is sent, on a link that costs.
    pub held: Option<String>,
    /// Bytes that such a link has carried today.
    pub spent_bytes: Option<u64>,
    /// Messages sent and not acknowledged now.
    pub in_flight: u64,
    /// Messages acknowledged in a second, lately.
    pub drain_per_second: f64,
    /// How long until nothing waits; `None` when nothing does, or when it does not become less.
    pub drain_seconds: Option<f64>,
    /// Messages that the server may have got twice.
    pub possible_duplicates: u64,
    /// Messages that the server refused for now, to be sent once more.
    pub postponed: u64,
    /// Messages laid aside because the server will never take them.
    pub dead_letters: u64,
    /// Messages that came down.
    pub received: u64,
    /// Messages that will not be delivered to it, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The journal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalStatus {
    /// `accepting`, `full` or `dead`.
    pub health: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that it may take.
    pub max_bytes: u64,
    /// Bytes written in this run.
    pub written_bytes: u64,
    /// Messages that everybody had before they were written, in this run: they never were.
    #[serde(default)]
    pub spared: u64,
    /// How long commits took.
    pub commits: CommitHistogram,
}

/// How long commits took, as a Prometheus histogram.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CommitHistogram {
    /// Upper bound in seconds, and how many took at most that long.
    pub at_most: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// The sum of all durations.
    pub sum_seconds: f64,
}
